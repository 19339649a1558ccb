"""Counts what is done with media during a call, by wrapping the functions that do it.

What the sandbox does with what reaches it is not counted.
"""

import builtins
import io
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from PIL import Image, ImageFile

from qwen_vl.media.sniff import sniff

_PACKAGES = ("qwen_vl.", "langchain_qwen_vl.", "llama_index.llms.qwen_vl.")


@dataclass
class MediaWork:
    """What was counted: how often, and in which threads.

    Args:
        paths: Files that count as media; opening others is not counted.
    """

    paths: frozenset[str] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)
    threads: dict[str, set[int]] = field(default_factory=dict)

    def add(self, kind: str) -> None:
        """Count one piece of work in the current thread, unless it is the sandbox's."""
        frame = sys._getframe(1)
        while frame is not None:
            if str(frame.f_globals.get("__name__")).startswith("qwen_vl_sandbox"):
                return
            frame = frame.f_back  # type: ignore[assignment]
        self.counts[kind] += 1
        self.threads.setdefault(kind, set()).add(threading.get_ident())

    def __getitem__(self, kind: str) -> int:
        return self.counts[kind]

    @property
    def total(self) -> dict[str, int]:
        """Opens, sniffs, decodes, encodes and files; kinds that did not occur are 0."""
        return {name: self.counts[name] for name in ("open", "sniff", "decode", "encode", "file")}


@contextmanager
def media_work(*paths: object) -> Iterator[MediaWork]:
    """Count the work done with images while the context is open.

    Args:
        *paths: Files whose opening is counted.
    """
    work = MediaWork(frozenset(map(str, paths)))
    with pytest.MonkeyPatch.context() as patch:
        _wrap(patch, Image, "open", lambda *_: work.add("open"))
        _wrap(patch, Image.Image, "save", lambda *_: work.add("encode"))
        for kind in _image_file_classes():
            _wrap(patch, kind, "load", lambda image, *_: _count_decode(work, image))
        _wrap(patch, os, "open", lambda path, *_: _count_file(work, path))
        for module in (builtins, io):
            _wrap(patch, module, "open", lambda path, *_: _count_file(work, path))

        def counted_sniff(data: bytes) -> str | None:
            work.add("sniff")
            return sniff(data)

        for module in _modules():
            for name, value in list(vars(module).items()):
                if value is sniff:
                    patch.setattr(module, name, counted_sniff)
        yield work


def _image_file_classes() -> Iterator[type[Any]]:
    Image.init()
    waiting: list[type[Any]] = [ImageFile.ImageFile]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if "load" in vars(kind):
            yield kind


def _count_decode(work: MediaWork, image: Any) -> None:
    # Pillow calls `load` before any use of the pixels. It decodes while there are tiles; classes
    # call their base's, which must not count again.
    if image.tile and not image.__dict__.get("_counted"):
        image.__dict__["_counted"] = True
        work.add("decode")


def _count_file(work: MediaWork, path: object) -> None:
    if isinstance(path, str | os.PathLike) and str(path) in work.paths:
        work.add("file")


def _modules() -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if f"{name}.".startswith(_PACKAGES) and isinstance(module, ModuleType)
    ]


def _wrap(patch: pytest.MonkeyPatch, holder: Any, name: str, count: Callable[..., None]) -> None:
    original = getattr(holder, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        count(*args)
        return original(*args, **kwargs)

    patch.setattr(holder, name, wrapped)
