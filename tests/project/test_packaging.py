"""What an index shows of each distribution."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from distributions import ROOT, Distribution, read_distributions

URL = "https://github.com/qwen-vl/qwen-vl"
DISTRIBUTIONS = read_distributions()
PYTHONS = ["3.11", "3.13"]
"""The versions that CI tests."""

each_distribution = pytest.mark.parametrize(
    "distribution", DISTRIBUTIONS, ids=lambda each: each.name
)


def find_links(text: str) -> list[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return [
        str(token.attrs["href" if token.type == "link_open" else "src"])
        for outer in tokens
        for token in outer.children or ()
        if token.type in {"link_open", "image"}
    ]


def read_readme(distribution: Distribution) -> str:
    """Return the README as the index gets it: for the core, with the build's substitutions."""
    text = (distribution.folder / "README.md").read_text(encoding="utf-8")
    data = tomllib.loads((distribution.folder / "pyproject.toml").read_text(encoding="utf-8"))
    hooks = data["tool"]["hatch"].get("metadata", {}).get("hooks", {})
    substitutions: list[dict[str, Any]] = hooks.get("fancy-pypi-readme", {}).get(
        "substitutions", []
    )
    for each in substitutions:
        text = re.sub(each["pattern"], each["replacement"], text)
    return text


def to_file(link: str) -> Path | None:
    """Return the file of this repository that a link leads to, if it does."""
    raw = "https://raw.githubusercontent.com/qwen-vl/qwen-vl/main/"
    for start in (f"{URL}/blob/main/", raw):
        if link.startswith(start):
            return ROOT / link.removeprefix(start).partition("#")[0]
    return None


@each_distribution
def test_readme_has_absolute_links_that_lead_somewhere(distribution: Distribution) -> None:
    links = find_links(read_readme(distribution))
    files = [file for link in links if (file := to_file(link))]

    assert [link for link in links if not link.startswith("https://")] == []
    assert files
    assert [file for file in files if not file.exists()] == []


@each_distribution
def test_license_is_in_the_folder_and_the_same(distribution: Distribution) -> None:
    assert distribution.project["license"] == "Apache-2.0"
    assert distribution.project["license-files"] == ["LICENSE"]
    assert (distribution.folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@each_distribution
def test_urls_lead_to_the_repository(distribution: Distribution) -> None:
    urls: dict[str, str] = distribution.project["urls"]
    changelog = distribution.folder / "CHANGELOG.md"

    assert list(urls) == ["Homepage", "Documentation", "Changelog", "Issues"]
    assert urls["Homepage"] == URL
    assert urls["Issues"] == f"{URL}/issues"
    assert to_file(urls["Changelog"]) == changelog
    assert "\n## [Unreleased]\n" in changelog.read_text(encoding="utf-8")
    documentation = to_file(urls["Documentation"])
    assert documentation.is_file() if documentation else urls["Documentation"] == f"{URL}#readme"


@each_distribution
def test_classifiers_name_the_pythons_that_are_tested(distribution: Distribution) -> None:
    named = re.findall(r":: (\d\.\d+)", " ".join(distribution.project["classifiers"]))

    assert named == PYTHONS
    assert distribution.project["requires-python"] == f">={PYTHONS[0]}"
    assert "Typing :: Typed" in distribution.project["classifiers"]
    assert distribution.project["authors"] == [{"name": "qwen-vl contributors"}]


def test_ci_has_the_pythons_that_are_named() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")

    assert sorted(re.findall(r"^ +(3\.\d+)$", workflow, re.MULTILINE)) == PYTHONS


def test_release_publishes_every_distribution_with_pinned_actions() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    published = publish["strategy"]["matrix"]["distribution"]
    actions = [step["uses"] for step in build["steps"] + publish["steps"] if "uses" in step]

    assert sorted(published) == sorted(each.name.replace("-", "_") for each in DISTRIBUTIONS)
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"] == "pypi"
    assert {"run": "make dist"} in build["steps"]
    assert [action for action in actions if not re.search(r"@[0-9a-f]{40}$", action)] == []
