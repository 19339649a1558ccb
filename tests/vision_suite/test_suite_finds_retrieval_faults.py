"""The suites for embedding models and rerankers pass what is right, and find what is not."""

import re

import pytest
import retrieval_models  # noqa: F401 - loaded here once, and not by every inner run.

import llama_index_vision_tests  # noqa: F401

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.slow

INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""

SUITE = """
import asyncio
import pytest
from llama_index_vision_tests import *
from retrieval_models import *


@pytest.fixture(autouse=True)
def loop():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


class Model:
    embedding_class = {subject}
    embedding_params = {{"api_key": "sk-0123456789"}}
    embeds_nodes = True

    @pytest.fixture
    def failing_embed_model(self):
        return self.embedding_class(fails=True)

    @pytest.fixture
    def short_embed_model(self):
        return self.embedding_class(is_short=True)


class Reranker:
    rerank_class = {subject}
    rerank_params = {{"api_key": "sk-0123456789"}}
    sees_images = True

    @pytest.fixture
    def failing_reranker(self):
        return self.rerank_class(fails=True)


{classes}
"""
EMBEDDING = {"Model": ("EmbeddingUnitTests", "VisionEmbeddingTests")}
RERANK = {"Reranker": ("RerankUnitTests", "VisionRerankTests")}

FAULTS_OF_MODELS: dict[str, set[str]] = {
    "NamesNoModel": {"test_model_name_is_known"},
    "ShowsKeyOfEmbedding": {"test_secret_is_not_shown"},
    "PutsKeyIntoPayload": {
        "test_events_come_once",
        "test_payload_names_the_model_and_no_secret",
    },
    "TakesAnyOptionOfEmbedding": {"test_unknown_argument_is_refused"},
    "HasNameOfCore": {"test_class_name_is_its_own"},
    "HoldsALockOfEmbedding": {"test_copy_of_used_model_works", "test_deepcopy"},
    "KeepsItsFirstLoopOfEmbedding": {"test_survives_its_event_loop"},
    "AnswersFailuresWithEmptyVectors": {
        "test_failure_is_raised",
        "test_missing_vector_is_raised",
        "test_what_is_no_image_is_refused",
    },
    "FillsMissingVectors": {"test_missing_vector_is_raised"},
    "LosesWhatIsBeyondARequest": {"test_batch_keeps_order", "test_batch_of_images_keeps_order"},
    "ReversesBatches": {
        "test_batch_keeps_order",
        "test_batch_of_images_keeps_order",
        "test_index_finds_text",
        "test_multi_modal_index_finds_image",
    },
    "ReadsTextsAsPaths": {"test_missing_vector_is_raised", "test_text_is_no_path"},
    "ReadsNoOpenFiles": {
        "test_open_file_is_the_same_image",
        "test_what_is_no_image_is_refused",
    },
    "EmbedsNamesOfImages": {
        "test_batch_of_images_keeps_order",
        "test_multi_modal_index_finds_image",
        "test_text_finds_image",
        "test_what_is_no_image_is_refused",
    },
    "HasOtherVectorsInAsync": {"test_async_gives_the_same"},
    "HasShorterQueries": {
        "test_index_finds_text",
        "test_multi_modal_index_finds_image",
        "test_text_finds_image",
        "test_text_is_no_path",
        "test_vectors_are_of_one_length",
    },
    "GivesWholeNumbers": {"test_async_gives_the_same", "test_vectors_are_of_one_length"},
    "EmbedsOnlyTextOfNodes": {"test_nodes_are_embedded_with_their_images"},
    "ReportsNothingOfEmbeddings": {"test_callbacks_come_once", "test_events_come_once"},
}
"""Each faulty embedding model, and the tests that find its fault."""

