"""What words mean: the vectors in the wheel of WordLlama. Nothing is downloaded."""

import hashlib
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_MODULES = ("wordllama", "tokenizers", "safetensors", "numpy")
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_WEIGHTS = "weights/l2_supercat_256.safetensors"


@cache
def is_installed() -> bool:
    """Return whether the extra `ocr` is installed, which brings them."""
    return all(find_spec(name) is not None for name in _MODULES)


@lru_cache(maxsize=4096)
def find_meaning(word: str, dimension: int) -> tuple[float, ...] | None:
    """Return the direction of a word's meaning, of length 1; `None` where it has none.

    Words of a similar meaning have similar directions.
    """
    import numpy as np  # noqa: PLC0415 - of the extra

    tokenizer, vectors = _load()
    ids = tokenizer.encode(word, add_special_tokens=False).ids
    if not ids:
        return None
    vector = _find_projection(dimension, vectors.shape[1]) @ vectors[ids].mean(
        axis=0, dtype=np.float32
    )
    length = float(np.linalg.norm(vector))
    return tuple((vector / length).tolist()) if length else None


@cache
def _load() -> tuple[Any, Any]:
    from safetensors.numpy import load_file  # noqa: PLC0415 - of the extra
    from tokenizers import Tokenizer  # noqa: PLC0415 - of the extra

    spec = find_spec("wordllama")
    # Found without importing the package, which sets up logging for the whole program.
    folder = Path(str(spec and spec.origin)).parent
    vectors = load_file(folder / _WEIGHTS)["embedding.weight"]
    return Tokenizer.from_file(str(folder / _TOKENIZER)), vectors


@cache
def _find_projection(dimension: int, size: int) -> Any:
    """Return fixed pseudo-random signs, which keep the angles between vectors, but for chance."""
    import numpy as np  # noqa: PLC0415 - of the extra

    name = f"{dimension} x {size}"
    raw = hashlib.shake_128(name.encode()).digest((dimension * size + 7) // 8)
    bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8))[: dimension * size]
    return (bits.astype(np.float32) * 2 - 1).reshape(dimension, size)
