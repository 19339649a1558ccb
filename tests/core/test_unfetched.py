"""URLs that the server cannot fetch: an error that names them, and notes in earlier turns."""

import json
import warnings
from typing import Any

import pytest
from pydantic import SecretStr

from qwen_vl.client import AsyncQwenVLClient, QwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.content import Frames, Image, Part, Text, ToolResult, Turn, Url, Video
from qwen_vl.errors import InvalidRequestError, ServiceError
from qwen_vl.media.unfetched import drop_unfetched
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl_sandbox import Sandbox

# Nothing listens there, so that the sandbox, which fetches what is near, cannot fetch it.
DEAD = "http://127.0.0.1:9/a.png"
GONE = "https://example.com/gone.png"
OTHER = "https://example.com/b.png"
EXPIRED = "https://bucket.example.com/c.png?Expires=1700000000&Signature=x"
ANSWER = Turn(role="assistant", parts=(Text(text="A cat."),))
QUESTION = Turn(role="user", parts=(Text(text="Which color?"),))
NOTE = "The image cannot be shown: it could not be downloaded."
FAILURE = "<400> InternalError.Algo.InvalidParameter: Failed to download multimodal content"


def image(url: str, where: str = "messages[0].content[0]") -> Image:
    return Image(source=Url(url), where=where)


def user(*parts: Part) -> Turn:
    return Turn(role="user", parts=parts)


def request_of(*turns: Turn, **fields: Any) -> Request:
    return Request(model="qwen3-vl-plus", turns=turns, **fields)


@pytest.fixture
def connection(qwen_vl_sandbox: Sandbox, protocol: str) -> Connection:
    base_url = {
        "openai": qwen_vl_sandbox.base_url,
        "native": qwen_vl_sandbox.native_base_url,
    }[protocol]
    return Connection(base_url=base_url, api_key=SecretStr("sk-sandbox"), max_retries=0)


async def ask(connection: Connection, request: Request, way: str) -> Any:
    if way == "ask":
        return QwenVLClient(connection).ask(request).replaced_content
    if way == "stream":
        deltas = list(QwenVLClient(connection).stream(request))
    elif way == "ask asynchronously":
        return (await AsyncQwenVLClient(connection).ask(request)).replaced_content
    else:
        deltas = [delta async for delta in AsyncQwenVLClient(connection).stream(request)]
    metadata = (delta.metadata for delta in deltas if delta.metadata)
    (found,) = (held.replaced_content for held in metadata if held.replaced_content)
    return found


WAYS = ["ask", "stream", "ask asynchronously", "stream asynchronously"]


@pytest.mark.parametrize("way", WAYS)
async def test_dead_url_of_an_earlier_turn_is_left_out(
    connection: Connection, qwen_vl_sandbox: Sandbox, protocol: Any, way: str
) -> None:
    request = request_of(
        user(image(DEAD)), ANSWER, QUESTION, stream="stream" in way, protocol=protocol
    )
    with pytest.warns(UserWarning, match=r"^messages\[0\]\.content\[0\]: The server could not"):
        (replaced,) = await ask(connection, request, way)
    assert (replaced.where, replaced.reason) == ("messages[0].content[0]", NOTE)
    assert len(qwen_vl_sandbox.requests) == 2
    assert DEAD not in qwen_vl_sandbox.last_request.body.decode()
    assert NOTE in qwen_vl_sandbox.last_request.body.decode()


@pytest.mark.parametrize("way", WAYS)
async def test_dead_url_of_the_newest_turn_is_named(
    connection: Connection, qwen_vl_sandbox: Sandbox, protocol: Any, way: str
) -> None:
    newest = user(image(DEAD, "messages[2].content[0]"))
    request = request_of(QUESTION, ANSWER, newest, stream="stream" in way, protocol=protocol)
    with pytest.raises(InvalidRequestError) as caught:
        await ask(connection, request, way)
    assert str(caught.value).endswith(
        f"The URLs of this request: messages[2].content[0], {DEAD}, which only this machine or its "
        "network reaches."
    )
    assert len(qwen_vl_sandbox.requests) == 1


def test_nothing_is_asked_again_once_an_answer_has_begun(qwen_vl_sandbox: Sandbox) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "A "}}]}
    failure = {"error": {"message": FAILURE, "code": "invalid_parameter_error"}}
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in (chunk, failure))
    headers = {"content-type": "text/event-stream"}
    qwen_vl_sandbox.script_raw(body.encode(), headers=headers)
    connection = Connection(base_url=qwen_vl_sandbox.base_url, api_key=SecretStr("sk-sandbox"))
    stream = QwenVLClient(connection).stream(
        request_of(user(image(OTHER)), ANSWER, QUESTION, stream=True)
    )
    assert next(stream).text == "A "
    with pytest.raises(ServiceError, match="Failed to download"):
        next(stream)
    assert len(qwen_vl_sandbox.requests) == 1


