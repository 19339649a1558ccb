"""Run by pytest where only `qwen-vl` is installed: it loads no plugin of ours."""

import pytest


def test_no_plugin_is_loaded(pytestconfig: pytest.Config) -> None:
    plugins = [str(plugin) for _, plugin in pytestconfig.pluginmanager.list_name_plugin()]

    assert [plugin for plugin in plugins if "qwen_vl" in plugin] == []


def test_fixture_is_not_there(request: pytest.FixtureRequest) -> None:
    with pytest.raises(pytest.FixtureLookupError):
        request.getfixturevalue("qwen_vl_sandbox")
