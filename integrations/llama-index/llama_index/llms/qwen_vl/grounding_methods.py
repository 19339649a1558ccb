"""What `QwenVL` has for places and times."""

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from qwen_vl.grounding_methods import GroundingMethods

if TYPE_CHECKING:
    from qwen_vl.grounder import QuestionAsker


class LlmGroundingMethods(GroundingMethods):
    """Finds things in pictures, and events in videos.

    Example:
        >>> from llama_index.llms.qwen_vl import QwenVL
        >>> from PIL import Image
        >>> from qwen_vl.sandbox import Sandbox
        >>> picture = Image.new("RGB", (640, 480), "white")
        >>> picture.paste("red", (64, 48, 192, 240))
        >>> with Sandbox() as sandbox:
        ...     llm = QwenVL(api_base=sandbox.base_url, api_key="sk-sandbox")
        ...     found = llm.locate(picture, "red things")
        >>> found.boxes[0].xyxy
        (64.0, 48.0, 192.0, 240.0)
    """

    @override
    def _asker(self) -> "QuestionAsker":
        from llama_index.llms.qwen_vl.grounding import LlmAsker  # noqa: PLC0415 - at a call alone

        llm: Any = self
        return LlmAsker(llm)
