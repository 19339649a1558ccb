"""What all test classes share: the LLM under test, what it can do, and the media."""

import base64
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast, overload

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ContentBlock,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM

from llama_index_vision_tests.endpoints import chat, user
from llama_index_vision_tests.samples import draw_image, read_video, to_data_url
from llama_index_vision_tests.server import MediaServer

COLOR_QUESTION = "Which color fills most of it? Answer with the English name of the color."


_T = TypeVar("_T")


class _Default(Generic[_T]):
    """Computes an attribute until a subclass or an instance sets it."""

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__
        # `ABC` reads it.
        self.__isabstractmethod__ = getattr(compute, "__isabstractmethod__", False)

    @overload
    def __get__(self, suite: None, owner: type) -> Self: ...
    @overload
    def __get__(self, suite: object, owner: type) -> _T: ...
    def __get__(self, suite: object | None, owner: type) -> Self | _T:
        return self if suite is None else self._compute(suite)


def default(compute: Callable[[Any], _T]) -> _T:
    """Compute the default of an attribute that subclasses override by a plain value.

    To type checkers it is such a value too, which a property is not: they refuse to override one
    by an attribute.

    Args:
        compute: Called with the suite.

    Example:
        >>> class Suite:
        ...     @default
        ...     def supports_video(self) -> bool:
        ...         return False
        >>> Suite().supports_video
        False
    """
    attribute: Any = _Default(compute)
    return cast("_T", attribute)


class LLMSuite(ABC):
    """The LLM under test and what it can do.

    Every test class of this package has these attributes. Override them as class attributes, as
    properties, or in a fixture; a test that a flag switches off is skipped and says which.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class MySuite(LLMSuite):
        ...     llm_class = MockFunctionCallingLLM
        ...     supports_video = True
        >>> MySuite().supports_video
        True
    """

    @default
    @abstractmethod
    def llm_class(self) -> type[LLM]:
        """The class under test."""

    @default
    def llm_params(self) -> dict[str, Any]:
        """The keyword arguments that make an LLM which answers."""
        return {}

    @default
    def secret(self) -> str | None:
        """The text that must appear nowhere; `llm_params["api_key"]` if not overridden."""
        key = self.llm_params.get("api_key")
        return key if isinstance(key, str) else None

    @default
    def supports_video(self) -> bool:
        """Whether it takes a `VideoBlock`. One that does not must refuse it."""
        return False

    @default
    def supports_tools(self) -> bool:
        """Whether it is a `FunctionCallingLLM`."""
        return issubclass(self.llm_class, FunctionCallingLLM)

    @default
    def supports_parallel_tool_calls(self) -> bool:
        """Whether one answer may hold several tool calls."""
        return self.supports_tools

    @default
    def supports_tool_images(self) -> bool:
        """Whether it sees the image in a tool's result."""
        return self.supports_tools

    @default
    def supports_structured_output(self) -> bool:
        """Whether `structured_predict` and its relatives work."""
        return True

    @default
    def thinking_params(self) -> dict[str, Any] | None:
        """Constructor arguments that let it think; `None` if it cannot."""
        return None

    @default
    def returns_usage(self) -> bool:
        """Whether `response.raw` holds the token counts, of a stream in its last chunk."""
        return True

    @default
    def reads_io_objects(self) -> bool:
        """Whether it reads blocks that hold an open file, such as `BytesIO`."""
        return True

    @default
    def image_formats(self) -> tuple[str, ...]:
        """The formats it takes, by their names in Pillow."""
        return ("PNG", "JPEG", "WEBP")

    @default
    def fetches_urls(self) -> bool:
        """Whether it has to download images itself, since its service takes no URLs."""
        return False

    @default
    def service_reaches_localhost(self) -> bool:
        """Whether the service can download from this machine, as a local one can."""
        return False

    @default
    def red_image_url(self) -> str | None:
        """A public URL of a red image, for a service that cannot reach this machine."""
        return None

    @default
    def understands(self) -> bool:
        """Whether it understands what it is asked.

        A local double that answers in the form that is asked for, but fills it without
        understanding, sets this to false: the values in its structured answers, and what it
        makes of texts it was given, are not checked then.
        """
        return True

    def is_download_of_service(self, headers: Mapping[str, str]) -> bool:
        """Distinguish a local service's own downloads from those of the LLM.

        Args:
            headers: The headers of the download, their names in lower case.
        """
        del headers
        return False

    @pytest.fixture
    def llm(self) -> LLM:
        """The LLM under test."""
        return self.llm_class(**self.llm_params)

    @pytest.fixture
    def tool_llm(self, llm: LLM) -> FunctionCallingLLM:
        """The LLM under test, if it calls tools."""
        self.need("supports_tools")
        assert isinstance(llm, FunctionCallingLLM), "supports_tools needs a FunctionCallingLLM"
        return llm

    @pytest.fixture
    def failing_llm(self) -> LLM | None:
        """Override: an LLM whose next request the service answers with an error."""
        return None

    @pytest.fixture
    def breaking_llm(self) -> LLM | None:
        """Override: an LLM whose next stream breaks after its first text."""
        return None

    @pytest.fixture
    def media_server(self) -> Iterator[MediaServer]:
        """A web server on this machine with a red image and a green video."""
        files = {
            "/red.png": (draw_image("red"), "image/png"),
            "/green.mp4": (read_video(), "video/mp4"),
        }
        with MediaServer(files) as server:
            yield server

    def need(self, flag: str) -> None:
        """Skip the test if a flag is not set."""
        if not getattr(self, flag):
            pytest.skip(f"{flag} is {getattr(self, flag)} for {self.llm_class.__name__}")

    def own_downloads(self, server: MediaServer) -> list[str]:
        """Name what the LLM has downloaded, not its service."""
        return [
            download.path
            for download in server.downloads
            if not self.is_download_of_service(download.headers)
        ]


