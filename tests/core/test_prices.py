"""Prices: the table, its tiers, the user's own, and what requests cost by them."""

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import openai
import pytest
from pydantic import ValidationError

from model_tables import TABLES
from qwen_vl import (
    Price,
    QwenVLSettings,
    Text,
    Turn,
    Usage,
    cost_of,
    count_tokens,
    estimate_cost,
)
from qwen_vl.content import Image, LocalFile
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.build import build_request, find_service_region
from qwen_vl.samples import CHELSEA
from qwen_vl.specs.batch_chat import BATCH_URL
from qwen_vl.specs.endpoints import BASE_URL_VARIABLES
from qwen_vl.specs.prices import (
    OWN_SOURCE,
    PRICE_SOURCES,
    PRICE_TABLE,
    find_list_price,
    find_own_price,
    find_price_scope,
)
from qwen_vl.tokens.cost import CacheKind, estimate_request_cost

_OFFICIAL = {"embedding", "rerank"}
PAGE = Path(__file__).parents[2] / "docs/models.md"
BULK_PAGE = Path(__file__).parents[2] / "docs/bulk.md"
CAT = Image(source=LocalFile(CHELSEA, is_trusted=True))
"""128 tokens."""


def use(input_tokens: int, output_tokens: int = 0, **others: int) -> Usage:
    total = input_tokens + output_tokens
    return Usage(
        input_tokens=input_tokens, output_tokens=output_tokens, total_tokens=total, **others
    )


# By hand, from the rows of the table: tokens of input and output by their prices.
@pytest.mark.parametrize(
    ("model", "region", "tokens", "amount"),
    [
        ("qwen4-max", "ap-southeast-1", (2_000_000, 1_000_000), "7.50"),
        ("qwen3.8-max", "cn-beijing", (10_000, 500), "0.138"),
        ("qwen3.8-max", "ap-southeast-1", (10_000, 500), "0.023"),
        ("qwen3.8-flash", "cn-beijing", (1_000_000, 1_000_000), "3.5"),
        ("qwen3.8-omni-flash", "ap-southeast-1", (100_000, 100_000), "0.062"),
        ("qwen3.7-plus", "cn-beijing", (256_000, 1_000), "0.52"),
        ("qwen3.7-plus", "cn-beijing", (256_001, 1_000), "1.560006"),
        ("qwen3.7-flash", "cn-beijing", (32_000, 0), "0.0064"),
        ("qwen3.7-flash", "cn-beijing", (32_001, 0), "0.0192006"),
        ("qwen3.7-flash", "ap-southeast-1", (256_000, 10_000), "0.0296"),
        ("qwen3.6-plus", "cn-beijing", (256_001, 0), "2.048008"),
        ("qwen3.5-flash", "ap-southeast-1", (1_000_000, 1_000_000), "0.50"),
        ("qwen3-vl-plus", "cn-beijing", (32_000, 1_000), "0.042"),
        ("qwen3-vl-plus", "cn-beijing", (32_001, 1_000), "0.0630015"),
        ("qwen3-vl-plus", "cn-beijing", (128_000, 0), "0.192"),
        ("qwen3-vl-plus", "cn-beijing", (128_001, 0), "0.384003"),
        ("qwen3-vl-plus", "ap-southeast-1", (1_000, 1_000), "0.0018"),
        ("qwen3-vl-8b-instruct", "cn-beijing", (1_000_000, 1_000_000), "2.5"),
        ("tongyi-embedding-vision-plus", "ap-southeast-1", (1_000_000, 0), "0.09"),
    ],
)
def test_cost_is_by_the_tier_of_the_request(
    model: str, region: str, tokens: tuple[int, int], amount: str
) -> None:
    cost = cost_of(use(*tokens), model, region=region)

    assert cost.amount == Decimal(amount)
    assert cost.currency == {"cn-beijing": "CNY", "ap-southeast-1": "USD"}[region]
    assert (cost.input_tokens, cost.output_tokens) == tokens
    assert cost.price is not None
    assert cost.price.sources
    assert (cost.reason, cost.is_at_most) == ("", False)


