"""What LangChain's callbacks and caches know a model by."""

from copy import copy, deepcopy
from typing import Any

from langchain_core.load import Serializable, dumpd

_NESTED = frozenset({"model_kwargs", "extra_body", "default_headers"})


class SerializedMemory:
    """Remembers how a model is serialised, for as long as its fields stay as they are.

    LangChain serialises a model at each call, which takes a third of a millisecond, or keeps what
    it once got: then a changed copy finds the cached answers of the model that it was copied from.
    """

    def __init__(self) -> None:
        # One object, since shallow copies share this memory and may use it from other threads.
        self._last: tuple[dict[str, Any], dict[str, Any]] | None = None

    def recall(self, model: Serializable) -> dict[str, Any]:
        """Give the model as LangChain's JSON.

        Args:
            model: Whose fields are compared with those of the last time.
        """
        fields, last = vars(model), self._last
        if last is None or last[0] != fields:
            kept = {name: _keep(name, value) for name, value in fields.items()}
            self._last = last = (kept, dict(dumpd(model)))
        return last[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> "SerializedMemory":
        return SerializedMemory()

    def __reduce__(self) -> tuple[type["SerializedMemory"], tuple[()]]:
        # The fields hold the key.
        return SerializedMemory, ()


def _keep(name: str, value: Any) -> Any:
    # What is changed in place would be equal to itself ever after. Callbacks cannot be copied.
    if name in _NESTED:
        return deepcopy(value)
    return copy(value) if isinstance(value, dict | list) else value
