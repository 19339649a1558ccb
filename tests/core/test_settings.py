"""URLs, keys and parameters: what takes precedence over what."""

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from qwen_vl.content import Document, Frames, Image, Text, ToolResult, Turn, Url, Video
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.build import build_connection, build_media_policy, build_request
from qwen_vl.request.types import MediaOptions, apply_media_options
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.endpoints import explain_refused_key, find_url_region, resolve_base_url

BEIJING = "https://dashscope.aliyuncs.com/compatible-mode/v1"
SINGAPORE = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"
TURN = Turn(role="user", parts=(Text(text="Hello"),))


def resolve(
    environ: dict[str, str] | None = None,
    *,
    base_url: str | None = None,
    region: str | None = None,
    workspace: str | None = None,
) -> str:
    return resolve_base_url(
        base_url=base_url, region=region, workspace=workspace, environ=environ or {}
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Base URL page and OpenAI-Chat page, 2026-11-22.
        ({}, BEIJING),
        ({"region": "cn-beijing"}, BEIJING),
        ({"region": "ap-southeast-1"}, SINGAPORE),
        ({"region": "us-east-1"}, "https://dashscope-us.aliyuncs.com/compatible-mode/v1"),
        (
            {"region": "cn-hongkong"},
            "https://cn-hongkong.dashscope.aliyuncs.com/compatible-mode/v1",
        ),
        (
            {"region": "eu-central-1", "workspace": "ws1"},
            "https://ws1.eu-central-1.maas.aliyuncs.com/compatible-mode/v1",
        ),
        (
            {"workspace": "ws1"},
            "https://ws1.cn-beijing.maas.aliyuncs.com/compatible-mode/v1",
        ),
        ({"base_url": "http://localhost:8000/v1/"}, "http://localhost:8000/v1"),
        ({"base_url": BEIJING + "/chat/completions"}, BEIJING),
        ({"base_url": "https://dashscope.aliyuncs.com/api/v1"}, BEIJING),
        ({"base_url": "https://dashscope.aliyuncs.com"}, BEIJING),
        (
            {"base_url": "https://coding.dashscope.aliyuncs.com/v1"},
            "https://coding.dashscope.aliyuncs.com/v1",
        ),
    ],
)
def test_base_url_follows_region_workspace_and_address(
    values: dict[str, Any], expected: str
) -> None:
    assert resolve(**values) == expected


