"""The temporary storage behind `oss://` URLs: policies given out, files taken in.

Written from the Temp-URL page. It prints the message of an expired policy and no other
of the storage host: the wording of the others is what that kind of host says in public
threads.
"""

import hashlib
import hmac
import mimetypes
import secrets
import tempfile
import threading
import time
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.specs.models import MIB

ROOT = "dashscope-instant"
POLICY_SECONDS = 300
KEPT_SECONDS = 48 * 3600.0
MAX_FILE_MIB = 100
CAPACITY_MIB = 999_999_999
MAX_STORED_BYTES = 2**30
"""Of all files that are kept on the disk; the oldest are dropped."""

_MAX_GRANTS = 10_000
ACCESS_KEY_ID = "sandbox-access-key-id"
ACL = "private"
FORBID_OVERWRITE = "true"

REQUIRED_FIELDS = (
    "OSSAccessKeyId",
    "Signature",
    "policy",
    "key",
    "x-oss-object-acl",
    "x-oss-forbid-overwrite",
)
"""Fields that each upload holds beside `file` (Temp-URL page)."""

TOO_LARGE = "Your proposed upload exceeds the maximum allowed size."
POLICY_EXPIRED = "Invalid according to Policy: Policy expired."
_FAILED = "Invalid according to Policy: Policy Condition failed: "
_UNTYPED = "application/octet-stream"
_BLOCK = MIB


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was uploaded.

    Args:
        key: Its key; `oss://<key>` is its URL.
        model: The model that it was uploaded for.
        n_bytes: Its size in bytes.
        content_type: The media type that its sender gave, else `application/octet-stream`.
        sha256: The SHA-256 of its bytes, in hexadecimal.

    Example:
        >>> Upload("dashscope-instant/a/b/c/cat.png", "qwen3-vl-plus", 3, "image/png", "ab").n_bytes
        3
    """

    key: str
    model: str
    n_bytes: int
    content_type: str
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the storage, for who may read it."""

    path: Path
    media_type: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class _Object:
    upload: Upload
    account: str
    path: Path
    expires: float


