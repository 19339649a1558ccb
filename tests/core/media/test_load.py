"""Files by path and file objects: which may be read, and how."""

import errno
import gzip
import io
import os
import tracemalloc
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import pytest

from qwen_vl.content import Image, LocalFile, OpenFile, Source, Turn, Video, to_source
from qwen_vl.errors import (
    MediaAccessError,
    MediaError,
    MediaFormatError,
    MediaNotFoundError,
    MediaTooLargeError,
)
from qwen_vl.media import prepare_media
from qwen_vl.media.downscale import MAX_FILE_BYTES
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, ROCKET

WHERE = "messages[2].content[0]"


def _prepare(part: Image | Video, **policy: Any) -> str:
    turns = (Turn(role="user", parts=(part,)),)
    request = Request(model="qwen3-vl-plus", turns=turns, policy=MediaPolicy(**policy))
    ready: Any = prepare_media(request).turns[0].parts[0]
    return str(ready.source.url)


def _image(source: Source | None, **policy: Any) -> str:
    assert source is not None
    return _prepare(Image(source=source, where=WHERE), **policy)


def _open(file: IO[Any]) -> str:
    return _image(OpenFile(cast("Any", file)))


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "cat.png"
    path.parent.mkdir()
    path.write_bytes(CHELSEA.read_bytes())
    return path


def test_path_of_the_program_is_read_wherever_it_is(cat: Path) -> None:
    assert _image(to_source(cat)).startswith("data:image/png;base64,")


def test_path_in_text_is_refused_with_both_remedies(cat: Path) -> None:
    with pytest.raises(MediaAccessError) as caught:
        _image(to_source(str(cat)))
    assert "pathlib.Path" in caught.value.remedy
    assert "media_roots=[...]" in caught.value.remedy
    assert caught.value.where == WHERE


def test_file_address_in_text_is_refused_as_well(cat: Path) -> None:
    with pytest.raises(MediaAccessError):
        _image(to_source(cat.as_uri()))
    assert _image(to_source(cat.as_uri()), media_roots=(cat.parent,))


@pytest.mark.parametrize("is_trusted", [True, False])
def test_path_inside_media_roots_is_read(cat: Path, is_trusted: bool) -> None:
    roots = (cat.parent / "none", cat.parent)
    assert _image(LocalFile(cat, is_trusted=is_trusted), media_roots=roots)


def test_relative_path_counts_from_the_working_folder(
    cat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cat.parent)
    assert _image(to_source("./cat.png"), media_roots=(Path(),))
    assert _image(to_source(Path("cat.png")))
    monkeypatch.chdir(cat.parent.parent)
    with pytest.raises(MediaNotFoundError):
        _image(to_source("./cat.png"), media_roots=(Path(),))


@pytest.mark.parametrize("is_trusted", [True, False])
@pytest.mark.parametrize("name", ["../{}", "x/../../{}", "link-to-file", "link-to-folder/{}"])
def test_nothing_outside_media_roots_is_read_and_nothing_told_about_it(
    cat: Path, name: str, is_trusted: bool
) -> None:
    root = cat.parent
    outside = root.parent / "secret.png"
    (root / "link-to-file").symlink_to(outside)
    (root / "link-to-folder").symlink_to(root.parent)
    source = LocalFile(root / name.format("secret.png"), is_trusted=is_trusted)
    words = []
    for _ in range(2):
        with pytest.raises(MediaAccessError) as caught:
            _image(source, media_roots=(root,))
        words.append(str(caught.value))
        # The same words whether the file is missing or there.
        outside.write_bytes(CHELSEA.read_bytes())
    assert words[0] == words[1]


def test_text_path_is_refused_in_the_same_words_whether_it_exists_or_not(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    words = []
    for _ in range(2):
        with pytest.raises(MediaAccessError) as caught:
            _image(LocalFile(path, is_trusted=False))
        words.append(str(caught.value))
        path.write_bytes(CHELSEA.read_bytes())
    assert words[0] == words[1]


def test_sibling_folder_with_a_longer_name_is_outside(cat: Path) -> None:
    sibling = cat.parent.parent / "images-private"
    sibling.mkdir()
    (sibling / "cat.png").write_bytes(CHELSEA.read_bytes())
    with pytest.raises(MediaAccessError):
        _image(LocalFile(sibling / "cat.png", is_trusted=True), media_roots=(cat.parent,))


def test_links_within_media_roots_and_to_them_are_followed(cat: Path) -> None:
    (cat.parent / "link.png").symlink_to(cat)
    folder = cat.parent.parent / "alias"
    folder.symlink_to(cat.parent)
    source = LocalFile(folder / "link.png", is_trusted=False)
    assert _image(source, media_roots=(cat.parent,))
    assert _image(LocalFile(cat, is_trusted=False), media_roots=(folder,))


def test_link_to_itself_is_refused(cat: Path) -> None:
    loop = cat.parent / "loop.png"
    loop.symlink_to(loop)
    for policy in ({}, {"media_roots": (cat.parent,)}):
        with pytest.raises(MediaAccessError):
            _image(LocalFile(loop, is_trusted=True), **policy)


def test_no_media_roots_at_all_let_nothing_be_read(cat: Path) -> None:
    with pytest.raises(MediaAccessError):
        _image(LocalFile(cat, is_trusted=True), media_roots=())


@pytest.mark.parametrize("name", ["none.png", "none/cat.png", "cat.png/below"])
@pytest.mark.parametrize("with_roots", [True, False])
def test_missing_file_is_not_found(cat: Path, name: str, with_roots: bool) -> None:
    policy = {"media_roots": (cat.parent,)} if with_roots else {}
    with pytest.raises(MediaNotFoundError, match=name):
        _image(LocalFile(cat.parent / name, is_trusted=True), **policy)


def test_home_sign_is_not_expanded(
    cat: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(cat.parent))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MediaNotFoundError):
        _image(LocalFile(Path("~/cat.png"), is_trusted=True))


