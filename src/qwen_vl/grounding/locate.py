"""Questions for boxes and points in an image, and the coordinate space of the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Never, Unpack

from qwen_vl.content import DataUrl, Image, Inline, Text, Turn
from qwen_vl.errors import MediaOptionError
from qwen_vl.grounding.coordinates import CoordinateFrame, Size, find_frame
from qwen_vl.grounding.parse_boxes import read_grounding
from qwen_vl.grounding.prompts import (
    BOXES_PROMPT,
    BOXES_SCHEMA,
    POINTS_PROMPT,
    POINTS_SCHEMA,
    write_prompt,
)
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.task import CallOptions, GroundingTask, check_measures
from qwen_vl.media.data_url import read_data_url
from qwen_vl.media.limits import is_remote_source
from qwen_vl.media.load import require_source
from qwen_vl.media.measure import measure_image
from qwen_vl.media.prepare import prepare_single
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_request
from qwen_vl.request.rules import choose_structured_method, to_json_schema_format
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.models import CoordinateSpace
from qwen_vl.tokens.conversation import TokenCounter

WHERE = "image"


def locate_task(
    settings: QwenVLSettings,
    image_input: object,
    what: str,
    *,
    points: bool = False,
    space: CoordinateSpace | None = None,
    size: Size | None = None,
    prompt: str | None = None,
    **call: Unpack[CallOptions],
) -> GroundingTask[Grounding]:
    """Create a question for places; the image is read and prepared here and now.

    The EXIF orientation of an image is applied before it is sent: its places are those of the
    upright image.

    Args:
        settings: The model, how to reach it, and which files may be read.
        image_input: A `pathlib.Path`, bytes, an open file, a `PIL.Image`, an array, a URL, or an
            `Image` with its own pixel limits. Text that is a path is read only inside
            `media_roots`.
        what: What to look for.
        points: Whether to ask for points, and not for boxes.
        space: The model's coordinate space, if it is not that of its family.
        size: Width and height of an image behind a URL, in pixels: it is never fetched here.
        prompt: A custom prompt, with `{what}` in it.
        **call: Options of the call, by the names of the settings' fields.

    Raises:
        MediaError: The image cannot be read or sent, or its size is not known.
        ConfigurationError: There is nothing to look for, or an option is wrong.
    """
    words = write_prompt(POINTS_PROMPT if points else BOXES_PROMPT, what, prompt)
    options = schema_options(settings, POINTS_SCHEMA if points else BOXES_SCHEMA, call)
    image = _to_image(image_input)
    if size is not None:
        measures: Any = size
        is_pair = isinstance(measures, Sequence) and len(measures) == 2  # noqa: PLR2004
        wanted = "width and height of the image in pixels, such as (1920, 1080)"
        check_measures("size", size, measures=measures if is_pair else [None], wanted=wanted)
    if is_remote_source(image.source) and size is None:
        _refuse_unknown_size()
    turn = Turn(role="user", parts=(image, Text(text=words)))
    request = build_request(settings, (turn,), stream=None, **options)
    ready = prepare_single(_find_image(request), request)
    original = size or getattr(ready.source, "original_size", None)
    if original is None:
        _refuse_unknown_size()
    frame = find_request_frame(request, ready, original, space)
    return GroundingTask(
        part=ready, prompt=words, options=options, read=lambda reply: _read(reply, frame)
    )


def with_reported_size(frame: CoordinateFrame, reply: Reply) -> CoordinateFrame:
    """Return a frame with the size at which the model saw the image, where the reply reports it.

    Args:
        frame: By the rules of the service.
        reply: Has `image_hw` with `vl_enable_image_hw_output`.
    """
    if not reply.image_hw or frame.space != "resized":
        return frame
    height, width = reply.image_hw[-1]
    return replace(frame, scale=(width, height))


def _read(reply: Reply, frame: CoordinateFrame) -> Grounding:
    found = read_grounding(reply.text, with_reported_size(frame, reply))
    return replace(found, is_cut_off=True) if reply.finish_reason == "length" else found


def schema_options(
    settings: QwenVLSettings, schema: Mapping[str, Any], call: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of a call whose answer follows a schema, where the model takes one.

    For others the prompt describes it: forcing a tool call would turn their thinking
    off, and they are trained to write places and times as text.

    Args:
        settings: The model, and how it is spoken to.
        schema: Of an object.
        call: Options of the caller, which take precedence.
    """
    # A task of the OCR models would add its own prompt.
    found: dict[str, Any] = {"ocr_task": None, "result_schema": None} if settings.ocr_task else {}
    method = choose_structured_method(
        call.get("base_model") or call.get("model") or settings.known_model,
        protocol=settings.protocol,
        server=settings.server,
    )
    if method == "json_schema":
        found["response_format"] = to_json_schema_format(schema)
    return {**found, **call}


def _find_image(request: Request) -> Image:
    parts = (part for turn in reversed(request.turns) for part in turn.parts)
    return next(part for part in parts if isinstance(part, Image))


def find_request_frame(
    request: Request, ready: Image, original: Size, space: CoordinateSpace | None = None
) -> CoordinateFrame:
    """Find the coordinate space of the answer to a request about one image.

    Args:
        request: Brings the model, its parameters and the server.
        ready: The image as it is sent.
        original: Width and height of the image as its owner has it.
        space: The model's coordinate space, if it is not that of its family.
    """
    # What is sent has been shrunk where the model would shrink it, and is sent to other servers,
    # with other limits, too: so that which is sent is measured.
    sent = measure_image(ready.source, request.policy, WHERE) or original
    space = space or request.spec.coordinates
    counter = TokenCounter(
        model=request.known_model,
        parameters=request.parameters,
        policy=request.policy,
        server=request.server,
        model_family=request.model_family,
    )
    if is_remote_source(ready.source):
        count = counter.measure_size(*sent)
        return find_frame(
            request.known_model,
            original,
            space=space,
            sent=sent,
            min_pixels=ready.min_pixels,
            max_pixels=ready.max_pixels,
            resized=None if ready.min_pixels or ready.max_pixels else _size(count),
        )
    resized = _size(counter.measure(ready))
    return find_frame(request.known_model, original, space=space, sent=sent, resized=resized)


def _size(count: Any) -> Size | None:
    return None if count.width is None else (count.width, count.height)


def _to_image(image_input: object) -> Image:
    image = (
        image_input
        if isinstance(image_input, Image)
        else Image(source=require_source(image_input, WHERE))
    )
    source = image.source
    if isinstance(source, DataUrl):
        source = Inline(read_data_url(source), source.media_type)
    return replace(image, source=source, where=image.where or WHERE)


def _refuse_unknown_size() -> Never:
    raise MediaOptionError(
        "Cannot determine the image size, which boxes in pixels need.",
        where=WHERE,
        remedy="Pass size=(width, height), or the image itself in place of its URL.",
    )
