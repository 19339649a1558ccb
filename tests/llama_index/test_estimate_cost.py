"""`QwenVL.estimate_cost`."""

from decimal import Decimal

import pytest
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl import Price
from qwen_vl.samples import CHELSEA

QUESTION = ChatMessage([ImageBlock(path=CHELSEA), TextBlock(text="What is this?")])
OWN = Price(input=0.3, output=1.2, currency="USD")


def weigh(thing: str) -> str:
    """Weigh a thing."""
    return thing


@pytest.mark.parametrize(
    ("options", "amount", "currency"),
    [
        ({}, "0.010142", "CNY"),
        ({"service_tier": "batch"}, "0.005071", "CNY"),
        ({"model": "qwen4-max", "region": "ap-southeast-1"}, "0.004713", "USD"),
        ({"region": "us-east-1"}, None, None),
        ({"model": "qwen9-max"}, None, None),
        ({"prices": OWN}, "0.0012426", "USD"),
    ],
)
def test_amount_is_by_the_endpoint(
    options: dict[str, object], amount: str | None, currency: str | None
) -> None:
    llm = QwenVL(**{"region": "cn-beijing", "api_key": "sk-1", **options})
    cost = llm.estimate_cost([QUESTION], output_tokens=1_000)

    assert (cost.input_tokens, cost.output_tokens) == (142, 1_000)
    assert cost.amount == (None if amount is None else Decimal(amount))
    assert cost.currency == currency
    assert bool(cost.reason) is (amount is None)


def test_tools_prices_and_options_of_the_call_count() -> None:
    llm = QwenVL(region="cn-beijing", api_key="sk-1")
    plain = llm.estimate_cost([QUESTION])
    tools = [FunctionTool.from_defaults(weigh)]

    assert llm.estimate_cost([QUESTION], tools=tools).input_tokens > plain.input_tokens
    assert llm.estimate_cost([QUESTION], max_pixels=65_536).input_tokens < plain.input_tokens
    assert llm.estimate_cost([QUESTION], prices=OWN).amount == Decimal("0.0000426")


def test_dumped_settings_hold_the_prices() -> None:
    llm = QwenVL(region="cn-beijing", api_key="sk-1", prices=[OWN])

    assert QwenVL.from_dict(llm.to_dict()).prices == [OWN]
