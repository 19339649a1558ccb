"""Names that are imported when they are asked for."""

from importlib import import_module
from importlib.metadata import version

import pytest

import qwen_vl


@pytest.mark.parametrize(
    "package",
    ["qwen_vl", "langchain_qwen_vl", "llama_index.llms.qwen_vl", "qwen_vl_sandbox"],
)
def test_each_public_name_is_there_and_no_other(package: str) -> None:
    module = import_module(package)

    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nothing'"):
        module.Nothing  # noqa: B018 - it raises.


def test_version_is_the_distribution_s() -> None:
    assert qwen_vl.__version__ == version("qwen-vl")
