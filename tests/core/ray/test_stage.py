"""Batches answered by the stage itself, without a cluster."""

import asyncio
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwen_vl.bulk import Budget, Job
from qwen_vl.bulk.parts import PartLedger
from qwen_vl.errors import AnswerFormatError, AuthenticationError, ConfigurationError
from qwen_vl.ray import QwenVLStage
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

arrow: Any = pytest.importorskip("pyarrow", reason='needs: pip install "qwen-vl[ray]"')

OUTCOMES = [
    *("answer", "error_code", "error_message", "model", "input_tokens", "output_tokens"),
    *("image_tokens", "finish_reason", "request_id", "seconds", "n_attempts", "key"),
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (32, 32), (number, 0, 9)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def make_job(qwen_vl_sandbox: Sandbox, photos: Path) -> Callable[..., Job]:
    def make(prompt: str = "What is this?", **options: Any) -> Job:
        settings = QwenVLSettings(
            base_url=qwen_vl_sandbox.base_url, api_key="sk-any", media_roots=[photos]
        )
        return Job(settings=settings, prompt=prompt, **options)

    return make


def answer(stage: QwenVLStage, *batches: Any) -> list[dict[str, Any]]:
    async def main() -> list[dict[str, Any]]:
        rows = []
        for batch in batches:
            async for table in stage(batch):
                rows += table.to_pylist()
        return rows

    return asyncio.run(main())


def make_table(**columns: Any) -> Any:
    return arrow.table(columns)


def test_rows_keep_their_columns_and_get_outcomes(
    make_job: Callable[..., Job], photos: Path, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    table = make_table(
        image=["0.png", str(photos / "1.png"), "https://example.com/a.png"],
        name=["a", "b", "c"],
        size=arrow.array([1, None, 3], arrow.int8()),
    )
    stage = QwenVLStage(make_job("Who is {name}?"), store=tmp_path / "store")

    rows = answer(stage, table)

    assert [list(row) for row in rows] == [["image", "name", "size", *OUTCOMES]] * 3
    assert [row["size"] for row in rows] == [1, None, 3]
    for row in rows:
        assert f'"Who is {row["name"]}?"' in row["answer"]
        assert (row["error_code"], row["finish_reason"], row["n_attempts"]) == (None, "stop", 1)
        assert row["input_tokens"] > 0
    assert len({row["key"] for row in rows}) == 3
    assert qwen_vl_sandbox.n_requests == 3


def test_types_do_not_depend_on_what_is_there(
    make_job: Callable[..., Job], tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    stage = QwenVLStage(make_job(), store=None)
    qwen_vl_sandbox.fail(status=400)

    async def main() -> list[Any]:
        tables = [table async for table in stage(make_table(image=["0.png"]))]
        return tables + [table async for table in stage(make_table(image=["1.png"]))]

    failed, answered = asyncio.run(main())

    assert failed.schema == answered.schema
    assert failed.to_pylist()[0]["error_code"] == "invalid_parameter_error"
    assert failed.to_pylist()[0]["answer"] is None


def test_errors_are_data(make_job: Callable[..., Job], photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_text("no image")
    table = make_table(image=["0.png", "broken.png", "gone.png", "/etc/passwd", "1.png"])
    stage = QwenVLStage(make_job(), store=tmp_path / "store")

    rows = answer(stage, table)

    assert [row["error_code"] for row in rows] == [
        None,
        "MediaFormatError",
        "MediaNotFoundError",
        "MediaAccessError",
        None,
    ]
    assert "no image" not in rows[1]["error_message"]
    assert [row["key"] is None for row in rows] == [False, False, True, True, False]
    assert [row["answer"] is None for row in rows] == [False, True, True, True, False]


def test_what_was_answered_is_not_asked_again(
    make_job: Callable[..., Job], tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=400)
    table = make_table(image=["0.png", "1.png", "1.png"])
    first = answer(QwenVLStage(make_job(), store=tmp_path, budget=Budget(max_concurrency=1)), table)
    # As Ray does with a batch whose worker was lost, in another process.
    stage = QwenVLStage(make_job(), store=tmp_path)
    again = answer(stage, table, table)

    assert again == first * 2
    assert qwen_vl_sandbox.n_requests == 2
    assert sum(row["error_code"] is not None for row in first) in {1, 2}
    retried = answer(QwenVLStage(make_job(), store=tmp_path, retry_failed=True), table)
    assert [row["error_code"] for row in retried] == [None] * 3
    assert qwen_vl_sandbox.n_requests == 3
    with PartLedger(tmp_path) as ledger:
        assert len(ledger) == 2
    answer(QwenVLStage(make_job("Another?"), store=tmp_path), table)
    assert qwen_vl_sandbox.n_requests == 5


def test_answers_by_a_schema_are_json_text(
    make_job: Callable[..., Job], tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script('{"legs": 4, "名": "猫"}')
    schema = {"type": "object", "properties": {"legs": {"type": "integer"}}}
    stage = QwenVLStage(make_job(schema=schema), answers="animal", store=tmp_path)

    (row,) = answer(stage, make_table(image=["0.png"]))

    assert json.loads(row["animal"]) == {"legs": 4, "名": "猫"}
    assert "answer" not in row


def test_columns_with_the_same_names_are_replaced(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    table = make_table(image=["0.png"], key=["mine"], answer=[5])

    (row,) = answer(QwenVLStage(make_job(), store=tmp_path), table)

    assert isinstance(row["answer"], str)
    assert row["key"] != "mine"


def test_several_images_and_none(
    make_job: Callable[..., Job], tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    table = make_table(photos=[["0.png", "1.png"], [], None])
    stage = QwenVLStage(make_job(), column="photos", store=tmp_path)

    rows = answer(stage, table)

    assert [row["error_code"] for row in rows] == [None] * 3
    contents = [request.json["messages"][0]["content"] for request in qwen_vl_sandbox.requests]
    assert sorted(len(content) for content in contents if isinstance(content, list)) == [3]
    # The two without an image ask the same.
    assert qwen_vl_sandbox.n_requests == 2


@pytest.mark.parametrize("column", ["image", "name"])
def test_missing_column_ends_the_job(
    make_job: Callable[..., Job], tmp_path: Path, column: str
) -> None:
    columns = {"image": ["0.png"], "name": ["a"], "other": [1]}
    del columns[column]
    stage = QwenVLStage(make_job("Is it {name}?"), store=tmp_path)

    with pytest.raises(ConfigurationError, match=f"lacks the column '{column}'. Its columns: "):
        answer(stage, make_table(**columns))


def test_refused_key_ends_the_job(
    make_job: Callable[..., Job], tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=401, times=5)
    with pytest.raises(AuthenticationError):
        answer(QwenVLStage(make_job(), store=tmp_path), make_table(image=["0.png"]))


def test_too_many_failures_end_the_job(
    make_job: Callable[..., Job], tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    stage = QwenVLStage(make_job(), store=tmp_path, max_error_rate=0.1)
    with pytest.raises(AnswerFormatError, match="50 of 50 rows failed"):
        answer(stage, make_table(image=["gone.png"] * 60))


def test_wrong_settings_raise_at_once(make_job: Callable[..., Job], tmp_path: Path) -> None:
    job = pickle.loads(pickle.dumps(make_job()))
    with pytest.raises(ConfigurationError, match="No API key"):
        QwenVLStage(job, store=tmp_path)
    with pytest.raises(ConfigurationError, match="max_attempts"):
        QwenVLStage(make_job(), store=tmp_path, max_attempts=0)


def test_budget_of_each_worker_can_be_pickled(make_job: Callable[..., Job], tmp_path: Path) -> None:
    budget = pickle.loads(pickle.dumps(Budget(rpm=60_000, warm_up=0)))
    stage = QwenVLStage(make_job(), store=tmp_path, budget=budget)
    assert len(answer(stage, make_table(image=["0.png", "1.png"]))) == 2


def test_other_formats_of_batches(make_job: Callable[..., Job], tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas", reason='needs: pip install "qwen-vl[ray]"')
    columns = {"image": numpy.array(["0.png", "1.png"]), "size": numpy.array([1, 2])}
    stage = QwenVLStage(make_job(), store=tmp_path)

    rows = answer(stage, columns, pandas.DataFrame(columns))

    assert [row["size"] for row in rows] == [1, 2, 1, 2]
    assert [list(row) for row in rows] == [["image", "size", *OUTCOMES]] * 4
    for wrong in ({"image": numpy.zeros((2, 2, 3))}, ["0.png"]):
        with pytest.raises(ConfigurationError, match='Pass batch_format="pyarrow"'):
            answer(stage, wrong)
