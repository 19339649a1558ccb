"""The conformance suite passes what is right, and finds what is not, by the tests meant for it."""

import re
from pathlib import Path

import faulty_llms  # noqa: F401 - loaded here once, as the others, and not by every inner run.
import pytest
import reference_llm  # noqa: F401
import subject  # noqa: F401

import llama_index_vision_tests  # noqa: F401

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2] / "integrations/llama-index-vision-tests"

INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""

SUITE = """
from faulty_llms import *
from llama_index_vision_tests import *
from reference_llm import ReferenceLLM
from subject import Subject

{classes}
"""

FAULTS: dict[str, tuple[str, set[str]]] = {
    "DropsPictures": (
        "LLMMediaTests LLMStructuredTests",
        {
            "test_image_alone",
            "test_image_format",
            "test_image_from",
            "test_image_from_open_file",
            "test_image_from_url",
            "test_image_is_seen",
            "test_image_of_an_earlier_turn",
            "test_image_of_memory",
            "test_image_of_memory_buffer",
            "test_image_of_prompt_is_seen",
            "test_image_of_prompt_template",
            "test_image_of_stored_message",
            "test_images_keep_their_order",
            "test_structured_llm_sees_image",
            "test_video_beside_image",
            "test_what_is_no_image_is_refused",
        },
    ),
    "DropsPicturesOfTools": (
        "LLMToolTests LLMAgentTests",
        {"test_agent_sees_image_of_tool", "test_image_of_result_is_seen"},
    ),
    "ReversesBlocks": ("LLMMediaTests", {"test_images_keep_their_order"}),
    "ReadsOnlyTheLastMessage": (
        "LLMMediaTests LLMAgentTests LLMStructuredTests",
        {
            "test_agent_remembers_image",
            "test_image_of_an_earlier_turn",
            "test_system_message_of_prompt_is_sent",
            "test_system_prompt_is_sent",
        },
    ),
    "Downloads": (
        "LLMMediaTests",
        {"test_url_is_left_to_the_service", "test_video_from_url"},
    ),
    "ShowsKey": ("LLMUnitTests LLMEventTests", {"test_secret_is_not_shown"}),
    "TakesAnyOption": ("LLMUnitTests", {"test_unknown_argument_is_refused"}),
    "ChangesMessages": ("LLMChatTests LLMMediaTests", {"test_messages_are_not_changed"}),
    "RepeatsDeltas": (
        "LLMChatTests LLMThinkingTests",
        {
            "test_chat_deltas_add_up",
            "test_chat_message_is_cumulative",
            "test_complete_deltas_add_up",
            "test_complete_text_is_cumulative",
            "test_thoughts_stream_apart",
        },
    ),
    "GivesPiecesAsMessages": (
        "LLMChatTests",
        {
            "test_answer_can_be_sent_again",
            "test_chat_answers",
            "test_chat_deltas_add_up",
            "test_chat_message_is_cumulative",
            "test_complete_answers",
            "test_complete_deltas_add_up",
            "test_complete_takes_formatted",
            "test_complete_text_is_cumulative",
        },
    ),
    "GivesAllAtOnce": ("LLMChatTests", {"test_stream_comes_in_pieces"}),
    "ReusesItsMessage": (
        "LLMChatTests",
        {"test_chat_message_is_cumulative", "test_chunks_stay_as_they_were"},
    ),
    "CountsCompletionsTwice": (
        "LLMEventTests",
        {"test_callbacks_come_once", "test_events_come_once", "test_usage_is_counted"},
    ),
    "TellsNobody": (
        "LLMEventTests",
        {
            "test_callbacks_come_once",
            "test_callbacks_of_tools_come_once",
            "test_events_come_once",
            "test_events_have_no_secret",
            "test_usage_is_counted",
        },
    ),
    "LosesUsageInStreams": (
        "LLMEventTests LLMMediaTests",
        {
            # Without the usage, LlamaIndex downloads the image to estimate its tokens.
            "test_url_is_left_to_the_service",
            "test_image_costs_tokens",
            "test_same_question_costs_the_same",
            "test_usage_is_counted",
        },
    ),
    "AnswersFailuresWithNothing": (
        "LLMFailureTests LLMEngineTests",
        {"test_failure_is_no_answer", "test_failure_is_raised"},
    ),
    "FailsWithValueError": (
        "LLMFailureTests LLMEngineTests",
        {"test_failure_is_no_answer", "test_failure_is_raised"},
    ),
    "EndsBrokenStreams": (
        "LLMFailureTests LLMEventTests",
        {"test_broken_stream_ends_its_event", "test_broken_stream_is_raised"},
    ),
    "HidesCallsFromKwargs": (
        "LLMToolTests LLMStructuredTests",
        {
            "test_call_stands_in_both_fields",
            "test_streamed_object_is_whole_at_last",
            "test_structured_llm_sees_image",
            "test_structured_stream_is_whole_at_last",
        },
    ),
    "KeepsObjectsInKwargs": ("LLMToolTests", {"test_call_can_be_stored", "test_result_is_used"}),
    "ForcesNoTool": (
        "LLMUnitTests LLMToolTests",
        {"test_prepare_takes_tool_required", "test_required_tool_is_called"},
    ),
    "CallsEveryTool": ("LLMToolTests", {"test_one_call_if_not_parallel"}),
    "AppendsToHistory": ("LLMToolTests", {"test_history_is_not_changed"}),
    "ForgetsSystemPromptInAsync": ("LLMStructuredTests", {"test_system_prompt_is_sent"}),
    "SaysItsThoughts": ("LLMThinkingTests", {"test_thoughts_are_a_block"}),
    "HoldsALock": ("LLMChatTests", {"test_copy_of_used_llm_answers"}),
    "KeepsItsFirstLoop": ("LLMChatTests", {"test_survives_its_event_loop"}),
}
"""Each faulty LLM: the test classes it is put to, and the tests that find its fault."""


