"""Tests of what every component of LlamaIndex must bear: being stored, copied and shown."""

import copy
import json
import pickle
from abc import ABC, abstractmethod
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import BaseComponent

from llama_index_vision_tests.suite import default


class ComponentSuite(ABC):
    """The class under test, and how one is made.

    Attributes:
        component_class: The class.
        component_params: Keyword arguments that make one that works.
    """

    component_class: type[BaseComponent]
    component_params: dict[str, Any]

    @default
    def secret(self) -> str | None:
        """The text that must appear nowhere; the argument `api_key` if not overridden."""
        key = self.component_params.get("api_key")
        return key if isinstance(key, str) else None

    @pytest.fixture
    def component(self) -> Any:
        """The component under test."""
        return self.component_class(**self.component_params)

    def need(self, flag: str) -> None:
        """Skip the test if a flag is not set."""
        if not getattr(self, flag):
            pytest.skip(f"{flag} is {getattr(self, flag)} for {self.component_class.__name__}")


class ComponentTests(ComponentSuite):
    """Tests of construction and serialization, without any request."""

    @abstractmethod
    def find_model_name(self, component: Any) -> str:
        """Return the name of the model."""

    def test_class_name_is_its_own(self) -> None:
        """Serialized components are identified by `class_name`."""
        bases = [base for base in self.component_class.__mro__[1:] if _is_of_core(base)]
        taken = {base.class_name() for base in bases if issubclass(base, BaseComponent)}
        assert self.component_class.class_name()
        assert _is_of_core(self.component_class) or self.component_class.class_name() not in taken

    def test_model_name_is_known(self, component: Any) -> None:
        """Logs and traces name the model."""
        assert self.find_model_name(component) not in {"", "unknown"}

    @pytest.mark.parametrize("method", ["to_dict", "to_json", "model_dump", "model_dump_json"])
    def test_serialized_form_is_json(self, component: Any, method: str) -> None:
        """A serialized component can be stored."""
        stored = getattr(component, method)()
        loaded = json.loads(stored if isinstance(stored, str) else json.dumps(stored))
        assert loaded["class_name"] == component.class_name()

    @pytest.mark.parametrize(
        "method", ["to_dict", "to_json", "model_dump", "model_dump_json", "__repr__", "__str__"]
    )
    def test_secret_is_not_shown(self, component: Any, method: str) -> None:
        """The key stands in no dump and in no log."""
        self.need("secret")
        assert str(self.secret) not in str(getattr(component, method)())

    def test_dict_round_trip(self, component: Any) -> None:
        """`from_dict` makes the same component, given what must not be stored."""
        stored = component.to_dict()
        made = self.component_class.from_dict(stored, **self._find_unstored(stored))
        assert made.to_dict() == stored

    def test_json_round_trip(self, component: Any) -> None:
        """`from_json` makes the same component, given what must not be stored."""
        stored = component.to_json()
        made = self.component_class.from_json(stored, **self._find_unstored(json.loads(stored)))
        assert made.to_json() == stored

    def test_pickle_round_trip(self, component: Any) -> None:
        """Worker processes get the same component."""
        again = pickle.loads(pickle.dumps(component))  # noqa: S301 - made in this line.
        assert again.to_dict() == component.to_dict()

    def test_deepcopy(self, component: Any) -> None:
        """Pipelines copy their components."""
        again = copy.deepcopy(component)
        assert again is not component
        assert again.to_dict() == component.to_dict()

    def test_unknown_argument_is_refused(self) -> None:
        """A mistyped option must not vanish."""
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the class's matter.
            self.component_class(**{**self.component_params, "no_such_option_of_any_class": 1})

    def test_callback_manager_is_kept(self) -> None:
        """The constructor takes a callback manager, and keeps that very one."""
        manager = CallbackManager([])
        made: Any = self.component_class(**{**self.component_params, "callback_manager": manager})
        assert made.callback_manager is manager

    def _find_unstored(self, stored: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in self.component_params.items() if name not in stored}


def _is_of_core(kind: type) -> bool:
    return kind.__module__.startswith("llama_index.core.")
