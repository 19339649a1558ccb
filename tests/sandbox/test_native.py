"""The native protocol over bare HTTP: shapes, streams, and what only it has."""

import itertools
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

PATH = "/api/v1/services/aigc/multimodal-generation/generation"
SSE = {"X-DashScope-SSE": "enable"}
ZOOM = {
    "type": "function",
    "function": {
        "name": "zoom",
        "description": "Look closer.",
        "parameters": {
            "type": "object",
            "properties": {"factor": {"type": "integer"}},
            "required": ["factor"],
        },
    },
}
Ask = Callable[..., Any]


def body_of(*parts: Any, model: str = "qwen3-vl-plus", **parameters: Any) -> dict[str, Any]:
    """Write a request with one user message of these parts, or of "hi"."""
    content = list(parts) or [{"text": "hi"}]
    messages = [{"role": "user", "content": content}]
    return {"model": model, "input": {"messages": messages}, "parameters": parameters}


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The data of each event, whose frame is checked too."""
    found = []
    blocks = [block for block in body.split(b"\n\n") if block and not block.startswith(b": ")]
    for number, block in enumerate(blocks, 1):
        head, data = block.split(b"\ndata:")
        assert head == b"id:%d\nevent:result\n:HTTP_STATUS/200" % number
        found.append(orjson.loads(data))
    return found


@pytest.fixture
def ask(post: Callable[..., Any]) -> Ask:
    """Send a body to the native URL; the answer's body."""

    def send(body: Any, **headers: str) -> Any:
        reply = post(body, path=PATH, headers=headers)
        assert reply.status == 200, reply.body[:500]
        return reply.json

    return send


@pytest.fixture
def stream(post: Callable[..., Any]) -> Ask:
    """The same as a stream; its events."""

    def send(body: Any, **headers: str) -> list[dict[str, Any]]:
        reply = post(body, path=PATH, headers={**SSE, **headers})
        assert reply.headers["content-type"].startswith("text/event-stream"), reply.body[:500]
        return events_of(reply.body)

    return send


def message_of(body: dict[str, Any]) -> dict[str, Any]:
    """The message of an answer."""
    message: dict[str, Any] = body["output"]["choices"][0]["message"]
    return message


def text_of(body: dict[str, Any]) -> str:
    """The text of an answer."""
    return "".join(part.get("text", "") for part in message_of(body)["content"])


def test_whole_answer_has_the_documented_shape(
    ask: Ask, data_url: Callable[..., str], post: Callable[..., Any]
) -> None:
    """That of the guide's own sample, with the newer details."""
    body = ask(body_of({"image": data_url(CHELSEA, "image/png")}, {"text": "图中是什么?"}))
    words = (
        "I am the qwen-vl sandbox, not a model. I received an image: PNG 451x300, "
        'mean color #946f57 (brown), 128 tokens; and the text: "图中是什么?".'
    )
    assert body["output"] == {
        "choices": [
            {
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": [{"text": words}]},
            }
        ]
    }
    usage = body["usage"]
    assert usage["image_tokens"] == 128
    assert usage["input_tokens"] == 128 + usage["input_tokens_details"]["text_tokens"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}
    assert set(body) == {"output", "usage", "request_id"}


def test_both_protocols_count_the_same(
    ask: Ask, post: Callable[..., Any], data_url: Callable[..., str]
) -> None:
    """They share everything behind the wire."""
    url = data_url(CHELSEA, "image/png")
    native = ask(body_of({"image": url, "max_pixels": 70_000}, {"text": "What?"}))
    parts = [
        {"type": "image_url", "image_url": {"url": url}, "max_pixels": 70_000},
        {"type": "text", "text": "What?"},
    ]
    other = post({"model": "qwen3-vl-plus", "messages": [{"role": "user", "content": parts}]}).json
    assert text_of(native) == other["choices"][0]["message"]["content"]
    assert native["usage"]["input_tokens"] == other["usage"]["prompt_tokens"]
    assert native["usage"]["output_tokens"] == other["usage"]["completion_tokens"]


