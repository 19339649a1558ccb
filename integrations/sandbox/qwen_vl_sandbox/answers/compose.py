"""The honest answer: what was received, in the form that was asked for.

Deterministic, and never a guess at what a model would say.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from qwen_vl_sandbox.answers.grounding import write_findings
from qwen_vl_sandbox.answers.ocr import find_task, read_text
from qwen_vl_sandbox.answers.page_fields import find_fields
from qwen_vl_sandbox.answers.tools import choose_calls
from qwen_vl_sandbox.json_schema import value_for
from qwen_vl_sandbox.media.hosted import InspectedMedia, MediaReport, arguments_text
from qwen_vl_sandbox.media.hosted_tokens import pieces, text_tokens
from qwen_vl_sandbox.ocr.layout import page_text
from qwen_vl_sandbox.reading.conversation import Conversation, Message, Options, Text, ToolCall

LONGEST_QUOTE = 2_000
"""Characters of the text that an answer repeats."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer, independent of the protocol."""

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    text_chunks: tuple[str, ...] | None = None
    """Where a stream is cut; by a rule of the protocol if not given."""
    reasoning_chunks: tuple[str, ...] | None = None
    ocr_result: dict[str, Any] | None = None
    """What a task of the text-reading models found, as values."""
    encrypted: str = ""
    """The whole reasoning, encrypted, where `reasoning` is its summary."""
    search_results: tuple[Mapping[str, Any], ...] = ()
    """What a search found; only a test knows."""
    summarized: str | None = None
    """The whole reasoning, which is paid for, where `reasoning` is its summary."""

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of the reasoning."""
        return text_tokens(self.reasoning if self.summarized is None else self.summarized)

    @property
    def completion_tokens(self) -> int:
        """Tokens of the reasoning, the text and the calls."""
        calls = sum(text_tokens(call.name + arguments_text(call)) for call in self.tool_calls)
        return self.reasoning_tokens + text_tokens(self.text) + calls


def compose(conversation: Conversation, report: MediaReport) -> Answer:
    """Write the honest answer to a conversation."""
    answer = _compose(conversation, report)
    if not (conversation.options.summarized and answer.reasoning):
        return answer
    summary = f"In short: {answer.reasoning.partition('. ')[0]}."
    return replace(answer, reasoning=summary, summarized=answer.reasoning)


def _compose(conversation: Conversation, report: MediaReport) -> Answer:
    options = conversation.options
    if options.ocr is not None:
        reading = read_text(options.ocr, report)
        return replace(limited(Answer(reading.text), options), ocr_result=reading.result)
    reported = find_task(conversation)
    if reported is not None:
        return limited(Answer(read_text(reported, report).text), options)
    reasoning = _reasoning(conversation, report) if options.thinking else ""
    calls = choose_calls(conversation, find_fields(report))
    if calls:
        called = Answer("", reasoning, calls, "tool_calls")
        return _cut_calls(called, options.max_completion_tokens) if options.cuts_calls else called
    text = _formatted(conversation, report) if options.exact is None else options.exact
    return limited(Answer(text, reasoning), options)


def limited(answer: Answer, options: Options) -> Answer:
    """Cut an answer at the stop texts and at the token limits that were asked for."""
    text, reasoning = _until_stop(answer.text, options.stop), answer.reasoning
    finish = answer.finish_reason
    if options.max_completion_tokens is not None:
        room = options.max_completion_tokens
        reasoning, reasoning_cut = _clipped(reasoning, room)
        text, text_cut = _clipped(text, room - text_tokens(reasoning))
        finish = "length" if reasoning_cut or text_cut else finish
    if options.max_tokens is not None:
        # `max_tokens` caps the answer only, never the reasoning (Native-API page, 2026-09).
        text, text_cut = _clipped(text, options.max_tokens)
        finish = "length" if text_cut else finish
    return Answer(text, reasoning, answer.tool_calls, finish)


def _cut_calls(answer: Answer, most: int | None) -> Answer:
    """Cut calls that are longer than the limit: what is left of them is text."""
    written = "".join(
        f'<tool_call>\n{{"name": "{call.name}", "arguments": {arguments_text(call)}}}\n</tool_call>'
        for call in answer.tool_calls
    )
    if most is None or answer.reasoning_tokens + text_tokens(written) <= most:
        return answer
    reasoning, _ = _clipped(answer.reasoning, most)
    text, _ = _clipped(written, most - text_tokens(reasoning))
    return Answer(text, reasoning, (), "length")


def describe(sights: tuple[InspectedMedia, ...]) -> str:
    """Return what media came, in order.

    Example:
        >>> describe((InspectedMedia("image", "PNG 451x300, 128 tokens", 128),))
        'an image: PNG 451x300, 128 tokens'
    """
    groups = []
    for kind, article in {"image": "an", "video": "a", "audio": "an"}.items():
        found = [inspected.description for inspected in sights if inspected.kind == kind]
        noun = "audio file" if kind == "audio" else kind
        if len(found) == 1:
            groups.append(f"{article} {noun}: {found[0]}")
        elif found:
            numbered = "; ".join(f"({at}) {text}" for at, text in enumerate(found, 1))
            groups.append(f"{len(found)} {noun}s: {numbered}")
    return "; ".join(groups)


def _formatted(conversation: Conversation, report: MediaReport) -> str:
    options = conversation.options
    findings = write_findings(conversation, report)
    if findings is not None:
        return findings
    if options.answer_format == "text":
        return _prose(conversation, report)
    schema = options.schema or schema_in_words(conversation.messages)
    if schema is not None:
        seen = describe(report.sights) or "no media"
        hint = f"sandbox, not a model; received {seen}"
        value = value_for(schema, hint, values=find_fields(report))
    else:
        value = _as_object(conversation, report)
    return orjson.dumps(value).decode()


def schema_in_words(messages: tuple[Message, ...]) -> dict[str, Any] | None:
    """Find the JSON schema of an object that a message asks to follow, as JSON mode has it.

    Example:
        >>> from qwen_vl_sandbox.reading.conversation import Text
        >>> asked = Text('Follow this schema: {"type": "object", "properties": {}}')
        >>> schema_in_words((Message("user", (asked,)),))
        {'type': 'object', 'properties': {}}
    """
    for message in messages:
        for found in re.finditer(r"\{", message.text):
            try:
                value, _ = json.JSONDecoder().raw_decode(message.text, found.start())
            except (json.JSONDecodeError, RecursionError):
                continue
            if isinstance(value, dict) and isinstance(value.get("properties"), dict):
                return value
    return None


def _as_object(conversation: Conversation, report: MediaReport) -> dict[str, Any]:
    return {
        "from": "qwen-vl sandbox, not a model",
        "received": [
            {
                "kind": inspected.kind,
                "description": inspected.description,
                "tokens": inspected.tokens,
            }
            for inspected in report.sights
        ],
        "text": _quoted(last_user_text(conversation.messages)),
        **_texts_by_ocr(report),
    }


def _prose(conversation: Conversation, report: MediaReport) -> str:
    opening = "I am the qwen-vl sandbox, not a model."
    returned = _tool_results(conversation.messages)
    if returned:
        return f"{opening} The tools returned: {'; '.join(returned)}."
    media = describe(report.sights)
    asked, tools = _last_question(conversation.messages)
    text = f'the text: "{_quoted(asked)}"'
    media = f"{media}; the last from the tool {tools}" if tools else media
    read = _describe_texts(report)
    return f"{opening} I received {f'{media}; and ' if media else ''}{text}.{read}"


def _describe_texts(report: MediaReport) -> str:
    """Return what was read in the images, where the sandbox reads."""
    images = [seen for seen in report.sights if seen.kind == "image"]
    described = ""
    for number, seen in enumerate(images, 1):
        name = f"image {number}" if len(images) > 1 else "the image"
        if seen.lines:
            described += f' With OCR I read in {name}: "{_quoted(page_text(seen.lines))}".'
        elif seen.lines is not None:
            described += f" With OCR I found no text in {name}."
    whys = dict.fromkeys(seen.unread for seen in images if seen.unread)
    return described + "".join(f" {why}." for why in whys)


def _texts_by_ocr(report: MediaReport) -> dict[str, Any]:
    texts = [page_text(seen.lines) for seen in report.sights if seen.lines is not None]
    return {"read_by_ocr": [_quoted(text) for text in texts]} if texts else {}


def _tool_results(messages: tuple[Message, ...]) -> list[str]:
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    results: list[str] = []
    for message in reversed(messages):
        if message.role != "tool":
            break
        name = names.get(message.tool_call_id, "a tool")
        results.insert(0, f'{name}: "{_quoted(message.text)}"')
    return results


def _last_question(messages: tuple[Message, ...]) -> tuple[str, str]:
    """Find what the user asked, and which tools brought the media behind it.

    Media of a tool's result stands in a user message, with a text that names the call.
    """
    calls = {call.id: call.name for message in messages for call in message.tool_calls if call.id}
    tools: dict[str, None] = {}
    for message in reversed(messages):
        texts = [part.text for part in message.parts if isinstance(part, Text)]
        if message.role != "user" or not texts:
            continue
        questions = [text for text in texts if not any(call in text for call in calls)]
        if questions or not calls:
            return "\n".join(questions), " and ".join(tools)
        tools.update({name: None for call, name in calls.items() if call in "\n".join(texts)})
    return "", " and ".join(tools)


def last_user_text(messages: tuple[Message, ...]) -> str:
    """The words of the last user message."""
    return next((message.text for message in reversed(messages) if message.role == "user"), "")


def _reasoning(conversation: Conversation, report: MediaReport) -> str:
    media = describe(report.sights) or "no media"
    text = (
        f"The request holds {len(conversation.messages)} messages and {media}. "
        "I am a sandbox and cannot think; I will say what I received."
    )
    budget = conversation.options.thinking_budget
    return text if budget is None else _clipped(text, budget)[0]


def _quoted(text: str) -> str:
    if len(text) <= LONGEST_QUOTE:
        return text
    return f"{text[:LONGEST_QUOTE]}… ({len(text)} characters)"


def _until_stop(text: str, stops: tuple[str, ...]) -> str:
    if not stops:
        return text
    return re.split("|".join(map(re.escape, stops)), text, maxsplit=1)[0]


def _clipped(text: str, tokens: int) -> tuple[str, bool]:
    if text_tokens(text) <= tokens:
        return text, False
    return "".join(pieces(text)[: max(tokens, 0)]), True
