"""Random input: good examples with a few changes, and values that stand in the wrong place.

Each is made of one number, so that many are made in a second.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

# What breaks readers of text, JSON, headers of files and streams.
TOKENS: Sequence[bytes] = (
    *(b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\n"),
    *(b"\r\n", b"data: ", b"[DONE]", b"event: error\n", b"{", b"}", b"[", b"]", b'"', b"\\"),
    *(b"null", b"NaN", b"-1", b"1e999", b"9" * 40, b"<tool_call>", b"</think>", b"```", b"<box>"),
    *(b"bbox_2d", "é".encode(), b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xd8=", b'\\ud83d"'),
)
ODD_VALUES: Sequence[Any] = (
    *(None, True, False, 0, -1, 7, 2**31, 2**64, -(2**70), 0.5, 1e308, float("nan"), float("inf")),
    *("", " ", "a", "\x00", "é", "\ud83d", "\u2028", "9" * 400, "a" * 5_000, b"", b"\xff\xd8"),
    *([], {}, [[]], [None], {"": None}, {"type": "text"}, {"a": {"b": {"c": []}}}),
    *("http://", "https://example.com/a.png", "data:", "data:image/png;base64,", "oss://a/b"),
    *("file:///etc/passwd", "/etc/passwd", "2026-11-29", "1,2,3,4", "[1, 2, 3, 4]", "NaN"),
)
_MAX_CHANGES = 6


def changed(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Make one of some byte strings, with a few places of it changed."""
    return st.integers(0, 2**63).map(lambda n: _change(seeds, Random(n)))  # noqa: S311 - not secret


def shaped(seed: Any) -> st.SearchStrategy[Any]:
    """Make a value of the shape of another, with odd values in places of it."""
    return st.integers(0, 2**63).map(lambda n: _reshape(seed, Random(n)))  # noqa: S311 - not secret


def _change(seeds: Sequence[bytes], random: Random) -> bytes:
    data = bytearray(random.choice(seeds))
    for _ in range(random.randint(0, _MAX_CHANGES)):
        # Headers are at the beginning.
        at = min(random.randrange(len(data) + 1), random.randrange(len(data) + 1))
        match random.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at:at] = random.choice(TOKENS)
            case 2:
                token = random.choice(TOKENS)
                data[at : at + len(token)] = token
            case 3:
                del data[at + random.randrange(2_000) :]
            case 4:
                del data[at : at + random.randint(1, 64)]
            case 5:
                data[at:at] = data[at : at + random.randint(1, 256)]
    return bytes(data)


def _reshape(seed: Any, random: Random) -> Any:
    if random.random() < 0.08:
        return random.choice(ODD_VALUES)
    if isinstance(seed, Mapping):
        kept = {
            name: _reshape(value, random) for name, value in seed.items() if random.random() < 0.9
        }
        if random.random() < 0.1:
            name = random.choice(["", "type", "id", "index", "é", "a" * 300])
            kept[name] = random.choice(ODD_VALUES)
        return kept
    if isinstance(seed, list):
        return [
            _reshape(value, random) for value in seed for _ in range(random.choice((0, 1, 1, 1, 2)))
        ]
    return seed
