"""Batch jobs by files: uploads, jobs and their results, over real HTTP."""

import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import openai
import orjson
import pytest

from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import BatchFault, Sandbox
from qwen_vl_sandbox.batches import lines as lines_module
from qwen_vl_sandbox.batches.lines import check_lines
from qwen_vl_sandbox.http import files as files_module
from qwen_vl_sandbox.http.forms import FormLimits
from qwen_vl_sandbox.rate_limits import CallRates
from qwen_vl_sandbox.specs.batches import CALLS

CHAT = "/v1/chat/completions"
TEST = "/v1/chat/ds-test"
FINAL = {"completed", "failed", "expired", "cancelled"}
STAMPS = (
    *("in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at"),
    *("expired_at", "cancelling_at", "cancelled_at"),
)
Line = dict[str, Any]


def make_line(
    custom_id: str, text: str = "Hi", url: str = CHAT, model: str = "qwen3.7-plus", **body: Any
) -> Line:
    body = {"enable_thinking": False, **body} if model != "batch-test-model" else body
    messages = [{"role": "user", "content": text}]
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": url,
        "body": {"model": model, "messages": messages, **body},
    }


def make_lines(count: int, **options: Any) -> list[Line]:
    return [make_line(f"row-{number}", f"Question {number}", **options) for number in range(count)]


def join(lines: Sequence[Line]) -> bytes:
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def upload(client: openai.OpenAI, lines: Sequence[Line] | bytes) -> Any:
    data = lines if isinstance(lines, bytes) else join(lines)
    return client.files.create(file=("requests.jsonl", data), purpose="batch")


def create(client: openai.OpenAI, file_id: str, **options: Any) -> Any:
    settings: Any = {"endpoint": CHAT, "completion_window": "24h", **options}
    return client.batches.create(input_file_id=file_id, **settings)


def submit(client: openai.OpenAI, lines: Sequence[Line] | bytes, **options: Any) -> Any:
    return create(client, upload(client, lines).id, **options)


def wait(client: openai.OpenAI, job: Any, *statuses: str) -> Any:
    """Poll until a job has a status; the test's own timeout ends it otherwise."""
    wanted = set(statuses) or FINAL
    while job.status not in wanted:
        time.sleep(0.01)
        job = client.batches.retrieve(job.id)
    return job


def read(client: openai.OpenAI, file_id: str | None) -> list[Line]:
    assert file_id is not None
    return [orjson.loads(line) for line in client.files.content(file_id).read().splitlines()]


def by_id(lines: Sequence[Line]) -> dict[str, Line]:
    assert len({line["custom_id"] for line in lines}) == len(lines)
    return {line["custom_id"]: line for line in lines}


def dumped(made: Any) -> dict[str, Any]:
    """Return an object of the SDK as it came, without the fields that only the SDK has."""
    return dict(made.model_dump(exclude_unset=True))


@pytest.fixture
def quick() -> Iterator[Sandbox]:
    with Sandbox(batch_seconds=0) as sandbox:
        yield sandbox


@pytest.fixture
def sdk(quick: Sandbox) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=quick.base_url, api_key="sk-one", max_retries=0) as made:
        yield made


def test_file_object(sdk: openai.OpenAI, quick: Sandbox) -> None:
    data = join(make_lines(2))
    made = upload(sdk, data)

    assert made.id.startswith("file-batch-")
    assert dumped(made) == {
        "id": made.id,
        "bytes": len(data),
        "created_at": made.created_at,
        "filename": "requests.jsonl",
        "object": "file",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    }
    assert sdk.files.retrieve(made.id) == made
    other = upload(sdk, data)
    assert [file.id for file in sdk.files.list()] == [other.id, made.id]
    assert [file.id for file in sdk.files.list(limit=1)] == [other.id, made.id]
    assert dumped(sdk.files.delete(other.id)) == {
        "object": "file",
        "deleted": True,
        "id": other.id,
    }
    assert [file.id for file in quick.batch_files] == [made.id]
    # What is recorded is the call, not the file.
    assert quick.requests[0].body == b""


