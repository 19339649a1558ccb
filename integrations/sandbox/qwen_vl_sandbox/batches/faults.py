"""Ways for a batch job to go wrong, which a test prescribes."""

from dataclasses import dataclass
from typing import Literal, TypedDict

from qwen_vl_sandbox.errors.api_error import MESSAGES, ApiError

ErrorSpelling = Literal["code", "error_code", "body"]
"""Where a failed line says why: `error.code`, `error.error_code`, or only `response.body.error`."""


class BatchFaultSettings(TypedDict, total=False):
    """The arguments of `BatchFault`, for `Sandbox.fail_batch`."""

    validation_code: str | None
    failed_lines: int
    status: int
    code: str | None
    message: str | None
    in_output: bool
    spelling: ErrorSpelling
    expires_after: int | None
    lists_unfinished: bool
    stops_after: int | None
    counters_stand_still: bool
    seconds: float | None
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFault:
    """One way for a batch job to go wrong.

    Args:
        validation_code: The job fails at its validation, with this code in its `errors`.
        failed_lines: The first lines of the file fail, as many as this.
        status: HTTP status of the failed lines.
        code: Their code; the documented one of the status if not given.
        message: Their message; likewise.
        in_output: Whether failed lines stand in the output file, among the others.
        spelling: Where a failed line says why: as `error.code` and `error.message`, which the
            page's table names; as `error.error_code` and `error.error_message`, which its script
            reads; or only in `response.body.error`.
        expires_after: The job expires after this many lines.
        lists_unfinished: Whether the lines that did not run stand in the error file.
        stops_after: The job stands still after this many lines, until it is canceled.
        counters_stand_still: Whether `request_counts` moves only at the end.
        seconds: How long the job takes, in place of the sandbox's `batch_seconds`.
        times: To how many jobs it applies.

    Example:
        >>> BatchFault(failed_lines=2, status=429).error().code is None
        True
    """

    validation_code: str | None = None
    failed_lines: int = 0
    status: int = 500
    code: str | None = None
    message: str | None = None
    in_output: bool = False
    spelling: ErrorSpelling = "code"
    expires_after: int | None = None
    lists_unfinished: bool = True
    stops_after: int | None = None
    counters_stand_still: bool = False
    seconds: float | None = None
    times: int = 1

    def error(self) -> ApiError:
        """The error of a line, with the documented message where none is given."""
        message = self.message or MESSAGES.get(self.status, "The request has failed.")
        return ApiError(message, status=self.status, code=self.code)


NO_BATCH_FAULT = BatchFault()
