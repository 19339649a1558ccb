"""What a job will take: tokens, money and hours, from a sample of its rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from qwen_vl.bulk.job import Job
from qwen_vl.bulk.row import Row
from qwen_vl.errors import QwenVLError
from qwen_vl.reply import Usage
from qwen_vl.request.build import build_media_policy, build_request, find_service_region
from qwen_vl.tokens.conversation import TokenCounter
from qwen_vl.tokens.cost import cost_of

DEFAULT_SAMPLE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a job will take.

    Args:
        n_rows: Rows of the input.
        n_sampled: Rows whose tokens were counted.
        n_unreadable: Those of them that cannot be sent.
        input_tokens: Mean input tokens of a row.
        output_tokens: Output tokens of a row, as assumed.
        cost: Of all rows at list prices; `None` where no price is known.
        batch_cost: The same by Batch Chat or Batch File; `None` where the model has none.
        currency: Of both.
        hours: At the limits that were given; `None` without any.
    """

    n_rows: int
    n_sampled: int
    n_unreadable: int
    input_tokens: float
    output_tokens: int
    cost: Decimal | None
    batch_cost: Decimal | None
    currency: str | None
    hours: float | None


def estimate_job(
    job: Job,
    rows: Iterable[Row],
    *,
    output_tokens: int,
    rpm: float | None = None,
    tpm: float | None = None,
    sample: int = DEFAULT_SAMPLE,
) -> Estimate:
    """Count the tokens of the first rows, and compute what all of them take. Nothing is sent.

    Args:
        job: What is asked.
        rows: All rows; they are read to their end.
        output_tokens: Output tokens of an answer to assume.
        rpm: Requests per minute.
        tpm: Tokens per minute.
        sample: Number of rows to count.

    Raises:
        ConfigurationError: A parameter is wrong, or no row can be sent.
    """
    template = build_request(job.settings, (), stream=None, **job.options, **job.parameters)
    counter = TokenCounter(
        model=template.known_model,
        parameters=template.parameters,
        policy=build_media_policy(job.settings),
        server=template.server,
        model_family=job.settings.model_family,
        warns=False,
    )
    left = iter(rows)
    counts: list[int] = []
    n_sampled = 0
    for row in islice(left, sample):
        n_sampled += 1
        try:
            counts.append(counter.count_turns(job.make_question(row).request.turns))
        except (QwenVLError, OSError):
            continue
    n_rows = n_sampled + sum(1 for _ in left)
    mean = sum(counts) / len(counts) if counts else 0.0
    n_sent = n_rows * len(counts) / n_sampled if n_sampled else 0.0
    hours = [n_sent / (60 * rpm)] if rpm else []
    hours += [n_sent * (mean + output_tokens) / (60 * tpm)] if tpm else []
    costs = [_find_cost(job, round(mean), output_tokens, is_batch) for is_batch in (False, True)]
    totals = [None if cost is None else cost[0] * Decimal(round(n_sent)) for cost in costs]
    return Estimate(
        n_rows=n_rows,
        n_sampled=n_sampled,
        n_unreadable=n_sampled - len(counts),
        input_tokens=mean,
        output_tokens=output_tokens,
        cost=totals[0],
        batch_cost=totals[1],
        currency=costs[0][1] if costs[0] else None,
        hours=max(hours) if hours else None,
    )


def _find_cost(
    job: Job, n_input: int, n_output: int, is_batch: bool
) -> tuple[Decimal, str | None] | None:
    settings = job.settings
    usage = Usage(input_tokens=n_input, output_tokens=n_output, total_tokens=n_input + n_output)
    cost = cost_of(
        usage,
        settings.known_model,
        region=find_service_region(settings),
        service_tier="batch" if is_batch else settings.service_tier,
        prices=settings.prices,
        server=settings.server,
    )
    return None if cost.amount is None else (cost.amount, cost.currency)
