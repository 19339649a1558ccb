"""Images as other libraries hold them: rows of data sets, paths of any kind, uploads."""

import io
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL, image_block
from qwen_vl.errors import MediaAccessError, MediaFormatError
from qwen_vl.samples import CHELSEA
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
