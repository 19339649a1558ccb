"""Many inputs of a model, or of a chain around one, answered by batch files."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, message_to_dict
from langchain_core.runnables import (
    Runnable,
    RunnableLambda,
    RunnableParallel,
    RunnableSequence,
)
from langchain_core.runnables.base import RunnableBindingBase

from langchain_qwen_vl.messages import to_message
from qwen_vl.batches import ChatBatch
from qwen_vl.errors import ConfigurationError
from qwen_vl.reply import Reply
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.batch_file import DEFAULT_WINDOW


def batch_job(
    model: Runnable[Any, Any],
    inputs: Iterable[Any],
    folder: str | Path,
    *,
    window: str = DEFAULT_WINDOW,
    name: str | None = None,
    max_lines: int | None = None,
) -> ChatBatch[Any]:
    """Write the inputs of a model into batch files: half the price, answers within a day.

    Run again with the same inputs and folder, it goes on with the job that is there.

    Args:
        model: A `ChatQwenVL`, also with tools, a schema or options bound to it, or a chain of steps
            around one: `prompt | model | parser`.
        inputs: The inputs that `invoke` takes.
        folder: For the job; is created.
        window: Within which the job is to be done: 24h to 336h, or 1d to 14d.
        name: Of the job at the service; by default that of the folder.
        max_lines: Fewer lines in a file than the service takes, 50,000.

    Returns:
        The job. `run()` submits it, waits, and returns the outputs in order; `job` has the single
        steps.

    Raises:
        ConfigurationError: The chain lacks a `ChatQwenVL`, or the requests cannot be
            in batch files.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from langchain_qwen_vl import ChatQwenVL
        >>> from qwen_vl_sandbox import Sandbox
        >>> with TemporaryDirectory() as folder, Sandbox() as sandbox:
        ...     model = ChatQwenVL(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     with batch_job(model, ["Hello", "Good-bye"], folder) as batch:
        ...         outputs = batch.run(poll=0.1)
        >>> [type(one.output).__name__ for one in outputs]
        ['AIMessage', 'AIMessage']
    """
    before, chat, options, after = _find_model(model)

    def find_requests() -> Iterator[tuple[str, Request]]:
        for value in inputs:
            prompt = value if before is None else before.invoke(value)
            messages, request = chat._make_batch_request(prompt, options)  # noqa: SLF001 - its other half.
            yield _make_digest(messages, options), request

    def to_output(reply: Reply) -> Any:
        message: AIMessage = to_message(reply)
        return message if after is None else after.invoke(message)

    return ChatBatch.open(
        find_requests(),
        folder,
        chat,
        to_output,
        window=window,
        name=name,
        max_lines=max_lines,
    )


def _make_digest(messages: Iterable[BaseMessage], options: dict[str, Any]) -> str:
    written = json.dumps(
        [[message_to_dict(message) for message in messages], options], default=str, sort_keys=True
    )
    return hashlib.sha256(written.encode(errors="surrogatepass")).hexdigest()


def _find_model(
    model: Runnable[Any, Any],
) -> tuple[Runnable[Any, Any] | None, Any, dict[str, Any], Runnable[Any, Any] | None]:
    """Return the steps before the model, the model, its options, and the steps after it."""
    # `ChatQwenVL`, whose module imports this one.
    if isinstance(model, QwenVLSettings):
        return None, model, {}, None
    if isinstance(model, RunnableBindingBase):
        before, chat, options, after = _find_model(model.bound)
        return before, chat, {**options, **model.kwargs}, after
    if isinstance(model, RunnableParallel) and len(model.steps__) == 1:
        # As `with_structured_output(include_raw=True)` has it.
        ((key, step),) = model.steps__.items()
        before, chat, options, after = _find_model(step)
        return before, chat, options, _join(after, RunnableLambda(lambda value: {key: value}))
    steps = model.steps if isinstance(model, RunnableSequence) else []
    for at, step in enumerate(steps):
        try:
            before, chat, options, after = _find_model(step)
        except ConfigurationError:
            continue
        return _join(*steps[:at], before), chat, options, _join(after, *steps[at + 1 :])
    raise ConfigurationError(
        f"A {type(model).__name__} lacks a ChatQwenVL among its steps. Pass a model, also with "
        "tools or a schema bound to it, or a chain of steps around one."
    )


def _join(*steps: Runnable[Any, Any] | None) -> Runnable[Any, Any] | None:
    joined: Runnable[Any, Any] | None = None
    for step in steps:
        if step is not None:
            joined = step if joined is None else joined | step
    return joined
