"""What the tools with which agents find places and times are called, and what they may name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwen_vl.errors import MediaNotFoundError
from qwen_vl.grounder import QuestionAsker
from qwen_vl.grounding import Grounding
from qwen_vl.timelines import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingTool:
    """What a tool does, whatever framework it is made for.

    Args:
        asker: Asks the model.
        media: Pictures or videos by the names that an agent has for them: it can name no others.
            `None`: it names addresses, and files inside of `media_roots`.
        options: Of `locate` or `timeline`, for every call.
    """

    asker: QuestionAsker
    media: Mapping[str, object] | None
    options: Mapping[str, Any]

    def locate(self, image: str, what: str) -> Grounding:
        """Find things in a picture.

        Args:
            image: Its name or its address.
            what: What to look for.
        """
        return self.asker.locate(self._find(image), what, **self.options)

    async def alocate(self, image: str, what: str) -> Grounding:
        """Find things in a picture; see `locate`."""
        return await self.asker.alocate(self._find(image), what, **self.options)

    def timeline(self, video: str, what: str) -> Timeline:
        """Find events in a video.

        Args:
            video: Its name or its address.
            what: What to look for.
        """
        return self.asker.timeline(self._find(video), what, **self.options)

    async def atimeline(self, video: str, what: str) -> Timeline:
        """Find events in a video; see `timeline`."""
        return await self.asker.atimeline(self._find(video), what, **self.options)

    def describe_locate(self) -> str:
        """Say to an agent what `locate` does."""
        return self._describe(
            "Find where things are in a picture, in pixels. `image` is its name or address, "
            "`what` says in a few words what to look for."
        )

    def describe_timeline(self) -> str:
        """Say to an agent what `timeline` does."""
        return self._describe(
            "Find when things happen in a video. `video` is its name or address, `what` says in a "
            "few words what to look for."
        )

    def _describe(self, task: str) -> str:
        return task if self.media is None else f"{task} There are: {', '.join(self.media)}."

    def _find(self, name: str) -> object:
        if self.media is None:
            # What a model writes is text, which is never trusted as a path.
            return name
        if name not in self.media:
            raise MediaNotFoundError(
                f"There is nothing named {name!r}.",
                value=name,
                remedy=f"Choose one of {', '.join(map(repr, self.media))}.",
            )
        return self.media[name]
