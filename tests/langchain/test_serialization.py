"""Pickles, copies, dumps, cache keys and traces: right, and without the key."""

import base64
import copy
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from langchain_qwen_vl.blocks import InlineBlock, ReplacedBlock
from langchain_qwen_vl.messages import to_turns
from qwen_vl import content
from qwen_vl.content import Inline, Unsupported
from qwen_vl.errors import ConfigurationError, MediaAccessError, MediaFormatError
from qwen_vl.request.build import build_connection, build_media_policy
from qwen_vl.samples import CHELSEA, COFFEE, ROCKET
from qwen_vl_sandbox import Sandbox

MakeChat = Callable[..., ChatQwenVL]
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def chat(make_chat: MakeChat) -> ChatQwenVL:
    return make_chat(api_key=KEY, temperature=0.5, default_headers={"X-Token": "also-secret"})


def ask(model: Any, image: Any) -> str:
    return str(model.invoke([HumanMessage([{"type": "image", "image": image}])]).text)


def test_key_is_shown_nowhere(chat: ChatQwenVL) -> None:
    chat.invoke("Hello")
    shown = [
        repr(chat),
        str(chat),
        dumps(chat),
        chat.model_dump_json(),
        repr(chat.model_dump()),
        repr(chat._identifying_params),
        repr(build_connection(chat)),
        repr(chat._get_ls_params()),
        repr(chat._serialized),
        repr(pickle.dumps(chat)),
    ]

    for text in shown:
        assert KEY not in text
        assert "also-secret" not in text.replace(repr(pickle.dumps(chat)), "")