class Storage:
    """The storage of one sandbox.

    Args:
        clock: Gives the time, in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._home = f"{ROOT}/{secrets.token_hex(16)}/"
        self._grants: dict[str, tuple[str, str]] = {}
        self._objects: dict[str, _Object] = {}
        self._uploads: list[Upload] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    @property
    def uploads(self) -> list[Upload]:
        """All files taken in, the oldest first."""
        return list(self._uploads)

    def grant(self, model: str, account: str, host: str) -> dict[str, Any]:
        """Issue a policy: the `data` of the answer to `getPolicy`."""
        now = self._clock()
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        folder = f"{self._home}{day}/{uuid.uuid4()}"
        self._grants[folder] = (model, account)
        self._drop_old_grants()
        conditions: list[Any] = [
            ["content-length-range", 0, MAX_FILE_MIB * MIB],
            ["starts-with", "$key", folder],
            {"x-oss-object-acl": ACL},
            {"x-oss-forbid-overwrite": FORBID_OVERWRITE},
        ]
        ends = datetime.fromtimestamp(now + POLICY_SECONDS, UTC)
        written = {
            "expiration": ends.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "conditions": conditions,
        }
        policy = b64encode(orjson.dumps(written)).decode()
        return {
            "policy": policy,
            "signature": self._sign(policy),
            "upload_dir": folder,
            "upload_host": host,
            "expire_in_seconds": POLICY_SECONDS,
            "max_file_size_mb": MAX_FILE_MIB,
            "capacity_limit_mb": CAPACITY_MIB,
            "oss_access_key_id": ACCESS_KEY_ID,
            "x_oss_object_acl": ACL,
            "x_oss_forbid_overwrite": FORBID_OVERWRITE,
        }

    def put(self, form: Mapping[str, str], file: BinaryIO, n_bytes: int, media_type: str) -> None:
        """Take a file in, block by block.

        Args:
            form: The text fields of the upload.
            file: The file, at its start.
            n_bytes: Its size.
            media_type: The type that its sender gave; "" if none.

        Raises:
            ApiError: The upload does not keep to its policy.
        """
        granted = self._grants.get(self._checked_folder(form))
        if granted is None:
            reject(POLICY_EXPIRED, status=403)
        model, account = granted
        # unsure: whether a file of no bytes is taken; the policy lacks a lower limit.
        if n_bytes > MAX_FILE_MIB * MIB:
            reject(TOO_LARGE, code="EntityTooLarge")
        key = form["key"]
        with self._lock:
            if key in self._objects:
                reject(
                    "The object you specified already exists and can not be overwritten.",
                    status=409,
                )
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="qwen-vl-sandbox-")
            path = Path(self._folder.name, uuid.uuid4().hex)
            digest = _save(file, path)
            upload = Upload(key, model, n_bytes, media_type or _UNTYPED, digest)
            expires = self._clock() + KEPT_SECONDS
            self._objects[key] = _Object(upload, account, path, expires)
            self._uploads.append(upload)
            self._drop_oldest_files()

    def _drop_old_grants(self) -> None:
        while len(self._grants) > _MAX_GRANTS:
            del self._grants[next(iter(self._grants))]

    def _drop_oldest_files(self) -> None:
        size = sum(held.upload.n_bytes for held in self._objects.values())
        while size > MAX_STORED_BYTES and len(self._objects) > 1:
            oldest = self._objects.pop(next(iter(self._objects)))
            oldest.path.unlink()
            size -= oldest.upload.n_bytes

    def is_own(self, key: str) -> bool:
        """Return whether a key is one that this storage could have given out."""
        return key.startswith(self._home)

    def find(self, key: str, model: str, account: str) -> StoredFile | None:
        """Look a file up; `None` if it is not there for this model and account, or no longer."""
        found = self._objects.get(key)
        if found is None or found.expires <= self._clock():
            return None
        if (found.upload.model, found.account) != (model, account):
            return None
        return StoredFile(found.path, _media_type(found.upload), found.upload.n_bytes)

    def expire(self) -> None:
        """Let all files so far count as older than 48 hours."""
        self.drop_files()

    def drop_files(self) -> None:
        """Remove all files; what was taken in stays on record."""
        with self._lock:
            self._objects.clear()
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def clear(self) -> None:
        """Remove all files and forget them; policies that were given out stay good."""
        self.drop_files()
        self._uploads.clear()

    def _checked_folder(self, form: Mapping[str, str]) -> str:
        """Check an upload's fields against its policy, and give the folder it is for."""
        if missing := [name for name in REQUIRED_FIELDS if not form.get(name)]:
            reject(f"The form must contain the fields {', '.join(missing)}.")
        if form["OSSAccessKeyId"] != ACCESS_KEY_ID:
            reject(
                "The OSS Access Key Id you provided does not exist in our records.",
                status=403,
                code="InvalidAccessKeyId",
            )
        if not hmac.compare_digest(form["Signature"].encode(), self._sign(form["policy"]).encode()):
            reject(
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
                status=403,
                code="SignatureDoesNotMatch",
            )
        # Whatever bears the signature was written by `grant`.
        policy = orjson.loads(b64decode(form["policy"]))
        if datetime.fromisoformat(policy["expiration"]).timestamp() <= self._clock():
            reject(POLICY_EXPIRED, status=403)
        folder = str(policy["conditions"][1][2])
        _check_conditions(form, folder)
        return folder

    def _sign(self, policy: str) -> str:
        # The storage host's first signature version.
        return b64encode(hmac.digest(self._secret, policy.encode(), "sha1")).decode()


def account_of(authorization: str) -> str:
    """Name the account behind an `Authorization` header, without its key.

    unsure: the service binds files to the main account, which several keys may share; here
    each key is an account.
    """
    key = authorization.partition(" ")[2].strip()
    return hashlib.sha256(key.encode()).hexdigest()


def resolves_oss(headers: Mapping[str, str]) -> bool:
    """Return whether a request's headers ask for `oss://` URLs to be resolved."""
    return headers.get("x-dashscope-ossresourceresolve", "").lower() == "enable"


def _check_conditions(form: Mapping[str, str], folder: str) -> None:
    name = form["key"].removeprefix(f"{folder}/")
    if name in {"", form["key"]}:
        reject(f'{_FAILED}["starts-with", "$key", "{folder}"]', status=403)
    for field, value in (("x-oss-object-acl", ACL), ("x-oss-forbid-overwrite", FORBID_OVERWRITE)):
        if form[field] != value:
            reject(f'{_FAILED}["eq", "${field}", "{value}"]', status=403)


def _save(file: BinaryIO, path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("xb") as saved:
        while block := file.read(_BLOCK):
            digest.update(block)
            saved.write(block)
    return digest.hexdigest()


def _media_type(upload: Upload) -> str:
    # The page's own samples send no type, so that the name decides.
    if upload.content_type != _UNTYPED:
        return upload.content_type.partition(";")[0].strip().lower()
    return mimetypes.guess_type(upload.key)[0] or ""
