"""Temporary uploads: bare HTTP held to the Temp-URL page, and the official uploader unchanged."""

import gc
import hashlib
import http.client
import io
import re
import socket
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from dashscope.common.error import UploadFileException
from dashscope.utils.oss_utils import OssUtils

from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Fault, Sandbox, Upload
from qwen_vl_sandbox.errors.api_error import ApiError
from qwen_vl_sandbox.storage import KEPT_SECONDS, POLICY_EXPIRED, POLICY_SECONDS, Storage

MODEL = "qwen3-vl-plus"
KEY = {"Authorization": "Bearer sk-test-key"}
RESOLVE = {**KEY, "X-DashScope-OssResourceResolve": "enable"}
CAT = CHELSEA.read_bytes()
Post = Callable[..., Any]
EXPIRED = Fault(
    endpoint="storage",
    status=403,
    code="AccessDenied",
    message="Invalid according to Policy: Policy expired.",
)


@pytest.fixture
def http_client(qwen_vl_sandbox: Sandbox) -> Any:
    """Bare HTTP, with no key of its own."""
    with httpx2.Client(base_url=qwen_vl_sandbox.url, timeout=20) as client:
        yield client


def ask_policy(client: httpx2.Client, **params: str) -> httpx2.Response:
    """Ask for a policy."""
    query = {"action": "getPolicy", "model": MODEL, **params}
    return client.get("/api/v1/uploads", params=query, headers=KEY)


def form_of(policy: dict[str, Any], name: str = "cat.png") -> dict[str, Any]:
    """Write the text fields of an upload, as the Temp-URL page has them."""
    return {
        "OSSAccessKeyId": policy["oss_access_key_id"],
        "Signature": policy["signature"],
        "policy": policy["policy"],
        "key": f"{policy['upload_dir']}/{name}",
        "x-oss-object-acl": policy["x_oss_object_acl"],
        "x-oss-forbid-overwrite": policy["x_oss_forbid_overwrite"],
        "success_action_status": "200",
    }


def upload(client: httpx2.Client, data: bytes = CAT, name: str = "cat.png", **changed: Any) -> str:
    """Upload a file and give its URL."""
    form = {**form_of(ask_policy(client).json()["data"], name), **changed}
    reply = client.post("/oss", data=form, files={"file": (name, data)})
    assert reply.status_code == 200, reply.text
    return f"oss://{form['key']}"


def looked_at(url: str, kind: str = "image_url", model: str = MODEL) -> dict[str, Any]:
    """Write a request with one medium."""
    part = {"type": kind, kind: {"url": url}}
    return {"model": model, "messages": [{"role": "user", "content": [part]}]}


def code_of(reply: httpx2.Response) -> str:
    """The code in an error of the storage host."""
    assert reply.headers["content-type"].startswith("application/xml")
    found = re.fullmatch(
        r'<\?xml version="1.0" encoding="UTF-8"\?>\n'
        r"<Error><Code>(\w+)</Code><Message>.+</Message><RequestId>[\w-]+</RequestId></Error>",
        reply.text,
    )
    assert found, reply.text
    return found[1]


def test_policy_has_the_documented_fields(
    http_client: httpx2.Client, qwen_vl_sandbox: Sandbox
) -> None:
    """Names and values of the Temp-URL page."""
    answer = ask_policy(http_client).json()
    policy = answer["data"]
    assert set(answer) == {"request_id", "data"}
    assert {name: policy[name] for name in policy if name not in {"policy", "signature"}} == {
        "upload_dir": policy["upload_dir"],
        "upload_host": f"{qwen_vl_sandbox.url}/oss",
        "expire_in_seconds": 300,
        "max_file_size_mb": 100,
        "capacity_limit_mb": 999_999_999,
        "oss_access_key_id": "sandbox-access-key-id",
        "x_oss_object_acl": "private",
        "x_oss_forbid_overwrite": "true",
    }
    assert re.fullmatch(
        r"dashscope-instant/[0-9a-f]{32}/\d{4}-\d\d-\d\d/[0-9a-f-]{36}", policy["upload_dir"]
    )
    written = orjson.loads(b64decode(policy["policy"]))
    assert ["starts-with", "$key", policy["upload_dir"]] in written["conditions"]
    assert ["content-length-range", 0, 104_857_600] in written["conditions"]


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"action": "x"}, 400, "InvalidParameter"),
        ({"model": ""}, 400, "InvalidParameter"),
        ({"model": "qwen-vl-max"}, 404, "ModelNotFound"),
        ({"model": "qwen-vl-max-latest"}, 403, "Model.AccessDenied"),
    ],
)
def test_policy_is_refused_in_the_native_shape(
    http_client: httpx2.Client, params: dict[str, str], status: int, code: str
) -> None:
    """Codes of the Errors page (2026-07)."""
    reply = ask_policy(http_client, **params)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert set(reply.json()) == {"code", "message", "request_id"}


