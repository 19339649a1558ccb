"""What the frameworks' classes have for places and times; what does it is imported at a call."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen_vl.grounding.grounder import BaseGrounder
    from qwen_vl.grounding.results import Grounding
    from qwen_vl.grounding.timeline import Timeline


class GroundingMethods:
    """Finds things in pictures, and events in videos."""

    @abstractmethod
    def _grounder(self) -> "BaseGrounder":
        """Give what sends questions as calls of this model."""

    def locate(self, image: object, what: str, **options: Any) -> "Grounding":
        """Find things in a picture: boxes and points in pixels of the picture as you have it.

        Args:
            image: A `pathlib.Path`, bytes, an open file, a `PIL.Image`, an array, or an address.
                Text that is a path is read inside of `media_roots` alone.
            what: What to look for, in words, in English or Chinese.
            **options: `points=True` for points; `size=(width, height)` of a picture behind an
                address; `space`, where coordinates count in something else than the model's family
                has; `prompt`, your own, with `{what}` in it; and options of the call.

        Raises:
            MediaError: The picture cannot be read or sent, or its size is not known.
            AnswerFormatError: The answer holds no places, or its coordinates count in something
                else than was expected.
        """
        return self._grounder().locate(image, what, **options)

    async def alocate(self, image: object, what: str, **options: Any) -> "Grounding":
        """Find things in a picture; see `locate`. The picture is read in a thread."""
        return await self._grounder().alocate(image, what, **options)

    def timeline(self, video: object, what: str | None = None, **options: Any) -> "Timeline":
        """Find events in a video, with their times in seconds.

        Args:
            video: A `pathlib.Path`, bytes, an open file, an address, or a list of frames. Text
                that is a path is read inside of `media_roots` alone.
            what: What to look for, in words; all that happens where nothing is said.
            **options: `fps`, `start`, `end`, `max_frames`, `video_mode` of the video; `seconds`,
                how long a video behind an address is; `prompt`, your own, with `{what}` in it; and
                options of the call.

        Raises:
            MediaError: The video cannot be read or sent.
            AnswerFormatError: The answer holds no events, or times that the video does not have.
        """
        return self._grounder().timeline(video, what, **options)

    async def atimeline(self, video: object, what: str | None = None, **options: Any) -> "Timeline":
        """Find events in a video; see `timeline`. The video is read in a thread."""
        return await self._grounder().atimeline(video, what, **options)
