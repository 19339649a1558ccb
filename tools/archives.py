"""What wheels and sdists hold: the tracked files of their packages, and what an index reads."""

import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
from pathlib import Path

from distributions import ROOT, Distribution

METADATA_FILES = frozenset({"METADATA", "WHEEL", "RECORD", "licenses/LICENSE"})
SDIST_FILES = frozenset(
    {"PKG-INFO", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore"}
)
"""Beside the packages; the build backend adds `.gitignore`."""

_RELATIVE_LINK = re.compile(r"\]\((?!https?:)[^)]*\)")


def find_problems(distribution: Distribution, folder: Path) -> list[str]:
    """Compare the wheel and the sdist of a distribution with the repository.

    Args:
        distribution: What was built.
        folder: Holds both files.

    Returns:
        What is wrong, one line each.
    """
    wheel, sdist = find_archives(distribution, folder)
    return [
        *(f"{wheel.name}: {problem}" for problem in _check_wheel(distribution, wheel)),
        *(f"{sdist.name}: {problem}" for problem in _check_sdist(distribution, sdist)),
    ]


def find_archives(distribution: Distribution, folder: Path) -> tuple[Path, Path]:
    """Return the wheel and the sdist of a distribution.

    Args:
        distribution: What was built.
        folder: Holds both files.
    """
    stem = distribution.file_stem
    return folder / f"{stem}-py3-none-any.whl", folder / f"{stem}.tar.gz"


def _check_wheel(distribution: Distribution, file: Path) -> Iterator[str]:
    info = f"{distribution.file_stem}.dist-info"
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        metadata = message_from_string(archive.read(f"{info}/METADATA").decode())
        license_text = archive.read(f"{info}/licenses/LICENSE")
    expected = {f"{info}/{name}" for name in METADATA_FILES}
    if {"scripts", "entry-points"} & set(distribution.project):
        expected.add(f"{info}/entry_points.txt")
    for package in distribution.packages:
        expected |= {path.relative_to(package.parent).as_posix() for path in _list_tracked(package)}
    yield from _compare(names, expected)
    yield from _check_typed(names)
    yield from _check_metadata(distribution, metadata)
    if license_text != (ROOT / "LICENSE").read_bytes():
        yield "its LICENSE is not that of the repository"


def _check_sdist(distribution: Distribution, file: Path) -> Iterator[str]:
    start = f"{distribution.file_stem}/"
    with tarfile.open(file) as archive:
        names = {each.name.removeprefix(start) for each in archive.getmembers() if each.isfile()}
        info = archive.extractfile(f"{start}PKG-INFO")
        metadata = message_from_string(info.read().decode() if info else "")
    expected = set(SDIST_FILES)
    for package in distribution.packages:
        expected |= {
            path.relative_to(distribution.folder).as_posix() for path in _list_tracked(package)
        }
    yield from _compare(names, expected)
    yield from _check_metadata(distribution, metadata)


def _compare(names: set[str], expected: set[str]) -> Iterator[str]:
    yield from (f"{name} is missing" for name in sorted(expected - names))
    yield from (f"{name} does not belong there" for name in sorted(names - expected))


def _check_typed(names: set[str]) -> Iterator[str]:
    packages = {name.rpartition("/")[0] for name in names if name.endswith("/__init__.py")}
    outer = {each for each in packages if each.rpartition("/")[0] not in packages}
    yield from (f"{each}/py.typed is missing" for each in outer if f"{each}/py.typed" not in names)


def _check_metadata(distribution: Distribution, metadata: Message) -> Iterator[str]:
    expected = {
        "Name": distribution.name,
        "Version": distribution.version,
        "License-Expression": "Apache-2.0",
        "License-File": "LICENSE",
        "Description-Content-Type": "text/markdown",
    }
    for name, value in expected.items():
        if metadata[name] != value:
            yield f"{name} is {metadata[name]!r}, expected {value!r}"
    description = str(metadata.get_payload())
    if not description.startswith(f"# {distribution.name}\n"):
        yield "the description is not its README"
    yield from (f"relative link {link}" for link in _RELATIVE_LINK.findall(description))


def _list_tracked(folder: Path) -> list[Path]:
    """Return the files of a folder that Git tracks."""
    command = ["git", "ls-files", "-z", str(folder.relative_to(ROOT))]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name]