def test_job_as_it_is_created(sdk: openai.OpenAI, quick: Sandbox) -> None:
    metadata = {"ds_name": "photos", "ds_description": "of cats"}
    quick.fail_batch(seconds=3_600)
    job = submit(sdk, make_lines(1), completion_window="14d", metadata=metadata)

    assert job.id.startswith("batch_")
    assert dumped(job) == {
        "id": job.id,
        "object": "batch",
        "endpoint": CHAT,
        "errors": None,
        "input_file_id": job.input_file_id,
        "completion_window": "14d",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": job.created_at,
        **dict.fromkeys(STAMPS),
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": metadata,
    }


def test_job_that_is_completed(sdk: openai.OpenAI) -> None:
    lines = make_lines(3)
    job = wait(sdk, submit(sdk, lines))
    done = dumped(job)

    assert done["status"] == "completed"
    assert done["output_file_id"].startswith("file-batch_output-")
    assert done["error_file_id"] is None
    assert done["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert done["expires_at"] == done["created_at"] + 24 * 3_600
    stamps = [done[name] for name in ("in_progress_at", "finalizing_at", "completed_at")]
    assert sorted(stamps) == stamps
    assert [done[name] for name in STAMPS if name != "expires_at"].count(None) == 4

    results = read(sdk, done["output_file_id"])
    # In another order.
    assert [line["custom_id"] for line in results] == ["row-1", "row-0", "row-2"]
    first = by_id(results)["row-0"]
    body = first["response"]["body"]
    request_id = first["response"]["request_id"]
    text = body["choices"][0]["message"]["content"]
    assert 'I received the text: "Question 0".' in text
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert first == {
        "id": first["id"],
        "custom_id": "row-0",
        "response": {
            "status_code": 200,
            "request_id": request_id,
            "body": {
                "created": body["created"],
                "usage": {
                    "completion_tokens": usage["completion_tokens"],
                    "prompt_tokens": usage["prompt_tokens"],
                    "total_tokens": usage["total_tokens"],
                },
                "model": "qwen3.7-plus",
                "id": f"chatcmpl-{request_id}",
                "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": text}}],
                "object": "chat.completion",
            },
        },
        "error": None,
    }
    assert sdk.files.retrieve(done["output_file_id"]).bytes > 0


def test_same_tokens_as_in_a_live_call(sdk: openai.OpenAI, picture_url: Callable[..., str]) -> None:
    image = {"type": "image_url", "image_url": {"url": picture_url(320, 320)}}
    messages: Any = [{"role": "user", "content": [image, {"type": "text", "text": "What?"}]}]
    line = make_line("a", messages=messages)

    job = wait(sdk, submit(sdk, [line]))
    live = sdk.chat.completions.create(
        model="qwen3.7-plus", messages=messages, extra_body={"enable_thinking": False}
    )

    body = read(sdk, job.output_file_id)[0]["response"]["body"]
    assert live.usage is not None
    assert body["usage"]["prompt_tokens"] == live.usage.prompt_tokens
    assert body["choices"][0]["message"]["content"] == live.choices[0].message.content


def test_reasoning_and_tool_calls_are_kept(sdk: openai.OpenAI) -> None:
    tool = {"type": "function", "function": {"name": "crop", "parameters": {"type": "object"}}}
    lines = [make_line("a", "Call crop.", enable_thinking=True, tools=[tool])]

    job = wait(sdk, submit(sdk, lines))

    body = read(sdk, job.output_file_id)[0]["response"]["body"]
    message = body["choices"][0]["message"]
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    assert message["tool_calls"][0]["function"]["name"] == "crop"
    assert message["reasoning_content"]
    assert body["usage"]["reasoning_tokens"] > 0


def test_bad_lines_fail_as_live_requests_do(sdk: openai.OpenAI) -> None:
    lines = [
        make_line("good"),
        make_line("hot", temperature=9),
        make_line("stream", stream=True),
        make_line("oss", messages=[_look_at("oss://bucket/cat.png")]),
        make_line("broken", messages=[_look_at("data:image/png;base64,AAAA")]),
    ]

    job = wait(sdk, submit(sdk, lines))

    assert dumped(job)["request_counts"] == {"total": 5, "completed": 1, "failed": 4}
    assert [line["custom_id"] for line in read(sdk, job.output_file_id)] == ["good"]
    assert job.error_file_id.startswith("file-batch_error-")
    failed = by_id(read(sdk, job.error_file_id))
    hot = failed["hot"]
    with pytest.raises(openai.BadRequestError) as live:
        sdk.chat.completions.create(
            model="qwen3.7-plus", messages=[{"role": "user", "content": "Hi"}], temperature=9
        )
    assert hot["error"] == {"code": live.value.code, "message": hot["error"]["message"]}
    assert hot["response"]["status_code"] == 400
    assert hot["response"]["body"]["error"]["message"] == hot["error"]["message"]
    assert set(failed) == {"hot", "stream", "oss", "broken"}


