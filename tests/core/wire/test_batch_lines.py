"""Lines of batch files, as the Batch-File page (2026-10) has them."""

from typing import Any

import orjson
import pytest

from qwen_vl.content import DataUrl, Frames, Image, Part, Text, Turn, Url, Video
from qwen_vl.errors import MediaTooLargeError, UnsupportedContentError
from qwen_vl.request.types import Request
from qwen_vl.specs.batch_file import MAX_LINE_BYTES
from qwen_vl.wire.openai.batch import decode_line, encode_line, encode_line_body


def encode(*parts: Part, model: str = "qwen3.7-plus", **options: Any) -> Any:
    turn = Turn(role="user", parts=parts)
    request = Request(model=model, turns=(turn,), **options)
    return orjson.loads(encode_line("row-1", model, encode_line_body(request)))


def test_an_image() -> None:
    image = Image(source=Url("https://example.com/a.jpg"))

    line = encode(image, Text(text="What is this?"), parameters={"enable_thinking": False})

    assert line == {
        "custom_id": "row-1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "qwen3.7-plus",
            "enable_thinking": False,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
                        {"type": "text", "text": "What is this?"},
                    ],
                }
            ],
        },
    }


def test_a_video_is_text_and_frames_are_a_list() -> None:
    video = Video(source=Url("https://example.com/a.mp4"), fps=2)
    frames = Video(
        source=Frames((Url("https://example.com/1.jpg"), Url("https://example.com/2.jpg")))
    )

    (message,) = encode(video, frames)["body"]["messages"]

    assert message["content"] == [
        {"type": "video", "video": "https://example.com/a.mp4", "fps": 2},
        {"type": "video", "video": ["https://example.com/1.jpg", "https://example.com/2.jpg"]},
    ]


@pytest.mark.parametrize(
    ("model", "parameters", "expected"),
    [
        # The default of each model (docs/models.md), said outright: a file has one mode.
        ("qwen3.7-plus", {}, True),
        ("qwen3.7-plus", {"enable_thinking": False}, False),
        ("qwen3-vl-plus", {}, False),
        ("qwen3-vl-plus", {"enable_thinking": True}, True),
        ("qwen-vl-ocr", {}, None),
    ],
)
def test_thinking_is_said_outright(
    model: str, parameters: dict[str, Any], expected: bool | None
) -> None:
    body = encode(Text(text="Hello"), model=model, parameters=parameters)["body"]

    assert body.get("enable_thinking") == expected
    assert ("enable_thinking" in body) == (expected is not None)


def test_a_line_is_never_streamed() -> None:
    assert "stream" not in encode(Text(text="Hello"), stream=True)["body"]


def test_the_test_model_has_its_own_path() -> None:
    line = encode(Text(text="Hello"), model="batch-test-model", parameters={"max_tokens": 5})

    assert line["url"] == "/v1/chat/ds-test"
    assert line["body"] == {
        "model": "batch-test-model",
        "messages": [{"role": "user", "content": "Hello"}],
    }


def test_the_temporary_storage_is_refused() -> None:
    image = Image(source=Url("oss://dashscope-instant/a.jpg"))

    with pytest.raises(UnsupportedContentError, match="oss://"):
        encode(image)


@pytest.mark.parametrize("n_more", [0, 1])
def test_a_line_has_six_megabytes_at_most(n_more: int) -> None:
    bare = len(encode_line_body(_ask("")))
    request = _ask("a" * (MAX_LINE_BYTES - bare + n_more))

    if n_more:
        with pytest.raises(MediaTooLargeError, match=r"6,000,001 bytes long; .* takes 6,000,000"):
            encode_line_body(request)
    else:
        assert len(encode_line_body(request)) == 6_000_000


def _ask(text: str) -> Request:
    image = Image(source=DataUrl("image/png", b"abc", None, 3))
    turn = Turn(role="user", parts=(image, Text(text=text)))
    return Request(model="qwen3-vl-plus", turns=(turn,))


ANSWER = {"choices": [{"message": {"content": "A cat."}, "finish_reason": "stop"}]}


def test_an_answer() -> None:
    answer = decode_line(
        orjson.dumps(
            {
                "id": "73291560-7616-97bf-87f2-7d747bbe84fd",
                "custom_id": "row-1",
                "response": {"status_code": 200, "request_id": "r-1", "body": ANSWER},
                "error": None,
            }
        )
    )

    assert answer is not None
    assert answer.is_answer
    assert (answer.custom_id, answer.request_id) == ("row-1", "r-1")
    assert orjson.loads(answer.body) == ANSWER


@pytest.mark.parametrize(
    "rest",
    [
        # The field table's spelling, and that of the page's own script.
        {"response": None, "error": {"code": "x", "message": "No."}},
        {"response": None, "error": {"error_code": "x", "error_message": "No."}},
        {"response": None, "error_code": "x", "error_message": "No."},
        # In the output file, with the status of the error (measured, 2026-09).
        {
            "response": {
                "status_code": 400,
                "body": {"error": {"code": "x", "message": "No.", "type": "x"}},
            },
            "error": None,
        },
        {
            "response": {"status_code": 400, "body": ANSWER},
            "error": {"code": "x", "message": "No."},
        },
    ],
)
def test_errors_in_all_spellings(rest: dict[str, Any]) -> None:
    answer = decode_line(orjson.dumps({"id": "1", "custom_id": "row-1", **rest}))

    assert answer is not None
    assert not answer.is_answer
    assert (answer.custom_id, answer.error_code, answer.error_message) == ("row-1", "x", "No.")


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ({}, "no_answer"),
        ({"response": None, "error": None}, "no_answer"),
        ({"response": {"status_code": 500, "body": None}}, "http_500"),
        ({"response": {"status_code": 200, "body": {}}}, "http_200"),
    ],
)
def test_a_line_without_an_answer_is_never_one(rest: dict[str, Any], code: str) -> None:
    answer = decode_line(orjson.dumps({"custom_id": "row-1", **rest}))

    assert answer is not None
    assert answer.error_code == code
    assert answer.error_message


@pytest.mark.parametrize("line", [b"", b"\n", b"{", b"[]", b"7", b'{"custom_id":""}', b"{}"])
def test_what_is_no_line(line: bytes) -> None:
    assert decode_line(line) is None