def test_pickle_reads_the_key_of_its_new_home(
    chat: ChatQwenVL, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.invoke("Hello")
    restored = pickle.loads(pickle.dumps(chat))

    assert restored.temperature == 0.5
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        restored.invoke("Hello")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-here")
    assert restored.invoke("Hello").text


def test_copies_work_and_share_the_client_that_was_given(
    chat: ChatQwenVL, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    chat.invoke("Hello")
    for duplicate in (copy.deepcopy(chat), copy.copy(chat), chat.model_copy()):
        assert duplicate.invoke("Hello").text
    with openai.OpenAI(base_url=qwen_vl_sandbox.base_url, api_key="sk-own") as client:
        own = make_chat(openai_client=client)
        assert copy.deepcopy(own).openai_client is client
        assert copy.deepcopy(own).invoke("Hello").text
        with pytest.raises(ConfigurationError, match="pickled"):
            pickle.dumps(own)


def test_changed_settings_reach_the_next_call(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    chat.invoke("Hello")
    other = chat.model_copy(update={"default_headers": {"X-Token": "other"}})
    other.invoke("Hello")

    assert qwen_vl_sandbox.last_request.headers["x-token"] == "other"


def test_own_client_is_used(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    headers = {"X-Mine": "yes"}
    with openai.OpenAI(
        base_url=qwen_vl_sandbox.base_url, api_key="sk-own", default_headers=headers
    ) as client:
        ChatQwenVL(openai_client=client).invoke("Hello")

    assert qwen_vl_sandbox.last_request.headers["x-mine"] == "yes"


async def test_own_async_client_is_used(qwen_vl_sandbox: Sandbox) -> None:
    headers = {"X-Mine": "yes"}
    async with openai.AsyncOpenAI(
        base_url=qwen_vl_sandbox.base_url, api_key="sk-own", default_headers=headers
    ) as client:
        chat = ChatQwenVL(async_openai_client=client)
        await chat.ainvoke("Hello")
        assert [chunk async for chunk in chat.astream("Hello")]

    assert qwen_vl_sandbox.last_request.headers["x-mine"] == "yes"


@pytest.mark.filterwarnings("ignore:The function `loads?` is in beta")
def test_dump_is_loaded_by_naming_the_class(
    chat: ChatQwenVL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    options: dict[str, Any] = {
        "allowed_objects": [ChatQwenVL],
        "valid_namespaces": ["langchain_qwen_vl"],
        "secrets_from_env": True,
    }
    for restored in (load(dumpd(chat), **options), loads(dumps(chat), **options)):
        assert isinstance(restored, ChatQwenVL)
        assert restored.temperature == 0.5
        assert restored.invoke("Hello").text


@pytest.mark.filterwarnings("ignore:The function `loads?` is in beta")
def test_dump_keeps_the_folders_that_may_be_read(make_chat: MakeChat) -> None:
    dumped = dumpd(make_chat(media_roots=[CHELSEA.parent]))
    restored = load(dumped, allowed_objects=[ChatQwenVL], valid_namespaces=["langchain_qwen_vl"])

    assert build_media_policy(restored).media_roots == (CHELSEA.parent,)


def test_key_under_the_name_of_another_package_is_refused_unseen(make_chat: MakeChat) -> None:
    with pytest.raises(ConfigurationError, match="looks like a secret") as caught:
        make_chat(dashscope_api_key="sk-hidden")

    assert "sk-hidden" not in str(caught.value)


@pytest.fixture
def cached(make_chat: MakeChat) -> ChatQwenVL:
    return make_chat(cache=InMemoryCache())


@pytest.mark.parametrize("form", ["path", "bytes", "pil", "base64 text"])
def test_cache_tells_pictures_apart(
    form: str, cached: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    def values(path: Path) -> Any:
        match form:
            case "path":
                return path
            case "bytes":
                return path.read_bytes()
            case "pil":
                with Image.open(path) as image:
                    image.load()
                    return image
            case _:
                return base64.b64encode(path.read_bytes()).decode()

    answers = {ask(cached, values(path)) for path in (CHELSEA, COFFEE, ROCKET)}
    assert len(answers) == 3
    for path in (CHELSEA, COFFEE, ROCKET):
        assert ask(cached, values(path)) in answers
    assert len(qwen_vl_sandbox.requests) == 3


def test_cache_sees_that_a_file_has_changed(
    tmp_path: Path, cached: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    image = tmp_path / "image"
    shutil.copy(CHELSEA, image)
    first = ask(cached, image)
    shutil.copy(COFFEE, image)

    assert ask(cached, image) != first
    assert len(qwen_vl_sandbox.requests) == 2


def test_cache_tells_models_and_parameters_apart(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    cache = InMemoryCache()
    for settings in ({}, {"temperature": 0.1}, {"model": "qwen3.7-plus"}, {"max_pixels": 70_000}):
        make_chat(cache=cache, **settings).invoke("Hello")
    chat = make_chat(cache=cache)
    chat.invoke("Hello", seed=1)
    chat.invoke("Hello", seed=1)

    assert len(qwen_vl_sandbox.requests) == 5


def test_trace_is_plain_json_without_key_or_pixels(chat: ChatQwenVL) -> None:
    class Traced(BaseCallbackHandler):
        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            metadata = kwargs.get("metadata")
            self.text = json.dumps([serialized, dumpd(messages), kwargs["options"], metadata])
            self.metadata = metadata

    traced = Traced()
    blocks = [{"type": "image", "image": CHELSEA}, {"type": "image", "base64": COFFEE.read_bytes()}]
    chat.invoke([HumanMessage(blocks)], {"callbacks": [traced]})

    assert KEY not in traced.text
    assert "file:///chelsea.png#" in traced.text
    assert str(CHELSEA.parent) not in traced.text
    assert traced.metadata["ls_provider"] == "qwen_vl"
    assert traced.metadata["ls_model_name"] == "qwen3-vl-plus"
    assert traced.metadata["ls_temperature"] == 0.5


def test_address_from_a_trace_is_trusted_no_more(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    safe = chat._convert_input([HumanMessage([{"type": "image", "image": CHELSEA}])])
    block = json.loads(json.dumps(safe.to_messages()[0].content[0]))

    assert block["image"].startswith("file:///")
    with pytest.raises(MediaAccessError):
        chat.invoke([HumanMessage([block])])
    assert qwen_vl_sandbox.requests == []


def test_changed_model_finds_no_cached_answer_of_the_old(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(cache=InMemoryCache())
    chat.invoke("Hello")
    chat.model_copy(update={"temperature": 0.9}).invoke("Hello")
    chat.temperature = 0.1
    chat.invoke("Hello")

    assert len(qwen_vl_sandbox.requests) == 3


def test_what_langchain_knows_the_model_by_follows_each_change(chat: ChatQwenVL) -> None:
    first = chat._serialized
    assert chat._serialized is first
    chat.model_kwargs["top_k"] = 7
    assert chat._serialized["kwargs"]["model_kwargs"] == {"top_k": 7}
    chat.temperature = 0.5
    assert chat._serialized["kwargs"]["temperature"] == 0.5
    changed = chat.model_copy(update={"temperature": 0.7})
    assert changed._serialized["kwargs"]["temperature"] == 0.7
    assert chat._serialized["kwargs"]["temperature"] == 0.5
    assert b"sk-sandbox" not in pickle.dumps(chat)


@pytest.mark.media_alone
def test_bytes_are_spelt_for_traces_and_not_decoded_again(chat: ChatQwenVL) -> None:
    data = CHELSEA.read_bytes()
    for block in ({"type": "image", "image": data}, {"type": "image", "base64": data}):
        (message,) = chat._convert_input([HumanMessage([block])]).to_messages()
        (safe,) = message.content
        assert json.loads(json.dumps(safe)) == safe
        (turn,) = to_turns([message])
        (part,) = turn.parts
        assert isinstance(part, content.Image)
        assert isinstance(safe, dict)
        assert part.source == content.Inline(data)


@pytest.mark.media_alone
def test_bytes_are_spelt_only_for_whoever_reads_them(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    seen: list[str] = []

    class Watcher(BaseCallbackHandler):
        def on_chat_model_start(
            self, serialized: dict[str, Any], messages: list[list[Any]], **kwargs: Any
        ) -> None:
            seen.append(json.dumps(messages[0][0].content))

    question = [HumanMessage([{"type": "image", "image": CHELSEA.read_bytes()}])]
    text = base64.b64encode(CHELSEA.read_bytes()).decode()
    chat = make_chat()

    (quiet,) = chat._convert(question, None).to_messages()
    assert quiet.content[0]["base64"] == ""
    for watched, config in (
        (make_chat(callbacks=[Watcher()]), None),
        (chat, {"callbacks": [Watcher()]}),
        (make_chat(cache=InMemoryCache()), None),
        (make_chat(verbose=True), None),
    ):
        (message,) = watched._convert(question, config).to_messages()
        assert message.content[0]["base64"] == text

    chat.invoke(question)
    chat.invoke(question, {"callbacks": [Watcher()]})

    def ask(asked: list[HumanMessage]) -> Any:
        # The callbacks of the chain reach it through the context alone.
        return chat.invoke(asked)

    (RunnableLambda(ask) | StrOutputParser()).invoke(question, {"callbacks": [Watcher()]})
    list(chat.stream(question, {"callbacks": [Watcher()]}))
    assert len(seen) == 3
    assert all(text in shown for shown in seen)
    assert len({repr(request.json["messages"]) for request in qwen_vl_sandbox.requests}) == 1


def test_model_is_validated_as_it_is(chat: ChatQwenVL) -> None:
    assert ChatQwenVL.model_validate(chat) is chat


def test_pickled_blocks_are_plain_dicts() -> None:
    text = {"type": "text", "text": "a note"}
    part = Unsupported(error=MediaFormatError("No image."))
    for block in (InlineBlock(text, Inline(b"abc")), ReplacedBlock(text, part)):
        restored = pickle.loads(pickle.dumps(block))
        assert type(restored) is dict
        assert restored == text


@pytest.mark.parametrize(
    ("name", "hint"), [("zzzz", ""), ("temperatur", " Did you mean temperature?")]
)
def test_unknown_parameter_is_named_with_what_was_meant(name: str, hint: str) -> None:
    with pytest.warns(UserWarning, match="is not a parameter") as warned:
        ChatQwenVL(api_key="sk-1", **{name: 2})
    (told,) = warned
    assert str(told.message) == (
        f"{name} is not a parameter of ChatQwenVL. It is sent as it is, as part of "
        f"model_kwargs.{hint}"
    )
