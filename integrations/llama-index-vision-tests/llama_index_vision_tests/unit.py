"""Tests of the class only: nothing is sent."""

import copy
import inspect
import json
import pickle
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.utils import resolve_llm

from llama_index_vision_tests.suite import LLMSuite


class LLMUnitTests(LLMSuite):
    """Tests of construction, metadata and serialization, without any request.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLM(LLMUnitTests):
        ...     llm_class = MockFunctionCallingLLM
        ...     llm_params = {"is_chat_model": True}
    """

    def test_is_an_llm(self, llm: LLM) -> None:
        """It is an `LLM`: what takes any LLM takes it."""
        assert isinstance(llm, LLM)

    def test_class_name_is_its_own(self) -> None:
        """Serialized components are identified by `class_name`."""
        bases = [base for base in self.llm_class.__mro__ if _is_of_core(base)]
        taken = {base.class_name() for base in bases if issubclass(base, LLM)}
        assert self.llm_class.class_name()
        assert _is_of_core(self.llm_class) or self.llm_class.class_name() not in taken

    def test_model_name_is_known(self, llm: LLM) -> None:
        """Logs and traces name the model."""
        assert llm.metadata.model_name not in {"", "unknown"}

    def test_context_window_is_the_models(self, llm: LLM) -> None:
        """With the default window, an engine asks once for every single image."""
        assert llm.metadata.context_window != DEFAULT_CONTEXT_WINDOW
        assert llm.metadata.context_window > 0

    def test_room_for_output_is_within_context_window(self, llm: LLM) -> None:
        """Prompts are packed by the window less the output; -1 means no limit."""
        assert llm.metadata.num_output != 0
        assert llm.metadata.num_output < llm.metadata.context_window

    def test_is_a_chat_model(self, llm: LLM) -> None:
        """Engines send images to chat models only."""
        assert llm.metadata.is_chat_model

    def test_metadata_tells_tools(self, llm: LLM) -> None:
        """Agents and programs choose their way by `is_function_calling_model`."""
        assert llm.metadata.is_function_calling_model == self.supports_tools

    def test_prepare_takes_tool_required(self) -> None:
        """Core passes `tool_required` only where the signature names it."""
        self.need("supports_tools")
        assert issubclass(self.llm_class, FunctionCallingLLM)
        prepare = inspect.signature(self.llm_class._prepare_chat_with_tools)  # noqa: SLF001 - core's own hook.
        assert "tool_required" in prepare.parameters

    @pytest.mark.parametrize("method", ["to_dict", "to_json", "model_dump", "model_dump_json"])
    def test_serialized_form_is_json(self, llm: LLM, method: str) -> None:
        """A serialized LLM can be stored."""
        assert json.loads(_as_json(getattr(llm, method)()))["class_name"] == llm.class_name()

    @pytest.mark.parametrize(
        "method", ["to_dict", "to_json", "model_dump", "model_dump_json", "__repr__", "__str__"]
    )
    def test_secret_is_not_shown(self, llm: LLM, method: str) -> None:
        """The key stands in no dump and in no log."""
        self.need("secret")
        assert str(self.secret) not in str(getattr(llm, method)())

    def test_payload_has_no_secret(self, llm: LLM) -> None:
        """The payload goes to every event handler and tracing service."""
        payload = _as_json(llm.to_payload())
        assert llm.metadata.model_name in payload
        assert self.secret is None or self.secret not in payload

    def test_dict_round_trip(self, llm: LLM) -> None:
        """`from_dict` makes the same LLM, given what must not be stored."""
        stored = llm.to_dict()
        kept_back = {name: self.llm_params[name] for name in self.llm_params if name not in stored}
        assert self.llm_class.from_dict(stored, **kept_back).to_dict() == stored

    def test_json_round_trip(self, llm: LLM) -> None:
        """`from_json` makes the same LLM, given what must not be stored."""
        stored = llm.to_json()
        kept_back = {
            name: self.llm_params[name]
            for name in self.llm_params
            if name not in json.loads(stored)
        }
        assert self.llm_class.from_json(stored, **kept_back).to_json() == stored

    def test_pickle_round_trip(self, llm: LLM) -> None:
        """Worker processes get the same LLM."""
        again = pickle.loads(pickle.dumps(llm))  # noqa: S301 - made in this line.
        assert again.to_dict() == llm.to_dict()

    def test_deepcopy(self, llm: LLM) -> None:
        """Workflows copy their LLM."""
        again = copy.deepcopy(llm)
        assert again is not llm
        assert again.to_dict() == llm.to_dict()

    def test_settings_take_it(self, llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
        """It can be the LLM of all engines."""
        monkeypatch.setattr(Settings, "_llm", None)
        Settings.llm = llm
        assert Settings.llm is llm

    def test_resolves_to_itself(self, llm: LLM) -> None:
        """`resolve_llm` gives it back."""
        assert resolve_llm(llm) is llm

    def test_unknown_argument_is_refused(self) -> None:
        """A mistyped option must not vanish."""
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the LLM's matter.
            self.llm_class(**{**self.llm_params, "no_such_option_of_any_llm": 1})

    def test_system_prompt_is_kept(self) -> None:
        """The constructor takes what every LLM has."""
        llm = self.llm_class(**{**self.llm_params, "system_prompt": "Be brief."})
        assert llm.system_prompt == "Be brief."

    def test_callback_manager_is_kept(self) -> None:
        """The constructor takes a callback manager, and keeps that very one."""
        manager = CallbackManager([])
        llm = self.llm_class(**{**self.llm_params, "callback_manager": manager})
        assert llm.callback_manager is manager


def _as_json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _is_of_core(kind: type) -> bool:
    return kind.__module__.startswith("llama_index.core.")
