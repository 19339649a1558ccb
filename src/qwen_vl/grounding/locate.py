"""Questions for places in a picture: what is sent, and what the answer's coordinates count in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen_vl.content import Image, Inline, Pixels, Source, Text, Turn, Url, is_remote
from qwen_vl.errors import ContentError, MediaFormatError, MediaOptionError
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
from qwen_vl.media.downscale import MAX_FILE_BYTES
from qwen_vl.media.image import find_image_type, open_image
from qwen_vl.media.load import load, require_source
from qwen_vl.media.measure import measure_image
from qwen_vl.media.prepare import prepare_media
from qwen_vl.request.rules import choose_structured_method, to_json_schema_format
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.models import CoordinateSpace
from qwen_vl.tokens.conversation import TokenCounter

WHERE = "picture"
_ORIENTATION, _UPRIGHT = 0x0112, 1
_TURNED = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True, kw_only=True)
class LocateTask:
    """A question for places that is ready to be sent.

    Args:
        part: The picture, with the address that is sent.
        prompt: The words that follow it.
        options: Options of the call, by the names of `QwenVLSettings.make_request`.
        frame: What the answer's coordinates count in.
    """

    part: Image
    prompt: str
    options: Mapping[str, Any]
    frame: CoordinateFrame

    def read(
        self,
        text: str,
        *,
        finish_reason: str | None = None,
        image_hw: Sequence[Sequence[int]] | None = None,
    ) -> Grounding:
        """Read the answer.

        Args:
            text: The answer.
            finish_reason: Why it ended; with `"length"` the model had more to say.
            image_hw: Height and width at which the model looked at the picture, where the service
                tells (`vl_enable_image_hw_output`).

        Raises:
            AnswerFormatError: There are no places in it.
            CoordinateSpaceError: They count in something else than was expected.
        """
        frame = self.frame
        if image_hw and frame.space == "resized":
            high, width = image_hw[-1]
            frame = replace(frame, scale=(width, high))
        found = read_grounding(text, frame)
        return replace(found, is_cut_off=True) if finish_reason == "length" else found


def locate_task(
    settings: QwenVLSettings,
    image_input: object,
    what: str,
    *,
    points: bool = False,
    space: CoordinateSpace | None = None,
    size: Size | None = None,
    prompt: str | None = None,
    **options: Any,
) -> LocateTask:
    """Make a question for places; the picture is read, and made ready to be sent, here and now.

    A picture that a camera's note (EXIF) says to turn is turned first: then its places mean the
    same to the model, which may or may not read the note, and to whoever looks at it.

    Args:
        settings: The model, how to reach it, and which files may be read.
        image_input: A `pathlib.Path`, bytes, an open file, a `PIL.Image`, an array, a URL, or an
            `Image` with pixel limits of its own. Text that is a path is read only inside
            `media_roots`.
        what: What to look for, in words.
        points: Whether to ask for points, and not for boxes.
        space: What the model's coordinates count in, where it is not what its family does.
        size: Width and height of a picture behind an address, in pixels: it is never fetched here.
        prompt: A prompt of your own, with `{what}` in it.
        **options: Options of the call, by the names of the settings' fields.

    Raises:
        MediaError: The picture cannot be read or sent, or its size is not known.
        ConfigurationError: There is nothing to look for, or an option is wrong.
    """
    words = write_prompt(POINTS_PROMPT if points else BOXES_PROMPT, what, prompt)
    schema = POINTS_SCHEMA if points else BOXES_SCHEMA
    options = {**schema_options(settings, schema, options), **options}
    image, original = _open(image_input, settings.media_policy)
    original = size or original
    if original is None:
        raise MediaOptionError(
            "How large the picture is cannot be read here, so that places in it have no pixels.",
            where=WHERE,
            remedy="Pass size=(width, height), or the picture itself in place of its address.",
        )
    turn = Turn(role="user", parts=(image, Text(text=words)))
    request = settings.make_request((turn,), stream=None, **options)
    ready = _find_image(prepare_media(request))
    frame = _find_frame(request, ready, original, space)
    return LocateTask(part=ready, prompt=words, options=options, frame=frame)


def schema_options(
    settings: QwenVLSettings, schema: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the options that hold an answer to a schema, where the model takes one.

    Others are only told in words: a tool that they were forced to call would turn their thinking
    off, and they are trained to write places and times as text.

    Args:
        settings: The model, and how it is spoken to.
        schema: Of an object.
        options: Of the call; `response_format` among them counts before.
    """
    # A task of the OCR models would bring a prompt of its own.
    found: dict[str, Any] = {"ocr_task": None, "result_schema": None} if settings.ocr_task else {}
    method = choose_structured_method(
        options.get("model") or settings.model,
        protocol=settings.protocol,
        server=settings.server,
    )
    if method == "json_schema":
        found["response_format"] = to_json_schema_format(schema)
    return found


