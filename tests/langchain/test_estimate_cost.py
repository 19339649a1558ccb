"""`ChatQwenVL.estimate_cost`."""

import pickle
from decimal import Decimal

import pytest
from langchain_core.load import dumpd, load
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool

from langchain_qwen_vl import ChatQwenVL, get_usage
from qwen_vl import Price, cost_of
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

QUESTION = HumanMessage([{"type": "image", "image": CHELSEA}, "What is this?"])
OWN = Price(input=0.3, output=1.2, currency="USD")


@tool
def weigh(thing: str) -> str:
    """Weigh a thing."""
    return thing


def make_model(**options: object) -> ChatQwenVL:
    return ChatQwenVL.model_validate({"region": "cn-beijing", "api_key": "sk-1", **options})


def test_estimate_is_of_what_would_be_sent() -> None:
    model = make_model()
    cost = model.estimate_cost([QUESTION], output_tokens=1_000)

    assert cost.input_tokens == model.get_num_tokens_from_messages([QUESTION]) == 142
    assert (cost.amount, cost.currency) == (Decimal("0.010142"), "CNY")
    assert model.estimate_cost([QUESTION]).amount == Decimal("0.000142")


def test_estimate_takes_what_invoke_takes() -> None:
    model = make_model()
    text = model.estimate_cost("What is this?")

    assert text.amount == model.estimate_cost([("user", "What is this?")]).amount
    both = model.estimate_cost([SystemMessage("Be brief."), QUESTION])
    assert both.input_tokens > text.input_tokens
    with_tools = model.estimate_cost("What is this?", tools=[weigh])
    assert with_tools.input_tokens > text.input_tokens


def test_options_of_the_call_count() -> None:
    model = make_model(region="ap-southeast-1")

    assert model.estimate_cost([QUESTION], max_pixels=65_536).input_tokens < 142
    other = model.estimate_cost([QUESTION], output_tokens=1, model="qwen4-max")
    assert (other.amount, other.currency) == (Decimal("0.0002175"), "USD")


@pytest.mark.parametrize(
    ("options", "amount"),
    [
        ({"service_tier": "batch"}, "0.005071"),
        ({"region": "us-east-1"}, None),
        ({"model": "qwen9-max"}, None),
        ({"server": "vllm", "base_url": "http://localhost:8000/v1"}, None),
        ({"prices": OWN}, "0.0012426"),
    ],
)
def test_amount_is_by_the_endpoint(options: dict[str, object], amount: str | None) -> None:
    cost = make_model(**options).estimate_cost([QUESTION], output_tokens=1_000)

    # A self-hosted server counts the image by another rule.
    assert cost.input_tokens > 140
    assert cost.amount == (None if amount is None else Decimal(amount))
    assert bool(cost.reason) is (amount is None)


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_own_prices_survive_serializing_and_pickling() -> None:
    model = make_model(prices=[OWN])
    loaded = load(
        dumpd(model), allowed_objects=[ChatQwenVL], valid_namespaces=["langchain_qwen_vl"]
    )

    assert loaded.prices == pickle.loads(pickle.dumps(model)).prices == [OWN]
    assert loaded.estimate_cost([QUESTION]).currency == "USD"


def test_usage_of_an_answer_has_a_cost(qwen_vl_sandbox: Sandbox) -> None:
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox", prices=OWN)
    usage = get_usage(model.invoke([QUESTION]))
    assert usage is not None

    # The sandbox is no region of the service's.
    assert model.estimate_cost([QUESTION]).currency == "USD"
    assert (
        make_model(base_url=qwen_vl_sandbox.base_url, region=None).estimate_cost("a").amount is None
    )
    cost = cost_of(usage, "qwen3-vl-plus")
    assert cost.amount == Decimal(usage.input_tokens + 10 * usage.output_tokens) / 1_000_000