FAULTS_OF_RERANKERS: dict[str, set[str]] = {
    "ShowsKeyOfRerank": {"test_secret_is_not_shown"},
    "TakesAnyOptionOfRerank": {"test_unknown_argument_is_refused"},
    "HoldsALockOfRerank": {"test_copy_of_used_reranker_works", "test_deepcopy"},
    "KeepsOldScores": {"test_relevant_text_comes_first"},
    "KeepsOldOrder": {"test_relevant_image_comes_first", "test_relevant_text_comes_first"},
    "SetsScoresOfOthers": {"test_nodes_are_not_changed"},
    "GivesNodesOtherIds": {
        "test_relevant_image_comes_first",
        "test_relevant_text_comes_first",
    },
    "KeepsAll": {"test_number_of_nodes_is_bounded"},
    "RanksOnlyText": {"test_relevant_image_comes_first", "test_what_is_no_image_is_refused"},
    "LeavesOutImages": {
        "test_relevant_image_comes_first",
        "test_texts_and_images_are_ranked_together",
        "test_what_is_no_image_is_refused",
    },
    "AnswersFailuresWithOldOrder": {
        "test_failure_is_raised",
        "test_what_is_no_image_is_refused",
    },
    "FailsWithoutNodes": {"test_no_nodes"},
    "ReportsNothingOfRankings": {"test_events_come_once"},
    "ReportsAnotherModel": {"test_events_come_once"},
}
"""Each faulty reranker, and the tests that find its fault."""


@pytest.fixture
def bench(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder in which suites can be run."""
    pytester.makeini(INI)
    # Nor does the suite need any other plugin; loading them takes longer than the tests.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def run(
    bench: pytest.Pytester, subject: str, suites: dict[str, tuple[str, ...]], settings: str = "pass"
) -> tuple[pytest.RunResult, set[str]]:
    """Run suites, and give the names of the tests that fail."""
    classes = [
        f"class Test{suite}({own}, {suite}):\n    {settings}\n"
        for own, names in suites.items()
        for suite in names
    ]
    bench.makepyfile(test_it=SUITE.format(subject=subject, classes="\n".join(classes)))
    result = bench.runpytest_inprocess("-rfEs", "-p", "pytest_asyncio.plugin")
    found = re.findall(r"^(?:FAILED|ERROR) [\w.]+::\w+::(\w+)", result.stdout.str(), re.MULTILINE)
    return result, set(found)


@pytest.mark.parametrize(
    ("subject", "suites", "n_passed"),
    [("ReferenceEmbedding", EMBEDDING, 45), ("ReferenceRerank", RERANK, 30)],
)
def test_correct_class_passes(
    bench: pytest.Pytester, subject: str, suites: dict[str, tuple[str, ...]], n_passed: int
) -> None:
    result, failed = run(bench, subject, suites)

    outcomes = result.parseoutcomes()
    assert failed == set()
    assert outcomes["passed"] >= n_passed
    assert "skipped" not in outcomes


@pytest.mark.parametrize("subject", FAULTS_OF_MODELS)
def test_fault_of_an_embedding_model_is_found(subject: str, bench: pytest.Pytester) -> None:
    _, failed = run(bench, subject, EMBEDDING)
    assert failed == FAULTS_OF_MODELS[subject]


@pytest.mark.parametrize("subject", FAULTS_OF_RERANKERS)
def test_fault_of_a_reranker_is_found(subject: str, bench: pytest.Pytester) -> None:
    _, failed = run(bench, subject, RERANK)
    assert failed == FAULTS_OF_RERANKERS[subject]


@pytest.mark.parametrize(
    ("settings", "subject", "suites", "reason"),
    [
        ("sees_images = False", "ReferenceEmbedding", EMBEDDING, "sees_images is False"),
        ("embeds_nodes = False", "ReferenceEmbedding", EMBEDDING, "embeds_nodes is False"),
        ("understands = False", "ReferenceEmbedding", EMBEDDING, "understands is False"),
        ("secret = None", "ReferenceEmbedding", EMBEDDING, "secret is None"),
        (
            "failing_embed_model = EmbeddingSuite.failing_embed_model",
            "ReferenceEmbedding",
            EMBEDDING,
            "failing_embed_model is None",
        ),
        (
            "short_embed_model = EmbeddingSuite.short_embed_model",
            "ReferenceEmbedding",
            EMBEDDING,
            "short_embed_model is None",
        ),
        ("sees_images = False", "ReferenceRerank", RERANK, "sees_images is False"),
        ("understands = False", "ReferenceRerank", RERANK, "understands is False"),
        (
            "failing_reranker = RerankSuite.failing_reranker",
            "ReferenceRerank",
            RERANK,
            "failing_reranker is None",
        ),
    ],
)
def test_flag_skips_with_a_reason(
    settings: str,
    subject: str,
    suites: dict[str, tuple[str, ...]],
    reason: str,
    bench: pytest.Pytester,
) -> None:
    result, failed = run(bench, subject, suites, settings)

    result.stdout.fnmatch_lines([f"SKIPPED*{reason}*"])
    assert failed == set()