@pytest.mark.parametrize(
    ("environ", "values", "expected"),
    [
        ({"DASHSCOPE_COMPATIBLE_BASE_URL": SINGAPORE}, {}, SINGAPORE),
        ({"DASHSCOPE_API_BASE": SINGAPORE}, {}, SINGAPORE),
        ({"DASHSCOPE_BASE_URL": "https://dashscope-intl.aliyuncs.com"}, {}, SINGAPORE),
        ({"DASHSCOPE_HTTP_BASE_URL": "https://dashscope-intl.aliyuncs.com/api/v1"}, {}, SINGAPORE),
        ({"DASHSCOPE_REGION": "ap-southeast-1"}, {}, SINGAPORE),
        ({"DASHSCOPE_API_REGION": "ap-southeast-1"}, {}, SINGAPORE),
        (
            {"DASHSCOPE_WORKSPACE": "ws1", "DASHSCOPE_REGION": "ap-southeast-1"},
            {},
            "https://ws1.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1",
        ),
        # What the program says takes precedence over the environment.
        ({"DASHSCOPE_BASE_URL": SINGAPORE}, {"region": "cn-beijing"}, BEIJING),
        ({"DASHSCOPE_BASE_URL": SINGAPORE}, {"base_url": BEIJING}, BEIJING),
        ({"DASHSCOPE_REGION": "ap-southeast-1"}, {"region": "cn-beijing"}, BEIJING),
    ],
)
def test_environment_counts_where_the_program_says_nothing(
    environ: dict[str, str], values: dict[str, Any], expected: str
) -> None:
    assert resolve(environ, **values) == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"region": "mars-1"}, "cn-beijing"),
        ({"region": "eu-central-1"}, "workspace"),
        ({"base_url": "dashscope.aliyuncs.com"}, "https://"),
    ],
)
def test_address_that_cannot_be_is_refused_with_what_can(
    values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        resolve(**values)


def test_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        build_connection(QwenVLSettings())
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-env")

    assert build_connection(QwenVLSettings()).api_key == SecretStr("sk-env")
    assert build_connection(QwenVLSettings(api_key=SecretStr("sk-own"))).api_key == SecretStr(
        "sk-own"
    )


def test_key_may_be_text() -> None:
    made = QwenVLSettings(api_key="sk-own")
    copied = QwenVLSettings().model_copy(update={"api_key": "sk-own"})  # Not validated.

    assert made.api_key == SecretStr("sk-own")
    for settings in (made, copied):
        assert build_connection(settings).api_key == SecretStr("sk-own")


def test_blank_key_is_no_key() -> None:
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        build_connection(QwenVLSettings(api_key=SecretStr(" ")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 2},
        {"top_p": 0},
        {"top_logprobs": 6},
        {"presence_penalty": 3},
        {"fps": 0},
        {"fps": 11},
        {"fps": math.inf},
        {"fps": math.nan},
        {"fps": True},
        {"max_pixels": True},
        {"min_pixels": False},
        {"total_pixels": math.nan},
        {"max_pixels": 0},
        {"max_retries": -1},
        {"timeout": 0},
        {"reasoning_effort": "enormous"},
        {"media_roots": "/images"},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QwenVLSettings(**wrong)


def test_request_holds_what_was_set_and_nothing_else() -> None:
    request = build_request(QwenVLSettings(temperature=0.5, seed=7), [TURN], seed=8, stop=[])

    assert dict(request.parameters) == {"temperature": 0.5, "seed": 8}
    assert request.model == "qwen3-vl-plus"
    assert not request.stream


def test_stream_asks_for_its_usage_unless_told_otherwise() -> None:
    with_usage = build_request(QwenVLSettings(), [TURN], stream=True)
    without = build_request(QwenVLSettings(stream_usage=False), [TURN], stream=True)

    assert with_usage.parameters["stream_options"] == {"include_usage": True}
    assert "stream_options" not in without.parameters


@pytest.mark.parametrize(
    ("instance", "call"),
    [
        ({"thinking_budget": 100, "reasoning_effort": "low"}, {}),
        ({"thinking_budget": 100}, {"reasoning_effort": "low"}),
    ],
)
def test_budget_and_effort_exclude_each_other(
    instance: dict[str, Any], call: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="exclude each other"):
        build_request(QwenVLSettings(**instance), [TURN], **call)


def test_call_may_unset_what_the_instance_sets() -> None:
    settings = QwenVLSettings(thinking_budget=100)
    request = build_request(settings, [TURN], reasoning_effort="low", thinking_budget=None)

    assert dict(request.parameters) == {"reasoning_effort": "low"}


def test_knobs_reach_pictures_and_videos_that_bring_none() -> None:
    turn = Turn(
        role="user",
        parts=(
            Image(source=Url("https://e.org/a.png")),
            Image(source=Url("https://e.org/b.png"), max_pixels=1),
            Video(source=Url("https://e.org/c.mp4"), fps=4),
        ),
    )
    settings = QwenVLSettings(max_pixels=2, fps=1, total_pixels=3)
    first, second, video = build_request(settings, [turn], max_pixels=5).turns[0].parts

    assert first == Image(source=Url("https://e.org/a.png"), max_pixels=5)
    assert second == Image(source=Url("https://e.org/b.png"), max_pixels=1)
    assert video == Video(source=Url("https://e.org/c.mp4"), fps=4, max_pixels=5, total_pixels=3)


def test_policy_holds_folders_and_caps() -> None:
    settings = QwenVLSettings(media_roots=[Path("/a")], max_inline_bytes=5)

    assert build_media_policy(settings).media_roots == (Path("/a"),)
    assert build_media_policy(settings).max_inline_bytes == 5
    assert build_media_policy(QwenVLSettings()).media_roots is None


@pytest.mark.parametrize(
    "name",
    ["api_key", "base_url", "region", "media_roots", "max_inline_bytes", "max_retries"],
)
def test_setting_that_no_call_can_change_is_refused_there(name: str) -> None:
    # It would be sent in the body otherwise, the key too.
    with pytest.raises(ConfigurationError, match=f"^{name} cannot be set for one call"):
        build_request(QwenVLSettings(), [TURN], **{name: "sk-secret"})


@pytest.mark.parametrize("name", ["dashscope_api_key", "azure_api_key", "apikey"])
def test_key_under_another_name_is_never_sent_and_never_shown(name: str) -> None:
    with pytest.raises(ConfigurationError, match="looks like a secret") as of_call:
        build_request(QwenVLSettings(), [TURN], **{name: "sk-hidden"})
    with pytest.raises(ConfigurationError, match="looks like a secret") as of_instance:
        QwenVLSettings(model_kwargs={name: "sk-hidden"})

    assert "sk-hidden" not in f"{of_call.value}{of_instance.value}"


@pytest.mark.parametrize("key", ["sk-one\nsk-two", "sk-密钥", "sk\x00"], ids=ascii)
def test_key_that_no_header_can_hold_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="contains an invalid character") as caught:
        build_connection(QwenVLSettings(api_key=SecretStr(key)))

    assert "sk" not in str(caught.value)


def test_call_may_bring_model_kwargs_and_stream_usage() -> None:
    settings = QwenVLSettings(model_kwargs={"user": "ann", "enable_search": True})
    with pytest.warns(UserWarning, match="'speed' is not a parameter"):
        request = build_request(
            settings,
            [TURN],
            stream=True,
            stream_usage=False,
            model_kwargs={"user": "bob", "speed": 2},
        )

    assert dict(request.parameters) == {"user": "bob", "enable_search": True, "speed": 2}


@pytest.mark.parametrize("wrong", [{"n": 2}, {"extra_body": {"stream": True}}], ids=str)
def test_answer_of_another_form_than_is_read_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        build_request(QwenVLSettings(), [TURN], **wrong)


def test_folders_are_kept_as_text_for_dumps() -> None:
    assert QwenVLSettings(media_roots=[Path("/a"), "/b"]).media_roots == ["/a", "/b"]


def test_rates_beyond_the_service_s_are_other_servers_own() -> None:
    assert QwenVLSettings(server="vllm", fps=24).fps == 24
    assert QwenVLSettings(server="ollama", fps=0.05).fps == 0.05
    with pytest.raises(ValidationError, match=r"fps must be from 0\.1 to 10 at the hosted service"):
        QwenVLSettings(fps=24)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        # OpenAI-Chat page, 2026-10; Native-API page, 2026-09.
        ("temperature", (0, 1.999), (-0.001, 2)),
        ("top_p", (0.001, 1), (0, 1.001)),
        ("top_k", (0, 101), (-1,)),
        ("seed", (0, 2**31 - 1), (-1,)),
        ("presence_penalty", (-2, 2), (-2.001, 2.001)),
        ("repetition_penalty", (0.001,), (0,)),
        ("top_logprobs", (0, 5), (-1, 6)),
        ("max_tokens", (1,), (0,)),
        ("max_completion_tokens", (1,), (0,)),
        ("thinking_budget", (1,), (0,)),
        ("min_pixels", (1,), (0,)),
        ("max_pixels", (1,), (0,)),
        ("total_pixels", (1,), (0,)),
        ("max_inline_bytes", (1,), (0,)),
        ("max_total_inline_bytes", (1,), (0,)),
        ("max_decode_memory", (1,), (0,)),
        ("pdf_dpi", (20, 600), (19.9, 600.1)),
        ("pdf_max_pages", (1,), (0,)),
        ("max_retries", (0,), (-1,)),
    ],
)
def test_range_of_a_setting(
    name: str, inside: tuple[float, ...], outside: tuple[float, ...]
) -> None:
    for value in inside:
        assert getattr(QwenVLSettings(**{name: value}), name) == value
    for value in outside:
        with pytest.raises(ValidationError, match=name):
            QwenVLSettings(**{name: value})


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", "cn-beijing"),
        ("https://dashscope-intl.aliyuncs.com/api/v1", "ap-southeast-1"),
        ("https://batch.dashscope.aliyuncs.com/compatible-mode/v1", "cn-beijing"),
        ("https://ws1.eu-central-1.maas.aliyuncs.com/api/v1", "eu-central-1"),
        ("https://ws1.mars-1.maas.aliyuncs.com/api/v1", None),
        ("https://eu-central-1/v1", None),
        ("https://ws1.eu-central-1.maas.aliyuncs.com.example.com/v1", None),
        ("http://localhost:8000/v1", None),
        ("", None),
    ],
)
def test_region_of_a_url(url: str, region: str | None) -> None:
    assert find_url_region(url) == region


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (BEIJING, "This host accepts only keys of the region cn-beijing: pass region=…"),
        (
            "https://ws1.eu-central-1.maas.aliyuncs.com/compatible-mode/v1",
            (
                "This host accepts only keys of the workspace ws1 in eu-central-1: pass region=… "
                "and workspace=…"
            ),
        ),
        (
            "https://proxy.example.com/compatible-mode/v1",
            "Keys belong to a region: check that it is that of the URL.",
        ),
        ("http://localhost:8000/v1", ""),
    ],
)
def test_why_a_host_refuses_a_key(url: str, why: str) -> None:
    expected = f"{why} for another." if "region=" in why else why
    assert explain_refused_key(url) == expected