def test_policy_needs_a_key(http_client: httpx2.Client) -> None:
    """Without one it is 401."""
    reply = http_client.get("/api/v1/uploads", params={"action": "getPolicy", "model": MODEL})
    assert (reply.status_code, reply.json()["code"]) == (401, "InvalidApiKey")


def test_upload_is_listed(http_client: httpx2.Client, qwen_vl_sandbox: Sandbox) -> None:
    """Key, model, size, type and digest."""
    url = upload(http_client, **{"x-oss-content-type": "image/png"})
    assert qwen_vl_sandbox.uploads == [
        Upload(
            key=url.removeprefix("oss://"),
            model=MODEL,
            n_bytes=len(CAT),
            content_type="image/png",
            sha256=hashlib.sha256(CAT).hexdigest(),
        )
    ]


def test_requests_of_an_upload_are_recorded_without_the_file(
    http_client: httpx2.Client, qwen_vl_sandbox: Sandbox
) -> None:
    """The policy with its query, the file with no body."""
    upload(http_client)
    first, second = qwen_vl_sandbox.requests
    assert (first.method, first.path) == ("GET", "/api/v1/uploads")
    assert first.query == f"action=getPolicy&model={MODEL}"
    assert (second.method, second.path, second.body) == ("POST", "/oss", b"")


@pytest.mark.parametrize("asked", ["200", "204", ""])
def test_success_has_the_status_that_was_asked_for(http_client: httpx2.Client, asked: str) -> None:
    """200 if asked for, else the storage host's own 204."""
    form = form_of(ask_policy(http_client).json()["data"])
    form["success_action_status"] = asked
    reply = http_client.post("/oss", data=form, files={"file": CAT})
    assert (reply.status_code, reply.content) == (200 if asked == "200" else 204, b"")


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"OSSAccessKeyId": "other"}, 403, "InvalidAccessKeyId"),
        ({"Signature": "c2lnbmF0dXJl"}, 403, "SignatureDoesNotMatch"),
        ({"Signature": "签"}, 403, "SignatureDoesNotMatch"),
        ({"policy": "e30="}, 403, "SignatureDoesNotMatch"),
        ({"key": "dashscope-instant/elsewhere/cat.png"}, 403, "AccessDenied"),
        ({"x-oss-object-acl": "public-read"}, 403, "AccessDenied"),
        ({"x-oss-forbid-overwrite": "false"}, 403, "AccessDenied"),
        ({"OSSAccessKeyId": None}, 400, "InvalidArgument"),
        ({"Signature": None}, 400, "InvalidArgument"),
        ({"policy": None}, 400, "InvalidArgument"),
        ({"key": None}, 400, "InvalidArgument"),
        ({"x-oss-object-acl": None}, 400, "InvalidArgument"),
        ({"x-oss-forbid-overwrite": None}, 400, "InvalidArgument"),
    ],
)
def test_form_is_held_to_its_policy(
    http_client: httpx2.Client,
    qwen_vl_sandbox: Sandbox,
    changed: dict[str, Any],
    status: int,
    code: str,
) -> None:
    """A field that is missing or another one stores nothing."""
    form = {**form_of(ask_policy(http_client).json()["data"]), **changed}
    sent = {name: value for name, value in form.items() if value is not None}
    reply = http_client.post("/oss", data=sent, files={"file": CAT})
    assert (reply.status_code, code_of(reply)) == (status, code)
    assert qwen_vl_sandbox.uploads == []