@pytest.fixture
def bench(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder in which suites can be run."""
    pytester.makeini(INI)
    # Nor does the suite need any other plugin; loading them takes longer than the tests.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def _run(
    bench: pytest.Pytester, llm: str, suites: str, settings: str = "pass"
) -> tuple[pytest.RunResult, set[str]]:
    """Run suites, and give the names of the tests that fail."""
    classes = [
        f"class Test{suite}(Subject, {suite}):\n    llm_class = {llm}\n    {settings}\n"
        for suite in suites.split()
    ]
    bench.makepyfile(test_it=SUITE.format(classes="\n".join(classes)))
    result = bench.runpytest_inprocess("-rfEs", "-p", "pytest_asyncio.plugin")
    found = re.findall(r"^(?:FAILED|ERROR) [\w.]+::\w+::(\w+)", result.stdout.str(), re.MULTILINE)
    return result, set(found)


def test_correct_llm_passes(bench: pytest.Pytester) -> None:
    result, failed = _run(bench, "ReferenceLLM", "LLMUnitTests VisionLLMTests")

    outcomes = result.parseoutcomes()
    assert failed == set()
    assert outcomes["passed"] > 250
    # That of LLMs that take no videos.
    assert outcomes["skipped"] == 1


@pytest.mark.parametrize("llm", FAULTS)
def test_fault_is_found(llm: str, bench: pytest.Pytester) -> None:
    suites, expected = FAULTS[llm]

    _, failed = _run(bench, llm, suites)

    assert failed == expected


def test_dropped_video_is_found(bench: pytest.Pytester) -> None:
    _, failed = _run(bench, "DropsVideos", "LLMMediaTests", "supports_video = False")

    assert failed == {"test_video_is_not_left_out"}


@pytest.mark.parametrize(
    ("settings", "suite", "reason"),
    [
        ("supports_video = False", "LLMEngineTests", "supports_video is False"),
        ("supports_tools = False", "LLMToolTests", "supports_tools is False"),
        ("supports_parallel_tool_calls = False", "LLMToolTests", "supports_parallel_tool_calls is"),
        ("supports_tool_images = False", "LLMAgentTests", "supports_tool_images is False"),
        ("supports_structured_output = False", "LLMStructuredTests", "supports_structured_output"),
        ("thinking_params = None", "LLMThinkingTests", "thinking_params is None"),
        ("returns_usage = False", "LLMEventTests", "returns_usage is False"),
        ("reads_io_objects = False", "LLMMediaTests", "reads_io_objects is False"),
        ("image_formats = ('PNG',)", "LLMMediaTests", "WEBP is not in image_formats"),
        ("fetches_urls = True", "LLMMediaTests", "fetches_urls is True"),
        ("service_reaches_localhost = False", "LLMMediaTests", "red_image_url is None"),
        ("secret = None", "LLMUnitTests", "secret is None"),
        ("failing_llm = LLMSuite.failing_llm", "LLMFailureTests", "failing_llm is None"),
        ("breaking_llm = LLMSuite.breaking_llm", "LLMFailureTests", "breaking_llm is None"),
    ],
    ids=lambda value: value.partition(" ")[0],
)
def test_flag_skips_with_a_reason(
    settings: str, suite: str, reason: str, bench: pytest.Pytester
) -> None:
    result, failed = _run(bench, "ReferenceLLM", suite, settings)

    assert result.parseoutcomes()["skipped"] >= 1
    result.stdout.fnmatch_lines([f"SKIPPED*{reason}*"])
    assert failed == set()


def test_suite_knows_no_particular_llm() -> None:
    files = [file for kind in ("*.py", "*.md", "*.toml") for file in PROJECT.rglob(kind)]
    # Where it is developed, and by whom, is no knowledge of an LLM.
    home = re.compile(r"https://github\.com/qwen-vl/qwen-vl\S*|qwen-vl contributors")
    texts = {file.name: home.sub("", file.read_text()) for file in files}
    named = [name for name, text in texts.items() if re.search("(?i)qwen|dashscope", text)]

    assert len(files) > 10
    assert named == []
