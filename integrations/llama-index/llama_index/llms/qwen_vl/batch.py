"""Many conversations, answered by batch files."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools.types import BaseTool

from llama_index.llms.qwen_vl.responses import to_chat_response
from llama_index.llms.qwen_vl.structured import AnswerForm
from llama_index.llms.qwen_vl.tools import to_tools
from qwen_vl.batches import ChatBatch
from qwen_vl.reply import Reply
from qwen_vl.request.types import Request

_JOB_OPTIONS = ("window", "name", "max_lines")


def open_batch(
    llm: Any,
    inputs: Iterable[Sequence[ChatMessage]],
    folder: str | Path,
    *,
    tools: Sequence[BaseTool],
    form: AnswerForm[Any] | None,
    options: dict[str, Any],
) -> ChatBatch[Any]:
    """Prepare or open a job; see `QwenVL.batch_job`.

    Args:
        llm: The model.
        inputs: Conversations.
        folder: For the job.
        tools: Tools that the model may call.
        form: What answers must follow.
        options: Of the job, and of each call.
    """
    call = {name: value for name, value in options.items() if name not in _JOB_OPTIONS}
    job = {name: value for name, value in options.items() if name in _JOB_OPTIONS}
    if tools:
        call["tools"] = to_tools(tools)
    if form is not None:
        call |= form.options()

    # `QwenVL`, whose module imports this one.
    model: FunctionCallingLLM = llm

    def find_requests() -> Iterator[tuple[str, Request]]:
        for messages in inputs:
            request = llm._make_request(messages, call, stream=False)  # noqa: SLF001 - its other half.
            yield _make_digest(messages, call), request

    def to_output(reply: Reply) -> Any:
        response = to_chat_response(reply)
        return response if form is None else form.read(response, model)

    return ChatBatch.open(find_requests(), folder, llm, to_output, **job)


def _make_digest(messages: Sequence[ChatMessage], call: dict[str, Any]) -> str:
    values = [message.model_dump(mode="json") for message in messages]
    written = json.dumps([values, call], default=str, sort_keys=True)
    return hashlib.sha256(written.encode(errors="surrogatepass")).hexdigest()