def _look_at(url: str) -> Line:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


@pytest.mark.parametrize(
    ("spelling", "error"),
    [
        ("code", {"code": "data_inspection_failed", "message": "No."}),
        ("error_code", {"error_code": "data_inspection_failed", "error_message": "No."}),
        ("body", None),
    ],
)
@pytest.mark.parametrize("in_output", [True, False])
def test_prescribed_failures(
    sdk: openai.OpenAI, quick: Sandbox, spelling: Any, error: Any, in_output: Any
) -> None:
    quick.fail_batch(
        failed_lines=2,
        status=400,
        code="data_inspection_failed",
        message="No.",
        in_output=in_output,
        spelling=spelling,
    )

    job = wait(sdk, submit(sdk, make_lines(3)))
    again = wait(sdk, create(sdk, job.input_file_id))

    counts = {"total": 3, "completed": 1, "failed": 2}
    assert (job.status, dumped(job)["request_counts"]) == ("completed", counts)
    output = by_id(read(sdk, job.output_file_id))
    failed = output if in_output else by_id(read(sdk, job.error_file_id))
    assert (job.error_file_id is None) == in_output
    assert len(output) == (3 if in_output else 1)
    line = failed["row-0"]
    assert line["error"] == error
    assert line["response"]["status_code"] == 400
    assert line["response"]["body"]["error"]["code"] == "data_inspection_failed"
    # The fault was for one job, and the file can be used again.
    assert again.request_counts.completed == 3
    assert [(one.input_file_id, one.n_lines, one.n_executed) for one in quick.batches] == [
        (job.input_file_id, 3, 3)
    ] * 2


@pytest.mark.parametrize("lists_unfinished", [True, False])
def test_job_that_expires(sdk: openai.OpenAI, quick: Sandbox, lists_unfinished: Any) -> None:
    quick.fail_batch(expires_after=2, lists_unfinished=lists_unfinished)

    job = wait(sdk, submit(sdk, make_lines(5)))

    assert (job.status, job.finalizing_at, job.completed_at) == ("expired", None, None)
    assert job.expired_at is not None
    assert set(by_id(read(sdk, job.output_file_id))) == {"row-0", "row-1"}
    assert quick.batches[0].n_executed == 2
    if not lists_unfinished:
        assert job.error_file_id is None
        return
    failed = by_id(read(sdk, job.error_file_id))
    assert set(failed) == {"row-2", "row-3", "row-4"}
    assert (failed["row-2"]["response"], failed["row-2"]["error"]["code"]) == (
        None,
        "batch_expired",
    )


def test_canceled_job_keeps_what_was_answered(sdk: openai.OpenAI, quick: Sandbox) -> None:
    quick.fail_batch(stops_after=2)
    job = submit(sdk, make_lines(5))
    while job.request_counts.completed < 2:
        job = sdk.batches.retrieve(job.id)
    assert (job.status, job.request_counts.total) == ("in_progress", 5)

    canceling = sdk.batches.cancel(job.id)
    job = wait(sdk, canceling)

    assert (canceling.status, canceling.cancelling_at is None) == ("cancelling", False)
    assert (job.status, job.cancelled_at is None) == ("cancelled", False)
    assert set(by_id(read(sdk, job.output_file_id))) == {"row-0", "row-1"}
    with pytest.raises(openai.BadRequestError, match="Cannot cancel"):
        sdk.batches.cancel(job.id)


def test_job_is_canceled_before_it_begins(sdk: openai.OpenAI, quick: Sandbox) -> None:
    quick.fail_batch(seconds=3_600)
    job = submit(sdk, make_lines(5))

    job = wait(sdk, sdk.batches.cancel(job.id))

    assert (job.status, job.output_file_id, job.in_progress_at) == ("cancelled", None, None)
    assert quick.batches[0].n_executed == 0