def test_stream_holds_increments_by_default(stream: Ask) -> None:
    """So it is for qwen3-vl; the last event brings the finish reason and no text."""
    chunks = stream(body_of())
    reasons = [chunk["output"]["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == ["null"] * (len(chunks) - 1) + ["stop"]
    assert message_of(chunks[-1])["content"] == []
    assert "".join(map(text_of, chunks)) == (
        'I am the qwen-vl sandbox, not a model. I received the text: "hi".'
    )
    outputs = [chunk["usage"]["output_tokens"] for chunk in chunks]
    assert outputs == sorted(outputs)
    assert outputs[0] < outputs[-1]
    assert {chunk["usage"]["input_tokens"] for chunk in chunks} == {
        chunks[0]["usage"]["input_tokens"]
    }


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("qwen3.7-plus", {}),
        ("qwen3-vl-plus", {"incremental_output": False}),
    ],
)
def test_stream_may_hold_everything_so_far(stream: Ask, model: str, asked: dict[str, bool]) -> None:
    """By default for other commercial models, and where it is asked for."""
    chunks = stream(body_of(model=model, enable_thinking=False, **asked))
    texts = list(map(text_of, chunks))
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert texts[-1].startswith("I am the qwen-vl sandbox")


@pytest.mark.parametrize("incremental", [True, False])
def test_streamed_tool_calls_add_up(stream: Ask, incremental: bool) -> None:
    """Increments have no name and no id after the first; snapshots are whole."""
    body = body_of(
        {"text": "zoom factor=12345 please"}, tools=[ZOOM], incremental_output=incremental
    )
    calls = [
        message_of(chunk)["tool_calls"][0]
        for chunk in stream(body)
        if "tool_calls" in message_of(chunk)
    ]
    arguments = [call["function"]["arguments"] for call in calls]
    assert ("".join(arguments) if incremental else arguments[-1]) == '{"factor":12345}'
    assert calls[0]["function"]["name"] == "zoom"
    assert [bool(call["id"]) for call in calls] == [
        at == 0 or not incremental for at in range(len(calls))
    ]


def test_tool_call_and_result(ask: Ask) -> None:
    """A call comes with empty content; its result is told back."""
    body = body_of({"text": "zoom factor=3"}, tools=[ZOOM])
    first = ask(body)
    message = message_of(first)
    assert (message["content"], first["output"]["choices"][0]["finish_reason"]) == (
        [],
        "tool_calls",
    )
    call = message["tool_calls"][0]
    assert call["function"] == {"name": "zoom", "arguments": '{"factor":3}'}
    result = {"role": "tool", "content": "done", "tool_call_id": call["id"]}
    body["input"]["messages"] += [message, result]
    assert text_of(ask(body)).endswith('The tools returned: zoom: "done".')


def test_reasoning_comes_first(stream: Ask) -> None:
    """While it comes the content is an empty list."""
    chunks = stream(body_of(enable_thinking=True, incremental_output=True))
    reasoned = [message_of(chunk) for chunk in chunks if message_of(chunk)["reasoning_content"]]
    assert all(message["content"] == [] for message in reasoned)
    words = "".join(message["reasoning_content"] for message in reasoned)
    assert words.startswith("The request holds 1 messages")
    assert chunks[-1]["usage"]["output_tokens_details"]["reasoning_tokens"] > 0


def test_plain_text_and_system_lists_are_read(ask: Ask) -> None:
    """Content may be a text; the system's is a list in all newer samples."""
    messages = [
        {"role": "system", "content": [{"text": "Be brief."}]},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"text": "yes"}], "reasoning_content": "hm"},
        {"role": "user", "content": "and?"},
    ]
    body = {"model": "qwen3-vl-plus", "input": {"messages": messages}}
    assert text_of(ask(body)).endswith('the text: "and?".')


def test_max_frames_limits_the_sampling(ask: Ask, data_url: Callable[..., str]) -> None:
    """It can be set on this protocol only."""
    film = {"video": data_url(BIG_BUCK_BUNNY, "video/mp4"), "fps": 10}
    assert "52 frames sampled" in text_of(ask(body_of(film)))
    assert "6 frames sampled" in text_of(ask(body_of({**film, "max_frames": 6})))


