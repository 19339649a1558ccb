"""Tool calls as servers and gateways really stream them, each form with the report that shows it.

By the protocol a call's first piece has `index`, `id` and `name`, the others the same `index` and
more of the `arguments` (OpenAI-Chat page, 2026-10).
"""

from dataclasses import dataclass
from typing import Any

Piece = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """One way of streaming calls.

    Args:
        name: What is unusual about it.
        source: Where it was reported.
        pieces: The entries of `tool_calls`, each in an event of its own.
        calls: Names and arguments of the calls that they are.
    """

    name: str
    source: str
    pieces: tuple[Piece, ...]
    calls: tuple[tuple[str, dict[str, Any]], ...]


def piece(
    index: object = None, call_id: object = None, name: object = None, arguments: object = None
) -> Piece:
    """Make an entry, without what is `None`."""
    function = {key: held for key, held in (("name", name), ("arguments", arguments)) if held}
    if arguments is not None:
        function["arguments"] = arguments
    beside = {key: held for key, held in (("index", index), ("id", call_id)) if held is not None}
    return {**beside, "type": "function", "function": function}


CAT = (("find", {"q": "cat"}),)
CAT_AND_DOG = (("find", {"q": "cat"}), ("find", {"q": "dog"}))
BOTH = (("find", {"q": "cat"}), ("crop", {"x": 1}))