def test_counters_that_stand_still(sdk: openai.OpenAI, quick: Sandbox) -> None:
    quick.fail_batch(stops_after=3, counters_stand_still=True)
    job = submit(sdk, make_lines(5))
    while quick.batches[0].n_executed < 3:
        time.sleep(0.01)

    counts = {"total": 5, "completed": 0, "failed": 0}
    assert dumped(sdk.batches.retrieve(job.id))["request_counts"] == counts
    job = wait(sdk, sdk.batches.cancel(job.id))
    assert job.request_counts.completed == 3


def test_statuses_come_in_order(sdk: openai.OpenAI, quick: Sandbox) -> None:
    quick.fail_batch(seconds=0.5)
    job = submit(sdk, make_lines(20))
    seen, counts = [job.status], [0]
    while job.status not in FINAL:
        job = sdk.batches.retrieve(job.id)
        seen.append(job.status)
        counts.append(job.request_counts.completed)

    order = list(dict.fromkeys(seen))
    assert order == ["validating", "in_progress", "finalizing", "completed"]
    assert sorted(counts) == counts
    assert len(set(counts)) > 3


def test_answers_can_be_scripted(sdk: openai.OpenAI, quick: Sandbox) -> None:
    quick.script("one", "two")
    quick.script_raw(b'{"error": {"code": "x"}}', status=503)

    job = wait(sdk, submit(sdk, make_lines(3)))

    output = by_id(read(sdk, job.output_file_id))
    texts = [
        output[f"row-{n}"]["response"]["body"]["choices"][0]["message"]["content"] for n in (0, 1)
    ]
    assert texts == ["one", "two"]
    (failed,) = read(sdk, job.error_file_id)
    assert failed["response"]["status_code"] == 503


def change(line: Line, **fields: Any) -> Line:
    return {**line, **fields}


FIRST = make_line("a")


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (b"", "empty_file", None),
        (b"\n\n", "empty_file", None),
        (b"{broken\n", "invalid_json_line", 1),
        (join([FIRST]) + b'["a"]\n', "invalid_json_line", 2),
        ("é".encode("latin-1"), "invalid_json_line", 1),
        (join([FIRST, FIRST]), "duplicate_custom_id", 2),
        (join([change(FIRST, custom_id=1)]), "invalid_custom_id", 1),
        (join([{"custom_id": "a"}]), "missing_required_parameter", 1),
        (join([change(FIRST, method="GET")]), "invalid_method", 1),
        (join([change(FIRST, url="/v1/embeddings")]), "invalid_url", 1),
        (join([change(FIRST, body=[])]), "invalid_request", 1),
        (join([change(FIRST, body={})]), "missing_required_parameter", 1),
        (join([make_line("a", model="qwen3.8-flash")]), "model_not_found", 1),
        (join([FIRST, make_line("b", model="qwen3.6-plus")]), "mismatched_model", 2),
        (join([FIRST, make_line("b", enable_thinking=True)]), "mismatched_thinking", 2),
        (join([FIRST, make_line("b", enable_thinking=None)]), "mismatched_thinking", 2),
    ],
)
def test_file_that_is_not_valid(
    sdk: openai.OpenAI, quick: Sandbox, data: bytes, code: str, line: int | None
) -> None:
    job = wait(sdk, submit(sdk, data))

    assert (job.status, job.output_file_id, job.failed_at is None) == ("failed", None, False)
    assert job.errors is not None
    (error,) = dumped(job)["errors"]["data"]
    assert (error["code"], error["line"]) == (code, line)
    assert set(error) == {"code", "message", "param", "line"}
    assert dumped(job)["errors"]["object"] == "list"
    assert quick.batches[0].n_executed == 0
    assert dumped(job)["request_counts"]["total"] == 0


def test_prescribed_validation_failure(sdk: openai.OpenAI, quick: Sandbox) -> None:
    quick.fail_batch(BatchFault(validation_code="invalid_json_line"))

    job = wait(sdk, submit(sdk, make_lines(1)))

    assert job.status == "failed"
    assert dumped(job)["errors"]["data"][0]["code"] == "invalid_json_line"