def test_frame_list_is_read(ask: Ask, picture_url: Callable[..., str]) -> None:
    """A list under the same key."""
    body = ask(body_of({"video": [picture_url(64, 64)] * 4, "fps": 1}))
    assert "a video: 4 frames sent, PNG 64x64, 1 fps" in text_of(body)
    assert body["usage"]["video_tokens"] == body["usage"]["input_tokens_details"]["video_tokens"]


def test_high_resolution_ignores_max_pixels(ask: Ask, picture_url: Callable[..., str]) -> None:
    """As on the other protocol."""
    image = {"image": picture_url(3840, 2160), "max_pixels": 65_536}
    body = ask(body_of(image, vl_high_resolution_images=True))
    assert body["usage"]["image_tokens"] == 8160 + 2


def test_picture_sizes_come_last(
    ask: Ask, stream: Ask, picture_url: Callable[..., str], data_url: Callable[..., str]
) -> None:
    """Height and width of each image as the model sees it, and none of a video."""
    images = [{"image": picture_url(1920, 1080)}, {"image": picture_url(100, 100)}]
    asked = body_of(*images, vl_enable_image_hw_output=True)
    sizes = {"image_hw": [[1088, 1920], [256, 256]]}
    assert message_of(ask(asked))["content"][1] == sizes
    chunks = stream(asked)
    assert message_of(chunks[-1])["content"] == [sizes]
    assert all("image_hw" not in str(chunk) for chunk in chunks[:-1])
    film = {"video": data_url(BIG_BUCK_BUNNY, "video/mp4")}
    filmed = ask(body_of(film, vl_enable_image_hw_output=True))
    assert message_of(filmed)["content"][1] == {"image_hw": []}


def test_json_is_given_where_it_is_asked_for(ask: Ask) -> None:
    """The word "json" stands in the prompt."""
    body = body_of({"text": "Answer in JSON."}, response_format={"type": "json_object"})
    assert orjson.loads(text_of(ask(body)))["text"] == "Answer in JSON."


