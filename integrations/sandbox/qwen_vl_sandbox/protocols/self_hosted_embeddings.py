"""Vectors of conversations as vLLM 0.32 makes them, at `/v1/embeddings`.

From vllm/entrypoints/pooling/embed. The models' own vectors have length 1, and the length of the
checkpoint: 2,048 numbers, or 4,096 of the 8B model (QwenLM/Qwen3-VL-Embedding, 2026-01).
"""

import math
from collections.abc import Mapping
from typing import Any

from qwen_vl_sandbox.answers.vectors import Features, to_vector
from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.http.service import Service
from qwen_vl_sandbox.media.fetch import MAX_BODY_BYTES, Loader
from qwen_vl_sandbox.protocols.embeddings import make_loader
from qwen_vl_sandbox.protocols.self_hosted_rerank import read_part
from qwen_vl_sandbox.reading.validation import Fields
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.specs.servers import Server

_FIELDS = frozenset(
    {"model", "messages", "encoding_format", "dimensions", "continue_final_message", "user"}
    | {"add_special_tokens", "add_generation_prompt", "mm_processor_kwargs", "media_io_kwargs"}
    | {"truncate_prompt_tokens", "use_activation", "embed_dtype", "endianness", "priority"}
)
_NOT_MATRYOSHKA = (
    'Model "{}" does not support matryoshka representation, changing output dimensions will lead '
    "to poor results."
)


def find_embedding_service(recorder: Recorder, server: Server) -> Service | None:
    """Return how a server makes vectors; `None` where no way is documented for images."""
    if server.name != "vllm":
        return None

    def unknown(body: Any) -> tuple[str, ...]:
        names = body if isinstance(body, dict) else ()
        return tuple(name for name in names if name not in _FIELDS)

    def answer(body: dict[str, Any], headers: Mapping[str, str], request_id: str) -> Any:
        loader = make_loader(recorder, str(body.get("model")), headers, MAX_BODY_BYTES)
        return _answer(body, loader, request_id, is_matryoshka=recorder.matryoshka)

    return Service(errors=server.errors, unknown_fields=unknown, answer=answer)


def _answer(
    body: dict[str, Any], loader: Loader, request_id: str, *, is_matryoshka: bool
) -> dict[str, Any]:
    model = str(body.get("model"))
    size = 4096 if "8b" in model.lower() else 2048
    fields = Fields(body)
    dimensions = fields.integer("dimensions", 1, size)
    if dimensions is not None and not is_matryoshka:
        reject(_NOT_MATRYOSHKA.format(model))
    if fields.string("encoding_format") not in {None, "float"}:
        reject("The sandbox answers with encoding_format float only.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        reject("The sandbox reads messages, and no input.")
    conversations = messages if isinstance(messages[0], list) else [messages]
    must_continue = fields.boolean("continue_final_message")
    data, total = [], 0
    for at, conversation in enumerate(conversations):
        features, n_tokens = _read(conversation, f"messages[{at}]", loader)
        if must_continue and conversation[-1].get("role") != "assistant":
            reject("continue_final_message is set, but the final message is not an assistant's.")
        vector = to_vector(features, size, reads=loader.reads)[:dimensions]
        length = math.hypot(*vector) or 1.0
        numbers = [number / length for number in vector]
        data.append({"index": at, "object": "embedding", "embedding": numbers})
        total += n_tokens
    usage = {"prompt_tokens": total, "total_tokens": total}
    return {
        "id": f"embd-{request_id}",
        "object": "list",
        "model": model,
        "data": data,
        "usage": usage,
    }


def _read(conversation: Any, path: str, loader: Loader) -> tuple[list[Features], int]:
    if not isinstance(conversation, list) or not conversation:
        reject(f"{path} must be a list of messages.")
    features: list[Features] = []
    total = 0
    for message in conversation:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list):
            reject(f"{path}: content must be a string or a list of parts.")
        for at, part in enumerate(content):
            found, tokens = read_part(part, f"{path}.content[{at}]", loader)
            total += tokens
            # The instruction changes a model's vectors; not these.
            if message.get("role") == "user":
                features.append(found)
    return features, total