@pytest.mark.parametrize(
    ("model", "region", "tokens", "reason"),
    [
        ("qwen9-max", "cn-beijing", 1, "'qwen9-max' is known in cn-beijing"),
        # Known in Singapore only.
        ("qwen4-max", "cn-beijing", 1, "'qwen4-max' is known in cn-beijing"),
        ("qwen3.8-plus", "cn-beijing", 1, "is known in cn-beijing"),
        # Snapshots may cost something else.
        ("qwen-vl-ocr-2025-04-13", "cn-beijing", 1, "is known in cn-beijing"),
        ("qwen3-vl-plus", "cn-beijing", 256_001, "for such a request"),
        ("qwen3-vl-plus", "us-east-1", 1, "region 'us-east-1'"),
        ("qwen3-vl-plus", None, 1, "of the endpoint"),
    ],
)
def test_unknown_cost_stays_unknown(
    model: str, region: str | None, tokens: int, reason: str
) -> None:
    cost = cost_of(use(tokens, 1), model, region=region)

    assert (cost.amount, cost.currency, cost.price, cost.tier) == (None, None, None, None)
    assert reason in cost.reason


def test_gateways_and_self_hosted_servers_have_own_prices_only() -> None:
    unknown = cost_of(use(1), "qwen3-vl-plus", server="openai_compatible")
    own = Price(input=2, output=3, currency="EUR")
    known = cost_of(use(500_000, 100_000), "qwen3-vl-plus", server="vllm", prices=own)

    assert unknown.amount is None
    assert "prices=" in unknown.reason
    assert (known.amount, known.currency) == (Decimal("1.3"), "EUR")


def test_doubtful_prices_say_so() -> None:
    sure = cost_of(use(256_000), "qwen3.7-plus")
    unsure = cost_of(use(256_001), "qwen3.7-plus")

    assert (sure.is_unsure, unsure.is_unsure) == (False, True)
    # Of cached input there is one record.
    assert cost_of(use(10, cached_tokens=5), "qwen3.7-plus").is_unsure


@pytest.mark.parametrize(
    ("model", "region", "cached", "cache", "amount", "is_at_most"),
    [
        # Hits have one price, 0.075; writing has two, 1.875 and 3.
        ("qwen4-max", "ap-southeast-1", "cached_tokens", None, "0.001575", False),
        ("qwen4-max", "ap-southeast-1", "cache_creation_tokens", None, "0.0045", True),
        # 0.08 if the service found it, 0.04 if it was marked.
        ("qwen3.7-plus", "ap-southeast-1", "cached_tokens", "implicit", "0.00048", False),
        ("qwen3.7-plus", "ap-southeast-1", "cached_tokens", "explicit", "0.00044", False),
        ("qwen3.7-plus", "ap-southeast-1", "cached_tokens", None, "0.00048", True),
        # Marked, which has no price: what other input costs, at most.
        ("qwen3.8-max", "cn-beijing", "cached_tokens", "explicit", "0.024", True),
        ("qwen3.8-max", "cn-beijing", "cached_tokens", "implicit", "0.0135", False),
        ("qwen3.8-max", "cn-beijing", "cache_creation_tokens", None, "0.027", False),
        # Writing costs more than other input, and how much is not known.
        ("qwen3.8-max", "ap-southeast-1", "cache_creation_tokens", None, None, False),
    ],
)
def test_cached_input_has_its_own_price(
    model: str,
    region: str,
    cached: str,
    cache: CacheKind | None,
    amount: str | None,
    is_at_most: bool,
) -> None:
    cost = cost_of(use(2_000, **{cached: 1_000}), model, region=region, cache=cache)

    assert cost.amount == (None if amount is None else Decimal(amount))
    assert cost.is_at_most is is_at_most


def test_text_with_another_price_is_counted_apart() -> None:
    model = "qwen3-vl-embedding"

    assert cost_of(use(1_000, text_tokens=400), model).amount == Decimal("0.00136")
    unknown = cost_of(use(1_000), model)
    assert unknown.amount is None
    assert "Text has another price" in unknown.reason


