"""Batch File of the hosted service: half the price, answers within a day, resumable."""

from qwen_vl.batches.chat import BatchOutput, ChatBatch
from qwen_vl.batches.job import BatchJob
from qwen_vl.batches.ledger import LineState, Shard, ShardState
from qwen_vl.batches.rows import BatchRunner, to_row_outcome
from qwen_vl.batches.service import BatchService, RemoteBatch
from qwen_vl.batches.status import BatchResult, BatchStatus

__all__ = [
    "BatchJob",
    "BatchOutput",
    "BatchResult",
    "BatchRunner",
    "BatchService",
    "BatchStatus",
    "ChatBatch",
    "LineState",
    "RemoteBatch",
    "Shard",
    "ShardState",
    "to_row_outcome",
]
