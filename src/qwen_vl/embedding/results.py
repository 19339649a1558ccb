"""Vectors, checked one by one: whole, finite, of one length, and one for each item."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen_vl.embedding.items import Item
from qwen_vl.errors import AnswerFormatError, extra_required
from qwen_vl.reply import Usage
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.json import Json, as_count, as_object, as_text, find_request_id, load_json

Vector = list[float]
_SHOWN_BYTES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """The vectors of items, in the order of the items.

    Args:
        vectors: One for each item.
        model: The model that made them. Vectors of different models cannot be compared.
        usage: Tokens of all requests together; `None` where none was reported.
        request_ids: What the service's support asks for, one for each request.
    """

    vectors: tuple[Vector, ...]
    model: str
    usage: Usage | None = None
    request_ids: tuple[str, ...] = ()

    @property
    def dimensions(self) -> int:
        """Length of the vectors; 0 where there are none."""
        return len(self.vectors[0]) if self.vectors else 0

    def to_numpy(self) -> Any:
        """Return all vectors as one array of `float32`, a row for each.

        Raises:
            MissingExtraError: numpy is not installed.

        Example:
            >>> Embeddings(vectors=([0.5, 1.0],), model="qwen3-vl-embedding").to_numpy().shape
            (1, 2)
        """
        with extra_required("to_numpy", extra="numpy"):
            import numpy as np  # noqa: PLC0415 - optional
        return np.asarray(self.vectors, dtype=np.float32).reshape(len(self), self.dimensions)

    def __len__(self) -> int:
        return len(self.vectors)

    def __iter__(self) -> Iterator[Vector]:
        return iter(self.vectors)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedBatch:
    """The vectors of one request.

    Args:
        positions: Place of each item among all items, from 0 on.
        vectors: One for each of them.
        usage: Tokens of the request; `None` where none were reported.
        request_id: What the service's support asks for.
    """

    positions: tuple[int, ...]
    vectors: tuple[Vector, ...]
    usage: Usage | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedVectors:
    """The vectors of one request.

    Args:
        vectors: One for each of its items, in order.
        usage: What it cost.
        request_id: What the service's support asks for.
    """

    vectors: tuple[Vector, ...]
    usage: Usage | None
    request_id: str | None

    def cut(self, dimensions: int, items: Sequence[Item]) -> "DecodedVectors":
        """Cut vectors that a model has trained to be cut, and scale them to length 1 again.

        Args:
            dimensions: The wanted length.
            items: The items that were sent.

        Raises:
            AnswerFormatError: A vector is shorter, or all its first numbers are 0.
        """
        cut = []
        for vector, item in zip(self.vectors, items, strict=True):
            if len(vector) < dimensions:
                raise AnswerFormatError(
                    f"{item.where}: The vector has {len(vector)} numbers; {dimensions} were "
                    "expected.",
                    text="",
                )
            cut.append(scale_to_length_one(vector[:dimensions], item.where))
        return replace(self, vectors=tuple(cut))


def decode_vectors(
    body: bytes,
    headers: Mapping[str, str],
    items: Sequence[Item],
    *,
    dimensions: int | None = None,
) -> DecodedVectors:
    """Read an answer of the native protocol or of the OpenAI-compatible one.

    Vectors are found by their `index`, never by their order.

    Args:
        body: The HTTP body of a 200.
        headers: Its headers, names in lower case.
        items: The items that were sent.
        dimensions: Length that each vector must have; `None` for one length of all.

    Raises:
        ServiceError: The body is an error nevertheless.
        AnswerFormatError: A vector is missing, double, of an item that was not sent, of another
            length, or not of finite numbers. The message names the item.
    """
    data = as_object(load_answer(body))
    output = data.get("output")
    found = data.get("data") if output is None else as_object(output).get("embeddings")
    if not isinstance(found, list):
        raise decode_error(None, body, headers)
    vectors: dict[int, Vector] = {}
    for entry in map(as_object, found):
        index: Any = entry.get("index")
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(items):
            _refuse(
                f"The answer has a vector of index {index!r}; {len(items)} were asked for.", body
            )
        where = items[index].where
        if index in vectors:
            _refuse(f"{where}: The answer has two vectors of this item.", body)
        vectors[index] = _check(entry.get("embedding"), where, dimensions, body)
        dimensions = dimensions or len(vectors[index])
    missing = [item.where for index, item in enumerate(items) if index not in vectors]
    if missing:
        _refuse(f"{', '.join(missing)}: The answer lacks a vector.", body)
    return DecodedVectors(
        vectors=tuple(vectors[index] for index in range(len(items))),
        usage=decode_usage(data.get("usage")),
        request_id=find_request_id(data, headers) or as_text(data.get("id")),
    )


def join_batches(batches: Iterable[EmbeddedBatch], model: str) -> Embeddings:
    """Return the vectors of all requests, in the order of the items.

    Args:
        batches: Of all items.
        model: The model that made them.

    Raises:
        AnswerFormatError: They differ in length.
    """
    found: dict[int, Vector] = {}
    batches = list(batches)
    for batch in batches:
        found.update(zip(batch.positions, batch.vectors, strict=True))
    places = sorted(found)
    for place in places:
        if len(found[place]) != len(found[places[0]]):
            raise AnswerFormatError(
                f"items[{place}]: The vector has {len(found[place])} numbers; that of "
                f"items[{places[0]}] has {len(found[places[0]])}.",
                text="",
            )
    return Embeddings(
        vectors=tuple(found[place] for place in places),
        model=model,
        usage=add_usage(batch.usage for batch in batches),
        request_ids=tuple(batch.request_id for batch in batches if batch.request_id),
    )


def load_answer(body: bytes) -> Any:
    """Read JSON, also what Python's own writer makes of NaN and infinity.

    An item that has such a number can be named then.

    Args:
        body: The HTTP body.

    Returns:
        `None` where it is not JSON.
    """
    data = load_json(body)
    if data is not None:
        return data
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _check(vector: Any, where: str, dimensions: int | None, body: bytes) -> Vector:
    if not isinstance(vector, list) or not vector:
        _refuse(f"{where}: The answer has an empty vector.", body)
    if dimensions is not None and len(vector) != dimensions:
        _refuse(f"{where}: The vector has {len(vector)} numbers; {dimensions} were expected.", body)
    if not all(type(number) in {int, float} and math.isfinite(number) for number in vector):
        _refuse(f"{where}: The vector has something that is not a finite number.", body)
    return list(map(float, vector))


def _refuse(problem: str, body: bytes) -> Any:
    raise AnswerFormatError(problem, text=body[:_SHOWN_BYTES].decode(errors="replace"))


def decode_usage(raw: object) -> Usage | None:
    """Read the token counts of an answer, which has a different form in each family of models.

    Args:
        raw: The service's object.

    Returns:
        `None` where there are none.

    Example:
        >>> usage = decode_usage({"input_tokens": 43, "image_tokens": 1247, "total_tokens": 1290})
        >>> usage.input_tokens, usage.text_tokens, usage.image_tokens
        (1290, 43, 1247)
    """
    counts = as_object(raw)
    counted = {name: as_count(value) for name, value in counts.items()}
    details: Json = as_object(counts.get("input_tokens_details"))
    first = counted.get("input_tokens")
    if first is None:
        first = counted.get("prompt_tokens")
    total = counted.get("total_tokens")
    if first is None and total is None:
        return None
    if details or "output_tokens" in counted or "prompt_tokens" in counted:
        # `input_tokens` are all of the input there.
        n_input = first if first is not None else total or 0
        image, text = as_count(details.get("image_tokens")), as_count(details.get("text_tokens"))
    else:
        image, text = counted.get("image_tokens"), first
        # unsure: qwen2.5-vl-embedding gives no sum; its images are taken to come on top.
        n_input = total if total is not None else (text or 0) + (image or 0)
    n_output = counted.get("output_tokens") or 0
    return Usage(
        input_tokens=n_input,
        output_tokens=n_output,
        total_tokens=total if total is not None else n_input + n_output,
        image_tokens=image,
        text_tokens=text,
        raw=counts,
    )


def add_usage(usages: Iterable[Usage | None]) -> Usage | None:
    """Add up what several requests cost.

    Args:
        usages: Of each request.

    Returns:
        `None` where no request reported anything.
    """
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in known),
        output_tokens=sum(usage.output_tokens for usage in known),
        total_tokens=sum(usage.total_tokens for usage in known),
        image_tokens=_add(usage.image_tokens for usage in known),
        text_tokens=_add(usage.text_tokens for usage in known),
    )


def _add(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def scale_to_length_one(vector: Vector, where: str) -> Vector:
    """Scale a vector to length 1, so that products of two are their cosine.

    Args:
        vector: Any vector.
        where: Its item, for errors.

    Raises:
        AnswerFormatError: All its numbers are 0.

    Example:
        >>> scale_to_length_one([3.0, 4.0], "items[0]")
        [0.6, 0.8]
    """
    length = math.hypot(*vector)
    if not length:
        raise AnswerFormatError(f"{where}: All numbers of the vector are 0.", text="")
    return [number / length for number in vector]
