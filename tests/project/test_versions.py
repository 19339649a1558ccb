"""One version for all distributions: in their metadata, in the pins between them, at run time."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest

from distributions import FOLDERS, ROOT, normalize_name, read_distributions
from version import find_version, replace_version

DISTRIBUTIONS = read_distributions()
NAMES = {normalize_name(each.name) for each in DISTRIBUTIONS}
CURRENT = find_version(DISTRIBUTIONS)


def test_every_distribution_is_known() -> None:
    files = {*ROOT.glob("pyproject.toml"), *ROOT.glob("integrations/*/pyproject.toml")}

    assert {folder / "pyproject.toml" for folder in FOLDERS} == files


def test_versions_agree_with_what_is_installed() -> None:
    installed = {each.name: version(each.name) for each in DISTRIBUTIONS}

    assert installed == dict.fromkeys(installed, CURRENT)


@pytest.mark.parametrize("package", ["qwen_vl", "langchain_qwen_vl", "llama_index.llms.qwen_vl"])
def test_version_attribute_agrees(package: str) -> None:
    assert import_module(package).__version__ == CURRENT


def test_pins_between_distributions_are_compatible_releases() -> None:
    pins = [
        requirement
        for each in DISTRIBUTIONS
        for requirement in each.requirements
        # An extra that names others of its own distribution needs no pin.
        if normalize_name(requirement) in NAMES - {each.name}
    ]

    assert len(pins) == 4
    assert [pin for pin in pins if not pin.endswith(f"~={CURRENT}")] == []


def test_version_is_replaced_with_its_pins_and_nothing_else() -> None:
    text = """
[project]
version = "0.1.0"
dependencies = ["qwen-vl[openai]~=0.1.0", "qwen-vl-sandbox==0.1.0", "pillow~=0.1.0"]
cli = ["qwen-vl[upload]", "qwen-vl-extras~=0.1.0"]
"""
    expected = """
[project]
version = "0.2.0rc1"
dependencies = ["qwen-vl[openai]~=0.2.0rc1", "qwen-vl-sandbox~=0.2.0rc1", "pillow~=0.1.0"]
cli = ["qwen-vl[upload]", "qwen-vl-extras~=0.1.0"]
"""

    assert replace_version(text, "0.2.0rc1", ["qwen-vl", "qwen-vl-sandbox"]) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--is", "v99.0.0"], f"The tag is v99.0.0, the version is {CURRENT}"),
        (["1.0"], "'1.0' is not a version"),
        (["--help"], "python tools/version.py 0.2.0"),
    ],
)
def test_wrong_arguments_change_nothing(arguments: list[str], said: str) -> None:
    command = [sys.executable, str(ROOT / "tools/version.py"), *arguments]
    done = subprocess.run(command, capture_output=True, check=False, text=True)

    assert done.returncode == 1
    assert said in done.stderr
    assert find_version(read_distributions()) == CURRENT


def test_tag_of_the_version_passes() -> None:
    command = [sys.executable, str(ROOT / "tools/version.py"), "--is", f"v{CURRENT}"]

    assert subprocess.run(command, check=False).returncode == 0