def test_limits_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(join(make_lines(50_001)))
    assert [error["code"] for error in check_lines(path, CHAT)[1]] == ["too_many_tasks"]
    path.write_bytes(join(make_lines(50_000)))
    assert check_lines(path, CHAT) == (50_000, [])

    monkeypatch.setattr(lines_module, "MAX_LINE_BYTES", 200)
    path.write_bytes(join([FIRST, make_line("b", "x" * 200)]))
    assert [error["code"] for error in check_lines(path, CHAT)[1]] == ["line_too_large"]
    size = len(orjson.dumps(FIRST))
    monkeypatch.setattr(lines_module, "MAX_LINE_BYTES", size)
    for ending in (b"", b"\n", b"\r\n"):
        path.write_bytes(orjson.dumps(FIRST) + ending)
        assert check_lines(path, CHAT) == (1, [])
    monkeypatch.setattr(lines_module, "MAX_LINE_BYTES", size - 1)
    assert [error["code"] for error in check_lines(path, CHAT)[1]] == ["line_too_large"]


def test_file_that_is_too_large(sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = files_module._LIMITS
    small = FormLimits(max_file_bytes=0, too_large=limits.too_large)
    monkeypatch.setattr(files_module, "_LIMITS", small)

    with pytest.raises(openai.APIStatusError, match="larger than 524288000 bytes") as caught:
        upload(sdk, bytes(2**21))

    assert caught.value.status_code == 413


def test_test_model(sdk: openai.OpenAI, quick: Sandbox) -> None:
    lines = make_lines(2, url=TEST, model="batch-test-model")

    job = wait(sdk, submit(sdk, lines, endpoint=TEST))

    line = by_id(read(sdk, job.output_file_id))["row-1"]
    body = line["response"]["body"]
    assert body["choices"] == [
        {"finish_reason": "stop", "index": 0, "message": {"content": "This is a test result."}}
    ]
    assert body["usage"] == {"completion_tokens": 6, "prompt_tokens": 20, "total_tokens": 26}


def test_limits_of_the_test_model(sdk: openai.OpenAI, quick: Sandbox) -> None:
    make = partial(make_lines, url=TEST, model="batch-test-model")
    many = wait(sdk, submit(sdk, make(101), endpoint=TEST))
    large = wait(
        sdk, submit(sdk, [make_line("a", "x" * 2**20, TEST, "batch-test-model")], endpoint=TEST)
    )
    other = wait(sdk, submit(sdk, [make_line("a", url=TEST)], endpoint=TEST))
    codes = [dumped(job)["errors"]["data"][0]["code"] for job in (many, large, other)]
    assert codes == ["too_many_tasks", "file_too_large", "model_not_found"]

    quick.fail_batch(seconds=3_600, times=2)
    file = upload(sdk, make(1))
    for _ in range(2):
        create(sdk, file.id, endpoint=TEST)
    with pytest.raises(openai.RateLimitError):
        create(sdk, file.id, endpoint=TEST)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoint": "/v1/completions"}, "endpoint must be one of"),
        ({"endpoint": "/v1/embeddings"}, "no batch jobs of text embeddings"),
        ({"completion_window": "23h"}, "completion_window must be 24h to 336h"),
        ({"completion_window": "15d"}, "completion_window"),
        ({"completion_window": "1.5d"}, "completion_window"),
        ({"completion_window": "24"}, "completion_window"),
        ({"metadata": {"ds_name": "x" * 101}}, "ds_name must have at most 100"),
        ({"metadata": {"ds_description": "x" * 201}}, "ds_description must have at most 200"),
        ({"metadata": {"ds_batch_finish_callback": "http://a.cn"}}, "must be an https URL"),
        ({"metadata": "x"}, "metadata must be an object"),
    ],
)
def test_wrong_jobs_are_refused(sdk: openai.OpenAI, options: dict[str, Any], message: str) -> None:
    file = upload(sdk, make_lines(1))

    with pytest.raises(openai.BadRequestError, match=message):
        create(sdk, file.id, **options)
    for good in ("24h", "1d", "336h", "14d"):
        create(sdk, file.id, completion_window=good, metadata={"ds_name": "x" * 100})


def test_unknown_fields_are_recorded(sdk: openai.OpenAI, quick: Sandbox) -> None:
    submit(sdk, make_lines(1), extra_body={"output_expires_after": {}})
    assert quick.last_request.unknown_fields == ("output_expires_after",)


