"""The native protocol: a request body read, an answer shaped.

Shapes are those of the Native-API page (2026-09) and its Streaming page (2026-07).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from qwen_vl_sandbox.answers.ocr import TASKS
from qwen_vl_sandbox.errors.api_error import ALGO, reject
from qwen_vl_sandbox.errors.hosted import NATIVE
from qwen_vl_sandbox.media.hosted import MediaReport, receive
from qwen_vl_sandbox.media.hosted_tokens import text_tokens
from qwen_vl_sandbox.protocols.base import ParsedRequest, Reply
from qwen_vl_sandbox.protocols.shapes import (
    cache_details,
    call_deltas,
    chunks_of,
    probabilities,
    whole_call,
)
from qwen_vl_sandbox.reading.conversation import Audio, Conversation, OcrTask, Options, Part
from qwen_vl_sandbox.reading.messages import (
    MARKERS,
    MIN_MAX_FRAMES,
    PartReader,
    is_partial,
    read_messages,
)
from qwen_vl_sandbox.reading.parameters import SHARED_FIELDS, check_json_word, read_options
from qwen_vl_sandbox.reading.validation import Fields
from qwen_vl_sandbox.specs.models import ModelSpec, admitted_spec
from qwen_vl_sandbox.storage import Storage, account_of, resolves_oss

PART_FIELDS: dict[str, frozenset[str]] = {
    "text": frozenset(),
    "image": frozenset({"min_pixels", "max_pixels", "enable_rotate"}),
    "video": frozenset({"fps", "max_frames", "min_pixels", "max_pixels", "total_pixels"}),
    "audio": frozenset(),
}
"""Documented fields by the part's key, that key and `cache_control` apart."""

NOT_A_PART = "The item of content should be a message of a certain modal."


class NativePartReader(PartReader):
    """Reads the parts of one request of the native protocol."""

    fields = PART_FIELDS
    answers_in_parts = True

    def read(self, part: Any, path: str, role: str) -> Part:
        """Read one part."""
        kinds = sorted(PART_FIELDS.keys() & part.keys()) if isinstance(part, dict) else []
        # unsure: what a part with two of the keys is taken for.
        if len(kinds) != 1:
            reject(f"{NOT_A_PART} - '{path}'")
        kind = kinds[0]
        self._check_place(part, path, kind, role)
        match kind:
            case "image":
                image = self._image(part, path, _url(part, kind, path))
                return replace(image, rotate=self._rotates(part, path))
            case "video":
                return self._film(part, path)
            case "audio":
                if self._spec.audio is None:
                    reject(f"{path}: the model does not support audio input.")
                return Audio(path, _url(part, kind, path), "")
            case _:
                return self._text(part, path)

    def _film(self, part: dict[str, Any], path: str) -> Part:
        value = part["video"]
        source = value if isinstance(value, str) and value else self._frames(value, path)
        clip = self._clip(part, path, source)
        most = self._video_spec(path).max_frames
        # unsure: whether a frame list takes it too; it is sampled no further here.
        return replace(
            clip, max_frames=Fields(part, path).integer("max_frames", MIN_MAX_FRAMES, most)
        )

    def _rotates(self, part: dict[str, Any], path: str) -> bool:
        if "enable_rotate" in part and not self._spec.reads and self._strict:
            # unsure: the page shows the field with the text-reading models only.
            reject(f"{path}.enable_rotate is not supported by the model.")
        return Fields(part, path).boolean("enable_rotate")


def _url(part: dict[str, Any], kind: str, path: str) -> str:
    value = part[kind]
    return value if isinstance(value, str) else reject(f"{path}.{kind} must be a string.")


UNFINISHED = "null"
"""The finish reason of all chunks but the last: a text in real streams, null on the page."""

WRONG_PATH = "url error, please check url"