def test_batch_chat_costs_half_without_a_discount_for_cached_input() -> None:
    whole = cost_of(use(10_000, 500), "qwen3.8-max")
    batch = cost_of(use(10_000, 500, cached_tokens=5_000), "qwen3.8-max", service_tier="batch")

    assert (whole.amount, batch.amount) == (Decimal("0.138"), Decimal("0.069"))
    assert (whole.is_batch, batch.is_batch, batch.is_at_most) == (False, True, False)


@pytest.mark.parametrize(
    ("model", "region"), [("qwen3.8-max", "ap-southeast-1"), ("qwen3.8-omni-flash", "cn-beijing")]
)
def test_batch_price_is_known_where_there_are_batches(model: str, region: str) -> None:
    cost = cost_of(use(1), model, region=region, service_tier="batch")

    assert cost.amount is None
    assert "in a batch" in cost.reason


@pytest.mark.parametrize("model", ["qwen3-vl-flash", "qwen-vl-ocr"])
def test_batch_files_cost_half_too(model: str) -> None:
    whole = cost_of(use(10_000, 500), model)
    batch = cost_of(use(10_000, 500), model, service_tier="batch")

    assert whole.amount is not None
    assert batch.amount == whole.amount / 2


def test_own_prices_count_before_the_table() -> None:
    own = Price(input=0.1, output=0.3, currency="USD", cache_hit=0.05)
    usage = use(2_000_000, 1_000_000, cached_tokens=1_000_000)
    cost = cost_of(usage, "qwen3-vl-plus", prices=own)

    assert (cost.amount, cost.currency, cost.is_at_most) == (Decimal("0.45"), "USD", False)
    assert cost.price is not None
    assert (cost.price.sources, cost.price.scope) == ((OWN_SOURCE,), None)
    half = cost_of(usage, "qwen3-vl-plus", prices=own, service_tier="batch")
    assert half.amount == Decimal("0.25")


def test_own_price_may_be_nothing() -> None:
    free_hits = Price(input=1, currency="USD", cache_hit=0)
    cost = cost_of(use(1_000_000, cached_tokens=1_000_000), "own", prices=free_hits)

    assert (cost.amount, cost.reason) == (0, "")


def test_own_prices_may_have_tiers_in_any_order() -> None:
    tiers = [
        Price(input=3, currency="CNY", max_input_tokens=200),
        Price(input=1, currency="CNY", max_input_tokens=100),
    ]
    amounts = [cost_of(use(tokens), "own", prices=tiers).amount for tokens in (100, 101, 200, 201)]

    assert amounts == [Decimal("0.0001"), Decimal("0.000303"), Decimal("0.0006"), None]
    assert cost_of(use(150), "own", prices=tiers).tier == "100 to 200 tokens"
    assert "tier" in cost_of(use(201), "own", prices=tiers).reason


def test_output_without_a_price_is_unknown() -> None:
    cost = cost_of(use(1, 1), "own", prices=Price(input=1, currency="USD"))

    assert (cost.amount, cost.currency) == (None, "USD")
    assert "price of output" in cost.reason


@pytest.mark.parametrize(
    "prices",
    [
        [],
        {"input": 1},
        {"input": -1, "currency": "USD"},
        {"input": float("nan"), "currency": "USD"},
        {"input": 1, "currency": "USD", "ouput": 2},
        3,
    ],
)
def test_own_prices_that_are_none_are_refused(prices: object) -> None:
    with pytest.raises(ConfigurationError, match="prices="):
        find_own_price("own", prices, 1)  # type: ignore[arg-type]


def test_estimate_counts_the_input() -> None:
    turns = [Turn(role="user", parts=(CAT, Text(text="What is this?")))]
    counted = count_tokens(turns, "qwen3-vl-plus")
    cost = estimate_cost(turns, "qwen3-vl-plus", output_tokens=1_000)

    assert cost.input_tokens == counted
    assert cost.amount == (counted + Decimal(10_000)) / 1_000_000
    # The input only.
    assert estimate_cost(CAT, "qwen3-vl-plus").amount == Decimal("0.000128")
    assert estimate_cost(CAT, "my-own-model").amount is None
    embedding = estimate_cost(CAT, "tongyi-embedding-vision-plus")
    assert embedding.amount is None
    assert "gives no answers" in embedding.reason
    with pytest.raises(ConfigurationError, match="below 0"):
        estimate_cost(CAT, "qwen3-vl-plus", output_tokens=-1)


