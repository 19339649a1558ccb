"""Encrypted reasoning: issued with answers, and wanted back unchanged with each of them.

Rules are those of the Thinking-summary page (2026-11): every turn asks for summaries, sends
`preserve_thinking`, the ciphertext of each earlier answer with its own message, and the images and
videos of earlier turns. A ciphertext or a summary may be missing from an answer.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Never

import orjson

from qwen_vl_sandbox.answers.compose import Answer
from qwen_vl_sandbox.errors.api_error import ALGO, reject
from qwen_vl_sandbox.media.hosted import arguments_text
from qwen_vl_sandbox.reading.conversation import Conversation, Message, Text, ToolCall

_KEY = b"qwen-vl-sandbox"
_DIGEST_BYTES = hashlib.sha256().digest_size


class SealedReasoning:
    """What one sandbox has encrypted."""

    def __init__(self) -> None:
        self._issued: set[str] = set()

    def seal(self, answer: Answer, conversation: Conversation) -> Answer:
        """Encrypt the reasoning of an answer, if the request asks for summaries."""
        reasoning = answer.reasoning if answer.summarized is None else answer.summarized
        if not conversation.options.summarized or not reasoning:
            return answer
        digest = _digest(answer.text, answer.tool_calls)
        self._issued.add(digest)
        held = {
            "reasoning": reasoning,
            "answer": digest,
            "media": _count_media(conversation.messages),
        }
        return replace(answer, encrypted=_encrypt(orjson.dumps(held)))

    def check(self, conversation: Conversation) -> None:
        """Check the encrypted reasoning of earlier answers.

        Raises:
            ApiError: A ciphertext is lost, altered or beside another message, or the request does
                not say that it is to be read.
        """
        if not conversation.spec.summarizes:
            return
        messages = conversation.messages
        if not conversation.options.summarized:
            if conversation.strict and any(message.encrypted_content for message in messages):
                # unsure: whether the service ignores it then.
                _refuse("thinking_display must be summarized where messages have it.")
            return
        for at, message in enumerate(messages):
            if message.role == "assistant":
                self._check_answer(conversation, at)
        is_read = conversation.options.preserves_thinking
        if conversation.strict and not is_read and any(m.encrypted_content for m in messages):
            # unsure: whether it is the model's default.
            _refuse("preserve_thinking must be true where messages have it.")

    def clear(self) -> None:
        """Forget all that was encrypted."""
        self._issued.clear()

    def _check_answer(self, conversation: Conversation, at: int) -> None:
        message, path = conversation.messages[at], f"messages[{at}]"
        said = "".join(part.text for part in message.parts if isinstance(part, Text))
        digest = _digest(said, message.tool_calls)
        if message.encrypted_content is None:
            if digest in self._issued:
                _refuse(f"{path} has lost it.")
            return
        held = _decrypt(message.encrypted_content)
        if held is None:
            _refuse(f"that of {path} cannot be decrypted.")
        if held["answer"] != digest:
            _refuse(f"that of {path} belongs to another message.")
        if conversation.strict and held["media"] != _count_media(conversation.messages[:at]):
            # unsure: what the service makes of it; the page wants them sent.
            _refuse(f"the images and videos before {path} are not those that were answered.")


def _refuse(problem: str) -> Never:
    # unsure: the wording; no page prints it.
    reject(f"{ALGO}Invalid encrypted_content: {problem}")


def _digest(text: str, calls: Sequence[ToolCall]) -> str:
    # Clients may write the arguments of a call again, with other spaces.
    named = [[call.name, _load(arguments_text(call))] for call in calls]
    return hashlib.sha256(orjson.dumps([text, named], option=orjson.OPT_SORT_KEYS)).hexdigest()


def _load(arguments: str) -> Any:
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return None


def _count_media(messages: Sequence[Message]) -> int:
    return sum(not isinstance(part, Text) for message in messages for part in message.parts)


def _encrypt(data: bytes) -> str:
    mark = hmac.digest(_KEY, data, "sha256")
    return base64.b64encode(mark + _mask(data, mark)).decode()


def _decrypt(text: str) -> dict[str, Any] | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    mark, masked = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    data = _mask(masked, mark)
    if not hmac.compare_digest(mark, hmac.digest(_KEY, data, "sha256")):
        return None
    held: dict[str, Any] = orjson.loads(data)
    return held


def _mask(data: bytes, mark: bytes) -> bytes:
    stream = hashlib.shake_256(_KEY + mark).digest(len(data))
    return bytes(one ^ other for one, other in zip(data, stream, strict=True))