def test_key_is_the_folder_and_a_name(http_client: httpx2.Client) -> None:
    """The folder alone is not a key."""
    policy = ask_policy(http_client).json()["data"]
    for key in (policy["upload_dir"], policy["upload_dir"] + "/", policy["upload_dir"] + "x/a.png"):
        form = {**form_of(policy), "key": key}
        reply = http_client.post("/oss", data=form, files={"file": CAT})
        assert (reply.status_code, code_of(reply)) == (403, "AccessDenied")


def test_file_stands_last(http_client: httpx2.Client) -> None:
    """The Temp-URL page says so."""
    form = form_of(ask_policy(http_client).json()["data"])
    fields = [("file", ("cat.png", CAT)), *((name, (None, value)) for name, value in form.items())]
    reply = http_client.post("/oss", files=fields)
    assert (reply.status_code, code_of(reply)) == (400, "InvalidArgument")


def test_form_has_one_file(http_client: httpx2.Client) -> None:
    """Neither none nor two."""
    form = form_of(ask_policy(http_client).json()["data"])
    for files in ([("x", (None, "y"))], [("file", CAT), ("file", CAT)], [("other", CAT)]):
        reply = http_client.post("/oss", data=form, files=files)
        assert (reply.status_code, code_of(reply)) == (400, "IncorrectNumberOfFilesInPOSTRequest")


def test_body_is_a_form(http_client: httpx2.Client) -> None:
    """Anything else is not an upload."""
    boundary = {"content-type": "multipart/form-data; boundary=x"}
    broken = http_client.post("/oss", content=b"no form", headers=boundary)
    assert (broken.status_code, code_of(broken)) == (400, "MalformedPOSTRequest")
    plain = http_client.post("/oss", content=CAT)
    assert (plain.status_code, code_of(plain)) == (400, "IncorrectNumberOfFilesInPOSTRequest")


def test_file_of_an_upload_that_breaks_off_is_closed() -> None:
    part = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        + b"x" * 1000
    )
    head = (
        "POST /oss HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 100000\r\n\r\n"
    )
    with Sandbox() as sandbox:
        address = ("127.0.0.1", int(sandbox.url.rpartition(":")[2]))
        with socket.create_connection(address) as connection:
            connection.sendall(head.encode() + part)
            while not sandbox.requests:
                time.sleep(0.01)
    # A file that is still open would warn now, and warnings are errors here.
    gc.collect()
    assert sandbox.uploads == []


def test_key_of_the_service_is_not_for_the_storage_host(
    http_client: httpx2.Client, qwen_vl_sandbox: Sandbox
) -> None:
    """An upload with an `Authorization` header is refused."""
    form = form_of(ask_policy(http_client).json()["data"])
    reply = http_client.post("/oss", data=form, files={"file": CAT}, headers=KEY)
    assert (reply.status_code, code_of(reply)) == (400, "InvalidArgument")
    assert qwen_vl_sandbox.uploads == []


def test_file_is_not_overwritten(http_client: httpx2.Client) -> None:
    """A second file of the same key is refused."""
    form = form_of(ask_policy(http_client).json()["data"])
    replies = [http_client.post("/oss", data=form, files={"file": CAT}) for _ in range(2)]
    assert replies[0].status_code == 200
    assert (replies[1].status_code, code_of(replies[1])) == (409, "FileAlreadyExists")


def test_file_above_100_mib_is_too_large(http_client: httpx2.Client) -> None:
    """The limit of the policy."""
    form = form_of(ask_policy(http_client).json()["data"])
    reply = http_client.post("/oss", data=form, files={"file": bytes(100 * 1024 * 1024 + 1)})
    assert (reply.status_code, code_of(reply)) == (400, "EntityTooLarge")


def test_nothing_can_be_read_back(http_client: httpx2.Client) -> None:
    """Files can be neither listed nor downloaded (Temp-URL page)."""
    url = upload(http_client)
    assert code_of(http_client.get("/oss")) == "MethodNotAllowed"
    assert code_of(http_client.get(url.replace("oss://", "/oss/"))) == "NoSuchKey"


