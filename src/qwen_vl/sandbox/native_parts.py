"""The content parts of the native protocol: their key says what they are.

Rules are those of the Native-API page (2026-09) and the Errors page (2026-07).
"""

from dataclasses import replace
from typing import Any

from qwen_vl.sandbox.conversation import Audio, Part
from qwen_vl.sandbox.parts import MIN_MAX_FRAMES, PartReader
from qwen_vl.sandbox.refusals import refuse
from qwen_vl.sandbox.validation import Fields

PART_FIELDS: dict[str, frozenset[str]] = {
    "text": frozenset(),
    "image": frozenset({"min_pixels", "max_pixels", "enable_rotate"}),
    "video": frozenset({"fps", "max_frames", "min_pixels", "max_pixels", "total_pixels"}),
    "audio": frozenset(),
}
"""Documented fields by the part's key, that key and `cache_control` apart."""

NOT_A_PART = "The item of content should be a message of a certain modal."


class NativePartReader(PartReader):
    """Reads the parts of one request of the native protocol."""

    fields = PART_FIELDS
    answers_in_parts = True

    def read(self, part: Any, path: str, role: str) -> Part:
        """Read one part."""
        kinds = sorted(PART_FIELDS.keys() & part.keys()) if isinstance(part, dict) else []
        # unsure: what a part with two of the keys is taken for.
        if len(kinds) != 1:
            refuse(f"{NOT_A_PART} - '{path}'")
        kind = kinds[0]
        self._check_place(part, path, kind, role)
        match kind:
            case "image":
                picture = self._picture(part, path, _address(part, kind, path))
                return replace(picture, rotate=self._rotates(part, path))
            case "video":
                return self._film(part, path)
            case "audio":
                if not self._facts.hears:
                    refuse(f"{path}: the model does not support audio input.")
                return Audio(path, _address(part, kind, path), "audio")
            case _:
                return self._text(part, path)

    def _film(self, part: dict[str, Any], path: str) -> Part:
        value = part["video"]
        source = value if isinstance(value, str) and value else self._frames(value, path)
        clip = self._clip(part, path, source)
        most = self._video_facts(path).max_frames
        # unsure: whether a frame list takes it too; it is sampled no further here.
        return replace(
            clip, max_frames=Fields(part, path).integer("max_frames", MIN_MAX_FRAMES, most)
        )

    def _rotates(self, part: dict[str, Any], path: str) -> bool:
        if "enable_rotate" in part and not self._facts.reads and self._strict:
            # unsure: the page shows the field with the text-reading models alone.
            refuse(f"{path}.enable_rotate is not supported by the model.")
        return Fields(part, path).boolean("enable_rotate")


def _address(part: dict[str, Any], kind: str, path: str) -> str:
    value = part[kind]
    return value if isinstance(value, str) else refuse(f"{path}.{kind} must be a string.")
