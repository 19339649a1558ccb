"""The version, which all distributions share.

python tools/version.py              print it
python tools/version.py 0.2.0        write it to every `pyproject.toml`, and to the pins
python tools/version.py --is v0.2.0  exit with an error unless a tag names it
"""

import re
import sys
from collections.abc import Sequence

from distributions import FOLDERS, Distribution, normalize_name, read_distributions

_VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
_FIELD = re.compile(r'^version = "[^"]*"$', re.MULTILINE)


def find_version(distributions: Sequence[Distribution]) -> str:
    """Return the version that all distributions have.

    Raises:
        SystemExit: They disagree.
    """
    versions = {each.name: each.version for each in distributions}
    if len(set(versions.values())) != 1:
        sys.exit(f"The versions differ: {versions}. Write one with: make version VERSION=…")
    return next(iter(versions.values()))


def replace_version(text: str, version: str, names: Sequence[str]) -> str:
    """Return a `pyproject.toml` with another version, and with pins to match.

    Args:
        text: Its contents.
        version: The new version.
        names: Names of all distributions of the repository, which are released together.
    """
    ours = "|".join(map(re.escape, names))
    pin = re.compile(rf'(?<=")((?:{ours})(?:\[[^\]]*\])?)[=~]=[^",;]+')
    text, n_fields = _FIELD.subn(f'version = "{version}"', text)
    if n_fields != 1:
        sys.exit(f"Expected one line `version = …`, found {n_fields}.")
    return pin.sub(rf"\1~={version}", text)


def write_version(version: str) -> None:
    """Write a version to every `pyproject.toml`.

    Raises:
        SystemExit: It is not a version.
    """
    if not _VERSION.fullmatch(version):
        sys.exit(f"{version!r} is not a version such as 0.2.0 or 0.2.0rc1.")
    names = [normalize_name(each.name) for each in read_distributions()]
    for folder in FOLDERS:
        file = folder / "pyproject.toml"
        text = replace_version(file.read_text(encoding="utf-8"), version, names)
        file.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Print, compare or write the version."""
    match arguments:
        case []:
            print(find_version(read_distributions()))
        case ["--is", tag]:
            version = find_version(read_distributions())
            if tag != f"v{version}":
                sys.exit(f"The tag is {tag}, the version is {version}: expected v{version}.")
        case [version] if not version.startswith("-"):
            write_version(version)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
