"""How far a batch job is, and what came of each item."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from qwen_vl.batches.ledger import Shard, ShardState
from qwen_vl.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """How far a job is.

    Args:
        n_items: Items of the input.
        n_unsent: Items whose request could not be written: a file that cannot be read, for example.
        n_lines: Requests that are sent; equal ones are sent once.
        n_answered: Those that were answered: collected ones, and what the service counts of others.
        n_failed: Those that failed.
        n_not_run: Those that were not run before their job ended.
        shards: The files of requests.
    """

    n_items: int
    n_unsent: int
    n_lines: int
    n_answered: int
    n_failed: int
    n_not_run: int
    shards: tuple[Shard, ...]

    @property
    def has_ended(self) -> bool:
        """Whether nothing is run any more: what there is can be collected."""
        ended = {ShardState.ENDED, ShardState.COLLECTED}
        return all(shard.state in ended for shard in self.shards)

    @property
    def is_collected(self) -> bool:
        """Whether all results are in the folder."""
        return all(shard.state == ShardState.COLLECTED for shard in self.shards)

    @property
    def expires_at(self) -> int | None:
        """When the last file's job ends at the latest, in seconds since 1970."""
        times = [shard.expires_at for shard in self.shards if shard.expires_at]
        return max(times, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What came of one item.

    Args:
        number: Its place in the input.
        key: Its key.
        reply: The answer; `None` if there is none.
        error_code: Why there is none: the service's code, or the class of the error.
        error_message: What is wrong.
        request_id: What the service's support asks for.
        is_run: Whether it was run; a line that was not is not billed.
    """

    number: int
    key: str
    reply: Reply | None = None
    error_code: str | None = None
    error_message: str | None = None
    request_id: str | None = None
    is_run: bool = True


StatusCallback: TypeAlias = Callable[[BatchStatus], None]