def test_probabilities_stand_beside_the_message(ask: Ask, stream: Ask) -> None:
    """One entry for each token of the text."""
    body = body_of(logprobs=True, top_logprobs=2)
    whole = ask(body)
    listed = whole["output"]["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in listed) == text_of(whole)
    assert {len(entry["top_logprobs"]) for entry in listed} == {2}
    assert len(stream(body)[0]["output"]["choices"][0]["logprobs"]["content"]) == 4


def test_words_are_the_whole_picture(ask: Ask, picture_url: Callable[..., str]) -> None:
    """The sandbox reads nothing, and says so in the shape of the task."""
    image = {"image": picture_url(300, 200), "enable_rotate": True}
    body = body_of(
        image,
        {"text": "read"},
        model="qwen-vl-ocr",
        ocr_options={"task": "advanced_recognition"},
    )
    content = message_of(ask(body))["content"][0]
    info = content["ocr_result"]["words_info"][0]
    assert info["text"].startswith("sandbox, not a model; received PNG 300x200")
    assert info["location"] == [0, 0, 300, 0, 300, 200, 0, 200]
    assert info["rotate_rect"] == [150, 100, 300, 200, 0]
    # The text holds the model's own thousandths.
    assert content["text"].startswith('```json\n[{"rotate_rect":[500,500,1000,1000,0]')


def test_values_are_filled_by_the_result_schema(
    ask: Ask, stream: Ask, picture_url: Callable[..., str]
) -> None:
    """Each empty value gets the sandbox's own words; the result comes last in a stream."""
    schema = {"name": "", "items": [{"price": ""}]}
    body = body_of(
        {"image": picture_url(300, 200)},
        model="qwen-vl-ocr",
        ocr_options={
            "task": "key_information_extraction",
            "task_config": {"result_schema": schema},
        },
    )
    content = message_of(ask(body))["content"][0]
    values = content["ocr_result"]["kv_result"]
    assert values["name"] == values["items"][0]["price"]
    assert content["text"] == f"```json\n{orjson.dumps(values).decode()}\n```"
    chunks = stream(body)
    assert message_of(chunks[-1])["content"][0]["ocr_result"]["kv_result"] == values
    assert "ocr_result" not in str(chunks[:-1])


def test_values_are_made_up_where_no_schema_names_them(
    ask: Ask, picture_url: Callable[..., str]
) -> None:
    body = body_of(
        {"image": picture_url(300, 200)},
        model="qwen-vl-ocr",
        ocr_options={"task": "key_information_extraction"},
    )
    values = message_of(ask(body))["content"][0]["ocr_result"]["kv_result"]
    assert values.keys() == {"sandbox"}


@pytest.mark.parametrize(
    ("task", "start"),
    [
        ("table_parsing", "```html\n<table>"),
        ("document_parsing", "```latex\n"),
        ("formula_recognition", "```latex\n"),
        ("text_recognition", "sandbox, not a model"),
        ("multi_lan", "sandbox, not a model"),
    ],
)
def test_other_tasks_answer_in_their_language(
    ask: Ask, picture_url: Callable[..., str], task: str, start: str
) -> None:
    """HTML, LaTeX or plain words, without a result."""
    body = body_of({"image": picture_url(64, 64)}, model="qwen-vl-ocr", ocr_options={"task": task})
    content = message_of(ask(body))["content"][0]
    assert content["text"].startswith(start)
    assert set(content) == {"text"}


def test_scripted_answer_works_here_too(qwen_vl_sandbox: Sandbox, ask: Ask, stream: Ask) -> None:
    """Text, chunks, calls and usage."""
    usage = {"input_tokens": 1, "output_tokens": 2}
    qwen_vl_sandbox.script(
        ScriptedAnswer(text=("你", "好!"), reasoning="想", usage=usage),
        ScriptedAnswer(tool_calls=(ToolCall("crop", {"x": 1}, id="call_1"),)),
    )
    chunks = stream(body_of())
    assert [text_of(chunk) for chunk in chunks] == ["", "你", "好!", ""]
    assert all(chunk["usage"] == usage for chunk in chunks)
    call = message_of(ask(body_of()))["tool_calls"][0]
    assert (call["id"], call["function"]["arguments"]) == ("call_1", '{"x":1}')


def test_unknown_fields_are_recorded(qwen_vl_sandbox: Sandbox, ask: Ask) -> None:
    """Those of the other protocol among them: here they are ignored."""
    body = body_of({"text": "hi", "type": "text"}, frequency_penalty=1)
    ask({**body, "temperature": 0.5, "input": {**body["input"], "prompt": "x"}})
    assert qwen_vl_sandbox.last_request.unknown_fields == (
        "temperature",
        "input.prompt",
        "parameters.frequency_penalty",
        "input.messages[0].content[0].type",
    )


def test_models_are_listed_in_pages(post: Callable[..., Any]) -> None:
    """As the official SDK reads them."""
    first = post(method="GET", path="/api/v1/models?page_size=4").json["output"]
    second = post(method="GET", path="/api/v1/models?page_size=4&page_no=2").json["output"]
    assert (len(first["models"]), first["page_no"], second["page_no"]) == (4, 1, 2)
    assert first["total"] == second["total"] > 8
    assert first["models"][0]["model"] == "qwen4-max"
    one = post(method="GET", path="/api/v1/models?model=qwen3-vl-plus").json["output"]
    assert [entry["model"] for entry in one["models"]] == ["qwen3-vl-plus"]
    refused = post(method="GET", path="/api/v1/models?page_no=0")
    assert (refused.status, refused.json["code"]) == (400, "InvalidParameter")


def test_address_of_text_generation_is_not_for_vision_models(post: Callable[..., Any]) -> None:
    """Each model has one of the two URLs (Native-API page, 2026-09)."""
    text_path = PATH.replace("multimodal-generation", "text-generation")
    for model in ("qwen3-vl-plus", "qwen3.7-plus", "qwen-vl-ocr"):
        reply = post(body_of(model=model), path=text_path)
        assert (reply.status, reply.json["code"], reply.json["message"]) == (
            400,
            "InvalidParameter",
            "url error, please check url",
        )
    assert post(body_of(model="qwen-plus"), path=PATH).json["message"] == (
        "url error, please check url"
    )
    other = post(body_of(model="qwen-plus"), path=text_path)
    assert (other.status, "not implemented" in other.json["message"]) == (404, True)