FORMS = (
    Form(
        "as documented",
        "OpenAI-Chat page",
        (
            piece(0, "c1", "find", ""),
            piece(0, "", None, '{"q": '),
            piece(0, "", None, '"cat"}'),
            piece(1, "c2", "crop", ""),
            piece(1, "", None, '{"x": 1}'),
        ),
        BOTH,
    ),
    Form(
        "pieces of two calls in turn",
        "OpenAI-Chat page",
        (
            piece(0, "c1", "find", ""),
            piece(1, "c2", "crop", ""),
            piece(0, None, None, '{"q": '),
            piece(1, None, None, '{"x"'),
            piece(0, None, None, '"cat"}'),
            piece(1, None, None, ": 1}"),
        ),
        BOTH,
    ),
    Form(
        "the first index is 1",
        "pipecat-ai/pipecat#4987, LiteLLM behind Responses",
        (piece(1, "c1", "find", ""), piece(1, None, None, '{"q": "cat"}')),
        CAT,
    ),
    Form(
        "index 1, then 0",
        "dirac-run/dirac#215, Nebius and Cerebras",
        (
            piece(1, "c1", "find", ""),
            piece(0, "", "", '{"q": '),
            piece(0, "", "", '"cat"}'),
            piece(2, "c2", "crop", ""),
            piece(1, "", "", '{"x": 1}'),
        ),
        BOTH,
    ),
    Form(
        "each piece has the next index",
        "dirac-run/dirac#215",
        (
            piece(0, "c1", "find", ""),
            piece(1, None, None, '{"q": '),
            piece(2, None, None, '"cat"'),
            piece(3, None, None, "}"),
        ),
        CAT,
    ),
    Form(
        "the second call begins at index 0 and goes on at 1",
        "agno-agi/agno#8880, deepseek-v4-flash",
        (
            piece(0, "c1", "find", ""),
            piece(0, None, None, '{"q": "cat"}'),
            piece(0, "c2", "crop", ""),
            piece(1, None, None, '{"x":'),
            piece(1, None, None, " 1}"),
        ),
        BOTH,
    ),
    Form(
        "index 0 for all calls",
        "InternLM/lmdeploy#3412, vLLM",
        (
            piece(0, "c1", "find", ""),
            piece(0, "", None, '{"q": "cat"}'),
            piece(0, "c2", "crop", ""),
            piece(0, "", None, '{"x": 1}'),
        ),
        BOTH,
    ),
    Form(
        "index 0 for all calls, and the id with each piece",
        "InternLM/lmdeploy#3412, SGLang",
        (
            piece(0, "0", "find", ""),
            piece(0, "0", None, '{"q": "cat"}'),
            piece(0, "1", "crop", ""),
            piece(0, "1", None, '{"x": 1}'),
        ),
        BOTH,
    ),
    Form(
        "indexes are text",
        "-",
        (
            piece("0", "c1", "find", ""),
            piece("0", None, None, '{"q": "cat"}'),
            piece("1", "c2", "crop", '{"x": 1}'),
        ),
        BOTH,
    ),
    Form(
        "indexes are floats",
        "-",
        (piece(0.0, "c1", "find", ""), piece(0.0, None, None, '{"q": "cat"}')),
        CAT,
    ),
    Form(
        "indexes are objects",
        "-",
        (piece({}, "c1", "find", '{"q"'), piece({}, None, None, ': "cat"}')),
        CAT,
    ),
    Form(
        "no index, whole calls",
        "openai/openai-python#2806, Gemini",
        (piece(None, "c1", "find", '{"q": "cat"}'), piece(None, "c2", "crop", '{"x": 1}')),
        BOTH,
    ),
    Form(
        "no index, pieces",
        "AstrBotDevs/AstrBot#6661",
        (piece(None, "c1", "find", ""), piece(None, None, None, '{"q": "cat"}')),
        CAT,
    ),
    Form(
        "no index, the id with each piece",
        "openai/openai-python#2806",
        (
            piece(None, "c1", "find", '{"q"'),
            piece(None, "c1", None, ': "cat"'),
            piece(None, "c1", "find", "}"),
        ),
        CAT,
    ),
    Form(
        "no index and no id, the name with each piece",
        "-",
        (piece(None, None, "find", '{"q"'), piece(None, None, "find", ': "cat"}')),
        CAT,
    ),
    Form(
        "no index and no id, two calls of one tool",
        "run-llama/llama_index#22464",
        (piece(None, None, "find", '{"q": "cat"}'), piece(None, None, "find", '{"q": "dog"}')),
        CAT_AND_DOG,
    ),
    Form(
        "the same call twice, on purpose",
        "run-llama/llama_index#22464",
        (piece(None, None, "find", '{"q": "cat"}'), piece(None, None, "find", '{"q": "cat"}')),
        CAT + CAT,
    ),
    Form(
        "no id",
        "continuedev/continue#13236, Ollama",
        (piece(0, None, "find", '{"q": "cat"}'), piece(1, None, "crop", '{"x": 1}')),
        BOTH,
    ),
    Form(
        "a new id with each piece",
        "cubist38/mlx-openai-server#216",
        (
            piece(0, "a", "find", ""),
            piece(0, "b", None, '{"q": '),
            piece(0, "c", None, '"cat"}'),
        ),
        CAT,
    ),
    Form(
        "a new id and the name with each piece",
        "cubist38/mlx-openai-server#216",
        (
            piece(0, "a", "find", ""),
            piece(0, "b", "find", '{"q": '),
            piece(0, "c", "find", '"cat"}'),
        ),
        CAT,
    ),
    Form(
        "id and name with each piece",
        "NousResearch/hermes-agent#8259, MiniMax on NVIDIA NIM",
        (
            piece(0, "c1", "find", '{"q": '),
            piece(0, "c1", "find", '"cat"'),
            piece(0, "c1", "find", "}"),
        ),
        CAT,
    ),
    Form(
        "the id in a piece of its own",
        "-",
        (
            piece(0, "c1"),
            piece(0, "c1", "find"),
            piece(0, "c1", None, '{"q": "cat"}'),
            piece(1, "c2"),
            piece(1, None, "crop"),
            piece(1, None, None, '{"x": 1}'),
        ),
        BOTH,
    ),
    Form(
        "the id in a piece of its own, no index",
        "-",
        (
            piece(None, "c1"),
            piece(None, None, "find"),
            piece(None, None, None, '{"q": "cat"}'),
            piece(None, "c2"),
            piece(None, None, "crop"),
            piece(None, None, None, '{"x": 1}'),
        ),
        BOTH,
    ),
    Form(
        "the name before the id",
        "-",
        (piece(0, None, "find"), piece(0, "c1"), piece(0, None, None, '{"q": "cat"}')),
        CAT,
    ),
    Form(
        "the name in pieces",
        "continuedev/continue#5849, Gemini",
        (piece(0, "c1", "fi", ""), piece(0, None, "nd", ""), piece(0, None, None, '{"q": "cat"}')),
        CAT,
    ),
    Form(
        "the name in pieces with the arguments",
        "ankit373/hydra#957, LM Studio's port",
        (piece(0, "c1", "fi", '{"q"'), piece(0, None, "nd", ': "cat"}')),
        CAT,
    ),
    Form(
        "one call at several indexes",
        "mudler/LocalAI#9722",
        (
            piece(0, "c1", "find", ""),
            piece(1, "c1", "find", '{"q": "cat"}'),
            piece(2, "c1", "find", '{"q": "cat"}'),
        ),
        CAT,
    ),
    Form(
        "one index and one id for several calls",
        "skye-harris/hass_local_openai_llm#92, OpenRouter",
        (piece(0, "c1", "find", '{"q": "cat"}'), piece(0, "c1", "crop", '{"x": 1}')),
        BOTH,
    ),
    Form(
        "one id for several calls of one tool",
        "mudler/LocalAI#9470",
        (piece(0, "c1", "find", '{"q": "cat"}'), piece(1, "c1", "find", '{"q": "dog"}')),
        CAT_AND_DOG,
    ),
    Form(
        "the whole arguments once more",
        "64bit/async-openai#329, Mistral",
        (piece(0, "c1", "find", '{"q": "cat"}'), piece(0, None, None, '{"q": "cat"}')),
        CAT,
    ),
    Form(
        "an empty object before the arguments",
        "ogx-ai/ogx#5462, llama-stack",
        (piece(0, "c1", "find", "{}"), piece(0, None, None, '{"q": "cat"}')),
        CAT,
    ),
    Form(
        "an empty object as an object before the arguments",
        "maximhq/bifrost#4644",
        (piece(0, "c1", "find", {}), piece(0, None, None, {"q": "cat"})),
        CAT,
    ),
    Form(
        "arguments as an object",
        "can1357/oh-my-pi#1779, MiniMax; ggml-org/llama.cpp#20198",
        (piece(0, "c1", "find", {"q": "cat"}), piece(1, "c2", "crop", {"x": 1})),
        BOTH,
    ),
    Form(
        "an empty piece at the end",
        "vercel/ai#3953",
        (piece(0, "c1", "find", '{"q": "cat"}'), piece(0, None, None, "")),
        CAT,
    ),
    Form(
        "without the inner object",
        "-",
        ({"index": 0, "id": "c1", "name": "find", "arguments": '{"q": "cat"}'},),
        CAT,
    ),
    Form(
        "calls without arguments",
        "-",
        (piece(0, "c1", "find", ""), piece(0, "c2", "crop", ""), piece(1, "c3", "crop", "{}")),
        (("find", {}), ("crop", {}), ("crop", {})),
    ),
    Form(
        "numbers as ids",
        "-",
        (piece(0, 0, "find", ""), piece(0, 0, None, '{"q": "cat"}'), piece(1, 1, "crop", {"x": 1})),
        BOTH,
    ),
    Form(
        "index 1, then 0, the first arguments with their name",
        "dirac-run/dirac#215",
        (
            piece(1, "c1", "find", '{"q": "cat"}'),
            piece(2, "c2", "crop", ""),
            piece(1, None, None, '{"x": 1}'),
        ),
        BOTH,
    ),
    Form(
        "all heads, then the arguments one index lower",
        "dirac-run/dirac#215",
        (
            piece(1, "c1", "find", ""),
            piece(2, "c2", "crop", ""),
            piece(0, None, None, '{"q": "cat"}'),
            piece(1, None, None, '{"x": 1}'),
        ),
        BOTH,
    ),
    Form(
        "the whole call once more, spaced otherwise",
        "64bit/async-openai#329",
        (
            piece(0, "c1", "find", ""),
            piece(0, None, None, '{"q": "cat"}'),
            piece(0, "c1", "find", '{"q":"cat"}'),
            piece(0, None, None, {"q": "cat"}),
        ),
        CAT,
    ),
    Form(
        "one id for two tools, all heads first",
        "skye-harris/hass_local_openai_llm#92",
        (
            piece(0, "c1", "find", ""),
            piece(1, "c1", "crop", ""),
            piece(0, None, None, '{"q": "cat"}'),
            piece(1, None, None, '{"x": 1}'),
        ),
        BOTH,
    ),
    Form(
        "each piece repeats the name so far",
        "continuedev/continue#5849",
        (
            piece(0, "c1", "fi", ""),
            piece(0, "c1", "find", ""),
            piece(0, None, None, '{"q": "cat"}'),
        ),
        CAT,
    ),
    Form(
        "no id, index 0 for a call without arguments and one with",
        "-",
        (piece(0, None, "find", ""), piece(0, None, "crop", '{"x": 1}')),
        (("find", {}), ("crop", {"x": 1})),
    ),
    Form(
        "two calls without arguments, no index and no id",
        "run-llama/llama_index#22464",
        (piece(None, None, "crop", "{}"), piece(None, None, "crop", "{}")),
        (("crop", {}), ("crop", {})),
    ),
)
"""All forms."""
