"""What is measured."""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import ADDRESS, QUESTION, Contender
from benchmarks.media import PHOTO
from benchmarks.server import LINK

Call = Callable[[], Any]
"""What is timed. May give a coroutine, which is then run to its end."""


@dataclass(frozen=True)
class Case:
    """One thing that users do.

    Args:
        title: Name in tables.
        answer: What the endpoint gives: `"whole"`, `LINK` for the same over a slow link, or kind
            and number of a stream's pieces.
        prepare: Gives what is timed, for a contender and the folder of images.
        n_calls: How often it is done within one turn: some tenths of a second's worth, in which
            caches are warm.
        families: Whom it is for.
        n_requests: Requests in each call, where what counts is how many pass in a second.
        counts_bytes: Whether the length of the body is told too.
        tells_memory: Whether peak memory is measured too.
        is_slow: Whether a turn takes seconds, so that there are but few of them.
    """

    title: str
    prepare: Callable[[Contender, Path], Call]
    n_calls: int
    answer: str = "whole"
    families: tuple[str, ...] = ("LangChain", "LlamaIndex", "neither")
    n_requests: int = 0
    counts_bytes: bool = False
    tells_memory: bool = False
    is_slow: bool = False


def _at_address(contender: Contender, _folder: Path) -> Call:
    messages = [_question(contender, contender.picture_at(ADDRESS))]
    return lambda: contender.ask(messages)


def _from_bytes(name: str, n_pictures: int = 1) -> Callable[[Contender, Path], Call]:
    def prepare(contender: Contender, folder: Path) -> Call:
        data = (folder / name).read_bytes()
        return lambda: contender.ask(
            [_question(contender, *(contender.image(data) for _ in range(n_pictures)))]
        )

    return prepare


def _from_file(name: str, n_pictures: int = 1) -> Callable[[Contender, Path], Call]:
    def prepare(contender: Contender, folder: Path) -> Call:
        path = folder / name
        return lambda: contender.ask(
            [_question(contender, *(contender.picture_file(path) for _ in range(n_pictures)))]
        )

    return prepare


def _from_new_file(name: str) -> Callable[[Contender, Path], Call]:
    """Ask of a file that was modified since the last call: nothing that was prepared holds."""

    def prepare(contender: Contender, folder: Path) -> Call:
        path, seconds = folder / name, itertools.count(1_000_000_000)

        def ask() -> object:
            now = next(seconds)
            os.utime(path, (now, now))
            return contender.ask([_question(contender, contender.picture_file(path))])

        return ask

    return prepare


def _from_message(name: str, n_pictures: int = 1) -> Callable[[Contender, Path], Call]:
    def prepare(contender: Contender, folder: Path) -> Call:
        data = (folder / name).read_bytes()
        messages = [_question(contender, *(contender.image(data) for _ in range(n_pictures)))]
        return lambda: contender.ask(messages)

    return prepare


def _first_turn(contender: Contender, folder: Path) -> Call:
    photo, numbers = (folder / PHOTO).read_bytes(), itertools.count()
    # What follows the end of a JPEG does not count, but makes it a file that was never seen.
    return lambda: contender.ask([_ask_of_photos(contender, photo, next(numbers))])


def _second_turn(contender: Contender, folder: Path) -> Call:
    photo = (folder / PHOTO).read_bytes()
    messages = [
        _ask_of_photos(contender, photo, 0),
        contender.assistant("Four cats."),
        contender.user(contender.text("And?")),
    ]
    return lambda: contender.ask(messages)


def _ask_of_photos(contender: Contender, photo: bytes, number: int) -> Any:
    marks = (b"%d-%d" % (number, index) for index in range(4))
    return _question(contender, *(contender.image(photo + mark) for mark in marks))


def _stream(contender: Contender, _folder: Path) -> Call:
    messages = [_question(contender, contender.picture_at(ADDRESS))]
    return lambda: contender.stream(messages)


def _at_once(n: int) -> Callable[[Contender, Path], Call]:
    def prepare(contender: Contender, _folder: Path) -> Call:
        conversations = [[_question(contender, contender.picture_at(ADDRESS))] for _ in range(n)]
        return lambda: contender.ask_many(conversations)

    return prepare


def _history(n_messages: int) -> Callable[[Contender, Path], Call]:
    def prepare(contender: Contender, folder: Path) -> Call:
        messages = _converse(contender, n_messages, folder)
        return lambda: contender.ask(messages)

    return prepare


def _count(n_messages: int) -> Callable[[Contender, Path], Call]:
    def prepare(contender: Contender, folder: Path) -> Call:
        messages = _converse(contender, n_messages, folder)
        return lambda: contender.count_tokens(messages)

    return prepare