def test_policy_and_file_grow_old() -> None:
    """300 seconds and 48 hours."""
    now = 0.0
    storage = Storage(lambda: now)
    policy = storage.grant(MODEL, "me", "http://host")
    form = form_of(policy)
    now = POLICY_SECONDS - 1
    storage.put(form, io.BytesIO(b"cat"), 3, "image/png")
    now = POLICY_SECONDS
    with pytest.raises(ApiError, match=re.escape(POLICY_EXPIRED)):
        storage.put(form_of(policy, "dog.png"), io.BytesIO(b"dog"), 3, "image/png")
    now = POLICY_SECONDS - 1 + KEPT_SECONDS - 1
    assert storage.find(form["key"], MODEL, "me") is not None
    now += 1
    assert storage.find(form["key"], MODEL, "me") is None
    storage.clear()


def test_files_are_removed_from_the_disk() -> None:
    """When the sandbox forgets and when it stops."""
    storage = Storage()
    for forget in (storage.clear, storage.drop_files):
        form = form_of(storage.grant(MODEL, "me", "http://host"))
        storage.put(form, io.BytesIO(b"cat"), 3, "")
        found = storage.find(form["key"], MODEL, "me")
        assert found is not None
        assert found.path.read_bytes() == b"cat"
        forget()
        assert not found.path.parent.exists()
    assert [upload.n_bytes for upload in storage.uploads] == [3]


def test_stopped_sandbox_keeps_the_list() -> None:
    """What was recorded stays."""
    with Sandbox() as sandbox, httpx2.Client(base_url=sandbox.url) as client:
        upload(client)
    assert [upload.model for upload in sandbox.uploads] == [MODEL]


def test_uploaded_picture_is_looked_at(http_client: httpx2.Client, post: Post) -> None:
    """Its bytes are decoded and counted as any other's."""
    body = post(looked_at(upload(http_client)), headers=RESOLVE).json
    answer = body["choices"][0]["message"]["content"]
    assert "an image: PNG 451x300, mean color #946f57 (brown), 128 tokens" in answer
    assert body["usage"]["prompt_tokens_details"]["image_tokens"] == 128


def test_uploaded_video_is_looked_at(http_client: httpx2.Client, post: Post) -> None:
    """The limits are those of a link, not those of a data URL."""
    padded = BIG_BUCK_BUNNY.read_bytes() + bytes(11 * 1024 * 1024)
    url = upload(http_client, padded, "film of today.mp4")
    reply = post(looked_at(url, "video_url"), headers=RESOLVE)
    assert "a video: MP4 1280x720, 5.3 s" in reply.json["choices"][0]["message"]["content"]


def test_uploaded_frames_are_looked_at(http_client: httpx2.Client, post: Post) -> None:
    """A frame list may hold uploads too."""
    part = {"type": "video", "video": [upload(http_client)] * 4}
    body = {"model": MODEL, "messages": [{"role": "user", "content": [part]}]}
    answer = post(body, headers=RESOLVE).json["choices"][0]["message"]["content"]
    assert "a video: 4 frames sent, PNG 451x300" in answer


def test_upload_without_the_header_is_refused(http_client: httpx2.Client, post: Post) -> None:
    """As any `oss://` URL (Temp-URL page)."""
    reply = post(looked_at(upload(http_client)))
    assert (reply.status, "does not appear to be valid" in reply.error["message"]) == (400, True)


def test_upload_is_bound_to_its_model_and_account(http_client: httpx2.Client, post: Post) -> None:
    """Neither another model nor another key can use it (Temp-URL page)."""
    url = upload(http_client)
    other_model = post(looked_at(url, model="qwen3.7-plus"), headers=RESOLVE)
    other_key = post(looked_at(url), headers={**RESOLVE, "Authorization": "Bearer sk-another"})
    for reply in (other_model, other_key):
        assert (reply.status, reply.error["code"]) == (400, "invalid_parameter_error")
        assert "Failed to download multimodal content" in reply.error["message"]


def test_upload_that_is_not_there_is_refused(
    http_client: httpx2.Client, qwen_vl_sandbox: Sandbox, post: Post
) -> None:
    """One that was never made, and one that is too old."""
    url = upload(http_client)
    assert post(looked_at(url), headers=RESOLVE).status == 200
    assert post(looked_at(url + "x"), headers=RESOLVE).status == 400
    qwen_vl_sandbox.expire_uploads()
    assert post(looked_at(url), headers=RESOLVE).status == 400
    assert len(qwen_vl_sandbox.uploads) == 1


