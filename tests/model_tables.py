"""The tables of docs/models.md, from the specs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

from qwen_vl.reply import Usage
from qwen_vl.specs.batch_chat import BATCH_MODELS
from qwen_vl.specs.batch_file import BATCH_FILE_MODELS
from qwen_vl.specs.models import CURRENT_MODELS, get_model_spec
from qwen_vl.specs.prices import PRICE_SOURCES, PRICE_TABLE, ListPrice, PriceScope
from qwen_vl.tokens.cost import cost_of


def write_models() -> Iterator[str]:
    """Write a row for each current model: what it takes, and what it can do."""
    yield from _start("model", "input tokens", "output tokens", "thinking", "also supports")
    for model in CURRENT_MODELS:
        spec = get_model_spec(model)
        abilities = {
            "video": spec.accepts_video,
            "audio": spec.accepts_audio,
            "tools": spec.accepts_tools,
            "JSON schema": spec.accepts_json_schema,
            "OCR tasks": spec.accepts_ocr_tasks,
        }
        yield _to_row(
            f"`{model}`",
            _to_number(spec.max_input_tokens),
            _to_number(spec.max_output_tokens),
            spec.thinking,
            ", ".join(name for name, has in abilities.items() if has) or "–",
        )


def write_prices(scope: PriceScope) -> Iterator[str]:
    """Write a price list.

    Args:
        scope: Which one.
    """
    yield from _start(
        "model", "input tokens", "input", "output", "cache hit", "cache write", "from"
    )
    for row in PRICE_TABLE:
        if row.scope == scope:
            yield _to_row(
                f"`{row.model}`",
                row.tier.removesuffix(" tokens"),
                _to_input(row),
                _to_amount(row.output),
                _to_hits(row),
                _to_creation(row),
                _to_sources(row),
            )


def write_sources() -> Iterator[str]:
    """Write what the sources are."""
    yield from _start("name", "source")
    for name, source in PRICE_SOURCES.items():
        yield _to_row(name, source)


# A photo of 1,024 x 1,024 pixels is 1,024 tokens; the question and the frame of a message are some
# 26 more. An answer of a few sentences is 100.
_INPUT_TOKENS, _OUTPUT_TOKENS = 1_050, 100
_ROWS = 1_000_000


def write_capacity() -> Iterator[str]:
    """Write what a million images cost, for each model with a price."""
    yield from _start("model", "input and output price", "live", "Batch Chat", "batch files")
    usage = Usage(
        input_tokens=_INPUT_TOKENS,
        output_tokens=_OUTPUT_TOKENS,
        total_tokens=_INPUT_TOKENS + _OUTPUT_TOKENS,
    )
    for model in CURRENT_MODELS:
        cost = cost_of(usage, model, region="cn-beijing")
        if cost.amount is None or cost.price is None:
            continue
        total = _ROWS * cost.amount
        yield _to_row(
            f"`{model}`",
            f"{cost.price.input}, {cost.price.output}",
            f"{total:,.0f}",
            f"{total / 2:,.0f}" if model in BATCH_MODELS else "–",
            f"{total / 2:,.0f}" if model in BATCH_FILE_MODELS else "–",
        )


TABLES: Mapping[str, Callable[[], Iterable[str]]] = {
    "models": write_models,
    "prices in Beijing": lambda: write_prices("cn"),
    "prices in Singapore": lambda: write_prices("intl"),
    "sources": write_sources,
    "cost of a million": write_capacity,
}
"""The tables by the names that mark them in their pages."""


def _start(*headings: str) -> Iterator[str]:
    yield _to_row(*headings)
    yield _to_row(*("---" for _ in headings))


def _to_row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _to_number(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _to_amount(price: Decimal | None) -> str:
    return "–" if price is None else f"{price}"


def _to_input(row: ListPrice) -> str:
    return f"{row.input}" if row.text_input is None else f"{row.input}; text {row.text_input}"


def _to_hits(row: ListPrice) -> str:
    if row.implicit_hit == row.explicit_hit:
        return _to_amount(row.implicit_hit)
    hits = {"implicit": row.implicit_hit, "explicit": row.explicit_hit}
    return ", ".join(f"{kind} {price}" for kind, price in hits.items() if price is not None)


def _to_creation(row: ListPrice) -> str:
    creation = _to_amount(row.creation)
    return creation if row.creation_1h is None else f"{creation}; {row.creation_1h} for an hour"


def _to_sources(row: ListPrice) -> str:
    doubt = ""
    if row.is_unsure:
        doubt = "**unsure**: "
    elif row.is_cache_unsure:
        doubt = "cache **unsure**: "
    return f"{doubt}{', '.join(row.sources)}{f' ({row.date})' if row.date else ''}"