def test_folder_is_refused(cat: Path) -> None:
    with pytest.raises(MediaAccessError, match="a folder"):
        _image(LocalFile(cat.parent, is_trusted=True))


@pytest.mark.timeout(5)
@pytest.mark.parametrize("with_roots", [True, False])
def test_pipe_is_refused_without_waiting_for_it(tmp_path: Path, with_roots: bool) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    policy = {"media_roots": (tmp_path,)} if with_roots else {}
    with pytest.raises(MediaAccessError, match="pipe"):
        _image(LocalFile(pipe, is_trusted=True), **policy)


@pytest.mark.timeout(5)
def test_device_is_refused() -> None:
    with pytest.raises(MediaAccessError, match="device"):
        _image(LocalFile(Path(os.devnull), is_trusted=True))


def test_file_without_permission_is_refused(cat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(path: Path, flags: int, *, dir_fd: int | None = None) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    # Taking the permission away would not do: tests may run as root, who reads every file.
    monkeypatch.setattr(os, "open", reject)
    with pytest.raises(MediaAccessError, match="Permission denied"):
        _image(LocalFile(cat, is_trusted=True))


def test_path_with_a_zero_byte_is_refused(tmp_path: Path) -> None:
    source = LocalFile(tmp_path / "a\0b.png", is_trusted=True)
    with pytest.raises(MediaAccessError):
        _image(source)
    with pytest.raises(MediaAccessError):
        _image(source, media_roots=(tmp_path,))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("make", [Image, partial(Video, video_mode="inline")])
def test_file_of_3_gib_is_refused_before_it_is_read(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "film.mp4"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)
    tracemalloc.start()
    try:
        with pytest.raises(MediaTooLargeError) as caught:
            _prepare(make(source=LocalFile(path, is_trusted=True), where=WHERE))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.value == 3 * 2**30
    assert "list of frames" in caught.value.remedy
    assert peak < 2**20


@pytest.mark.parametrize("text", ["x*" * 5_000, "x*/" * 5_000])
def test_long_text_that_is_nothing_is_not_taken_for_a_path(text: str) -> None:
    with pytest.raises(MediaFormatError, match="too long for a path") as caught:
        _image(to_source(text))
    assert len(str(caught.value)) < 300


def test_space_before_an_address_is_said_to_be_there() -> None:
    with pytest.raises(MediaFormatError, match="whitespace around"):
        _image(to_source(" https://example.com/cat.png"))


@pytest.mark.parametrize("position", [0, 5, 100_000])
def test_file_object_is_read_whole_and_left_where_it_was(position: int) -> None:
    with ROCKET.open("rb") as file:
        file.seek(position)
        assert _open(file) == _image(to_source(ROCKET))
        assert file.tell() == position


def test_file_object_without_buffer_is_read_whole() -> None:
    with ROCKET.open("rb", buffering=0) as file:
        assert _open(file) == _image(to_source(ROCKET))


def test_compressed_file_object_is_read_as_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "rocket.jpg.gz"
    path.write_bytes(gzip.compress(ROCKET.read_bytes()))
    with gzip.open(path) as file:
        assert _open(cast("IO[bytes]", file)) == _image(to_source(ROCKET))


def test_stream_gives_what_is_left_in_it() -> None:
    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self._pieces = [ROCKET.read_bytes()[at : at + 9_999] for at in range(0, 120_000, 9_999)]

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            assert size > 0
            return self._pieces.pop(0) if self._pieces else b""

    with Stream() as stream:
        assert _open(cast("IO[bytes]", stream)) == _image(to_source(ROCKET))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("shrinks", [False, True])
def test_endless_stream_is_read_to_the_limit_only(shrinks: bool) -> None:
    class Endless:
        n_read = 0

        def read(self, size: int) -> bytes:
            self.n_read += min(size, 2**20)
            return bytes(min(size, 2**20))

    endless = Endless()
    with pytest.raises(MediaTooLargeError, match="at least"):
        _image(OpenFile(cast("Any", endless)), downscale_images=shrinks)
    limit = MAX_FILE_BYTES if shrinks else MediaPolicy().max_inline_bytes
    assert endless.n_read == limit + 1


def test_file_object_is_left_where_it_was_after_an_error() -> None:
    file = io.BytesIO(b"words " * 100)
    file.seek(7)
    with pytest.raises(MediaFormatError):
        _open(file)
    assert file.tell() == 7


def test_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("words")
    with path.open() as file, pytest.raises(MediaFormatError, match="not bytes") as caught:
        _open(file)
    assert "'rb'" in caught.value.remedy


def test_object_whose_read_gives_text_is_refused() -> None:
    class Words:
        def read(self, size: int) -> str:
            return "words"

    with pytest.raises(MediaFormatError, match="gives str"):
        _image(OpenFile(cast("Any", Words())))


def test_closed_file_is_refused() -> None:
    file = CHELSEA.open("rb")
    file.close()
    with pytest.raises(MediaError, match="closed file"):
        _open(file)


def test_video_file_goes_out_byte_for_byte() -> None:
    url = _prepare(Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=True)))
    assert url.startswith("data:video/mp4;base64,")
    assert len(url) > BIG_BUCK_BUNNY.stat().st_size * 4 // 3