def test_address_of_another_storage_is_not_fetched(post: Post) -> None:
    """What was not uploaded here is taken as unseen."""
    for url in ("oss://bucket/cat.png", "oss://dashscope-instant/other/cat.png"):
        answer = post(looked_at(url), headers=RESOLVE).json["choices"][0]["message"]["content"]
        assert f"an image: not fetched, {url}" in answer


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (CAT, "cat.mp4", "Wrong Content-Type"),
        (CAT, "cat", "Wrong Content-Type"),
        (b"", "cat.png", "image format is illegal"),
        (CAT + bytes(10 * 1024 * 1024), "cat.png", "Multimodal file size is too large"),
    ],
    ids=["type", "no type", "empty", "large"],
)
def test_uploaded_picture_is_held_to_the_rules(
    http_client: httpx2.Client, post: Post, data: bytes, name: str, words: str
) -> None:
    """Storing it is one thing, using it another."""
    reply = post(looked_at(upload(http_client, data, name)), headers=RESOLVE)
    assert (reply.status, words in reply.error["message"]) == (400, True)


def test_fault_befalls_its_endpoint(
    http_client: httpx2.Client, qwen_vl_sandbox: Sandbox, post: Post
) -> None:
    """Each of the three has its own."""
    qwen_vl_sandbox.fail(EXPIRED)
    qwen_vl_sandbox.fail(endpoint="uploads", status=429, retry_after=0.5)
    qwen_vl_sandbox.fail(status=503)
    throttled = ask_policy(http_client)
    assert (throttled.status_code, throttled.json()["code"]) == (429, "Throttling.RateQuota")
    assert throttled.headers["retry-after"] == "0.5"
    form = form_of(ask_policy(http_client).json()["data"])
    expired = http_client.post("/oss", data=form, files={"file": CAT})
    assert (expired.status_code, code_of(expired)) == (403, "AccessDenied")
    assert "Policy expired." in expired.text
    assert http_client.post("/oss", data=form, files={"file": CAT}).status_code == 200
    assert [post(looked_at("https://a.cn/1.png")).status for _ in range(2)] == [503, 200]


def test_upload_whose_answer_is_cut(http_client: httpx2.Client, qwen_vl_sandbox: Sandbox) -> None:
    """The file is there, the client does not hear of it."""
    qwen_vl_sandbox.fail(endpoint="storage", cut_after_chunks=0)
    with pytest.raises(httpx2.RemoteProtocolError):
        upload(http_client)
    assert len(qwen_vl_sandbox.uploads) == 1


def test_upload_that_is_given_up_stores_nothing(qwen_vl_sandbox: Sandbox) -> None:
    """A client that goes away in mid-file."""
    url = qwen_vl_sandbox.url.removeprefix("http://")
    connection = http.client.HTTPConnection(url, timeout=20)
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "1000"}
    connection.request("POST", "/oss", b"--x\r\n", headers)
    connection.close()
    with httpx2.Client(base_url=qwen_vl_sandbox.url) as client:
        upload(client)
    assert len(qwen_vl_sandbox.uploads) == 1


def test_official_uploader_works_unchanged(
    qwen_vl_sandbox: Sandbox, post: Post, tmp_path: Path
) -> None:
    """From a file on the disk to a chat that looks at it."""
    path = tmp_path / "一只猫.png"
    path.write_bytes(CAT)
    url, certificate = OssUtils.upload(
        model=MODEL,
        file_path=str(path),
        api_key="sk-test-key",
        base_address=f"{qwen_vl_sandbox.url}/api/v1",
    )
    assert url == f"oss://{certificate['upload_dir']}/一只猫.png"
    assert qwen_vl_sandbox.uploads[0].content_type == "image/png"
    answer = post(looked_at(url), headers=RESOLVE).json["choices"][0]["message"]["content"]
    assert "PNG 451x300" in answer


def test_official_uploader_tells_an_error(qwen_vl_sandbox: Sandbox, tmp_path: Path) -> None:
    """It shows what the storage host says."""
    path = tmp_path / "cat.png"
    path.write_bytes(CAT)
    qwen_vl_sandbox.fail(EXPIRED)
    with pytest.raises(UploadFileException, match="Policy expired"):
        OssUtils.upload(
            model=MODEL,
            file_path=str(path),
            api_key="sk-test-key",
            base_address=f"{qwen_vl_sandbox.url}/api/v1",
        )
