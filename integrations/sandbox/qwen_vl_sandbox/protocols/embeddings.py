"""The native embedding service: a request read, checked and answered.

Shapes are those of the Multimodal-embedding page (2026-11).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from qwen_vl_sandbox.answers.vectors import Features, read_image, read_words, to_vector
from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.errors.hosted import NATIVE
from qwen_vl_sandbox.http.service import Service
from qwen_vl_sandbox.media.fetch import Content, FileContent, Loader, Unfetched
from qwen_vl_sandbox.media.hosted_tokens import Budget, image_tokens, text_tokens
from qwen_vl_sandbox.media.inspect import inspect_image
from qwen_vl_sandbox.ocr.engine import is_installed
from qwen_vl_sandbox.reading.conversation import Conversation, Options
from qwen_vl_sandbox.reading.validation import Fields
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.specs.models import model_spec
from qwen_vl_sandbox.specs.retrieval import EMBEDDING_MODELS, MAX_SEQUENCE, EmbeddingModel
from qwen_vl_sandbox.storage import account_of, resolves_oss

PARAMETERS = frozenset(
    {"output_type", "dimension", "fps", "instruct", "enable_fusion", "res_level"}
    | {"max_video_frames"}
)
_KEYS = ("text", "image", "video", "multi_images")
# The wording of public reports; the figure is that of the model.
_BATCH = "Value error, batch size is invalid, it should not be larger than {}.: input.contents"
_MAX_FRAMES = 64
_LEVEL_TOKENS = (127, 402, 578, 1026)
_BUDGET = Budget(patch=32, min_pixels=4_096, max_pixels=1_310_720)
_MARKERS = 2


@dataclass(frozen=True, slots=True)
class _Embedded:
    """One content object."""

    kind: str
    features: tuple[Features, ...]
    text_tokens: int
    image_tokens: int


def embedding_service(recorder: Recorder) -> Service:
    """Return the service of multimodal embeddings."""
    return Service(
        errors=NATIVE, unknown_fields=_unknown_fields, answer=_Embeddings(recorder).answer
    )


def _unknown_fields(body: Any) -> tuple[str, ...]:
    if not isinstance(body, dict):
        return ()
    found = [name for name in body if name not in {"model", "input", "parameters"}]
    values, parameters = body.get("input"), body.get("parameters")
    if isinstance(values, dict):
        found += [f"input.{name}" for name in values if name != "contents"]
        contents = values.get("contents")
        for at, content in enumerate(contents if isinstance(contents, list) else ()):
            names = content if isinstance(content, dict) else ()
            found += [f"input.contents[{at}].{name}" for name in names if name not in _KEYS]
    if isinstance(parameters, dict):
        found += [f"parameters.{name}" for name in parameters if name not in PARAMETERS]
    return tuple(found)


def read_model(body: Mapping[str, Any]) -> EmbeddingModel:
    """Find the model of a request.

    Raises:
        ApiError: The service does not have it.
    """
    model = EMBEDDING_MODELS.get(str(body.get("model")))
    return model or reject("Model not exist.", status=404)


def make_loader(
    recorder: Recorder, model: str, headers: Mapping[str, str], max_image_bytes: int
) -> Loader:
    """Create what loads the media of a request."""
    # A data URL is a third longer than its bytes.
    spec = replace(model_spec("qwen3-vl-plus"), max_image_bytes=max_image_bytes * 4 // 3 + 64)
    conversation = Conversation(
        model=model,
        spec=spec,
        messages=(),
        options=Options(thinking=False),
        strict=recorder.strict,
        account=account_of(headers.get("authorization", "")),
        resolves_oss=resolves_oss(headers),
    )
    return Loader(conversation, recorder.storage, reads=recorder.reads and is_installed())


class _Embeddings:
    def __init__(self, recorder: Recorder) -> None:
        self._ledger = recorder

    def answer(
        self, body: dict[str, Any], headers: Mapping[str, str], request_id: str
    ) -> dict[str, Any]:
        """Answer one request."""
        model = read_model(body)
        values, parameters = body.get("input"), body.get("parameters")
        contents = values.get("contents") if isinstance(values, dict) else None
        if not isinstance(contents, list) or not contents:
            reject("input.contents must be a list with content.")
        if not isinstance(parameters, dict):
            # The page marks it as required by HTTP.
            reject("parameters is required.")
        if model.max_elements is not None and len(contents) > model.max_elements:
            reject(_BATCH.format(model.max_elements))
        fields = Fields(parameters, "parameters")
        dimension = _read_dimension(fields, model)
        is_fused = _read_options(fields, model) or model.kind == "qwen2.5"
        objects = [{"text": one} if isinstance(one, str) else one for one in contents]
        _check_counts(objects, model)
        loader = make_loader(self._ledger, body["model"], headers, model.max_image_bytes)
        level = parameters.get("res_level")
        level_tokens = None if level is None else _LEVEL_TOKENS[level]
        embedded = [
            _embed(one, f"input.contents[{at}]", loader, level_tokens)
            for at, one in enumerate(objects)
        ]
        if is_fused:
            features = tuple(one for part in embedded for one in part.features)
            vectors = [("fusion", features)]
        else:
            vectors = [
                ("vl" if model.kind == "qwen3" else one.kind, one.features) for one in embedded
            ]
        return {
            "output": {
                "embeddings": [
                    {
                        "index": at,
                        "embedding": to_vector(features, dimension, reads=loader.reads),
                        "type": kind,
                    }
                    for at, (kind, features) in enumerate(vectors)
                ]
            },
            "usage": _count(embedded, model),
            "request_id": request_id,
        }


def _read_dimension(fields: Fields, model: EmbeddingModel) -> int:
    dimension = fields.get("dimension")
    if dimension is None:
        return model.dimensions[0]
    # unsure: the wording, and whether a model of one length passes over it.
    if len(model.dimensions) == 1 or dimension not in model.dimensions:
        known = ", ".join(map(str, model.dimensions))
        reject(f"parameters.dimension {dimension!r} is not supported, it should be one of {known}.")
    return int(dimension)


def _read_options(fields: Fields, model: EmbeddingModel) -> bool:
    """Check all parameters except the dimension, and return whether fusion is asked for."""
    fields.number("fps", 0.0, 1.0)
    fields.string("instruct")
    if fields.string("output_type") not in {None, "dense"}:
        reject("parameters.output_type should be dense.")
    if model.kind != "snapshot" and (
        fields.get("res_level") is not None or fields.get("max_video_frames") is not None
    ):
        reject("parameters.res_level and max_video_frames are not supported by the model.")
    fields.integer("res_level", 0, len(_LEVEL_TOKENS) - 1)
    fields.integer("max_video_frames", 1, _MAX_FRAMES)
    if fields.get("enable_fusion") is not None and model.kind != "qwen3":
        reject("parameters.enable_fusion is not supported by the model.")
    return fields.boolean("enable_fusion")


def _check_counts(contents: list[Any], model: EmbeddingModel) -> None:
    for at, one in enumerate(contents):
        _check_content(one, f"input.contents[{at}]", model)
    sequences = [one.get("multi_images", ()) for one in contents]
    n_images = sum("image" in one for one in contents) + sum(map(len, sequences))
    for kind, count, limit in (
        ("texts", sum("text" in one for one in contents), 1 if model.kind == "qwen2.5" else None),
        ("images", n_images, model.max_images),
        ("videos", sum("video" in one for one in contents), model.max_videos),
    ):
        if limit is not None and count > limit:
            reject(f"The number of {kind} is invalid, it should not be larger than {limit}.")


def _check_content(one: Any, path: str, model: EmbeddingModel) -> None:
    if not isinstance(one, dict):
        reject(f"{path} must be an object or a string.")
    held = [key for key in _KEYS if key in one]
    if not held:
        reject(f"{path} must have text, image or video.")
    if len(held) > 1 and model.kind != "snapshot":
        reject(f"{path} must have one of text, image and video.")
    if "multi_images" not in one:
        return
    images = one["multi_images"]
    if model.kind not in {"snapshot", "vision"}:
        reject(f"{path}.multi_images is not supported by the model.")
    if not isinstance(images, list) or not images:
        reject(f"{path}.multi_images must be a list of images.")
    if model.kind == "vision" and len(images) > MAX_SEQUENCE:
        reject(f"{path}.multi_images should have at most {MAX_SEQUENCE} images.")


def _embed(
    one: dict[str, Any],
    path: str,
    loader: Loader,
    level_tokens: int | None,
) -> _Embedded:
    features: list[Features] = []
    n_text = n_image = 0
    for key in _KEYS:
        if key not in one:
            continue
        for value in one[key] if key == "multi_images" else [one[key]]:
            if not isinstance(value, str) or not value:
                reject(f"{path}.{key} must be a string with content.")
            if key == "text":
                features.append(read_words(value))
                n_text += text_tokens(value)
            elif key == "video":
                features.append(load_video(value, path, loader))
            else:
                found, tokens = load_image(value, loader)
                features.append(found)
                n_image += tokens if level_tokens is None else level_tokens
    kinds = [key for key in _KEYS if key in one]
    kind = kinds[0] if len(kinds) == 1 else "fused"
    return _Embedded(kind, tuple(features), n_text, n_image)


def load_image(url: str, loader: Loader) -> tuple[Features, int]:
    """Return what an image shows, and its tokens; of a link that is not fetched its words."""
    content = loader.load_image(url)
    if isinstance(content, Unfetched):
        return read_words(url), 0
    seen = inspect_image(content, strict=False)
    features = read_image(content, reads=loader.reads)
    return features, image_tokens(seen.width, seen.height, _BUDGET) - _MARKERS


def load_video(url: str, path: str, loader: Loader) -> Features:
    """Return the words of a video's URL: it is not decoded here."""
    if url.startswith("data:"):
        reject(f"{path}.video must be a URL; Base64 is not supported.")
    content = loader.load_video(url)
    if isinstance(content, Content | FileContent):
        return read_words("video")
    return read_words(url)


def _count(embedded: list[_Embedded], model: EmbeddingModel) -> dict[str, Any]:
    n_text = sum(one.text_tokens for one in embedded)
    n_image = sum(one.image_tokens for one in embedded)
    if model.kind == "qwen3":
        return {"input_tokens": n_text, "image_tokens": n_image, "total_tokens": n_text + n_image}
    if model.kind == "qwen2.5":
        return {"input_tokens": n_text, "image_tokens": n_image}
    if model.kind == "v1":
        n_images = sum(one.kind == "image" for one in embedded)
        return {"input_tokens": n_text, "image_tokens": n_image, "image_count": n_images}
    # unsure: what the page's `output_tokens` counts, as nothing is written.
    return {
        "input_tokens": n_text + n_image,
        "input_tokens_details": {"image_tokens": n_image, "text_tokens": n_text},
        "output_tokens": 0,
        "total_tokens": n_text + n_image,
    }
