"""What a request costs: of a conversation before it is sent, and of the usage of an answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

from qwen_vl.display.html import to_note, to_table
from qwen_vl.errors import ConfigurationError
from qwen_vl.reply import Usage
from qwen_vl.request.build import find_service_region
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.endpoints import DEFAULT_REGION
from qwen_vl.specs.prices import (
    BATCH_FACTOR,
    ListPrice,
    Prices,
    find_list_price,
    find_own_price,
    find_price_scope,
    has_batch_price,
)
from qwen_vl.specs.processors import Family
from qwen_vl.specs.servers import DEFAULT_SERVER, Server
from qwen_vl.tokens.conversation import Countable, count_tokens
from qwen_vl.tokens.text import estimate_text_tokens

_MILLION = 1_000_000

CacheKind: TypeAlias = Literal["implicit", "explicit"]
"""Context cache: what the service finds by itself, or prefixes that `cache_control` marks."""


class CountOptions(TypedDict, total=False):
    """Options of `count_tokens`, which documents them."""

    parameters: Mapping[str, Any] | None
    policy: MediaPolicy | None
    video_seconds: float
    count_text: Callable[[str], int]
    model_family: Family | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a request costs, as far as it is known.

    Args:
        amount: In `currency`, not rounded; `None` where it is not known, for the `reason` given.
        currency: Such as `"CNY"` or `"USD"`; `None` where no price is known.
        model: Model id by which the price was looked up.
        input_tokens: Number of tokens of input.
        output_tokens: Number of tokens of output, reasoning included.
        price: The row of the price table, with its tier, its sources and their date.
        is_batch: Whether it is the price of a batch.
        is_at_most: Whether it may be less, as cached input has several prices or an unknown one.
        is_unsure: Whether a price in it has one source only, or sources disagree.
        reason: Why the amount is not known; empty if it is.
    """

    amount: Decimal | None
    currency: str | None
    model: str
    input_tokens: int
    output_tokens: int
    price: ListPrice | None = None
    is_batch: bool = False
    is_at_most: bool = False
    is_unsure: bool = False
    reason: str = ""

    @property
    def tier(self) -> str | None:
        """Description of the tier that applies; `None` where no price is known."""
        return self.price.tier if self.price else None

    def _repr_html_(self) -> str:
        """Return what notebooks show: a table of tokens and the amount."""
        amount = (
            "unknown" if self.amount is None else f"{self.amount.normalize():f} {self.currency}"
        )
        prefix = "at most " if self.is_at_most and self.amount is not None else ""
        table = to_table(
            ("model", "input tokens", "output tokens", "cost"),
            [
                (
                    self.model,
                    f"{self.input_tokens:,}",
                    f"{self.output_tokens:,}",
                    f"{prefix}{amount}",
                )
            ],
        )
        unsure = "The price has one source only, or sources disagree." if self.is_unsure else ""
        return table + to_note(self.reason or unsure)


def estimate_cost(
    what: Countable,
    model: str,
    *,
    output_tokens: int = 0,
    region: str | None = DEFAULT_REGION,
    service_tier: Literal["batch"] | None = None,
    prices: Prices | None = None,
    server: Server = DEFAULT_SERVER,
    **counting: Unpack[CountOptions],
) -> Cost:
    """Estimate what a request costs before it is sent, offline, at list prices.

    Input is counted as by `count_tokens`, and charged as if nothing of it was cached.

    Args:
        what: A part, or turns.
        model: Model id.
        output_tokens: Number of tokens of the answer to assume, reasoning included; by default
            none, for the cost of the input. Pass `max_tokens` for the most that it may cost.
        region: Region of the hosted service; `None` if unknown.
        service_tier: `"batch"` for Batch Chat and batch files.
        prices: Your own prices, in place of the table's.
        server: Which server will be asked; others than the hosted service have only your own
            prices.
        **counting: Options of `count_tokens`: `parameters`, `policy`, `video_seconds`,
            `count_text` and `model_family`.

    Raises:
        ConfigurationError: `prices` are not valid, or `output_tokens` is negative.
        MediaError: An image or video cannot be read or is none.

    Example:
        >>> from qwen_vl.content import Image, LocalFile
        >>> from qwen_vl.samples import CHELSEA
        >>> cat = Image(source=LocalFile(CHELSEA, is_trusted=True))
        >>> cost = estimate_cost(cat, "qwen3-vl-plus", output_tokens=1_000)
        >>> cost.amount, cost.currency, cost.input_tokens
        (Decimal('0.010128'), 'CNY', 128)
    """
    counted = count_tokens(what, model, server=server, **counting)
    return _estimate(
        model,
        _to_usage(counted, output_tokens),
        region=region,
        is_batch=service_tier == "batch",
        prices=prices,
        server=server,
    )


def estimate_request_cost(
    request: Request,
    settings: QwenVLSettings,
    *,
    output_tokens: int = 0,
    prices: Prices | None = None,
    count_text: Callable[[str], int] = estimate_text_tokens,
) -> Cost:
    """Estimate what a request of a framework costs; see `estimate_cost`.

    Args:
        request: As it would be sent.
        settings: Of the model: its endpoint and its own prices.
        output_tokens: Number of tokens of the answer to assume.
        prices: Those of the call, before the settings'.
        count_text: Counts the tokens of a text.

    Raises:
        ConfigurationError: `prices` are not valid, or `output_tokens` is negative.
    """
    counted = count_tokens(
        request.turns,
        request.known_model,
        parameters=request.parameters,
        policy=request.policy,
        count_text=count_text,
        server=request.server,
        model_family=request.model_family,
    )
    return _estimate(
        request.known_model,
        _to_usage(counted, output_tokens),
        region=find_service_region(settings),
        is_batch=settings.service_tier == "batch",
        prices=settings.prices if prices is None else prices,
        server=request.server,
    )


