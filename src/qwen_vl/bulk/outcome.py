"""What came of a row: an answer, or why there is none."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from qwen_vl.errors import QwenVLError, ServiceError
from qwen_vl.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer to a row, or the error.

    Args:
        key: From `Job.find_key`.
        answer: Text of the answer; the value that follows the schema, if there is one.
        error_code: Class of the error, or the service's own code; `None` for an answer.
        error_message: What is wrong.
        model: The model that answered.
        input_tokens: Tokens of the request, as billed.
        output_tokens: Tokens of the answer, reasoning included.
        image_tokens: Those of the images, where the service says.
        finish_reason: Why the answer ended; `"length"` for one that was cut off.
        request_id: What the service's support asks for.
        seconds: From the first attempt to the answer.
        n_attempts: Requests that were sent for it.
    """

    key: str
    answer: Any = None
    error_code: str | None = None
    error_message: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    image_tokens: int | None = None
    finish_reason: str | None = None
    request_id: str | None = None
    seconds: float | None = None
    n_attempts: int = 0

    @property
    def is_answer(self) -> bool:
        """Return whether it is an answer, and not an error."""
        return self.error_code is None

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict that JSON can hold."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` made a dict of.

        Args:
            values: The dict.
        """
        return cls(**values)


def to_outcome(
    key: str, reply: Reply, answer: Any, *, seconds: float | None, n_attempts: int
) -> Outcome:
    """Return the outcome of a row that was answered.

    Args:
        key: Of the row.
        reply: As it came.
        answer: Its text, or the value that follows the schema.
        seconds: How long it took; `None` where that says nothing.
        n_attempts: Requests that were sent.
    """
    usage = reply.usage
    return Outcome(
        key=key,
        answer=answer,
        model=reply.model,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        image_tokens=usage.image_tokens if usage else None,
        finish_reason=reply.finish_reason,
        request_id=reply.request_id,
        seconds=None if seconds is None else round(seconds, 3),
        n_attempts=n_attempts,
    )


def to_failure(key: str, error: Exception, *, seconds: float = 0.0, n_attempts: int = 0) -> Outcome:
    """Return the outcome of a row that failed.

    Args:
        key: Of the row.
        error: What was raised.
        seconds: How long it took.
        n_attempts: Requests that were sent.
    """
    code, message = name_error(error)
    return Outcome(
        key=key,
        error_code=code,
        error_message=message,
        request_id=error.request_id if isinstance(error, ServiceError) else None,
        seconds=round(seconds, 3),
        n_attempts=n_attempts,
    )


def name_error(error: Exception) -> tuple[str, str]:
    """Return the code of an error, and what is wrong.

    Args:
        error: Any.

    Example:
        >>> name_error(OSError("Disk full"))
        ('OSError', 'OSError: Disk full')
    """
    code = error.code if isinstance(error, ServiceError) else None
    message = str(error) if isinstance(error, QwenVLError) else f"{type(error).__name__}: {error}"
    return code or type(error).__name__, message