def test_ids_of_others_are_not_found(sdk: openai.OpenAI, quick: Sandbox) -> None:
    job = wait(sdk, submit(sdk, make_lines(1)))

    with openai.OpenAI(base_url=quick.base_url, api_key="sk-two", max_retries=0) as other:
        calls: list[Callable[[], Any]] = [
            partial(other.files.retrieve, job.input_file_id),
            partial(other.files.delete, job.input_file_id),
            partial(other.files.content, job.output_file_id),
            partial(other.batches.retrieve, job.id),
            partial(other.batches.cancel, job.id),
            partial(create, other, job.input_file_id),
            partial(sdk.files.retrieve, "file-batch-none"),
            partial(sdk.batches.retrieve, "batch_none"),
            partial(create, sdk, job.output_file_id),
            partial(sdk.batches.list, after="batch_none"),
        ]
        for call in calls:
            with pytest.raises(openai.NotFoundError) as caught:
                call()
            assert caught.value.code == "not_found"
        assert (list(other.files.list()), list(other.batches.list())) == ([], [])


def test_only_results_can_be_downloaded(sdk: openai.OpenAI) -> None:
    file = upload(sdk, make_lines(1))
    with pytest.raises(openai.BadRequestError, match="only results of batch jobs"):
        sdk.files.content(file.id)


@pytest.mark.parametrize(
    ("data", "files", "message"),
    [
        ({"purpose": "batch"}, None, "must have one file"),
        ({}, {"file": b"x"}, "purpose 'batch' only"),
        ({"purpose": "file-extract"}, {"file": b"x"}, "purpose 'batch' only"),
    ],
)
def test_wrong_uploads_are_refused(
    quick: Sandbox, data: Mapping[str, str], files: Any, message: str
) -> None:
    headers = {"Authorization": "Bearer any"}
    url = f"{quick.base_url}/files"
    reply = httpx2.post(url, data=dict(data), files=files, headers=headers)

    assert (reply.status_code, message in reply.json()["error"]["message"]) == (400, True)
    assert quick.batch_files == []
    assert httpx2.post(url, data=dict(data), files=files).status_code == 401


def test_jobs_are_listed_by_pages(sdk: openai.OpenAI) -> None:
    file = upload(sdk, make_lines(1))
    jobs = [wait(sdk, create(sdk, file.id)) for _ in range(3)]
    jobs.reverse()

    page = sdk.batches.list(limit=2)

    shape = page.model_dump()
    assert (shape["object"], shape["first_id"], shape["last_id"], shape["has_more"]) == (
        "list",
        jobs[0].id,
        jobs[1].id,
        True,
    )
    assert page.data == jobs[:2]
    assert [job.id for job in page] == [job.id for job in jobs]
    assert sdk.batches.list(after=jobs[1].id).data == jobs[2:]
    for limit in (0, 101):
        with pytest.raises(openai.BadRequestError, match=r"Range of limit should be \[1, 100\]"):
            sdk.batches.list(limit=limit)


def test_jobs_are_searched(sdk: openai.OpenAI) -> None:
    cats = wait(sdk, submit(sdk, make_lines(1), metadata={"ds_name": "all the cats"}))
    dogs = wait(sdk, submit(sdk, b"", metadata={"ds_name": "dogs"}))

    def find(**query: str) -> list[str]:
        return [job.id for job in sdk.batches.list(extra_query=query).data]

    assert find(ds_name="the cat") == [cats.id]
    assert find(input_file_ids=f"x,{dogs.input_file_id}") == [dogs.id]
    assert find(status="failed,expired") == [dogs.id]
    assert find(create_after="20200101000000", create_before="20990101000000") == [dogs.id, cats.id]
    assert find(create_before="20200101000000") == []
    for wrong in (
        {"status": "done"},
        {"create_after": "2020-01-01"},
        {"create_after": "20201301000000"},
        {"input_file_ids": ",".join("x" * 21)},
    ):
        with pytest.raises(openai.BadRequestError):
            find(**wrong)


