"""Images as other libraries hold them: rows of data sets, paths of any kind, uploads."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL, image_block, video_block
from qwen_vl.errors import MediaAccessError, MediaFormatError
from qwen_vl.media.pages import read_page_numbers
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox

CAT = CHELSEA.read_bytes()


class Named:
    """A path as many libraries have their own."""

    def __fspath__(self) -> str:
        return str(CHELSEA)


class UploadFile:
    """FastAPI's, as far as it is looked at."""

    def __init__(self) -> None:
        self.file = io.BytesIO(CAT)
        self.filename = "cat.png"

    async def read(self, size: int = -1) -> bytes:
        return self.file.read(size)


TAKEN: dict[str, Callable[[], Any]] = {
    "row with bytes": lambda: {"bytes": CAT, "path": None},
    "row with bytes and name": lambda: {"bytes": CAT, "path": "cat.png"},
    "row with a path": lambda: {"bytes": None, "path": CHELSEA},
    "os.PathLike": Named,
    "PureWindowsPath": lambda: PureWindowsPath(str(CHELSEA)),
    "PurePosixPath": lambda: PurePosixPath(CHELSEA),
}


@pytest.mark.parametrize("is_traced", [False, True])
@pytest.mark.parametrize("key", ["image", "image_url"])
@pytest.mark.parametrize("form", TAKEN)
def test_value_is_taken(form: str, key: str, qwen_vl_sandbox: Sandbox, *, is_traced: bool) -> None:
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    callbacks = [BaseCallbackHandler()] if is_traced else []
    message = HumanMessage([{"type": key, key: TAKEN[form]()}, {"type": "text", "text": "?"}])
    answer = model.invoke([message], {"callbacks": callbacks})
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_token_details"]["image"] == 128  # type: ignore[typeddict-item]


@pytest.mark.parametrize("form", TAKEN)
def test_llama_index_takes_it_too(form: str, qwen_vl_sandbox: Sandbox) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    response = llm.chat([ChatMessage([image_block(TAKEN[form]())])])
    assert response.additional_kwargs["image_tokens"] == 128
    assert (llm.locate(TAKEN[form](), "cats").width) == 451


def test_path_of_a_row_is_text_like_any_other(qwen_vl_sandbox: Sandbox) -> None:
    row = {"bytes": None, "path": str(CHELSEA)}
    message = HumanMessage([{"type": "image", "image": row}])
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    with pytest.raises(MediaAccessError, match="media_roots is not set"):
        model.invoke([message])
    trusting = model.model_copy(update={"media_roots": [str(CHELSEA.parent)]})
    assert trusting.invoke([message]).text


def test_upload_names_its_file(qwen_vl_sandbox: Sandbox) -> None:
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    with pytest.raises(MediaFormatError, match=r"UploadFile .*upload\.file"):
        model.invoke([HumanMessage([{"type": "image", "image": UploadFile()}])])
    assert model.invoke([HumanMessage([{"type": "image", "image": UploadFile().file}])]).text


def test_relative_path_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cat.png").write_bytes(CAT)
    monkeypatch.chdir(tmp_path)
    message = HumanMessage([{"type": "image", "image": PureWindowsPath("images", "cat.png")}])
    assert ChatQwenVL().get_num_tokens_from_messages([message]) > 128


NUMBERS: dict[str, list[Any]] = {
    "fps": [np.float64(2), np.float32(2), np.float16(2), np.int64(2), Fraction(2)],
    "start": [np.float64(1)],
    "end": [np.float32(3)],
    "max_frames": [np.int32(4)],
    "max_pixels": [np.int64(200_000), np.uint32(200_000)],
    "total_pixels": [np.int64(10_000_000)],
}


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize(
    "server",
    # All frames are taken again for each number there.
    ["dashscope", *(pytest.param(name, marks=pytest.mark.slow) for name in ("vllm", "ollama"))],
)
@pytest.mark.parametrize("name", NUMBERS)
def test_option_of_a_video_may_be_any_number(name: str, server: Any) -> None:
    for number in NUMBERS[name]:
        with Sandbox(server=server) as sandbox:
            options: Any = {"model": "qwen3-vl-plus", "server": server, "api_key": "sk-sandbox"}
            options["base_url"] = sandbox.base_url
            chat = ChatQwenVL(**options)
            message = HumanMessage([{"type": "video", "video": BIG_BUCK_BUNNY, name: number}])
            used = chat.invoke([message]).usage_metadata
            assert used is not None
            assert chat.get_num_tokens_from_messages([message]) >= used["input_tokens"] - 12
            first = sandbox.last_request.json
            block = video_block(BIG_BUCK_BUNNY, **{name: number})
            QwenVL(**options).chat([ChatMessage(blocks=[block])])
            assert sandbox.last_request.json["messages"] == first["messages"]
            if name in {"fps", "max_pixels", "max_frames"}:
                bare = HumanMessage([{"type": "video", "video": BIG_BUCK_BUNNY}])
                chat.invoke([bare], **{name: number})
                assert sandbox.last_request.json["messages"] == first["messages"]


@pytest.mark.parametrize(
    ("name", "number"),
    [("temperature", np.float64(0.5)), ("top_p", np.float32(0.5)), ("max_tokens", np.int64(50))],
)
def test_option_of_a_call_may_be_any_number(
    name: str, number: Any, qwen_vl_sandbox: Sandbox
) -> None:
    chat = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    chat.invoke("Hello", **{name: number})
    assert qwen_vl_sandbox.last_request.json[name] == number


def test_pages_may_be_any_whole_numbers() -> None:
    assert read_page_numbers([np.int64(1), np.uint8(3)], "") == [1, 3]  # type: ignore[list-item]