class NativeProtocol:
    """The service's own protocol, at the URL of multimodal generation."""

    errors = NATIVE
    end = b""
    broken_event = b'id:2\nevent:result\n:HTTP_STATUS/200\ndata:{"output": {"choices": [\n\n'

    def unknown_fields(self, body: Any) -> tuple[str, ...]:
        """Name the fields of a request that no page documents, as paths."""
        if not isinstance(body, dict):
            return ()
        found = [name for name in body if name not in {"model", "input", "parameters"}]
        values, parameters = _object(body, "input"), _object(body, "parameters")
        found += [f"input.{name}" for name in values if name != "messages"]
        found += [f"parameters.{name}" for name in parameters if name not in KNOWN]
        return (*found, *_unknown_in_parts(values.get("messages")))

    def wants_stream(self, body: Any, headers: Mapping[str, str]) -> bool:  # noqa: ARG002 - the other protocol needs it.
        """Return whether a request, good or not, asks for a stream."""
        return headers.get("x-dashscope-sse", "").lower() == "enable"

    def read(self, body: Any, headers: Mapping[str, str], *, strict: bool) -> ParsedRequest:
        """Read and check a request.

        Raises:
            ApiError: The service would not take it.
        """
        if not isinstance(body, dict):
            reject("The request body must be a JSON object.")
        spec = admitted_spec(body.get("model"))
        if spec.is_on_text_path:
            reject(WRONG_PATH)
        for name in ("input", "parameters"):
            if not isinstance(body.get(name, {}), dict):
                reject(f"{name} must be an object.")
        stream = self.wants_stream(body, headers)
        options, incremental = read_parameters(
            _object(body, "parameters"), spec, stream=stream, strict=strict
        )
        values = _object(body, "input").get("messages")
        messages = read_messages(values, spec, NativePartReader(spec, strict=strict))
        check_json_word(options, "\n".join(message.text for message in messages))
        if is_partial(values) and options.thinking:
            reject("partial is not supported in thinking mode.")
        conversation = Conversation(
            model=body["model"],
            spec=spec,
            messages=messages,
            options=options,
            strict=strict,
            account=account_of(headers.get("authorization", "")),
            resolves_oss=resolves_oss(headers),
        )
        return ParsedRequest(conversation, stream, incremental=incremental)

    def receive(self, conversation: Conversation, storage: Storage) -> MediaReport:
        """Inspect all media of a conversation and count its tokens."""
        return receive(conversation, storage)

    def whole(self, reply: Reply) -> bytes:
        """Shape an answer that is not streamed."""
        answer = reply.answer
        calls = [
            whole_call(call, at, reply.request_id) for at, call in enumerate(answer.tool_calls)
        ]
        shown = _Shown(answer.text, answer.reasoning, calls, answer.encrypted)
        tokens = answer.completion_tokens
        return orjson.dumps(_body(reply, shown, tokens, is_last=True, is_first=True))

    def events(self, reply: Reply) -> Iterator[bytes]:
        """Shape a stream: increments, or each time everything so far."""
        so_far, tokens, number = _Shown(), 0, 0
        for number, step in enumerate(_steps(reply), 1):
            tokens = min(tokens + step.tokens, reply.answer.completion_tokens)
            so_far = so_far.joined(step)
            shown = step if reply.exchange.incremental else so_far
            body = _body(reply, shown, tokens, is_last=False, is_first=number == 1)
            yield _event(number, body)
        last = _Shown() if reply.exchange.incremental else so_far
        total = reply.answer.completion_tokens
        body = _body(reply, last, total, is_last=True, is_first=number == 0)
        yield _event(number + 1, body)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What one body of an answer shows."""

    text: str = ""
    reasoning: str = ""
    calls: list[dict[str, Any]] | None = None
    encrypted: str = ""

    @property
    def tokens(self) -> int:
        words = "".join(
            (call["function"]["name"] or "") + call["function"]["arguments"]
            for call in self.calls or ()
        )
        return text_tokens(self.text) + text_tokens(self.reasoning) + text_tokens(words)

    def joined(self, more: "_Shown") -> "_Shown":
        calls = {call["index"]: call for call in self.calls or ()}
        for call in more.calls or ():
            before = calls.get(call["index"])
            function = call["function"]
            if before is not None:
                arguments = before["function"]["arguments"] + function["arguments"]
                function = {**before["function"], "arguments": arguments}
            calls[call["index"]] = {**(before or call), "function": function}
        return _Shown(
            self.text + more.text,
            self.reasoning + more.reasoning,
            list(calls.values()) or None,
            self.encrypted + more.encrypted,
        )


def _steps(reply: Reply) -> Iterator[_Shown]:
    answer = reply.answer
    for chunk in answer.reasoning_chunks or chunks_of(answer.reasoning):
        yield _Shown(reasoning=chunk)
    if answer.encrypted:
        # unsure: in which events it comes.
        yield _Shown(encrypted=answer.encrypted)
    for chunk in answer.text_chunks or chunks_of(answer.text):
        yield _Shown(text=chunk)
    for at, call in enumerate(answer.tool_calls):
        for piece in call_deltas(call, at, reply.request_id, later_name=""):
            yield _Shown(calls=[piece])


def _body(
    reply: Reply, shown: _Shown, tokens: int, *, is_last: bool, is_first: bool = False
) -> dict[str, Any]:
    finish_reason = reply.answer.finish_reason if is_last else UNFINISHED
    choice: dict[str, Any] = {
        "finish_reason": finish_reason,
        "message": _message(reply, shown, is_last=is_last),
    }
    content = probabilities(shown.text, reply.alternatives) if shown.text else None
    if content is not None:
        choice["logprobs"] = {"content": content}
    usage = _usage(reply, tokens) if reply.usage is None else reply.usage
    output: dict[str, Any] = {"choices": [choice]}
    options, results = reply.exchange.conversation.options, reply.answer.search_results
    if options.searches and options.returns_sources and results:
        # The first event of a stream has them, the others empty lists (Web-search page, 2026).
        listed = list(results) if is_first else []
        output["search_info"] = {"extra_tool_info": [], "search_results": listed}
    if options.searches and results:
        usage = {**usage, "plugins": {"search": {"count": 1}}}
    return {"output": output, "usage": usage, "request_id": reply.request_id}


def _message(reply: Reply, shown: _Shown, *, is_last: bool) -> dict[str, Any]:
    # Vision models answer with a list, which is empty before the text begins.
    content: list[dict[str, Any]] = [{"text": shown.text}] if shown.text else []
    if is_last and reply.answer.ocr_result is not None:
        content = [{"text": shown.text, "ocr_result": reply.answer.ocr_result}]
    if is_last and reply.exchange.conversation.options.image_sizes:
        # unsure: how deep the lists are nested; videos have none (Native-API page).
        sizes = [inspected.scaled for inspected in reply.report.sights if inspected.scaled]
        content.append({"image_hw": [[height, width] for width, height in sizes]})
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reply.answer.reasoning:
        message["reasoning_content"] = shown.reasoning
    if shown.encrypted:
        message["encrypted_content"] = shown.encrypted
    if shown.calls:
        message["tool_calls"] = shown.calls
    return message


def _usage(reply: Reply, output: int) -> dict[str, Any]:
    report, answer = reply.report, reply.answer
    media = {
        f"{kind}_tokens": report.tokens(kind)
        for kind in ("image", "video", "audio")
        if report.tokens(kind) or any(inspected.kind == kind for inspected in report.sights)
    }
    reasoning = min(output, answer.reasoning_tokens)
    return {
        "input_tokens": report.total,
        "output_tokens": output,
        "total_tokens": report.total + output,
        **media,
        "input_tokens_details": {"text_tokens": report.text_tokens, **media},
        "output_tokens_details": {
            "text_tokens": output,
            **({"reasoning_tokens": reasoning} if answer.reasoning else {}),
        },
        "prompt_tokens_details": cache_details(report),
    }


def _event(number: int, body: Mapping[str, Any]) -> bytes:
    return b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:%b\n\n" % (number, orjson.dumps(body))


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _unknown_in_parts(messages: Any) -> Iterator[str]:
    for at, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for index, part in enumerate(content if isinstance(content, list) else ()):
            kinds = PART_FIELDS.keys() & part.keys() if isinstance(part, dict) else ()
            for kind in list(kinds)[:1]:
                for name in sorted(part.keys() - PART_FIELDS[kind] - {kind, *MARKERS}):
                    yield f"input.messages[{at}].content[{index}].{name}"


KNOWN = SHARED_FIELDS | {
    "incremental_output",
    "ocr_options",
    "result_format",
    "vl_enable_image_hw_output",
}
"""Documented fields; others are ignored and recorded."""

NEEDS_INCREMENTS = 'The incremental_output parameter must be "true" when enable_thinking is true'


def read_parameters(
    values: dict[str, Any], spec: ModelSpec, *, stream: bool, strict: bool
) -> tuple[Options, bool]:
    """Read what is asked of the answer, and whether a stream holds increments.

    Raises:
        ApiError: A field has a value the service does not take, or two fields exclude each other.
    """
    options = read_options(values, spec, stream=stream, strict=strict)
    fields = Fields(values)
    incremental = fields.boolean("incremental_output", default=spec.streams_increments)
    asked = fields.get("incremental_output") is not None
    # unsure: whether a default of false counts as false where reasoning is on by default.
    if stream and options.thinking and not incremental and (asked or strict):
        reject(ALGO + NEEDS_INCREMENTS)
    # "text" has no effect on vision models, which always answer with messages.
    if fields.string("result_format") not in {None, "message", "text"}:
        reject("result_format must be message or text.")
    if strict:
        _check_unsettled(values, options)
    return (
        replace(
            options,
            image_sizes=fields.boolean("vl_enable_image_hw_output"),
            searches=fields.boolean("enable_search"),
            returns_sources=_returns_sources(fields),
            ocr=_read_task(fields.get("ocr_options"), spec, strict=strict),
        ),
        incremental,
    )


def _returns_sources(fields: Fields) -> bool:
    options = fields.get("search_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        reject("search_options must be an object.")
    return Fields(options, "search_options").boolean("enable_source")


def _check_unsettled(values: Mapping[str, Any], options: Options) -> None:
    # unsure: this page lists text and json_object only, another does not tell the protocols
    # apart.
    if options.answer_format == "json_schema":
        reject("response_format.type must be text or json_object.")
    for at, tool in enumerate(values.get("tools") or ()):
        # unsure: the page calls the description required, and prints no refusal.
        if not tool["function"].get("description"):
            reject(f"tools[{at}].function.description is required.")


def _read_task(value: Any, spec: ModelSpec, *, strict: bool) -> OcrTask | None:
    if value is None:
        return None
    if not spec.reads:
        if strict:  # unsure: other models may ignore the field.
            reject("The model does not support ocr_options.")
        return None
    if not isinstance(value, dict):
        reject("ocr_options must be an object.")
    task = value.get("task")
    if not isinstance(task, str) or task not in TASKS:
        reject(f"ocr_options.task must be one of {list(TASKS)}.")
    settings = value.get("task_config")
    if settings is not None and not isinstance(settings, dict):
        reject("ocr_options.task_config must be an object.")
    schema = (settings or {}).get("result_schema")
    if schema is not None and not isinstance(schema, dict):
        reject("ocr_options.task_config.result_schema must be an object.")
    return OcrTask(task, schema)
