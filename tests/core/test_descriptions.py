"""Each setting is described, once: `help()`, JSON schemas and editors show the same words."""

import inspect
import pydoc

import pytest
from langchain_core.language_models import BaseChatModel
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import BaseModel

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.settings import QwenVLSettings

CLASSES: dict[type[QwenVLSettings], type[BaseModel]] = {
    QwenVLSettings: BaseModel,
    ChatQwenVL: BaseChatModel,
    QwenVL: FunctionCallingLLM,
}
"""Each class with the framework's class whose fields are not ours."""


@pytest.mark.parametrize("kind", CLASSES)
def test_each_field_has_a_description(kind: type[QwenVLSettings]) -> None:
    foreign = CLASSES[kind].model_fields.keys() - QwenVLSettings.model_fields.keys()
    own = {name: field for name, field in kind.model_fields.items() if name not in foreign}

    assert own.keys() >= QwenVLSettings.model_fields.keys()
    assert [name for name, field in own.items() if not field.description] == []
    assert [name for name, field in own.items() if not str(field.description).endswith(".")] == []


@pytest.mark.parametrize("kind", CLASSES)
def test_descriptions_are_shown_by_help(kind: type[QwenVLSettings]) -> None:
    shown = pydoc.plain(pydoc.render_doc(kind))
    first_line = (inspect.getdoc(kind) or "").partition("\n")[0]

    assert first_line in shown
    for name, field in kind.model_fields.items():
        if field.description:
            assert f"{name}: {field.description}" in shown


@pytest.mark.parametrize("kind", [ChatQwenVL, QwenVL])
def test_help_shows_the_fields_of_the_framework_and_of_the_core(
    kind: type[QwenVLSettings],
) -> None:
    shown = inspect.getdoc(kind) or ""

    assert "\n    max_pixels: Maximum number of pixels (width times height)" in shown
    assert f"\n    {'streaming' if kind is ChatQwenVL else 'context_window'}: " in shown


def test_schema_has_the_descriptions_at_the_fields_only() -> None:
    schema = QwenVLSettings.model_json_schema()
    fields = QwenVLSettings.model_fields

    assert schema["description"].startswith("Everything that can be set")
    assert "max_pixels:" not in schema["description"]
    for name, held in schema["properties"].items():
        assert held["description"] == fields[name].description


def test_subclass_without_a_docstring_inherits_one() -> None:
    class Mine(ChatQwenVL):
        pass

    class Documented(ChatQwenVL):
        """Mine."""

    assert inspect.getdoc(Mine) == inspect.getdoc(ChatQwenVL)
    assert (inspect.getdoc(Documented) or "").startswith("Mine.\n\nFields:\n")
    assert (Documented(api_key="sk").__doc__ or "").startswith("Mine.")
