"""The content parts of the OpenAI-compatible protocol: their `type` says what they are."""

from typing import Any

from qwen_vl.sandbox.conversation import Audio, Part
from qwen_vl.sandbox.parts import PartReader
from qwen_vl.sandbox.refusals import refuse
from qwen_vl.sandbox.validation import Fields

_CLIP_FIELDS = frozenset({"fps", "min_pixels", "max_pixels", "total_pixels"})

PART_FIELDS: dict[str, frozenset[str]] = {
    "text": frozenset(),
    "image_url": frozenset({"min_pixels", "max_pixels"}),
    "video_url": _CLIP_FIELDS,
    "video": _CLIP_FIELDS,
    "input_audio": frozenset(),
}
"""Documented fields by part type, the type's own and `cache_control` apart."""

NOT_A_PART = "if content is list. item must be dict and key[type] should in dict"
"""The service's wording in public threads."""


class OpenAIPartReader(PartReader):
    """Reads the parts of one request of the OpenAI-compatible protocol."""

    fields = PART_FIELDS

    def read(self, part: Any, path: str, role: str) -> Part:
        """Read one part."""
        if not isinstance(part, dict) or "type" not in part:
            refuse(f"{NOT_A_PART} - '{path}'")
        kind = part["type"]
        known = isinstance(kind, str) and kind in PART_FIELDS
        if not known or (kind == "input_audio" and not self._facts.hears):
            refuse(f"{path}.type {kind!r} is not supported by the model.")
        self._check_place(part, path, kind, role)
        match kind:
            case "image_url":
                return self._picture(part, path, _url(part, kind, path))
            case "video_url":
                return self._clip(part, path, _url(part, kind, path))
            case "video":
                return self._clip(part, path, self._frames(part.get("video"), path))
            case "input_audio":
                return _audio(part, path)
            case _:
                return self._text(part, path)


def _url(part: dict[str, Any], kind: str, path: str) -> str:
    inner = part.get(kind)
    if not isinstance(inner, dict) or not isinstance(inner.get("url"), str):
        refuse(f"{path}.{kind} must be an object with a url.")
    return str(inner["url"])


def _audio(part: dict[str, Any], path: str) -> Audio:
    inner = part.get("input_audio")
    if not isinstance(inner, dict):
        refuse(f"{path}.input_audio must be an object with data and format.")
    fields = Fields(inner, f"{path}.input_audio")
    data, kind = fields.string("data"), fields.string("format")
    if not data or not kind:
        refuse(f"{path}.input_audio needs data and format.")
    return Audio(path, data, kind)
