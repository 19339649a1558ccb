"""Tests of images and videos."""

import contextlib
from pathlib import Path

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, VideoBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import LLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import RichPromptTemplate

from llama_index_vision_tests.endpoints import CHAT, chat, user
from llama_index_vision_tests.remembering import opened_memory
from llama_index_vision_tests.samples import VIDEO_COLOR, draw_image, read_video, to_data_url
from llama_index_vision_tests.server import MediaServer
from llama_index_vision_tests.suite import (
    COLOR_QUESTION,
    LLMSuite,
    ask,
    colors_in,
    image_of_question,
    name_colors,
    video_block,
)

SOURCES = ("bytes", "base64", "base64_text", "path", "path_without_suffix", "data_url")
VIDEO_SOURCES = ("bytes", "base64", "path", "data_url")


class LLMMediaTests(LLMSuite):
    """Tests that images and videos arrive, where they come from.

    The suite draws images of one color and asks for it.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLMMedia(LLMMediaTests):
        ...     llm_class = MockFunctionCallingLLM
        ...     red_image_url = "https://example.com/red.png"
    """

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    @pytest.mark.parametrize("color", ["red", "blue"])
    async def test_image_is_seen(self, llm: LLM, endpoint: str, color: str) -> None:
        """Each chat endpoint sends the image."""
        image = ImageBlock(image=draw_image(color))
        assert color in await name_colors(llm, image, endpoint=endpoint)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", ["chat", "achat"])
    @pytest.mark.parametrize("source", SOURCES)
    async def test_image_from(self, llm: LLM, source: str, endpoint: str, tmp_path: Path) -> None:
        """A block's image is sent where it is kept."""
        image = image_of_question(source, tmp_path)
        assert "red" in await name_colors(llm, image, endpoint=endpoint)

    @pytest.mark.asyncio
    async def test_image_from_open_file(self, llm: LLM, tmp_path: Path) -> None:
        """A block may hold an open file, and be sent twice."""
        self.need("reads_io_objects")
        image = image_of_question("io", tmp_path)
        assert "red" in await name_colors(llm, image)
        assert "red" in await name_colors(llm, image)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
    async def test_image_format(self, llm: LLM, form: str) -> None:
        """The type of an image is determined from its content."""
        if form not in self.image_formats:
            pytest.skip(f"{form} is not in image_formats")
        image = ImageBlock(image=draw_image("blue", form))
        assert "blue" in await name_colors(llm, image)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_image_from_url(self, llm: LLM, endpoint: str, media_server: MediaServer) -> None:
        """A URL is enough."""
        url = self.red_image_url
        if url is None and (self.service_reaches_localhost or self.fetches_urls):
            url = media_server.url("/red.png")
        if url is None:
            pytest.skip("red_image_url is None and service_reaches_localhost is False")
        assert "red" in await name_colors(llm, ImageBlock(url=url), endpoint=endpoint)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_url_is_left_to_the_service(
        self, llm: LLM, endpoint: str, media_server: MediaServer
    ) -> None:
        """The LLM downloads nothing, nor does what counts its tokens."""
        if self.fetches_urls:
            pytest.skip("fetches_urls is True")
        llm.callback_manager = CallbackManager([TokenCountingHandler()])
        image = ImageBlock(url=media_server.url("/red.png"))
        expected = contextlib.nullcontext()
        if not self.service_reaches_localhost:
            # The service may refuse what it cannot reach; what counts is who tried.
            expected = contextlib.suppress(Exception)  # type: ignore[assignment]
        with expected:
            await name_colors(llm, image, endpoint=endpoint)
        assert self.own_downloads(media_server) == []

    @pytest.mark.asyncio
    async def test_images_keep_their_order(self, llm: LLM) -> None:
        """Images and texts arrive in the order of the blocks."""
        red, blue = (ImageBlock(image=draw_image(color)) for color in ("red", "blue"))
        question = (
            "Name the color that fills the first image, then the one that fills the second. "
            "Answer with the two names only, in this order."
        )
        one = await ask(llm, user("The first:", red, "The second:", blue, question))
        other = await ask(llm, user("The first:", blue, "The second:", red, question))
        assert colors_in(one)[:2] == ["red", "blue"]
        assert colors_in(other)[:2] == ["blue", "red"]

    @pytest.mark.asyncio
    async def test_image_of_an_earlier_turn(self, llm: LLM) -> None:
        """A conversation keeps its images."""
        answer = await ask(
            llm,
            user(ImageBlock(image=draw_image("blue")), "Remember this image."),
            ChatMessage(role=MessageRole.ASSISTANT, content="I will."),
            user(COLOR_QUESTION),
        )
        assert "blue" in colors_in(answer)

    @pytest.mark.asyncio
    async def test_image_alone(self, llm: LLM) -> None:
        """A message need not have a text."""
        question = user("Name the color that fills the image that I am about to send.")
        waiting = ChatMessage(role=MessageRole.ASSISTANT, content="I am waiting for it.")
        answer = await ask(llm, question, waiting, user(ImageBlock(image=draw_image("blue"))))
        assert "blue" in colors_in(answer)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("form", ["json", "dict"])
    async def test_image_of_stored_message(self, llm: LLM, form: str) -> None:
        """A message that was stored still shows its image."""
        message = user(ImageBlock(image=draw_image("blue")), COLOR_QUESTION)
        if form == "json":
            stored = ChatMessage.model_validate_json(message.model_dump_json())
        else:
            stored = ChatMessage.model_validate(message.model_dump())
        assert "blue" in colors_in(await ask(llm, stored))

    @pytest.mark.asyncio
    async def test_image_of_memory_buffer(self, llm: LLM) -> None:
        """An image stays in `ChatMemoryBuffer`."""
        memory = ChatMemoryBuffer.from_defaults(token_limit=100_000)
        memory.put(user(ImageBlock(image=draw_image("blue")), COLOR_QUESTION))
        assert "blue" in colors_in(await ask(llm, *memory.get()))

    @pytest.mark.asyncio
    async def test_image_of_memory(self, llm: LLM) -> None:
        """An image stays in `Memory`, the memory of agents."""
        async with opened_memory() as memory:
            await memory.aput(user(ImageBlock(image=draw_image("blue")), COLOR_QUESTION))
            messages = await memory.aget()
        assert "blue" in colors_in(await ask(llm, *messages))

    @pytest.mark.asyncio
    async def test_image_of_prompt_template(self, llm: LLM) -> None:
        """A prompt template may have a place for an image."""
        template = RichPromptTemplate(
            '{% chat role="user" %}{{ image | image }}' + COLOR_QUESTION + "{% endchat %}"
        )
        url = to_data_url(draw_image("blue"), "image/png")
        messages = template.format_messages(image=url)
        assert "blue" in colors_in(await ask(llm, *messages))

    @pytest.mark.asyncio
    @pytest.mark.parametrize("block", [ImageBlock(), ImageBlock(image=b"This is not an image.")])
    async def test_what_is_no_image_is_refused(self, llm: LLM, block: ImageBlock) -> None:
        """An image that cannot be sent is not left out in silence."""
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the LLM's matter.
            await chat(llm, [user(block, COLOR_QUESTION)])

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_video_is_seen(self, llm: LLM, endpoint: str) -> None:
        """Each chat endpoint sends the video."""
        self.need("supports_video")
        video = VideoBlock(video=read_video())
        assert VIDEO_COLOR in await name_colors(llm, video, endpoint=endpoint)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("source", VIDEO_SOURCES)
    async def test_video_from(self, llm: LLM, source: str, tmp_path: Path) -> None:
        """A block's video is sent where it is kept."""
        self.need("supports_video")
        assert VIDEO_COLOR in await name_colors(llm, video_block(source, tmp_path))

    @pytest.mark.asyncio
    async def test_video_from_open_file(self, llm: LLM, tmp_path: Path) -> None:
        """A block may hold an open file, and be sent twice."""
        self.need("supports_video")
        self.need("reads_io_objects")
        video = video_block("io", tmp_path)
        assert VIDEO_COLOR in await name_colors(llm, video)
        assert VIDEO_COLOR in await name_colors(llm, video)

    @pytest.mark.asyncio
    async def test_video_from_url(self, llm: LLM, media_server: MediaServer) -> None:
        """The URL of a video is enough, and is left to the service."""
        self.need("supports_video")
        if not self.service_reaches_localhost and not self.fetches_urls:
            pytest.skip("service_reaches_localhost is False")
        video = VideoBlock(url=media_server.url("/green.mp4"))
        assert VIDEO_COLOR in await name_colors(llm, video)
        assert self.fetches_urls or self.own_downloads(media_server) == []

    @pytest.mark.asyncio
    async def test_video_beside_image(self, llm: LLM) -> None:
        """A message may hold both."""
        self.need("supports_video")
        image, video = ImageBlock(image=draw_image("blue")), VideoBlock(video=read_video())
        question = "Name the color that fills the image, and the one that fills the video."
        answer = await ask(llm, user(image, video, question))
        assert {"blue", VIDEO_COLOR} <= set(colors_in(answer))

    @pytest.mark.asyncio
    async def test_video_is_not_left_out(self, llm: LLM) -> None:
        """An LLM that takes no videos says so."""
        if self.supports_video:
            pytest.skip("supports_video is True")
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the LLM's matter.
            await chat(llm, [user(VideoBlock(video=read_video()), COLOR_QUESTION)])