def test_media_options_hold_where_a_part_says_nothing() -> None:
    url = Url("https://example.com/a")
    options = MediaOptions(min_pixels=1, max_pixels=2, total_pixels=3, fps=0.5, enable_rotate=True)
    parts = (
        Text(text="a"),
        Image(source=url),
        Image(source=url, min_pixels=7, max_pixels=8, enable_rotate=False),
        Document(source=url, max_pixels=8),
        Video(source=url, fps=4),
        Video(source=Frames((url, url)), timestamps=[0, 1]),
        ToolResult(tool_call_id="a", parts=(Image(source=url),)),
    )
    (turn,) = apply_media_options((Turn(role="user", parts=parts),), options)
    assert turn.parts == (
        Text(text="a"),
        Image(source=url, min_pixels=1, max_pixels=2, enable_rotate=True),
        Image(source=url, min_pixels=7, max_pixels=8, enable_rotate=False),
        Document(source=url, min_pixels=1, max_pixels=8),
        Video(source=url, fps=4, min_pixels=1, max_pixels=2, total_pixels=3),
        Video(
            source=Frames((url, url)),
            timestamps=[0, 1],
            min_pixels=1,
            max_pixels=2,
            total_pixels=3,
        ),
        ToolResult(
            tool_call_id="a",
            parts=(Image(source=url, min_pixels=1, max_pixels=2, enable_rotate=True),),
        ),
    )
    turns = (Turn(role="user", parts=parts),)
    assert apply_media_options(turns, MediaOptions()) is turns