async def name_colors(llm: LLM, *parts: str | ContentBlock, endpoint: str = "chat") -> list[str]:
    """Ask for the color of media, and give the colors in the answer, in order.

    Args:
        llm: The LLM.
        parts: What the message holds; the question is added.
        endpoint: The chat endpoint to ask.
    """
    return colors_in(await ask(llm, user(*parts, COLOR_QUESTION), endpoint=endpoint))


async def ask(llm: LLM, *messages: ChatMessage, endpoint: str = "chat") -> str:
    """Ask and give the answer's text."""
    answers = await chat(llm, messages, endpoint)
    assert answers, f"{endpoint} gave nothing"
    return answers[-1].message.content or ""


def colors_in(text: str) -> list[str]:
    """Find the names of the suite's colors.

    Example:
        >>> colors_in("Blue first, then a red one. Blue!")
        ['blue', 'red', 'blue']
    """
    return re.findall(r"\b(blue|green|red)\b", text.lower())


def image_of_question(source: str, folder: Path, color: str = "red") -> ImageBlock:
    """Put a drawn image into a block.

    Args:
        source: `bytes`, `base64`, `base64_text`, `path`, `path_without_suffix`, `data_url` or
            `io`.
        folder: Where files are written.
        color: Its color.
    """
    data = draw_image(color)
    match source:
        case "base64":
            return ImageBlock(image=base64.b64encode(data))
        case "base64_text":
            # The type says bytes, and pydantic takes a text: what many programs do.
            return ImageBlock.model_validate({"image": base64.b64encode(data).decode()})
        case "path" | "path_without_suffix":
            path = folder / ("image.png" if source == "path" else "image")
            path.write_bytes(data)
            return ImageBlock(path=path)
        case "data_url":
            return ImageBlock(url=to_data_url(data, "image/png"))
        case "io":
            return ImageBlock(image=io.BytesIO(data))
    return ImageBlock(image=data)


def video_block(source: str, folder: Path) -> VideoBlock:
    """Put the green video into a block; `source` as in `image_of_question`."""
    data = read_video()
    match source:
        case "base64":
            return VideoBlock(video=base64.b64encode(data))
        case "path":
            path = folder / "clip.mp4"
            path.write_bytes(data)
            return VideoBlock(path=path)
        case "data_url":
            return VideoBlock(url=to_data_url(data, "video/mp4"))
        case "io":
            return VideoBlock(video=io.BytesIO(data))
    return VideoBlock(video=data)


def texts_of(message: ChatMessage) -> str:
    """Join the texts of a message's blocks."""
    return "".join(block.text for block in message.blocks if isinstance(block, TextBlock))
