"""What `make dist` finds in wheels and sdists that are not as they should be."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from archives import find_archives, find_problems
from distributions import ROOT, read_distributions

LANGCHAIN = next(each for each in read_distributions() if each.name == "langchain-qwen-vl")
INFO = f"{LANGCHAIN.file_stem}.dist-info"
METADATA = f"""\
Metadata-Version: 2.4
Name: langchain-qwen-vl
Version: {LANGCHAIN.version}
License-Expression: Apache-2.0
License-File: LICENSE
Description-Content-Type: text/markdown

# langchain-qwen-vl

[docs](https://example.com)
"""


@pytest.fixture
def files() -> dict[str, bytes]:
    """The contents of a wheel that is as it should be."""
    package = LANGCHAIN.packages[0]
    modules = [*package.rglob("*.py"), package / "py.typed"]
    return {
        **{path.relative_to(package.parent).as_posix(): path.read_bytes() for path in modules},
        f"{INFO}/METADATA": METADATA.encode(),
        f"{INFO}/WHEEL": b"",
        f"{INFO}/RECORD": b"",
        f"{INFO}/entry_points.txt": b"",
        f"{INFO}/licenses/LICENSE": (ROOT / "LICENSE").read_bytes(),
    }


def write_archives(files: dict[str, bytes], folder: Path) -> None:
    """Write a wheel, and an sdist with the same package."""
    wheel, sdist = find_archives(LANGCHAIN, folder)
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    package = {name: data for name, data in files.items() if not name.startswith(INFO)}
    names = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore")
    package |= {"PKG-INFO": files[f"{INFO}/METADATA"], **dict.fromkeys(names, b"")}
    with tarfile.open(sdist, "w:gz") as archive:
        for name, data in package.items():
            member = tarfile.TarInfo(f"{LANGCHAIN.file_stem}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_archives_as_they_should_be_pass(files: dict[str, bytes], tmp_path: Path) -> None:
    write_archives(files, tmp_path)

    assert find_problems(LANGCHAIN, tmp_path) == []


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("tests/test_it.py", b"", "tests/test_it.py does not belong there"),
        ("qwen_vl_sandbox/__init__.py", b"", "qwen_vl_sandbox/__init__.py does not belong there"),
        ("langchain_qwen_vl/py.typed", None, "langchain_qwen_vl/py.typed is missing"),
        (f"{INFO}/licenses/LICENSE", b"MIT", "LICENSE is not that of the repository"),
        (
            f"{INFO}/METADATA",
            METADATA.replace("https://example.com", "docs/langchain.md").encode(),
            "relative link ](docs/langchain.md)",
        ),
        (
            f"{INFO}/METADATA",
            METADATA.replace("Version: 0", "Version: 9").encode(),
            f"expected {LANGCHAIN.version!r}",
        ),
        (f"{INFO}/METADATA", METADATA.partition("\n\n")[0].encode(), "is not its README"),
    ],
    ids=["test", "sandbox", "untyped", "license", "link", "version", "readme"],
)
def test_archives_that_are_wrong_are_found(
    name: str, data: bytes | None, problem: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    changed = {**files, name: data}
    write_archives({name: data for name, data in changed.items() if data is not None}, tmp_path)

    assert problem in "\n".join(find_problems(LANGCHAIN, tmp_path))