def _find_image(request: Request) -> Image:
    parts = (part for turn in reversed(request.turns) for part in turn.parts)
    return next(part for part in parts if isinstance(part, Image))


def _find_frame(
    request: Request, ready: Image, original: Size, space: CoordinateSpace | None
) -> CoordinateFrame:
    # What is sent has been shrunk where the model would shrink it, and is sent to other servers,
    # with other limits, too: so that which is sent is measured.
    sent = measure_image(ready.source, request.policy, WHERE) or original
    counter = TokenCounter(
        model=request.model,
        parameters=request.parameters,
        policy=request.policy,
        server=request.server,
    )
    if isinstance(ready.source, Url) and is_remote(ready.source.url):
        count = counter.measure_page(*sent)
        return find_frame(
            request.model,
            original,
            space=space,
            sent=sent,
            min_pixels=ready.min_pixels,
            max_pixels=ready.max_pixels,
            resized=None if ready.min_pixels or ready.max_pixels else _size(count),
        )
    resized = _size(counter.measure(ready))
    return find_frame(request.model, original, space=space, sent=sent, resized=resized)


def _size(count: Any) -> Size | None:
    return None if count.width is None else (count.width, count.height)


def _open(image_input: object, policy: MediaPolicy) -> tuple[Image, Size | None]:
    """Give the part to send and its size; what is read is kept, so that it is read once."""
    image = (
        image_input
        if isinstance(image_input, Image)
        else Image(source=require_source(image_input, WHERE))
    )
    image = replace(image, where=image.where or WHERE)
    source = image.source
    if isinstance(source, Url) and is_remote(source.url):
        return image, None
    if isinstance(source, Pixels):
        return image, _upright_size(source, image.where)
    longest = max(policy.max_inline_bytes, MAX_FILE_BYTES)
    data = load(source, replace(policy, max_inline_bytes=longest), image.where).data
    held: Source = Inline(data)
    opened = open_image(data, find_image_type(data, image.where), image.where)
    if opened is None:
        return replace(image, source=held), None
    try:
        if opened.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT:
            opened.load()
            pixels = Pixels(opened)
            return replace(image, source=pixels), _upright_size(pixels, image.where)
        return replace(image, source=held), opened.size
    except ContentError:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever they trip over.
        raise MediaFormatError(
            f"The picture cannot be decoded ({type(error).__name__}: {error}).",
            where=image.where,
            remedy="Save it anew with an image program.",
        ) from error


def _upright_size(pixels: Pixels, where: str) -> Size:
    from qwen_vl.media.encode import read_pixel_size  # noqa: PLC0415 - with Pillow, which is slow

    width, height = read_pixel_size(pixels.image, where)
    note = pixels.image.getexif() if hasattr(pixels.image, "getexif") else {}
    is_turned = note.get(_ORIENTATION, _UPRIGHT) in _TURNED
    return (height, width) if is_turned else (width, height)
