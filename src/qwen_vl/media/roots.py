"""Files within the folders of `media_roots`, opened so that nobody can lead the way elsewhere."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

# Without O_NONBLOCK, opening a pipe would wait for its other end.
_READ_ONLY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = os.O_RDONLY | _NO_LINK | getattr(os, "O_DIRECTORY", 0)
_HAS_FOLDER_DESCRIPTORS = {os.open, os.stat} <= os.supports_dir_fd


class OutsideRootsError(Exception):
    """A path leads out of all roots."""


def resolve_within(path: Path, roots: Sequence[Path]) -> tuple[Path, Path]:
    """Return a root and a path below it, both without links and `..`.

    Args:
        path: Any path.
        roots: Folders that files may be read from.

    Raises:
        OutsideRootsError: It leads out of all of them. Whether it exists is not revealed.
        OSError: It does not exist, or cannot be resolved.
    """
    failure: Exception | None = None
    try:
        resolved = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        failure = error
        resolved = _guess(path)
    root = next((root for root in map(_guess, roots) if resolved.is_relative_to(root)), None)
    if root is None:
        raise OutsideRootsError
    if failure:
        raise failure
    return root, resolved


def open_within(root: Path, path: Path, check_mode: Callable[[int], None]) -> int:
    """Open a file by one folder after the other, each relative to the one before.

    A folder or file that has become a link since the path was resolved is not followed, so that
    a program that can rename folders inside a root cannot have a file outside of it read.

    Args:
        root: The root, resolved.
        path: The file, resolved.
        check_mode: Raises unless the mode is that of a file; called before and after opening.

    Returns:
        A descriptor, for reading.

    Raises:
        OSError: It cannot be opened, or was replaced by a link.
    """
    *folders, name = path.relative_to(root).parts or ("",)
    if not _HAS_FOLDER_DESCRIPTORS or not name:
        return open_file(path, check_mode, _NO_LINK)
    folder = os.open(root, _FOLDER)
    try:
        for inner in folders:
            below = os.open(inner, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return open_file(name, check_mode, _NO_LINK, folder)
    finally:
        os.close(folder)


def open_file(
    path: Path | str, check_mode: Callable[[int], None], flags: int = 0, folder: int | None = None
) -> int:
    """Open a file, unless it is a pipe, a device or the like.

    Args:
        path: The file.
        check_mode: Raises unless the mode is that of a file; called before and after opening.
        flags: Further flags of `os.open`.
        folder: Descriptor of the folder that the path is relative to.

    Returns:
        A descriptor, for reading.

    Raises:
        OSError: It cannot be opened.
    """
    # Before it is opened as well: opening a device may do something.
    check_mode(os.stat(path, dir_fd=folder, follow_symlinks=not flags).st_mode)
    descriptor = os.open(path, _READ_ONLY | flags, dir_fd=folder)
    try:
        check_mode(os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _guess(path: Path) -> Path:
    """Resolve a path as far as it exists; a file is never opened by this name only."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return Path()
