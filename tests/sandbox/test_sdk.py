"""The official SDK, unchanged, against the sandbox."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import orjson
import pydantic
import pytest

from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET
from qwen_vl_sandbox import Sandbox

DataUrl = Callable[[Path, str], str]
CROP = {
    "type": "function",
    "function": {
        "name": "crop",
        "description": "Cut an image.",
        "parameters": {
            "type": "object",
            "properties": {
                "x": {"type": "integer"},
                "ratio": {"type": "number"},
                "label": {"type": "string"},
            },
            "required": ["x", "ratio", "label"],
        },
    },
}
ZOOM = {"type": "function", "function": {"name": "zoom", "parameters": {}}}


def user(*content: Any) -> list[Any]:
    """Write one user message."""
    return [{"role": "user", "content": content[0] if len(content) == 1 else list(content)}]


def image(url: str, **options: int) -> dict[str, Any]:
    """Write an image part."""
    return {"type": "image_url", "image_url": {"url": url}, **options}


def text(words: str) -> dict[str, Any]:
    """Write a text part."""
    return {"type": "text", "text": words}


def test_ask_says_which_pictures_came(client: openai.OpenAI, data_url: DataUrl) -> None:
    """Real images are decoded, and Chinese text comes back as it went."""
    reply = client.chat.completions.create(
        model="qwen3-vl-plus",
        messages=user(
            image(data_url(CHELSEA, "image/png")),
            image(data_url(ROCKET, "image/jpeg")),
            text("图中是什么?"),
        ),
    )
    assert reply.choices[0].message.content == (
        "I am the qwen-vl sandbox, not a model. I received 2 images: "
        "(1) PNG 451x300, mean color #946f57 (brown), 128 tokens; "
        "(2) JPEG 640x427, mean color #343d52 (blue), 262 tokens; "
        'and the text: "图中是什么?".'
    )
    assert reply.choices[0].finish_reason == "stop"


def test_ask_counts_each_kind_of_token(client: openai.OpenAI, data_url: DataUrl) -> None:
    """The usage tells images, videos and text apart."""
    video = {"type": "video_url", "video_url": {"url": data_url(BIG_BUCK_BUNNY, "video/mp4")}}
    reply = client.chat.completions.create(
        model="qwen3-vl-plus",
        messages=user(image(data_url(COFFEE, "image/png")), video, text("What?")),
    )
    assert reply.usage is not None
    details: Any = reply.usage.prompt_tokens_details
    # 600x400 -> 608x384 = 19 x 12; 1280x720 at 10 frames -> 1056x576 = 33 x 18 per pair.
    assert (details.image_tokens, details.video_tokens, details.cached_tokens) == (
        19 * 12 + 2,
        5 * 33 * 18 + 2,
        0,
    )
    assert reply.usage.prompt_tokens == 230 + 2972 + details.text_tokens
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_ask_describes_the_video(client: openai.OpenAI, data_url: DataUrl) -> None:
    """Size, length and sampled frames of a real film."""
    video = {"type": "video_url", "video_url": {"url": data_url(BIG_BUCK_BUNNY, "video/mp4")}}
    reply = client.chat.completions.create(
        model="qwen3-vl-plus", messages=user({**video, "fps": 1}, text("What?"))
    )
    expected = "a video: MP4 1280x720, 5.3 s, 25 fps, 5 frames sampled, mean color at the start"
    assert expected in str(reply.choices[0].message.content)


def test_ask_sends_pixel_options(client: openai.OpenAI, data_url: DataUrl) -> None:
    """MediaOptions beside the image change its tokens."""
    url = data_url(CHELSEA, "image/png")
    reply = client.chat.completions.create(
        model="qwen3-vl-plus",
        messages=user(image(url, max_pixels=65_536), image(url, min_pixels=1_000_000), text("x")),
    )
    # 451x300 into 65 536 pixels -> 288x192; up to a million pixels -> 1248x832.
    answer = str(reply.choices[0].message.content)
    assert f", {9 * 6 + 2} tokens; (2)" in answer
    assert f", {39 * 26 + 2} tokens;" in answer


def test_ask_with_high_resolution_ignores_max_pixels(
    client: openai.OpenAI, picture_url: Callable[..., str]
) -> None:
    """The switch fixes the cap (OpenAI-Chat page, 2026-10)."""
    reply = client.chat.completions.create(
        model="qwen3-vl-plus",
        messages=user(image(picture_url(3840, 2160), max_pixels=65_536), text("x")),
        extra_body={"vl_high_resolution_images": True},
    )
    assert reply.usage is not None
    details: Any = reply.usage.prompt_tokens_details
    assert details.image_tokens == 8162


def test_frame_list_counts_pairs_of_frames(
    client: openai.OpenAI, picture_url: Callable[..., str]
) -> None:
    """Five frames count as three pairs."""
    frames = {"type": "video", "video": [picture_url(640, 360, "JPEG")] * 5, "fps": 1}
    reply = client.chat.completions.create(
        model="qwen3-vl-plus", messages=user(frames, text("What?"))
    )
    assert reply.usage is not None
    details: Any = reply.usage.prompt_tokens_details
    assert details.video_tokens == 3 * 20 * 11 + 2
    assert "5 frames sent, JPEG 640x360, 1 fps" in str(reply.choices[0].message.content)


def test_stream_gives_reasoning_then_text_then_usage(client: openai.OpenAI) -> None:
    """The order of the Streaming page (2026-07)."""
    stream = client.chat.completions.create(
        model="qwen3.8-max",
        messages=user("你好"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks: list[Any] = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert (deltas[0].role, deltas[0].content) == ("assistant", "")
    assert all(delta.role is None for delta in deltas[1:])
    kinds = ["reasoning" if delta.reasoning_content else "text" for delta in deltas[1:-1]]
    assert kinds == sorted(kinds)
    assert all(delta.content is None for delta in deltas if delta.reasoning_content)
    assert "".join(delta.content or "" for delta in deltas) == (
        'I am the qwen-vl sandbox, not a model. I received the text: "你好".'
    )
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens > 0) == ([], True)
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_stream_without_usage_ends_with_the_finish_chunk(client: openai.OpenAI) -> None:
    """Usage comes only when asked for."""
    stream = client.chat.completions.create(model="qwen3-vl-plus", messages=user("Hi"), stream=True)
    chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.choices for chunk in chunks)


def test_thinking_budget_caps_the_reasoning(client: openai.OpenAI) -> None:
    """A hard cap, and an answer after it."""
    reply: Any = client.chat.completions.create(
        model="qwen3.7-plus", messages=user("Hi"), extra_body={"thinking_budget": 3}
    )
    assert reply.choices[0].message.reasoning_content == "The request "
    assert reply.usage.completion_tokens_details.reasoning_tokens == 3


def test_thinking_switched_off_gives_no_reasoning(client: openai.OpenAI) -> None:
    """The field is absent then."""
    reply: Any = client.chat.completions.create(
        model="qwen3.7-plus", messages=user("Hi"), extra_body={"enable_thinking": False}
    )
    assert not hasattr(reply.choices[0].message, "reasoning_content")


@pytest.mark.parametrize("effort", ["none", "low"])
def test_reasoning_effort_decides_on_reasoning(client: openai.OpenAI, effort: Any) -> None:
    """`none` switches thinking off."""
    reply: Any = client.chat.completions.create(
        model="qwen3.8-max", messages=user("Hi"), reasoning_effort=effort
    )
    reasoned = bool(getattr(reply.choices[0].message, "reasoning_content", None))
    assert reasoned == (effort == "low")


async def test_async_client_asks_and_streams(async_client: openai.AsyncOpenAI) -> None:
    """Both ways give the same text."""
    reply = await async_client.chat.completions.create(model="qwen3-vl-plus", messages=user("Hi"))
    stream = await async_client.chat.completions.create(
        model="qwen3-vl-plus", messages=user("Hi"), stream=True
    )
    parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(parts) == reply.choices[0].message.content


def test_models_lists_current_ids(client: openai.OpenAI) -> None:
    """The default model is among them."""
    assert "qwen3-vl-plus" in [model.id for model in client.models.list()]


def test_named_tool_is_called_with_arguments_of_the_text(client: openai.OpenAI) -> None:
    """The last user text names the tool and its values."""
    reply = client.chat.completions.create(
        model="qwen3-vl-plus",
        messages=user('Please crop at 12 with ratio=0.5 and label "the cat"'),
        tools=[CROP, ZOOM],
    )
    choice = reply.choices[0]
    calls: Any = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content, len(calls)) == ("tool_calls", "", 1)
    assert calls[0].function.name == "crop"
    assert orjson.loads(calls[0].function.arguments) == {
        "x": 12,
        "ratio": 0.5,
        "label": "the cat",
    }


def test_forced_tool_is_called_with_valid_values(client: openai.OpenAI) -> None:
    """The text says nothing, so the schema decides."""
    reply = client.chat.completions.create(
        model="qwen3-vl-plus",
        messages=user("Hi"),
        tools=[ZOOM, CROP],
        tool_choice={"type": "function", "function": {"name": "crop"}},
    )
    calls: Any = reply.choices[0].message.tool_calls
    arguments = orjson.loads(calls[0].function.arguments)
    assert (arguments["x"], arguments["ratio"]) == (0, 0)
    assert arguments["label"] == "from the qwen-vl sandbox for crop"


@pytest.mark.parametrize(("parallel", "names"), [(True, ["zoom", "crop"]), (False, ["zoom"])])
def test_several_named_tools_need_parallel_calls(
    client: openai.OpenAI, parallel: bool, names: list[str]
) -> None:
    """In the order of the text; one alone without the switch."""
    reply = client.chat.completions.create(
        model="qwen3-vl-plus",
        messages=user("zoom, then crop"),
        tools=[CROP, ZOOM],
        parallel_tool_calls=parallel,
    )
    calls: Any = reply.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == names
    assert len({call.id for call in calls}) == len(names)


def test_tools_that_nobody_names_are_not_called(client: openai.OpenAI) -> None:
    """A part of a word is not a name."""
    reply = client.chat.completions.create(
        model="qwen3-vl-plus", messages=user("crops and zooming"), tools=[CROP, ZOOM]
    )
    assert reply.choices[0].message.tool_calls is None


def test_tool_results_are_told(client: openai.OpenAI) -> None:
    """After the results comes a text."""
    messages = user("zoom in")
    first: Any = client.chat.completions.create(
        model="qwen3-vl-plus", messages=messages, tools=[ZOOM]
    )
    call = first.choices[0].message.tool_calls[0]
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "放大了"})
    second = client.chat.completions.create(model="qwen3-vl-plus", messages=messages, tools=[ZOOM])
    assert second.choices[0].message.content == (
        'I am the qwen-vl sandbox, not a model. The tools returned: zoom: "放大了".'
    )


def test_streamed_tool_calls_come_in_pieces(client: openai.OpenAI) -> None:
    """Later pieces carry an empty id and no name, on the same index."""
    stream = client.chat.completions.create(
        model="qwen3-vl-plus",
        messages=user('crop x=3 ratio=1 label="很长的标签很长的标签很长的标签", zoom'),
        tools=[CROP, ZOOM],
        parallel_tool_calls=True,
        stream=True,
    )
    deltas: list[Any] = [
        call for chunk in stream for call in chunk.choices[0].delta.tool_calls or []
    ]
    for index, name in enumerate(["crop", "zoom"]):
        mine = [delta for delta in deltas if delta.index == index]
        assert (mine[0].function.name, mine[0].function.arguments) == (name, "")
        assert mine[0].id
        assert [(delta.id, delta.function.name) for delta in mine[1:]] == [("", None)] * len(
            mine[1:]
        )
        arguments = "".join(delta.function.arguments for delta in mine)
        assert orjson.loads(arguments).get("x") == (3 if name == "crop" else None)


class Box(pydantic.BaseModel):
    """What a model finds."""

    label: str = pydantic.Field(max_length=20)
    bbox_2d: tuple[int, int, int, int]
    score: float = pydantic.Field(gt=0, le=1)


class Scene(pydantic.BaseModel):
    """A schema with references, bounds and itself inside."""

    boxes: list[Box] = pydantic.Field(min_length=2)
    note: str | None
    parent: "Scene | None" = None


def test_json_schema_answer_is_valid(client: openai.OpenAI) -> None:
    """Pydantic reads the answer back."""
    reply = client.chat.completions.create(
        model="qwen3.8-max",
        messages=user("Where?"),
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "scene", "schema": Scene.model_json_schema(), "strict": True},
        },
    )
    scene = Scene.model_validate_json(str(reply.choices[0].message.content))
    assert len(scene.boxes) == 2
    assert scene.note == "sandbox, not a model; received no media"


def test_json_object_answer_is_an_object(client: openai.OpenAI, data_url: DataUrl) -> None:
    """It tells what was received."""
    reply = client.chat.completions.create(
        model="qwen3-vl-plus",
        messages=user(image(data_url(CHELSEA, "image/png")), text("Answer in JSON: 什么?")),
        response_format={"type": "json_object"},
    )
    value = orjson.loads(str(reply.choices[0].message.content))
    assert value["received"][0]["tokens"] == 128
    assert value["text"] == "Answer in JSON: 什么?"


def test_stop_text_ends_the_answer(client: openai.OpenAI) -> None:
    """The first stop text is left out, with all that follows."""
    reply = client.chat.completions.create(
        model="qwen3-vl-plus", messages=user("Hi"), stop=["never", " I received"]
    )
    assert reply.choices[0].message.content == "I am the qwen-vl sandbox, not a model."


def test_max_tokens_caps_the_text_alone(client: openai.OpenAI) -> None:
    """Reasoning is not counted (Native-API page, 2026-09)."""
    reply: Any = client.chat.completions.create(
        model="qwen3.7-plus", messages=user("Hi"), max_tokens=2
    )
    assert reply.choices[0].finish_reason == "length"
    assert reply.choices[0].message.content == "I am the"
    assert reply.usage.completion_tokens_details.reasoning_tokens > 2


def test_max_completion_tokens_caps_reasoning_too(client: openai.OpenAI) -> None:
    """Reasoning uses it up."""
    reply: Any = client.chat.completions.create(
        model="qwen3.7-plus", messages=user("Hi"), max_completion_tokens=2
    )
    assert (reply.choices[0].finish_reason, reply.choices[0].message.content) == ("length", "")
    assert reply.usage.completion_tokens == 2


def test_logprobs_come_when_asked_for(client: openai.OpenAI) -> None:
    """One entry for each token, with its alternatives."""
    reply = client.chat.completions.create(
        model="qwen3-vl-plus", messages=user("Hi"), logprobs=True, top_logprobs=2
    )
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    words = "".join(token.token for token in logprobs.content)
    assert words == reply.choices[0].message.content
    assert {len(token.top_logprobs) for token in logprobs.content} == {2}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_fault_becomes_the_sdks_error(
    qwen_vl_sandbox: Sandbox,
    client: openai.OpenAI,
    status: int,
    error: type[openai.APIStatusError],
) -> None:
    """Each status is the error class that users catch."""
    qwen_vl_sandbox.fail(status=status)
    with pytest.raises(error) as caught:
        client.chat.completions.create(model="qwen3-vl-plus", messages=user("Hi"))
    assert caught.value.request_id
    assert caught.value.status_code == status
