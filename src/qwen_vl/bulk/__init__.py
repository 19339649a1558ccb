"""One question about many images, videos and documents: resumable, within limits of rate."""

from qwen_vl.bulk.budget import Budget
from qwen_vl.bulk.inputs import read_rows
from qwen_vl.bulk.job import Job
from qwen_vl.bulk.ledger import Ledger
from qwen_vl.bulk.outcome import Outcome
from qwen_vl.bulk.parts import PartLedger
from qwen_vl.bulk.row import Row
from qwen_vl.bulk.row_client import RowClient
from qwen_vl.bulk.runner import Report, Runner

__all__ = [
    "Budget",
    "Job",
    "Ledger",
    "Outcome",
    "PartLedger",
    "Report",
    "Row",
    "RowClient",
    "Runner",
    "read_rows",
]
