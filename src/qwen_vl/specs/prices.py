"""What tokens cost: the list prices of the hosted service, and the user's own.

One table, as of 2026-11-28. No copy of the service's own price page was found, so the rows are
records of it by others, each with its sources; `is_unsure` marks those with one source, or with
sources that disagree. Promotions are left out. Check the console before billing anybody.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Annotated, Literal, NotRequired, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

# pydantic, which depends on it, refuses that of `typing` in Python 3.11.
from typing_extensions import TypedDict

from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.batch_chat import BATCH_MODELS
from qwen_vl.specs.batch_file import BATCH_FILE_MODELS

PRICES_DATE = "2026-11-28"
"""When the table was last compared with its sources."""

BATCH_FACTOR = Decimal("0.5")
"""Of input and output at Batch Chat, without a discount for cached input (Batch-Chat page,
2026-10)."""

PriceScope: TypeAlias = Literal["cn", "intl"]
"""Price list: `cn` of Beijing in yuan, `intl` of Singapore in US dollars. They are separate lists;
one cannot be converted into the other."""

_SCOPES: Mapping[str, PriceScope] = {"cn-beijing": "cn", "ap-southeast-1": "intl"}
_CURRENCIES: Mapping[PriceScope, str] = {"cn": "CNY", "intl": "USD"}

PRICE_SOURCES: Mapping[str, str] = {
    "throughput": "The service's page on billing of training and deployment, in Chinese (2026-08). "
    "Its prices of reserved throughput are a fixed multiple of list prices, and serve as a check",
    "embedding": "The service's page on multimodal embeddings (2026)",
    "rerank": "The service's page on text rerank (2026)",
    "apidog": "apidog.com/blog, on each model's release (2026-06 to 2026-11)",
    "apiyi": "docs.apiyi.com/api-capabilities (2026-08 to 2026-11)",
    "models.dev": "github.com/anomalyco/models.dev, providers alibaba and alibaba-cn, and "
    "pull requests 929, 1971, 3954, 4049, 5692 and 6723",
    "lobehub": "github.com/lobehub/lobehub, packages/model-bank/src/aiModels/qwen.ts",
    "litellm": "github.com/BerriAI/litellm, pull requests 22848, 29919 and 41764",
    "openclacky": "github.com/clacky-ai/openclacky, lib/clacky/utils/model_pricing.rb",
    "llmgateway": "github.com/theopenco/llmgateway, packages/models/src/models/alibaba.ts",
    "midscene": "github.com/web-infra-dev/midscene, pull request 3010",
    "zjt": "github.com/jeffstric/ZJT, issue 143",
    "llm-metadata": "github.com/basellm/llm-metadata, issue 51",
    "quotes": "A public project whose code quotes the service's model and price pages (2026-10)",
    "excerpt": "An excerpt of the English price table in the tests of a public project (undated)",
    "guide": "A guide to the model by others (2026)",
}
"""What the sources of the table are, by the names that its rows have."""

OWN_SOURCE = "your own prices"


@with_config(ConfigDict(extra="forbid"))
class Price(TypedDict):
    """Your own price, for a contract, a gateway or a model that the table lacks.

    Args:
        input: Of a million tokens of input.
        output: Of a million tokens of output; without it, the cost of output is unknown.
        currency: Such as `"USD"`; it is only repeated in results.
        cache_hit: Of a million tokens of input that are read from the context cache; without it,
            they cost what other input costs.
        cache_creation: Of a million tokens of input that are written to it, likewise.
        max_input_tokens: For the price of a tier: maximum number of tokens of input of one
            request.

    Example:
        >>> Price(input=2.5, output=7.5, currency="USD")
        {'input': 2.5, 'output': 7.5, 'currency': 'USD'}
    """

    input: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    output: NotRequired[Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    currency: Annotated[str, Field(min_length=1)]
    cache_hit: NotRequired[Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    cache_creation: NotRequired[Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    max_input_tokens: NotRequired[Annotated[int, Field(ge=1)]]


Prices: TypeAlias = Price | Sequence[Price]
"""One price, or one for each tier."""


@cache
def _prices_adapter() -> TypeAdapter[Prices]:
    # Made at the first use: programs that do not set prices do not wait for it.
    return TypeAdapter(Prices)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPrice:
    """A row of the price table: what a million tokens cost.

    Args:
        model: Model id.
        scope: Price list; `None` for the user's own prices.
        currency: Currency of all amounts.
        over: The row is for requests with more tokens of input than this.
        up_to: Maximum number of tokens of input of one request; `None` for no limit.
        input: Of input; images and videos cost what text costs, except as `text_input` says.
        text_input: Of text in the input, where it costs something else; else `None`.
        output: Of output, reasoning included; `None` where there is none or it is unknown.
        implicit_hit: Of input that the service found in its cache by itself.
        explicit_hit: Of input from a prefix that was marked to be cached.
        creation: Of input that is written to the cache.
        creation_1h: The same, to be kept for an hour.
        sources: Names of sources, see `PRICE_SOURCES`.
        date: Month of the newest of them; `None` if they have none.
        is_unsure: Whether there is one source only, or sources disagree.
        is_cache_unsure: The same of the prices of cached input.
    """

    model: str
    scope: PriceScope | None
    currency: str
    over: int = 0
    up_to: int | None = None
    input: Decimal
    text_input: Decimal | None = None
    output: Decimal | None = None
    implicit_hit: Decimal | None = None
    explicit_hit: Decimal | None = None
    creation: Decimal | None = None
    creation_1h: Decimal | None = None
    sources: tuple[str, ...] = ()
    date: str | None = None
    is_unsure: bool = False
    is_cache_unsure: bool = False

    @property
    def tier(self) -> str:
        """Description of the requests that the row is for."""
        if self.up_to is None:
            return f"over {self.over:,} tokens" if self.over else "all"
        return (
            f"{self.over:,} to {self.up_to:,} tokens" if self.over else f"to {self.up_to:,} tokens"
        )


def _price(
    model: str,
    scope: PriceScope,
    prices: str,
    sources: str,
    date: str | None = None,
    *,
    over: int = 0,
    up_to: int | None = None,
    unsure: Literal["all", "cache"] | None = None,
    **others: str,
) -> ListPrice:
    """Build a row; `prices` is that of input, and after a slash that of output."""
    input_price, _, output = prices.partition("/")
    return ListPrice(
        model=model,
        scope=scope,
        currency=_CURRENCIES[scope],
        over=over,
        up_to=up_to,
        input=Decimal(input_price),
        output=Decimal(output) if output else None,
        sources=tuple(sources.split()),
        date=date,
        is_unsure=unsure == "all",
        is_cache_unsure=unsure is not None,
        **{name: Decimal(price) for name, price in others.items()},
    )


def _to_decimal(price: str | float | None) -> Decimal | None:
    # By its text: a float's digits would be those of its binary form.
    return None if price is None else Decimal(str(price))


# unsure: whether K is 1,000 or 1,024 tokens in the tiers of the price page.
_32K, _128K, _256K, _1M = 32_000, 128_000, 256_000, 1_000_000


def _make_table() -> Iterator[ListPrice]:
    yield from _make_qwen4_and_38()
    yield from _make_qwen37()
    yield from _make_qwen36()
    yield from _make_qwen35()
    yield from _make_qwen3_vl()
    yield from _make_others()


def _make_qwen4_and_38() -> Iterator[ListPrice]:
    # Where a source does not name the kind of cache that is hit, its price is that of both.
    yield _price(
        *("qwen4-max", "intl", "1.50/4.50", "apiyi apidog", "2026-11"),
        implicit_hit="0.075",
        explicit_hit="0.075",
        creation="1.875",
        creation_1h="3",
    )
    model = "qwen3.8-max"
    yield _price(
        *(model, "cn", "12/36", "models.dev throughput", "2026-08"),
        implicit_hit="1.5",
        creation="15",
    )
    # Its prices of cached input are left out: the copies disagree.
    yield _price(model, "intl", "2/6", "apidog apiyi throughput", "2026-08")
    model = "qwen3.8-flash"
    yield _price(
        *(model, "cn", "0.8/2.7", "models.dev quotes", "2026-10"),
        implicit_hit="0.1",
        explicit_hit="0.1",
        creation="1.25",
        unsure="cache",
    )
    yield _price(
        *(model, "intl", "0.15/0.47", "models.dev litellm quotes", "2026-10"),
        implicit_hit="0.016",
        explicit_hit="0.016",
        creation="0.20",
    )
    model = "qwen3.8-omni-flash"
    yield _price(model, "cn", "0.8/2.7", "quotes", "2026-10", unsure="all")
    yield _price(model, "intl", "0.15/0.47", "litellm quotes", "2026-10", implicit_hit="0.016")


def _make_qwen37() -> Iterator[ListPrice]:
    model = "qwen3.7-max"
    yield _price(
        *(model, "cn", "12/36", "litellm throughput", "2026-08"), implicit_hit="2.4", unsure="cache"
    )
    yield _price(
        *(model, "intl", "2.50/7.50", "openclacky throughput", "2026-08"),
        explicit_hit="0.25",
        creation="3.125",
        unsure="cache",
    )
    model = "qwen3.7-plus"
    yield _price(
        *(model, "cn", "2/8", "midscene throughput", "2026-08"),
        up_to=_256K,
        implicit_hit="0.4",
        unsure="cache",
    )
    # Computed from a record in dollars by the rate of the first tier.
    yield _price(model, "cn", "6/24", "models.dev", over=_256K, unsure="all")
    yield _price(
        *(model, "intl", "0.40/1.60", "models.dev openclacky apidog throughput", "2026-08"),
        up_to=_256K,
        implicit_hit="0.08",
        explicit_hit="0.04",
        creation="0.50",
        unsure="cache",
    )
    yield _price(
        *(model, "intl", "1.20/4.80", "models.dev", "2026-06"),
        over=_256K,
        implicit_hit="0.24",
        creation="1.50",
        unsure="all",
    )
    model = "qwen3.7-flash"
    # Their cached input is given as shares of the input's price: 10 % and 125 %.
    yield _price(
        *(model, "cn", "0.2/0.8", "models.dev quotes throughput", "2026-10"),
        up_to=_32K,
        explicit_hit="0.02",
        creation="0.25",
        unsure="cache",
    )
    yield _price(
        *(model, "cn", "0.6/2.4", "models.dev quotes", "2026-10"),
        over=_32K,
        up_to=_256K,
        explicit_hit="0.06",
        creation="0.75",
        unsure="cache",
    )
    yield _price(
        *(model, "cn", "1.2/4.8", "models.dev", "2026-08"),
        over=_256K,
        up_to=_1M,
        explicit_hit="0.12",
        creation="1.5",
        unsure="all",
    )
    yield _price(model, "intl", "0.03/0.13", "quotes excerpt throughput", "2026-10", up_to=_32K)
    yield _price(model, "intl", "0.10/0.40", "quotes excerpt", "2026-10", over=_32K, up_to=_256K)
    yield _price(model, "intl", "0.20/0.80", "excerpt", over=_256K, up_to=_1M, unsure="all")


def _make_qwen36() -> Iterator[ListPrice]:
    model = "qwen3.6-plus"
    yield _price(
        *(model, "cn", "2/12", "lobehub zjt throughput", "2026-08"),
        up_to=_256K,
        explicit_hit="0.2",
        creation="2.5",
    )
    yield _price(
        *(model, "cn", "8/48", "lobehub zjt", "2026-04"),
        over=_256K,
        explicit_hit="0.8",
        creation="10",
    )
    yield _price(
        *(model, "intl", "0.50/3.00", "models.dev openclacky throughput", "2026-08"),
        up_to=_256K,
        explicit_hit="0.05",
        creation="0.625",
    )
    yield _price(
        *(model, "intl", "2/6", "models.dev"),
        over=_256K,
        explicit_hit="0.20",
        creation="2.50",
        unsure="all",
    )
    model = "qwen3.6-flash"
    yield _price(
        *(model, "cn", "1.2/7.2", "lobehub", "2026-04"),
        up_to=_256K,
        explicit_hit="0.12",
        creation="1.5",
        unsure="all",
    )
    yield _price(
        *(model, "cn", "4.8/28.8", "lobehub", "2026-04"),
        over=_256K,
        explicit_hit="0.48",
        creation="6",
        unsure="all",
    )
    yield _price(
        *(model, "intl", "0.25/1.50", "models.dev openclacky", "2026-08"),
        up_to=_256K,
        explicit_hit="0.025",
        creation="0.3125",
    )
    yield _price(
        *(model, "intl", "1/4", "models.dev"),
        over=_256K,
        explicit_hit="0.10",
        creation="1.25",
        unsure="all",
    )


def _make_qwen35() -> Iterator[ListPrice]:
    # The newest record of Beijing's prices of 3.5 disagrees with all others, and may be read one
    # row off.
    model, sources, date = "qwen3.5-plus", "lobehub zjt", "2026-04"
    yield _price(
        *(model, "cn", "0.8/4.8", f"{sources} throughput", "2026-08"),
        up_to=_128K,
        explicit_hit="0.08",
        creation="1",
        unsure="all",
    )
    yield _price(
        *(model, "cn", "2/12", sources, date),
        over=_128K,
        up_to=_256K,
        explicit_hit="0.2",
        creation="2.5",
        unsure="all",
    )
    yield _price(
        *(model, "cn", "4/24", sources, date),
        over=_256K,
        explicit_hit="0.4",
        creation="5",
        unsure="all",
    )
    yield _price(
        *(model, "intl", "0.40/2.40", "models.dev throughput", "2026-08"),
        up_to=_256K,
        explicit_hit="0.04",
        creation="0.50",
    )
    yield _price(
        *(model, "intl", "0.50/3.00", "models.dev"),
        over=_256K,
        explicit_hit="0.05",
        creation="0.625",
        unsure="all",
    )
    model = "qwen3.5-flash"
    yield _price(
        model, "cn", "0.2/2", "lobehub", date, up_to=_128K, implicit_hit="0.04", unsure="all"
    )
    yield _price(
        *(model, "cn", "0.8/8", "lobehub", date),
        over=_128K,
        up_to=_256K,
        implicit_hit="0.16",
        unsure="all",
    )
    yield _price(
        model, "cn", "1.2/12", "lobehub", date, over=_256K, implicit_hit="0.24", unsure="all"
    )
    yield _price(
        *(model, "intl", "0.10/0.40", "litellm models.dev", "2026-03"),
        implicit_hit="0.02",
        explicit_hit="0.01",
        creation="0.125",
        unsure="cache",
    )


def _make_qwen3_vl() -> Iterator[ListPrice]:
    model, sources = "qwen3-vl-plus", "lobehub llm-metadata"
    yield _price(model, "cn", "1/10", f"{sources} throughput", "2026-08", up_to=_32K)
    yield _price(model, "cn", "1.5/15", sources, "2026-04", over=_32K, up_to=_128K)
    yield _price(model, "cn", "3/30", sources, "2026-04", over=_128K, up_to=_256K)
    yield _price(
        *(model, "intl", "0.20/1.60", "llmgateway throughput", "2026-08"),
        up_to=_32K,
        implicit_hit="0.04",
        unsure="cache",
    )
    yield _price(
        *(model, "intl", "0.30/2.40", "llmgateway", "2026-02"),
        over=_32K,
        up_to=_128K,
        implicit_hit="0.06",
        unsure="all",
    )
    yield _price(
        *(model, "intl", "0.60/4.80", "llmgateway openclacky", "2026-08"),
        over=_128K,
        up_to=_256K,
        implicit_hit="0.12",
        explicit_hit="0.06",
        creation="0.75",
        unsure="cache",
    )
    model = "qwen3-vl-flash"
    yield _price(model, "cn", "0.15/1.5", "lobehub llmgateway", "2026-04", up_to=_32K)
    yield _price(model, "cn", "0.3/3", "lobehub", "2026-04", over=_32K, up_to=_128K, unsure="all")
    yield _price(model, "cn", "0.6/6", "lobehub", "2026-04", over=_128K, up_to=_256K, unsure="all")
    sources, date = "llmgateway", "2026-02"
    yield _price(
        *(model, "intl", "0.05/0.40", sources, date), up_to=_32K, implicit_hit="0.01", unsure="all"
    )
    yield _price(
        *(model, "intl", "0.075/0.60", sources, date),
        over=_32K,
        up_to=_128K,
        implicit_hit="0.015",
        unsure="all",
    )
    yield _price(
        *(model, "intl", "0.12/0.96", sources, date), over=_128K, implicit_hit="0.024", unsure="all"
    )
    yield _price("qwen3-vl-8b-instruct", "cn", "0.5/2", "throughput lobehub", "2026-08")
    for size, instruct, thinking in (
        ("8b", None, "0.5/5"),
        ("30b-a3b", "0.75/3", "0.75/7.5"),
        ("32b", "2/8", "2/20"),
        ("235b-a22b", "2/8", "2/20"),
    ):
        for kind, prices in (("instruct", instruct), ("thinking", thinking)):
            if prices:
                name = f"qwen3-vl-{size}-{kind}"
                yield _price(name, "cn", prices, "lobehub", "2026-04", unsure="all")
    for kind in ("instruct", "thinking"):
        name = f"qwen3-vl-235b-a22b-{kind}"
        yield _price(name, "intl", "0.50/2.00", sources, date, unsure="all")


def _make_others() -> Iterator[ListPrice]:
    # Its older snapshots cost ten times as much.
    yield _price("qwen-vl-ocr", "cn", "0.3/0.5", "models.dev", "2026-09", unsure="all")
    yield _price("qwen-vl-ocr", "intl", "0.07/0.16", "models.dev", unsure="all")
    yield _price("gui-plus-2026-02-26", "cn", "1.5/4.5", "guide", unsure="all")
    for model in ("qwen3-vl-embedding", "qwen2.5-vl-embedding"):
        yield _price(model, "cn", "1.8", "embedding", "2026", text_input="0.7")
    for model, price in (
        ("tongyi-embedding-vision-plus", "0.5"),
        ("tongyi-embedding-vision-plus-2026-03-06", "0.5"),
        ("tongyi-embedding-vision-flash", "0.15"),
        ("tongyi-embedding-vision-flash-2026-03-06", "0.15"),
    ):
        yield _price(model, "cn", price, "embedding", "2026")
    yield _price("tongyi-embedding-vision-plus", "intl", "0.09", "embedding", "2026")
    # The price of text is left out: the copies disagree.
    yield _price("qwen3-vl-rerank", "cn", "1.8", "rerank", "2026", text_input="0.7")


PRICE_TABLE: tuple[ListPrice, ...] = tuple(_make_table())
"""List prices per million tokens, by model, price list and tier."""


def find_price_scope(region: str | None) -> PriceScope | None:
    """Return the price list of a region; `None` where its prices are not known.

    Args:
        region: Region of the hosted service.

    Example:
        >>> find_price_scope("ap-southeast-1"), find_price_scope("us-east-1")
        ('intl', None)
    """
    return _SCOPES.get(region or "")


def find_list_price(model: str, scope: PriceScope | None, input_tokens: int) -> ListPrice | None:
    """Find the row of the price table for one request.

    Only the ids that the sources name have a price: snapshots may cost something else than the
    model that is named like them.

    Args:
        model: Model id.
        scope: Price list; `None` if unknown.
        input_tokens: Of the whole request, which say which tier applies.

    Returns:
        `None` where the price is not known.

    Example:
        >>> price = find_list_price("qwen3-vl-plus", "cn", 10_000)
        >>> price.input, price.output, price.currency
        (Decimal('1'), Decimal('10'), 'CNY')
    """
    rows = (row for row in PRICE_TABLE if row.model == model and row.scope == scope)
    return _find_tier(rows, input_tokens)


def find_own_price(model: str, prices: Prices, input_tokens: int) -> ListPrice | None:
    """Find the row of the user's own prices for one request.

    Args:
        model: Model id, which is repeated in the row.
        prices: One price, or one for each tier.
        input_tokens: Of the whole request, which say which tier applies.

    Returns:
        `None` where no tier takes so many tokens.

    Raises:
        ConfigurationError: The prices are not as `Price` says, or there is none.

    Example:
        >>> find_own_price("my-model", Price(input=0.1, currency="USD"), 10).input
        Decimal('0.1')
    """
    own = check_prices(prices)
    tiers = [own] if isinstance(own, dict) else list(own)
    tiers.sort(key=lambda tier: tier.get("max_input_tokens", float("inf")))
    over, rows = 0, []
    for tier in tiers:
        rows.append(_to_row(model, tier, over))
        over = tier.get("max_input_tokens", over)
    return _find_tier(rows, input_tokens)


def check_prices(prices: Prices) -> Prices:
    """Return the user's own prices if they are such.

    Args:
        prices: One price, or one for each tier.

    Raises:
        ConfigurationError: They are not as `Price` says, or there is none.
    """
    try:
        checked = _prices_adapter().validate_python(prices)
    except ValidationError as error:
        raise ConfigurationError(
            f"prices={prices!r} is not a price. Pass Price(input=…, output=…, currency=…) per "
            "million tokens, or a list of those with max_input_tokens."
        ) from error
    if not checked:
        raise ConfigurationError("prices=[] is empty. Pass None for the price table.")
    return checked


def has_batch_price(model: str, scope: PriceScope | None) -> bool:
    """Return whether a model's price in a batch is known: Batch Chat's, or that of batch files.

    Args:
        model: Model id.
        scope: Price list; batches with images are in Beijing only.
    """
    return scope == "cn" and model in BATCH_MODELS | BATCH_FILE_MODELS


def _to_row(model: str, price: Price, over: int) -> ListPrice:
    hit = _to_decimal(price.get("cache_hit", price["input"]))
    return ListPrice(
        model=model,
        scope=None,
        currency=price["currency"],
        over=over,
        up_to=price.get("max_input_tokens"),
        input=Decimal(str(price["input"])),
        output=_to_decimal(price.get("output")),
        implicit_hit=hit,
        explicit_hit=hit,
        creation=_to_decimal(price.get("cache_creation", price["input"])),
        sources=(OWN_SOURCE,),
    )


def _find_tier(rows: Iterable[ListPrice], input_tokens: int) -> ListPrice | None:
    return next(
        (
            row
            for row in rows
            if (row.over == 0 or input_tokens > row.over)
            and (row.up_to is None or input_tokens <= row.up_to)
        ),
        None,
    )