@pytest.mark.parametrize(
    ("options", "region"),
    [
        ({}, "cn-beijing"),
        ({"region": "ap-southeast-1"}, "ap-southeast-1"),
        ({"region": "ap-southeast-1", "workspace": "ws-1"}, "ap-southeast-1"),
        ({"base_url": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"}, "ap-southeast-1"),
        ({"base_url": "https://dashscope-us.aliyuncs.com/api/v1"}, "us-east-1"),
        ({"service_tier": "batch"}, "cn-beijing"),
        ({"service_tier": "batch", "base_url": BATCH_URL}, "cn-beijing"),
        ({"base_url": "http://localhost:8000/v1"}, None),
        # A proxy of one's own.
        ({"base_url": "http://localhost:8000/v1", "region": "ap-southeast-1"}, "ap-southeast-1"),
        ({"base_url": "https://x.maas.aliyuncs.com.example.com/v1"}, None),
    ],
)
def test_region_is_that_of_the_endpoint(
    options: Mapping[str, str], region: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*BASE_URL_VARIABLES, "DASHSCOPE_REGION", "DASHSCOPE_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)

    assert find_service_region(QwenVLSettings.model_validate(options)) == region


def test_region_of_a_client_that_the_program_gave() -> None:
    client = openai.OpenAI(
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1", api_key="sk-1"
    )

    assert find_service_region(QwenVLSettings(openai_client=client)) == "ap-southeast-1"


def test_prices_of_the_call_count_before_those_of_the_settings() -> None:
    own, other = Price(input=1, currency="USD"), Price(input=2, currency="EUR")
    settings = QwenVLSettings(prices=own, base_url="http://localhost:8000/v1", api_key="sk-1")
    request = build_request(settings, [Turn(role="user", parts=(CAT,))])
    costs = [
        estimate_request_cost(request, settings),
        estimate_request_cost(request, settings, prices=other),
        estimate_request_cost(request, settings.model_copy(update={"prices": None})),
    ]

    assert [cost.currency for cost in costs] == ["USD", "EUR", None]
    assert costs[1].amount == 2 * (costs[0].amount or 0) > 0
    assert costs[2].reason == "No prices are known of the endpoint."


def test_settings_check_prices() -> None:
    with pytest.raises(ValidationError, match="prices"):
        QwenVLSettings.model_validate({"prices": {"input": "cheap"}})


def test_table_is_complete() -> None:
    """Each row has a source that is explained, and one row at most takes a request."""
    for row in PRICE_TABLE:
        assert row.sources
        assert set(row.sources) <= PRICE_SOURCES.keys()
        bounds = {row.over + 1, row.up_to or row.over + 10**9}
        assert {find_list_price(row.model, row.scope, tokens) for tokens in bounds} == {row}
        assert row.output is None or row.output >= row.input
        assert row.is_unsure or len(row.sources) > 1 or row.sources[0] in _OFFICIAL


def test_price_lists_are_those_of_two_regions() -> None:
    regions = ("cn-beijing", "ap-southeast-1", "cn-hongkong", None)

    assert [find_price_scope(region) for region in regions] == ["cn", "intl", None, None]


@pytest.mark.parametrize("name", TABLES)
def test_page_holds_the_tables(name: str) -> None:
    path = BULK_PAGE if name == "cost of a million" else PAGE
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(f"<!-- {name} -->\n")
    table, end, after = rest.partition(f"<!-- end of {name} -->\n")
    assert (bool(begin), bool(end)) == (True, True)
    expected = "\n".join(TABLES[name]()) + "\n"
    if os.environ.get("WRITE_MODELS"):
        path.write_text(before + begin + expected + end + after, encoding="utf-8")
        table = expected
    assert table == expected
