"""The calls of the Batch API: files, and jobs that answer them (Batch-File page, 2026-10).

They are those of the `openai` package, which fit; errors are this package's own.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_vl.connection import Connection
from qwen_vl.errors import ConfigurationError, NotFoundError, extra_required
from qwen_vl.request.build import build_connection
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.batch_file import find_line_url
from qwen_vl.specs.endpoints import hide_password
from qwen_vl.specs.servers import DEFAULT_SERVER
from qwen_vl.transport import errors_translated

if TYPE_CHECKING:
    import openai

# Of jobs, in one page of a list.
_PAGE = 100
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteBatch:
    """A job, as the service has it.

    Args:
        id: Its id.
        status: `validating`, `in_progress`, `finalizing`, `completed`, `failed`, `expired`,
            `cancelling` or `cancelled`.
        input_file_id: The file of requests.
        output_file_id: The file of answers.
        error_file_id: The file of errors.
        n_total: Number of lines.
        n_completed: Lines that were answered.
        n_failed: Lines that failed.
        created_at: In seconds since 1970.
        expires_at: When it ends at the latest.
        name: As it was given (`ds_name`).
        error: Why it failed as a whole.
    """

    id: str
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    n_total: int = 0
    n_completed: int = 0
    n_failed: int = 0
    created_at: int | None = None
    expires_at: int | None = None
    name: str | None = None
    error: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is run any more."""
        return self.status in _ENDED


class BatchService:
    """Calls of one endpoint.

    Args:
        settings: How to reach it.

    Raises:
        MissingExtraError: The `openai` package is not installed.
        ConfigurationError: The key is missing, or the server is self-hosted.
    """

    def __init__(self, settings: QwenVLSettings) -> None:
        if settings.server != DEFAULT_SERVER:
            raise ConfigurationError(
                f"server {settings.server!r} lacks a Batch API. Run the job's files yourself: "
                "`vllm run_batch -i shards/000.jsonl -o results/000.output.jsonl --model …`, then "
                "collect."
            )
        if settings.service_tier is not None:
            raise ConfigurationError(
                'service_tier="batch" is Batch Chat, whose host does not take files. Leave it out: '
                "batch files are half the price, too."
            )
        connection = build_connection(settings)
        # Of settings from the environment too, without the password.
        self.url = hide_password(connection.base_url)
        self._own = None if settings.openai_client is not None else _open_client(connection)
        client: Any = settings.openai_client or self._own
        self._client: openai.OpenAI = client
        self._once: openai.OpenAI = client.with_options(max_retries=0)

    def upload(self, path: Path, filename: str) -> str:
        """Upload a file of requests, and return its id.

        Args:
            path: The file.
            filename: What it is called there.
        """
        with errors_translated(self.url), path.open("rb") as file:
            # Once: a second copy of what has arrived would stay there.
            return self._once.files.create(file=(filename, file), purpose="batch").id

    def find_file(self, filename: str, n_bytes: int) -> str | None:
        """Return the id of a file that was uploaded, `None` if there is none.

        Args:
            filename: What it is called there.
            n_bytes: Its size.
        """
        with errors_translated(self.url):
            for file in self._client.files.list(purpose="batch"):
                if file.filename == filename and file.bytes == n_bytes:
                    return file.id
        return None

    def create(self, file_id: str, model: str, window: str, name: str) -> RemoteBatch:
        """Create a job. It is never tried twice here: the service would run both.

        Args:
            file_id: The file of requests.
            model: Model of its lines.
            window: Within which it is to be done.
            name: Up to 100 characters.
        """
        with errors_translated(self.url):
            endpoint: Any = find_line_url(model)
            any_window: Any = window
            return _read(
                self._once.batches.create(
                    input_file_id=file_id,
                    endpoint=endpoint,
                    completion_window=any_window,
                    metadata={"ds_name": name},
                )
            )

    def find(self, file_id: str) -> RemoteBatch | None:
        """Return the job of a file; `None` if there is none.

        Args:
            file_id: The file of requests.
        """
        return next(self.find_batches(input_file_ids=file_id), None)

    def find_batches(self, **filters: str) -> Iterator[RemoteBatch]:
        """Find the jobs of the last 30 days, the newest first.

        Args:
            **filters: The service's own parameters, such as `status` or `ds_name`.
        """
        with errors_translated(self.url):
            for batch in self._client.batches.list(limit=_PAGE, extra_query=dict(filters)):
                yield _read(batch)

    def read(self, batch_id: str) -> RemoteBatch:
        """Return how far a job is.

        Args:
            batch_id: Its id.
        """
        with errors_translated(self.url):
            return _read(self._client.batches.retrieve(batch_id))

    def cancel(self, batch_id: str) -> RemoteBatch:
        """Cancel a job; what was answered is billed, and in its file.

        Args:
            batch_id: Its id.
        """
        with errors_translated(self.url):
            return _read(self._client.batches.cancel(batch_id))

    def download(self, file_id: str, path: Path) -> None:
        """Download a file of answers or errors.

        Args:
            file_id: Its id.
            path: Is replaced once all of it has come.
        """
        part = path.with_name(f"{path.name}.part")
        with errors_translated(self.url):
            streamed = self._client.files.with_streaming_response.content(file_id)
            with streamed as answer, part.open("wb") as file:
                for chunk in answer.iter_bytes():
                    file.write(chunk)
        part.replace(path)

    def delete(self, file_id: str) -> None:
        """Delete a file, if it is there.

        Args:
            file_id: Its id.
        """
        with suppress(NotFoundError), errors_translated(self.url):
            self._client.files.delete(file_id)

    def close(self) -> None:
        """Close the connections; a client that the program gave stays open."""
        if self._own is not None:
            self._own.close()


def _open_client(connection: Connection) -> "openai.OpenAI":
    with extra_required("The Batch API", extra="openai"):
        import openai  # noqa: PLC0415 - takes a second, and is optional.

    timeout: Any = None
    if connection.timeout is not None:
        connect, read, write, pool = connection.timeout
        timeout = openai.Timeout(connect=connect, read=read, write=write, pool=pool)
    headers = {**connection.headers}
    if connection.credentials is not None:
        headers["Authorization"] = connection.authorization
    try:
        return openai.OpenAI(
            base_url=connection.base_url,
            api_key=connection.authorization.partition(" ")[2],
            max_retries=connection.max_retries,
            default_headers=headers,
            http_client=connection.http_client,
            **({} if timeout is None else {"timeout": timeout}),
        )
    except TypeError as error:
        raise ConfigurationError(
            "http_client is of httpx2, and openai 2 takes clients of httpx. Install openai 3, or "
            "pass openai_client=openai.OpenAI(http_client=…)."
        ) from error


def _read(batch: Any) -> RemoteBatch:
    counts, metadata = batch.request_counts, batch.metadata or {}
    return RemoteBatch(
        id=batch.id,
        status=batch.status,
        input_file_id=batch.input_file_id,
        output_file_id=batch.output_file_id or None,
        error_file_id=batch.error_file_id or None,
        n_total=(counts and counts.total) or 0,
        n_completed=(counts and counts.completed) or 0,
        n_failed=(counts and counts.failed) or 0,
        created_at=batch.created_at,
        expires_at=batch.expires_at,
        name=metadata.get("ds_name"),
        error=_describe_errors(batch.errors),
    )


def _describe_errors(errors: Any) -> str | None:
    found = [
        f"{error.message or error.code}" + ("" if error.line is None else f" (line {error.line})")
        for error in (errors and errors.data) or ()
    ]
    return "; ".join(found) or None