def _converse(contender: Contender, n_messages: int, folder: Path) -> list[Any]:
    """Make a conversation in which every tenth message brings an image, half of them inline."""
    data = (folder / "12kB.png").read_bytes()
    messages: list[Any] = []
    for index in range(0, n_messages, 2):
        parts = []
        if index % 20 == 0:
            parts = [contender.image(data)]
        elif index % 20 == 10:
            parts = [contender.picture_at(ADDRESS)]
        messages += [_question(contender, *parts), contender.assistant(f"It is number {index}.")]
    return messages[:-1]


def _question(contender: Contender, *images: Any) -> Any:
    return contender.user(*images, contender.text(QUESTION))


WARMING = ("bytes-90kB", "stream-short")
"""What is done before memory is looked at: all modules are loaded then, and a connection open."""

_FRAMEWORKS = ("LangChain", "LlamaIndex")

CASES = {
    "address": Case("image at a URL", _at_address, 100),
    "bytes-90kB": Case("90 KB image, bytes", _from_bytes("90kB.png"), 40),
    "file-90kB": Case("90 KB image, file", _from_file("90kB.png"), 40),
    "bytes-5MB": Case("5 MB image, bytes", _from_bytes("5MB.png"), 12, tells_memory=True),
    "file-5MB": Case("5 MB image, file", _from_file("5MB.png"), 12, tells_memory=True),
    "block-90kB": Case("90 KB ImageBlock", _from_message("90kB.png"), 40, families=("LlamaIndex",)),
    "block-5MB": Case(
        "5 MB ImageBlock",
        _from_message("5MB.png"),
        12,
        families=("LlamaIndex",),
        tells_memory=True,
    ),
    "ten-90kB": Case("ten 90 KB images, bytes", _from_bytes("90kB.png", 10), 10),
    "ten-5MB": Case(
        "ten 5 MB images, bytes", _from_bytes("5MB.png", 10), 1, tells_memory=True, is_slow=True
    ),
    "photo": Case(
        "12-megapixel photograph, file",
        _from_new_file(PHOTO),
        1,
        counts_bytes=True,
        tells_memory=True,
        is_slow=True,
    ),
    "link-photo": Case(
        "12-megapixel photograph over 20 Mbit/s",
        _from_new_file(PHOTO),
        1,
        LINK,
        counts_bytes=True,
        is_slow=True,
    ),
    "first-turn": Case("first turn over 4 photographs", _first_turn, 1, is_slow=True),
    "second-turn": Case("second turn over the same 4", _second_turn, 1, is_slow=True),
    "stream-plain": Case("2,000 chunks of text", _stream, 3, "plain-2000", tells_memory=True),
    "stream-reasoning": Case("2,000 chunks of reasoning", _stream, 3, "reasoning-2000"),
    "stream-arguments": Case("2,000 chunks of arguments", _stream, 3, "arguments-2000"),
    "at-once-64": Case("64 requests at once", _at_once(64), 2, n_requests=64),
    "at-once-3000": Case(
        "3,000 requests at once", _at_once(3000), 1, n_requests=3000, is_slow=True
    ),
    "at-once-512": Case("512 requests at once", _at_once(512), 1, n_requests=512, is_slow=True),
    "history": Case(
        "history of 2,000 messages", _history(2000), 1, tells_memory=True, is_slow=True
    ),
    "count": Case(
        "count tokens, 2,000 messages", _count(2000), 1, families=_FRAMEWORKS, is_slow=True
    ),
}
"""All cases but those of `FRESH`."""

FRESH = {"import": "import", "first-call": "import, and the first call"}
"""Titles of cases that need a fresh process each time."""

GROWTH = {
    "messages": (
        Case("125 messages", _history(125), 8, tells_memory=True),
        Case("500 messages", _history(500), 4, tells_memory=True),
        Case("2,000 messages", _history(2000), 1, tells_memory=True, is_slow=True),
    ),
    "chunks": (
        Case("500 chunks", _stream, 8, "plain-500", tells_memory=True),
        Case("2,000 chunks", _stream, 2, "plain-2000", tells_memory=True),
        Case("8,000 chunks", _stream, 1, "plain-8000", tells_memory=True, is_slow=True),
    ),
    "bytes": (
        Case("400 KB", _from_bytes("400kB.png"), 8, tells_memory=True),
        Case("1,600 KB", _from_bytes("1600kB.png"), 4, tells_memory=True),
        Case("6,400 KB", _from_bytes("6400kB.png"), 2, tells_memory=True),
    ),
}
"""Each at 1x, 4x and 16x."""


def find_case(name: str) -> Case:
    """Find a case by its name: of `CASES`, or `messages-2` for the third of `GROWTH`."""
    if name in CASES:
        return CASES[name]
    if name == "stream-short":
        return Case("a short stream", _stream, 1, "plain-4")
    kind, _, step = name.rpartition("-")
    return GROWTH[kind][int(step)]
