"""Each image is opened, sniffed and decoded once in a call, and prepared once in a conversation."""

import asyncio
import base64
import copy
import io
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from PIL import Image
from pydantic import BaseModel

import forked
from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL, image_block
from media_counters import media_work
from qwen_vl.content import DataUrl, Pixels
from qwen_vl.errors import MediaAccessError
from qwen_vl.grounding.grounder import Grounder
from qwen_vl.media.cache_keys import FileStamp, stamp_file
from qwen_vl.media.part import prepare_image
from qwen_vl.request.media_cache import MediaCache
from qwen_vl.request.types import MediaPolicy
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

pytestmark = pytest.mark.media_alone

SMALL, LARGE = (640, 480), (2400, 1800)
_slow = pytest.mark.slow
FORMS = ("bytes", "path", "pixels", "array", "url", "file")


class Listener(BaseCallbackHandler):
    """Makes LangChain trace."""


@pytest.fixture
def place(qwen_vl_sandbox: Sandbox) -> dict[str, Any]:
    return {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox"}


@pytest.fixture
def calls(place: dict[str, Any]) -> dict[str, Callable[[Any], object]]:
    """The ways to send an image, without a cache."""
    place["media_cache"] = 0
    chat, llm, grounder = ChatQwenVL(**place), QwenVL(**place), Grounder(QwenVLSettings(**place))
    config: Any = {"callbacks": [Listener()]}
    return {
        "invoke": lambda form: chat.invoke([to_message(form)]),
        "traced": lambda form: chat.invoke([to_message(form)], config),
        "chat": lambda block: llm.chat([ChatMessage([block, TextBlock(text="?")])]),
        "langchain locate": lambda form: chat.locate(form, "red"),
        "llama_index locate": lambda form: llm.locate(form, "red"),
        "core locate": lambda form: grounder.locate(form, "red"),
    }


def to_message(*forms: Any) -> HumanMessage:
    return HumanMessage([*({"type": "image", "image": form} for form in forms), "What is this?"])


def draw(size: tuple[int, int] = LARGE, color: str = "red") -> Image.Image:
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    image.paste(color, (64, 48, 192, 240))
    return image


def encode(image: Image.Image, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def settle(path: Path, age: float = 60) -> None:
    """Date a file back, as if it was not modified for a while."""
    then = time.time() - age
    os.utime(path, (then, then))


def make_form(name: str, size: tuple[int, int], folder: Path) -> Any:
    image = draw(size)
    data = encode(image)
    path = folder / "image.jpg"
    path.write_bytes(data)
    forms: dict[str, Any] = {
        "bytes": data,
        "path": path,
        "pixels": image,
        "array": np.asarray(image),
        "url": "data:image/jpeg;base64," + base64.b64encode(data).decode(),
        "file": io.BytesIO(data),
    }
    return forms[name]


@pytest.mark.parametrize(
    "size", [pytest.param(SMALL, id="small"), pytest.param(LARGE, id="large", marks=_slow)]
)
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(
    "way",
    ["invoke", "traced", "chat", "langchain locate", "llama_index locate", "core locate"],
)
def test_each_image_is_opened_sniffed_and_decoded_once(
    calls: dict[str, Callable[[Any], object]],
    tmp_path: Path,
    way: str,
    name: str,
    size: tuple[int, int],
) -> None:
    form = make_form(name, size, tmp_path)
    value = image_block(form) if way == "chat" else form
    with media_work(tmp_path / "image.jpg") as work:
        calls[way](value)
    # A block of LlamaIndex holds a file, and LangChain's trace its text.
    is_encoded_before = name in {"pixels", "array"} and way in {"traced", "chat"}
    is_file = name not in {"pixels", "array"} or is_encoded_before
    is_large = size == LARGE
    assert work.total == {
        "open": int(is_file),
        "sniff": int(is_file and not (is_encoded_before and way == "traced")),
        "decode": int(is_large and is_file),
        "encode": int(is_large or not is_file) + int(is_encoded_before and way == "traced"),
        "file": int(name == "path"),
    }


@pytest.mark.parametrize("name", ["bytes", "pixels"])
def test_frames_are_prepared_once_and_off_the_event_loop(
    place: dict[str, Any], tmp_path: Path, name: str
) -> None:
    chat = ChatQwenVL(**place, media_cache=0)
    frames = [make_form(name, LARGE, tmp_path) for _ in range(4)]
    question = HumanMessage([{"type": "video", "video": frames}, "What happens?"])
    with media_work() as work:
        asyncio.run(chat.ainvoke([question]))
    is_file = 4 if name == "bytes" else 0
    expected = {"open": is_file, "sniff": is_file, "decode": is_file, "encode": 4, "file": 0}
    assert work.total == expected
    assert threading.get_ident() not in set().union(*work.threads.values())


def test_counters_count(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    draw(SMALL).save(path)
    with media_work(path) as work:
        with Image.open(path) as image:
            image.load()
            image.load()
        path.read_bytes()
    assert work.total == {"open": 1, "sniff": 0, "decode": 1, "encode": 0, "file": 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [name if name in {"bytes", "pixels"} else pytest.param(name, marks=_slow) for name in FORMS],
)
def test_nothing_is_decoded_or_encoded_on_the_event_loop(
    calls: dict[str, Callable[[Any], object]], place: dict[str, Any], tmp_path: Path, name: str
) -> None:
    chat, llm = ChatQwenVL(**place), QwenVL(**place)
    config: Any = {"callbacks": [Listener()]}
    form = make_form(name, LARGE, tmp_path)
    block = image_block(form)

    async def ask() -> list[dict[str, set[int]]]:
        worked = []
        for call in (
            lambda: chat.ainvoke([to_message(form)]),
            lambda: chat.ainvoke([to_message(form)], config),
            lambda: exhaust(chat.astream([to_message(form)])),
            lambda: llm.achat([ChatMessage([block, TextBlock(text="?")])]),
            lambda: chat.alocate(form, "red"),
            lambda: llm.alocate(form, "red"),
        ):
            with media_work() as work:
                await call()
            worked.append(work.threads)
        return worked

    async def exhaust(stream: Any) -> None:
        async for _ in stream:
            pass

    loop_thread = threading.get_ident()
    for threads in asyncio.run(ask()):
        assert threads["encode"]
        for kind in ("open", "decode", "encode"):
            assert loop_thread not in threads.get(kind, set())


@pytest.fixture
def photos() -> list[bytes]:
    return [encode(draw(color=color)) for color in ("red", "blue", "green", "yellow")]


def test_second_turn_prepares_nothing_again(place: dict[str, Any], photos: list[bytes]) -> None:
    chat, new = ChatQwenVL(**place), to_message(encode(draw(color="purple")))
    history: list[Any] = [to_message(*photos)]
    with media_work() as first:
        history += [chat.invoke(history), HumanMessage("And?")]
    with media_work() as second:
        history += [chat.invoke(history), new]
    with media_work() as third:
        chat.invoke(history)
    assert [work["decode"] for work in (first, second, third)] == [4, 0, 1]
    assert [work["encode"] for work in (first, second, third)] == [4, 0, 1]


@pytest.mark.parametrize("name", [name for name in FORMS if name != "file"])
def test_what_is_sent_is_the_same(
    place: dict[str, Any], qwen_vl_sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    chat, form = ChatQwenVL(**place), make_form(name, LARGE, tmp_path)
    settle(tmp_path / "image.jpg")
    for _ in range(2):
        chat.invoke([to_message(form)])
    with media_work(tmp_path / "image.jpg") as work:
        chat.invoke([to_message(form)])
    assert (work["decode"], work["encode"]) == (0, 0)
    bodies = {request.body for request in qwen_vl_sandbox.requests}
    assert len(bodies) == 1


def test_settled_file_is_not_read_again(place: dict[str, Any], tmp_path: Path) -> None:
    chat, path = ChatQwenVL(**place), make_form("path", LARGE, tmp_path)
    settle(path)
    chat.invoke([to_message(path)])
    with media_work(path) as work:
        chat.invoke([to_message(path)])
    assert work.total == {"open": 0, "sniff": 0, "decode": 0, "encode": 0, "file": 1}


@pytest.mark.parametrize("keeps_time", [False, True])
def test_changed_file_is_read_again(
    place: dict[str, Any], qwen_vl_sandbox: Sandbox, tmp_path: Path, keeps_time: bool
) -> None:
    chat, path = ChatQwenVL(**place), make_form("path", LARGE, tmp_path)
    settle(path)
    status = path.stat()
    chat.invoke([to_message(path)])
    path.write_bytes(encode(draw(color="blue")).ljust(status.st_size, b"\0"))
    if keeps_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    chat.invoke([to_message(path)])
    one, other = (request.body for request in qwen_vl_sandbox.requests)
    assert one != other


def test_recently_modified_file_is_known_by_its_bytes(
    place: dict[str, Any], qwen_vl_sandbox: Sandbox, tmp_path: Path
) -> None:
    chat, path = ChatQwenVL(**place), make_form("path", LARGE, tmp_path)
    data = path.read_bytes()
    settle(path, age=-3600)
    status = path.stat()
    chat.invoke([to_message(path)])
    path.write_bytes(encode(draw(color="blue")).ljust(len(data), b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    chat.invoke([to_message(path)])
    one, other = (request.body for request in qwen_vl_sandbox.requests)
    assert one != other
    path.write_bytes(data)
    with media_work(path) as work:
        chat.invoke([to_message(path)])
    assert (work["open"], work["decode"]) == (1, 0)


def test_changed_pixels_and_options_are_prepared_again(
    place: dict[str, Any], qwen_vl_sandbox: Sandbox
) -> None:
    chat, image = ChatQwenVL(**place), draw()
    chat.invoke([to_message(image)])
    chat.invoke([to_message(image)], max_pixels=400_000)
    chat.invoke([to_message(image)], model="qwen2.5-vl-72b-instruct")
    image.paste("blue", (0, 0, 900, 900))
    chat.invoke([to_message(image)])
    sent = {
        request.json["messages"][0]["content"][0]["image_url"]["url"]
        for request in qwen_vl_sandbox.requests
    }
    assert len(sent) == 4


def test_palettes_that_differ_in_alpha_alone_are_prepared_again() -> None:
    policy, image = MediaPolicy(cache=MediaCache()), Image.new("P", (64, 64))
    for alpha in (255, 0):
        image.putpalette([255, 0, 0, alpha], "RGBA")
        made = prepare_image(Pixels(image), policy, "")
        sent = Image.open(io.BytesIO(made.data)).convert("RGB")
        assert sent.getpixel((0, 0)) == (255, 255 - alpha, 255 - alpha)


def test_access_is_checked_before_the_cache_is_asked(place: dict[str, Any], tmp_path: Path) -> None:
    chat, path = ChatQwenVL(**place), make_form("path", LARGE, tmp_path)
    settle(path)
    chat.invoke([to_message(path)])
    other = tmp_path / "other"
    other.mkdir()
    bound = chat.model_copy(update={"media_roots": [str(other)]})
    with pytest.raises(MediaAccessError, match="outside media_roots"):
        bound.invoke([to_message(path)])


class Answer(BaseModel):
    """What the model gives."""

    color: str


def derive_copies(chat: ChatQwenVL) -> Iterator[Any]:
    yield chat.model_copy()
    yield chat.model_copy(update={"temperature": 0.5})
    yield copy.copy(chat)
    yield chat.bind(temperature=0.5)
    yield chat.with_config(tags=["a"])
    yield chat.with_structured_output(Answer, include_raw=True)


def test_copies_share_what_was_prepared(place: dict[str, Any]) -> None:
    chat, message = ChatQwenVL(**place), to_message(encode(draw()))
    chat.invoke([message])
    for derived in derive_copies(chat):
        with media_work() as work:
            derived.invoke([message])
        assert (work["open"], work["encode"]) == (1, 0)


def test_deep_copies_and_pickles_begin_without(place: dict[str, Any]) -> None:
    chat, message = ChatQwenVL(**place), to_message(encode(draw()))
    chat.invoke([message])
    held = pickle.dumps(chat)
    assert len(held) < 10_000
    restored = pickle.loads(held)
    restored.api_key = "sk-sandbox"
    for other in (restored, copy.deepcopy(chat)):
        with media_work() as work:
            other.invoke([message])
        assert work["encode"] == 1


def test_zero_turns_it_off(place: dict[str, Any]) -> None:
    chat, message = ChatQwenVL(**place, media_cache=0), to_message(encode(draw()))
    with media_work() as work:
        chat.invoke([message])
        chat.invoke([message])
    assert work["encode"] == 2


def test_what_goes_out_as_it_is_is_not_held(place: dict[str, Any]) -> None:
    chat = ChatQwenVL(**place)
    chat.invoke([to_message(encode(draw(SMALL)))])
    assert chat.prepared_media.n_bytes == 0
    chat.invoke([to_message(encode(draw()))])
    assert chat.prepared_media.n_bytes > 0


def test_prepared_for_locate_and_llama_index_too(
    place: dict[str, Any], photos: list[bytes]
) -> None:
    chat, llm = ChatQwenVL(**place), QwenVL(**place)
    block = ImageBlock(image=photos[0])
    for call in (
        lambda: chat.locate(photos[0], "red"),
        lambda: llm.locate(photos[0], "red"),
        lambda: llm.chat([ChatMessage([block, TextBlock(text="?")])]),
    ):
        call()
        with media_work() as work:
            call()
        assert work["encode"] == 0


def test_counting_tokens_profits(place: dict[str, Any]) -> None:
    chat, still = ChatQwenVL(**place), encode(draw(SMALL), "GIF")
    call = {"name": "look", "args": {}, "id": "1", "type": "tool_call"}
    block = {"type": "image", "base64": base64.b64encode(still).decode(), "mime_type": "image/gif"}
    history: list[Any] = [
        HumanMessage("Look."),
        AIMessage("", tool_calls=[call]),
        ToolMessage([block], tool_call_id="1"),
    ]
    chat.invoke(history)
    encoded = []
    for model in (chat, ChatQwenVL(**place, media_cache=0)):
        with media_work() as work:
            assert model.get_num_tokens_from_messages(history) > 300
        encoded.append(work["encode"])
    assert encoded == [0, 1]


def test_pages_of_documents_are_rendered_once(place: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    pages = [draw(SMALL, color) for color in ("red", "blue", "green")]
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=72)

    def ask(chat: ChatQwenVL, wanted: str) -> int:
        block = {"type": "file", "url": path, "extras": {"pages": wanted}}
        with media_work() as work:
            chat.invoke([HumanMessage([block, "Sum up."])])
        assert (work["open"], work["sniff"]) == (0, 1)
        return work["encode"]

    chat = ChatQwenVL(**place)
    first = ask(chat, "1-2")
    assert first >= 2
    assert [ask(chat, wanted) for wanted in ("1-2", "2")] == [0, 0]
    assert 0 < ask(chat, "2-3") < first
    assert ask(ChatQwenVL(**place, pdf_dpi=100), "1-2") >= 2


def make_data_url(n_bytes: int) -> DataUrl:
    return DataUrl("image/png", bytes(n_bytes), None, n_bytes)


def test_cache_drops_what_was_used_longest_ago() -> None:
    cache = MediaCache()
    for key in "abc":
        cache.put(key, make_data_url(10), max_bytes=30)
    assert cache.get("a")
    cache.put("d", make_data_url(15), max_bytes=30)
    assert [key for key in "abcd" if cache.get(key)] == ["a", "d"]
    assert cache.n_bytes == 25
    cache.put("e", make_data_url(31), max_bytes=30)
    assert cache.get("e") is None
    cache.put("d", make_data_url(5), max_bytes=30)
    assert cache.n_bytes == 15


def test_cache_is_safe_for_threads() -> None:
    cache = MediaCache()

    def work(number: int) -> None:
        for step in range(2_000):
            key = (number * step) % 17
            cache.put(key, make_data_url(key), max_bytes=60)
            held = cache.get(key)
            assert held is None or held.n_bytes == key

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    held = [image for key in range(17) if (image := cache.get(key))]
    assert sum(image.n_bytes for image in held) == cache.n_bytes <= 60


def test_forked_child_begins_without() -> None:
    cache = MediaCache()
    cache.put("a", make_data_url(10), max_bytes=30)

    def look() -> list[Any]:
        found = cache.get("a") is not None
        cache.put("b", make_data_url(5), max_bytes=30)
        return [found, cache.n_bytes]

    assert forked.in_child(look) == [False, 5]
    assert (cache.get("b"), cache.n_bytes) == (None, 10)


def test_file_is_recognized_two_seconds_after_it_was_modified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cat.bin"
    path.write_bytes(b"cat")
    status = path.stat()
    with path.open("rb") as file:
        for age, is_known in ((1_999_999_999, False), (2_000_000_000, True)):
            monkeypatch.setattr(time, "time_ns", lambda age=age: status.st_mtime_ns + age)
            stamp = stamp_file(file)
            assert (stamp is not None) is is_known
    assert stamp == FileStamp(
        status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, 3
    )