def test_answer_to_create_is_lost(sdk: openai.OpenAI, quick: Sandbox) -> None:
    file = upload(sdk, make_lines(1))
    quick.fail(endpoint="batches", cut_after_chunks=0)

    with pytest.raises(openai.APIConnectionError):
        create(sdk, file.id)

    (job,) = sdk.batches.list(extra_query={"input_file_ids": file.id}).data
    assert wait(sdk, job).status == "completed"
    assert [one.input_file_id for one in quick.batches] == [file.id]


def test_faults_are_those_of_their_calls(sdk: openai.OpenAI, quick: Sandbox) -> None:
    quick.fail(endpoint="batch_list", status=429, retry_after=0.5)
    quick.fail(endpoint="files", status=503)
    quick.fail(endpoint="batch", status=500)
    quick.fail(endpoint="file_content", status=500)
    quick.fail(endpoint="batch_cancel", status=500)
    quick.fail(endpoint="file", status=500)

    with pytest.raises(openai.InternalServerError):
        upload(sdk, make_lines(1))
    assert quick.batch_files == []
    job = submit(sdk, make_lines(1))
    with pytest.raises(openai.RateLimitError) as caught:
        sdk.batches.list()
    assert caught.value.response.headers["retry-after"] == "0.5"
    calls: list[Callable[[], Any]] = [
        partial(sdk.batches.retrieve, job.id),
        partial(sdk.files.content, "x"),
        partial(sdk.batches.cancel, job.id),
        partial(sdk.files.list),
    ]
    for call in calls:
        with pytest.raises(openai.InternalServerError):
            call()
    assert wait(sdk, job).status == "completed"


def test_rates_are_enforced_if_wanted() -> None:
    with (
        Sandbox(batch_rates=True) as sandbox,
        openai.OpenAI(base_url=sandbox.base_url, api_key="any", max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        # Of lists, 100 may come at once, and hardly more during the test.
        all(client.batches.list().object for _ in range(1_000))
    assert caught.value.code == "limit_requests"


def test_rates_by_the_clock() -> None:
    now = 5.0
    rates = CallRates(CALLS, clock=lambda: now)

    def count(name: str, tries: int) -> int:
        passed = 0
        for _ in range(tries):
            try:
                rates.admit(name)
            except Exception as error:  # noqa: BLE001 - its status is looked at.
                assert getattr(error, "status", None) == 429  # noqa: PT017 - many are tried.
            else:
                passed += 1
        return passed

    assert (count("file_upload", 5), count("file", 20), count("batch_list", 200)) == (3, 10, 100)
    assert (count("batch_create", 1_100), count("unlimited", 5_000)) == (1_000, 5_000)
    now = 6.0
    assert (count("file_upload", 5), count("batch_list", 9)) == (3, 1)


def test_everything_is_forgotten(sdk: openai.OpenAI, quick: Sandbox) -> None:
    quick.fail_batch(seconds=3_600)
    submit(sdk, make_lines(3))
    quick.fail_batch(validation_code="x", times=5)

    quick.clear()

    assert (quick.batches, quick.batch_files) == ([], [])
    assert wait(sdk, submit(sdk, make_lines(1))).status == "completed"


def test_input_file_may_be_deleted_afterwards(sdk: openai.OpenAI) -> None:
    job = wait(sdk, submit(sdk, make_lines(1)))
    for file_id in (job.input_file_id, job.output_file_id):
        sdk.files.delete(file_id)
    assert list(sdk.files.list()) == []
    assert sdk.batches.retrieve(job.id).status == "completed"


def test_host_of_batch_chat_has_no_jobs() -> None:
    with (
        Sandbox(batch=True) as sandbox,
        openai.OpenAI(base_url=sandbox.base_url, api_key="any", max_retries=0) as client,
        pytest.raises(openai.NotFoundError),
    ):
        client.batches.list()


def test_video_as_a_string(sdk: openai.OpenAI) -> None:
    clip_url = f"data:video/mp4;base64,{b64encode(BIG_BUCK_BUNNY.read_bytes()).decode()}"
    line = make_line("clip")
    content = [{"type": "video", "video": clip_url, "fps": 2}, {"type": "text", "text": "What?"}]
    line["body"]["messages"] = [{"role": "user", "content": content}]

    job = wait(sdk, submit(sdk, [line]), "completed")

    (result,) = read(sdk, job.output_file_id)
    answer = result["response"]["body"]["choices"][0]["message"]["content"]
    assert "I received a video: MP4" in answer
