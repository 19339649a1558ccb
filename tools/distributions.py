"""The distributions of this repository, as their `pyproject.toml` files describe them."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    ROOT,
    ROOT / "integrations/sandbox",
    ROOT / "integrations/langchain",
    ROOT / "integrations/llama-index",
    ROOT / "integrations/llama-index-vision-tests",
)


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution.

    Args:
        folder: Holds its `pyproject.toml`.
        project: The `project` table.
        packages: Folders whose contents are installed, absolute.
    """

    folder: Path
    project: dict[str, Any]
    packages: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Name on an index."""
        return str(self.project["name"])

    @property
    def version(self) -> str:
        """Version."""
        return str(self.project["version"])

    @property
    def file_stem(self) -> str:
        """What its files in `dist/` begin with."""
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def requirements(self) -> list[str]:
        """All requirements, those of extras included."""
        extras = self.project.get("optional-dependencies", {})
        return [
            *self.project["dependencies"],
            *(each for extra in extras.values() for each in extra),
        ]


def read_distributions() -> list[Distribution]:
    """Read all distributions, the core first."""
    found = []
    for folder in FOLDERS:
        data = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        wheel = data["tool"]["hatch"]["build"]["targets"]["wheel"]
        packages = tuple(folder / package for package in wheel["packages"])
        found.append(Distribution(folder, data["project"], packages))
    return found


def normalize_name(requirement: str) -> str:
    """Return the name in a requirement, as indexes write it.

    Args:
        requirement: For instance `qwen-vl[openai]~=0.1.0`.
    """
    name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()