def cost_of(
    usage: Usage,
    model: str,
    *,
    region: str | None = DEFAULT_REGION,
    service_tier: Literal["batch"] | None = None,
    prices: Prices | None = None,
    server: Server = DEFAULT_SERVER,
    cache: CacheKind | None = None,
) -> Cost:
    """Return what an answer cost, by its usage and at list prices.

    Usage does not say which kind of cache was hit, or how long a prefix is kept. Where the price
    depends on it, or is not known, the highest is taken, and `is_at_most` set.

    Args:
        usage: As the service reported it.
        model: Model id.
        region: Region of the hosted service; `None` if unknown.
        service_tier: `"batch"` for Batch Chat and batch files.
        prices: Your own prices, in place of the table's.
        server: Which server was asked.
        cache: Kind of the context cache, if you know it.

    Raises:
        ConfigurationError: `prices` are not valid.

    Example:
        >>> usage = Usage(input_tokens=2_000, output_tokens=100, total_tokens=2_100)
        >>> cost_of(usage, "qwen4-max", region="ap-southeast-1").amount
        Decimal('0.00345')
    """
    return _find_cost(
        model,
        usage,
        region=region,
        is_batch=service_tier == "batch",
        prices=prices,
        server=server,
        cache=cache,
    )


def _to_usage(input_tokens: int, output_tokens: int) -> Usage:
    if output_tokens < 0:
        raise ConfigurationError(f"output_tokens={output_tokens} is below 0.")
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=input_tokens + output_tokens,
    )


class _Terms(TypedDict):
    region: str | None
    is_batch: bool
    prices: Prices | None
    server: Server


def _estimate(model: str, usage: Usage, **terms: Unpack[_Terms]) -> Cost:
    cost = _find_cost(model, usage, **terms)
    if cost.price is None or cost.price.scope is None or cost.price.output is not None:
        return cost
    reason = f"{model!r} gives no answers, and how it counts its input is not known."
    return replace(cost, amount=None, reason=reason)


def _find_cost(
    model: str, usage: Usage, *, cache: CacheKind | None = None, **terms: Unpack[_Terms]
) -> Cost:
    region, prices, server = terms["region"], terms["prices"], terms["server"]
    is_batch = terms["is_batch"]
    scope, price = find_price_scope(region), None
    if prices is not None:
        price = find_own_price(model, prices, usage.input_tokens)
        reason = f"No tier of prices=… takes {usage.input_tokens:,} tokens of input."
    elif server != DEFAULT_SERVER:
        reason = f"Only your own prices are known of server={server!r}: pass prices=…"
    elif scope is None:
        reason = f"No prices are known of {f'region {region!r}' if region else 'the endpoint'}."
    else:
        price = find_list_price(model, scope, usage.input_tokens)
        reason = f"No price of {model!r} is known in {region} for such a request."
        if price is not None and is_batch and not has_batch_price(model, scope):
            price, reason = None, f"No price of {model!r} in a batch is known in {region}."
    amount, is_at_most, is_unsure = None, False, False
    if price is not None:
        amount, is_at_most, reason = _charge(price, usage, is_batch=is_batch, cache=cache)
        has_cached = bool(usage.cached_tokens or usage.cache_creation_tokens) and not is_batch
        is_unsure = price.is_unsure or (has_cached and price.is_cache_unsure)
    return Cost(
        amount=amount,
        currency=price.currency if price else None,
        model=model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        price=price,
        is_batch=is_batch,
        is_at_most=is_at_most,
        is_unsure=is_unsure,
        reason=reason,
    )


def _charge(
    price: ListPrice, usage: Usage, *, is_batch: bool, cache: CacheKind | None
) -> tuple[Decimal | None, bool, str]:
    """Return the amount, whether it is an upper limit, and why it is not known."""
    if price.text_input is not None and usage.text_tokens is None:
        return None, False, "Text has another price than images, and is not counted apart."
    if price.output is None and usage.output_tokens:
        return None, False, "The price of output is not known."
    # Batch Chat does not discount cached input (Batch-Chat page, 2026-10).
    hits = 0 if is_batch else usage.cached_tokens or 0
    created = 0 if is_batch else usage.cache_creation_tokens or 0
    creation_prices = {one for one in (price.creation, price.creation_1h) if one is not None}
    if created and not creation_prices:
        return None, False, "The price of what is written to the context cache is not known."
    hit_prices = _find_hit_prices(price, cache)
    text = 0 if price.text_input is None else usage.text_tokens or 0
    total = (
        (usage.input_tokens - text - hits - created) * price.input
        + text * (price.text_input or 0)
        # A price that is not known is not above that of other input.
        + hits * max(price.input if one is None else one for one in hit_prices)
        + created * max(creation_prices, default=price.input)
        + usage.output_tokens * (price.output or 0)
    )
    is_vague_hit = bool(hits) and (len(hit_prices) > 1 or None in hit_prices)
    is_at_most = is_vague_hit or (bool(created) and len(creation_prices) > 1)
    return total / _MILLION * (BATCH_FACTOR if is_batch else 1), is_at_most, ""


def _find_hit_prices(price: ListPrice, cache: CacheKind | None) -> set[Decimal | None]:
    """Return what cached input may cost; `None` in it stands for what is not known."""
    prices = {"implicit": price.implicit_hit, "explicit": price.explicit_hit}
    return {prices[cache]} if cache else set(prices.values())
