"""The lines of a batch job's file: read, and checked as a whole before the job begins.

unsure: the codes and the wording of what is wrong; no page lists them. The codes are those of
OpenAI's service.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from qwen_vl_sandbox.specs.batches import (
    BATCH_FILE,
    MAX_LINE_BYTES,
    MAX_LINES,
    MAX_TEST_BYTES,
    MAX_TEST_LINES,
    TEST_MODEL,
    TEST_URL,
    is_thinking,
)

MAX_ERRORS = 100
_FIELDS = frozenset({"custom_id", "method", "url", "body"})


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a file.

    Args:
        custom_id: Names its result.
        body: The body of the request.
    """

    custom_id: str
    body: dict[str, Any]


def read_lines(path: Path) -> Iterator[Line]:
    """Read the requests of a file that was checked, one by one."""
    for _, raw in _read_raw(path):
        line = orjson.loads(raw)
        yield Line(line["custom_id"], _to_live(line["body"]))


def _to_live(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body as a live request has it: a line has a video as a string.

    The Batch-File page (2026-10) writes `{"type": "video", "video": "https://…"}`, beside the list
    of frames of live requests. unsure: whether it takes `video_url` too, which is taken here.
    """
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict) or part.get("type") != "video":
                continue
            if isinstance(part.get("video"), str):
                part |= {"type": "video_url", "video_url": {"url": part.pop("video")}}
    return body


def check_lines(path: Path, endpoint: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of lines of a file, and why a job cannot run with it.

    Args:
        path: The file.
        endpoint: Of the job.
    """
    check = _Check(endpoint)
    is_test = endpoint == TEST_URL
    if is_test and path.stat().st_size > MAX_TEST_BYTES:
        check.blame("file_too_large", f"The file is larger than {MAX_TEST_BYTES} bytes.", None)
    most = MAX_TEST_LINES if is_test else MAX_LINES
    count = 0
    for number, raw in _read_raw(path):
        count += 1
        if count > most:
            check.blame("too_many_tasks", f"The file has more than {most} lines.", None)
            break
        check.line(number, raw)
        if len(check.errors) >= MAX_ERRORS:
            break
    if count == 0:
        check.blame("empty_file", "The file has no lines.", None)
    return count, check.errors


def _read_raw(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        number = 0
        # No more than one line is held, however long it is.
        while raw := file.readline(MAX_LINE_BYTES + 2):
            number += 1
            text = raw.rstrip(b"\r\n")
            if text or not raw.endswith(b"\n"):
                yield number, text
            if len(text) > MAX_LINE_BYTES:
                return


class _Check:
    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._ids: set[str] = set()
        self._model: str | None = None
        self._is_thinking: bool | None = None
        self.errors: list[dict[str, Any]] = []

    def blame(self, code: str, message: str, line: int | None, param: str | None = None) -> None:
        self.errors.append({"code": code, "message": message, "param": param, "line": line})

    def line(self, number: int, raw: bytes) -> None:
        if len(raw) > MAX_LINE_BYTES:
            self.blame("line_too_large", f"The line has more than {MAX_LINE_BYTES} bytes.", number)
            return
        try:
            line = orjson.loads(raw)
        except orjson.JSONDecodeError:
            # Which is so for bytes that are not UTF-8, too.
            self.blame("invalid_json_line", "This line is not parseable as valid JSON.", number)
            return
        if not isinstance(line, dict):
            self.blame("invalid_json_line", "This line is not a JSON object.", number)
            return
        self._check_fields(number, line)

    def _check_fields(self, number: int, line: dict[str, Any]) -> None:
        if missing := sorted(_FIELDS - line.keys()):
            message = f"The line lacks {', '.join(missing)}."
            self.blame("missing_required_parameter", message, number, missing[0])
            return
        custom_id, body = line["custom_id"], line["body"]
        if not isinstance(custom_id, str) or not custom_id:
            message = "custom_id must be a string with content."
            self.blame("invalid_custom_id", message, number, "custom_id")
        elif custom_id in self._ids:
            message = f"The custom_id {custom_id!r} is not unique."
            self.blame("duplicate_custom_id", message, number, "custom_id")
        else:
            self._ids.add(custom_id)
        if line["method"] != "POST":
            self.blame("invalid_method", "method must be POST.", number, "method")
        if line["url"] != self._endpoint:
            message = f"url must be the endpoint of the job, {self._endpoint}."
            self.blame("invalid_url", message, number, "url")
        if isinstance(body, dict):
            self._check_body(number, body)
        else:
            self.blame("invalid_request", "body must be an object.", number, "body")

    def _check_body(self, number: int, body: dict[str, Any]) -> None:
        model = body.get("model")
        if not isinstance(model, str):
            self.blame(
                "missing_required_parameter", "The body lacks a model.", number, "body.model"
            )
            return
        known = {TEST_MODEL} if self._endpoint == TEST_URL else BATCH_FILE
        if model not in known:
            message = f"The model {model} does not support batch jobs at {self._endpoint}."
            self.blame("model_not_found", message, number, "body.model")
            return
        thinking = is_thinking(model, body.get("enable_thinking"))
        if self._model is None:
            self._model, self._is_thinking = model, thinking
        elif model != self._model:
            message = f"All lines must have one model: {self._model} and {model}."
            self.blame("mismatched_model", message, number, "body.model")
        elif thinking != self._is_thinking:
            message = "All lines must have one thinking mode."
            self.blame("mismatched_thinking", message, number, "body.enable_thinking")