def test_other_errors_leave_the_request_as_it_is(qwen_vl_sandbox: Sandbox) -> None:
    failure = {"error": {"message": "Range of input length should be [1, 8]", "code": "x"}}
    qwen_vl_sandbox.script_raw(json.dumps(failure).encode(), status=400)
    connection = Connection(base_url=qwen_vl_sandbox.base_url, api_key=SecretStr("sk-sandbox"))
    with pytest.raises(InvalidRequestError) as caught:
        QwenVLClient(connection).ask(request_of(user(image(OTHER)), ANSWER, QUESTION))
    assert "URLs" not in str(caught.value)
    assert len(qwen_vl_sandbox.requests) == 1


def dropped(error: str, *turns: Turn, **fields: Any) -> list[str] | None:
    """The URLs that are left after an error, in order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        left = drop_unfetched(request_of(*turns, **fields), ServiceError(error, status=400))
    if left is None:
        return None
    parts = (
        held
        for turn in left.turns
        for part in turn.parts
        for held in (part.parts if isinstance(part, ToolResult) else (part,))
    )
    return [part.source.url for part in parts if isinstance(part, Image)]  # type: ignore[union-attr]


def test_expired_url_alone_is_left_out() -> None:
    turns = (user(image(OTHER), image(EXPIRED)), ANSWER, QUESTION)
    assert dropped(FAILURE, *turns) == [OTHER]


def test_url_that_the_error_names_is_left_out() -> None:
    turns = (user(image(OTHER), image(GONE)), ANSWER, QUESTION)
    assert dropped(f"404, message='Not Found', url='{OTHER}'", *turns) == [GONE]


def test_named_url_of_the_newest_turn_raises() -> None:
    error = f"404, message='Not Found', url='{DEAD}'"
    assert dropped(error, user(image(OTHER)), ANSWER, user(image(DEAD))) is None


def test_expired_url_of_the_newest_turn_raises() -> None:
    assert dropped(FAILURE, user(image(OTHER)), ANSWER, user(image(EXPIRED))) is None


def test_all_are_left_out_where_any_may_be_the_one() -> None:
    turns = (user(image(OTHER)), ANSWER, user(image(GONE)), ANSWER, QUESTION)
    assert dropped(FAILURE, *turns) == []


def test_all_are_left_out_at_the_second_error() -> None:
    turns = (user(image(OTHER), image(EXPIRED)), ANSWER, QUESTION)
    with pytest.warns(UserWarning, match=r"bucket\.example\.com"):
        first = drop_unfetched(request_of(*turns), ServiceError(FAILURE))
    assert first is not None
    with pytest.warns(UserWarning, match=r"example\.com/b\.png"):
        second = drop_unfetched(first, ServiceError(FAILURE))
    assert second is not None
    assert len(second.replaced) == 2
    assert drop_unfetched(second, ServiceError(FAILURE)) is None


def test_url_from_a_tool_is_left_out_in_any_turn() -> None:
    tool = Turn(role="tool", parts=(ToolResult(tool_call_id="a", parts=(image(DEAD),)),))
    assert dropped(FAILURE, QUESTION, ANSWER, tool) == []
    strict = MediaPolicy(tool_media_errors="raise")
    assert dropped(FAILURE, QUESTION, ANSWER, tool, policy=strict) is None


def test_video_and_frames_are_left_out() -> None:
    frames = Video(source=Frames((Url(OTHER), Url(DEAD))), where="messages[0].content[0]")
    film = Video(source=Url(DEAD), where="messages[0].content[1]")
    with pytest.warns(UserWarning, match="or another URL"):
        left = drop_unfetched(
            request_of(user(frames, film), ANSWER, QUESTION), ServiceError(FAILURE)
        )
    assert left is not None
    note = Text(text="The video cannot be shown: it could not be downloaded.")
    assert left.turns[0].parts == (note, note)


# As servers word it, and where.
WORDINGS = [
    FAILURE,
    "Download the media resource timed out during the data inspection process.",
    "Unable to download the media resource during the data inspection process.",
    "The provided URL does not appear to be valid. Ensure it is correctly formatted.",
    "<500> InternalError.Algo: Missing Content-Length of multimodal url",
    "<400> InternalError.Algo.InvalidParameter: Wrong Content-Type of multimodal url",
    # vLLM, with aiohttp and with requests.
    "404, message='Not Found', url='https://example.com/b.png'",
    "Cannot connect to host example.com:443 ssl:default [Name or service not known]",
    "403 Client Error: Forbidden for url: https://example.com/b.png",
    # SGLang.
    "Error while loading data ImageData(url='https://example.com/b.png'): 404 Client Error",
    # The codes InvalidURL, InvalidURL.ConnectionRefused and InvalidURL.Timeout of the Errors page.
    "Required URL is missing or invalid, or cannot be accessed",
    "Connection to https://example.com/b.png refused, please provide available URL",
    "Download https://example.com/b.png timeout, please check network connection.",
    # OpenAI, OpenRouter.
    "Error while downloading https://example.com/b.png.",
    "Timeout while downloading https://example.com/b.png.",
    "Received 404 status code when fetching image from URL: https://example.com/b.png",
    # A page of HTML came in place of the image.
    "<400> InternalError.Algo.InvalidParameter: The image format is illegal and cannot be opened",
    "Failed to decode the image during the data inspection.",
    # LMDeploy, llama.cpp.
    "Failed to load image from https://example.com/b.png",
    "failed to download image",
]


@pytest.mark.parametrize("wording", WORDINGS)
def test_wording_is_known(wording: str) -> None:
    assert dropped(wording, user(image(OTHER)), ANSWER, QUESTION) == []


@pytest.mark.parametrize("code", ["InvalidURL", "InvalidURL.Timeout", "invalid_image_url"])
def test_code_is_known(code: str) -> None:
    request = request_of(user(image(OTHER)), ANSWER, QUESTION)
    with pytest.warns(UserWarning, match="could not download"):
        left = drop_unfetched(request, ServiceError("It failed", status=400, code=code))
    assert left is not None


@pytest.mark.parametrize(
    "query",
    [
        "Expires=1700000000&OSSAccessKeyId=a&Signature=b",
        "X-Amz-Date=20231101T000000Z&X-Amz-Expires=3600&X-Amz-Signature=b",
        "X-Goog-Date=20231101T000000Z&X-Goog-Expires=3600&X-Goog-Signature=b",
        "x-oss-date=20231101T000000Z&x-oss-expires=3600&x-oss-signature=b",
        "X-Tos-Date=20231101T000000Z&X-Tos-Expires=3600",
        "q-sign-algorithm=sha1&q-sign-time=1690000000;1700000000",
        "se=2023-11-01T00%3A00%3A00Z&sig=b",
        "Expires=1700000000&Signature=b&Key-Pair-Id=c",
    ],
)
def test_signature_that_has_expired_is_known(query: str) -> None:
    expired = f"https://bucket.example.com/a.png?{query}"
    assert dropped(FAILURE, user(image(OTHER), image(expired)), ANSWER, QUESTION) == [OTHER]
    later = expired.replace("2023", "2123").replace("1700000000", "4700000000")
    assert dropped(FAILURE, user(image(OTHER), image(later)), ANSWER, QUESTION) == []


@pytest.mark.parametrize(
    "query", ["Expires=1", "se=x&sig=y", "X-Amz-Date=now", "Expires=a&Signature=b"]
)
def test_other_query_says_nothing_of_time(query: str) -> None:
    url = f"https://example.com/a.png?{query}"
    assert dropped(FAILURE, user(image(OTHER), image(url)), ANSWER, QUESTION) == []


@pytest.mark.parametrize(
    ("host", "is_near"),
    [
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("[::1]:80", True),
        ("10.1.2.3", True),
        ("192.168.0.5:9000", True),
        ("169.254.169.254", True),
        ("minio:9000", True),
        ("host.docker.internal", True),
        ("nas.local", True),
        ("example.com", False),
        ("8.8.8.8", False),
        ("bucket.oss-cn-beijing-internal.aliyuncs.com", False),
    ],
)
def test_host_that_no_service_reaches_is_suspected_first(host: str, *, is_near: bool) -> None:
    near = image(f"http://{host}/a.png?Signature=secret")
    left = dropped(FAILURE, user(image(OTHER), near), ANSWER, QUESTION)
    assert left == ([OTHER] if is_near else [])
    error = ServiceError(FAILURE)
    assert drop_unfetched(request_of(user(near)), error) is None
    assert (f"http://{host}/a.png, which only this machine" in error.advice) == is_near
    assert "secret" not in str(error)
