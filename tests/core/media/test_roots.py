"""Folders of `media_roots` that change while files in them are opened."""

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen_vl.content import LocalFile
from qwen_vl.errors import MediaAccessError, MediaNotFoundError
from qwen_vl.media.load import load, open_local
from qwen_vl.media.roots import open_within, resolve_within
from qwen_vl.request.types import MediaPolicy

pytestmark = pytest.mark.any_version

INSIDE, OUTSIDE = b"may be read", b"a secret"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inner = tmp_path / "root" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "cat.png").write_bytes(INSIDE)
    secrets = tmp_path / "secrets"
    (secrets / "b").mkdir(parents=True)
    (secrets / "cat.png").write_bytes(OUTSIDE)
    (secrets / "b" / "cat.png").write_bytes(OUTSIDE)
    return tmp_path / "root"


def swap_file(root: Path) -> None:
    (root / "a/b/cat.png").unlink()
    (root / "a/b/cat.png").symlink_to(root.parent / "secrets/cat.png")


def swap_folder(root: Path) -> None:
    (root / "a/b").rename(root / "a/aside")
    (root / "a/b").symlink_to(root.parent / "secrets")


def swap_upper_folder(root: Path) -> None:
    (root / "a").rename(root / "aside")
    (root / "a").symlink_to(root.parent / "secrets")


def swap_root(root: Path) -> None:
    root.rename(root.parent / "aside")
    (root.parent / "secrets").rename(root.parent / "a")
    (root.parent / "elsewhere").mkdir()
    (root.parent / "a").rename(root.parent / "elsewhere" / "a")
    root.symlink_to(root.parent / "elsewhere")


def no_check(mode: int) -> None:
    del mode


@pytest.mark.parametrize("swap", [swap_file, swap_folder, swap_upper_folder, swap_root])
def test_link_put_in_place_after_the_check_is_not_followed(
    swap: Callable[[Path], None], root: Path
) -> None:
    found_root, path = resolve_within(root / "a/b/cat.png", [root])
    swap(root)
    # Through the links there is a file.
    assert (root / "a/b/cat.png").read_bytes() == OUTSIDE
    with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
        open_within(found_root, path, no_check)


def test_no_descriptor_is_left_open(root: Path) -> None:
    def n_open() -> int:
        # What earlier tests have left is closed by the collector, at any time.
        gc.collect()
        return sum(1 for _ in Path("/dev/fd").iterdir())

    before = n_open()
    policy = MediaPolicy(media_roots=(root,))
    for name, expected in (
        ("a/b/cat.png", None),
        ("a/b/none.png", MediaNotFoundError),
        ("a/none/cat.png", MediaNotFoundError),
        ("a/b", MediaAccessError),
        ("../secrets/cat.png", MediaAccessError),
    ):
        source = LocalFile(root / name, is_trusted=False)
        for _ in range(3):
            if expected is None:
                assert load(source, policy, "").data == INSIDE
            else:
                with pytest.raises(expected):
                    load(source, policy, "")
    assert n_open() <= before


def test_root_that_is_a_file(root: Path) -> None:
    file = root / "a/b/cat.png"
    policy = MediaPolicy(media_roots=(file,))
    with open_local(LocalFile(file, is_trusted=False), policy, "") as opened:
        assert opened.read() == INSIDE


@pytest.mark.parametrize(
    "n_reads", [500, pytest.param(30_000, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("swapped", ["a/b", "a", "a/b/cat.png"])
def test_nothing_outside_is_read_while_a_folder_is_swapped(
    n_reads: int, swapped: str, root: Path
) -> None:
    is_over = threading.Event()
    place, aside, link = root / swapped, root / "aside", root / "link"
    targets = {"a/b": "secrets", "a": "secrets", "a/b/cat.png": "secrets/cat.png"}

    def swap() -> None:
        while not is_over.is_set():
            link.symlink_to(root.parent / targets[swapped])
            place.rename(aside)
            link.rename(place)
            place.unlink()
            aside.rename(place)

    swapping = threading.Thread(target=swap)
    swapping.start()
    policy = MediaPolicy(media_roots=(root,))
    source = LocalFile(root / "a/b/cat.png", is_trusted=False)
    read: list[bytes] = []
    n_refused = 0
    try:
        for _ in range(n_reads):
            try:
                read.append(load(source, policy, "").data)
            except (MediaAccessError, MediaNotFoundError):
                n_refused += 1
    finally:
        is_over.set()
        swapping.join()
    assert len(read) + n_refused == n_reads
    assert OUTSIDE not in read
