"""What `ChatQwenVL` has for places and times beside what every framework's class has."""

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from qwen_vl.grounding_methods import GroundingMethods

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from qwen_vl.grounder import QuestionAsker
    from qwen_vl.grounding import Grounding
    from qwen_vl.timelines import Timeline


class ChatGroundingMethods(GroundingMethods):
    """Finds things in pictures, and events in videos, also in chains.

    Example:
        >>> from langchain_qwen_vl import ChatQwenVL
        >>> from PIL import Image
        >>> from qwen_vl.sandbox import Sandbox
        >>> picture = Image.new("RGB", (640, 480), "white")
        >>> picture.paste("red", (64, 48, 192, 240))
        >>> with Sandbox() as sandbox:
        ...     model = ChatQwenVL(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     found = model.locate(picture, "red things")
        >>> found.boxes[0].xyxy
        (64.0, 48.0, 192.0, 240.0)
    """

    @override
    def _asker(self) -> "QuestionAsker":
        from langchain_qwen_vl.grounding import ChatAsker  # noqa: PLC0415 - for who locates alone

        model: Any = self
        return ChatAsker(model)

    def as_locator(self, **options: Any) -> "Runnable[dict[str, Any], Grounding]":
        """Make a runnable that takes `{"image": …, "what": …}` and gives a `Grounding`.

        Args:
            **options: Of `locate`, for every call; what stands beside the picture counts before.
        """
        from langchain_qwen_vl.grounding import as_locator  # noqa: PLC0415 - as above

        model: Any = self
        return as_locator(model, **options)

    def as_timeline_finder(self, **options: Any) -> "Runnable[dict[str, Any], Timeline]":
        """Make a runnable that takes `{"video": …, "what": …}` and gives a `Timeline`.

        Args:
            **options: Of `timeline`, for every call; what stands beside the video counts before.
        """
        from langchain_qwen_vl.grounding import as_timeline_finder  # noqa: PLC0415 - as above

        model: Any = self
        return as_timeline_finder(model, **options)
