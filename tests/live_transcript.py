"""The page that `make live` writes: what the service billed for each request, and what we count."""

import platform
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from qwen_vl.reply import Usage
from qwen_vl.request.types import Request
from qwen_vl.specs.prices import find_list_price
from qwen_vl.tokens.conversation import count_tokens
from qwen_vl.transport.logs import CallLog

NO_PRICE = "no price known"
COLUMNS = (
    *("test", "result", "model", "request id", "input billed", "input counted", "difference"),
    *("of it images", "of it videos", "output billed", "input cost (yuan)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that was answered, or refused.

    Args:
        test: The test that sent it.
        host: Host of the endpoint, without a user or a password.
        model: Model id.
        status: HTTP status; of errors with the name of their class. Their text is not kept: it may
            quote the key.
        request_id: That of the service.
        usage: What it billed, if it reported it.
        counted: Tokens of the input, counted offline.
    """

    test: str
    host: str
    model: str
    status: str
    request_id: str | None
    usage: Usage | None
    counted: int

    @property
    def input_cost(self) -> float | None:
        """Cost of the billed input in yuan, at the list price in Beijing, if that is known."""
        tokens = self.usage.input_tokens if self.usage else 0
        price = find_list_price(self.model, "cn", tokens)
        return float(tokens * price.input / 1_000_000) if self.usage and price else None


@dataclass(slots=True)
class Transcript:
    """What happened in a run of the live tests."""

    calls: list[Call] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    """What was measured, by headings."""
    test: str = ""
    """The test that runs."""

    def make_log(self) -> type[CallLog]:
        """Return a class to take the place of the client's log, which records each call too."""
        transcript = self

        class RecordingLog(CallLog):
            def __init__(self, url: str, request: Request) -> None:
                super().__init__(url, request)
                # Usage in a stream is noted only if it is going to be logged.
                self._is_on = True

            def _log(self, status: str, request_id: str | None, usage: Usage | None) -> None:
                super()._log(status, request_id, usage)
                call = Call(
                    test=transcript.test,
                    host=urlsplit(self._url).hostname or "",
                    model=self._request.model,
                    status=status,
                    request_id=request_id,
                    usage=usage,
                    counted=count_input(self._request),
                )
                transcript.calls.append(call)

        return RecordingLog

    def write(self, path: Path, now: datetime, api_key: str) -> None:
        """Write the page, if there is anything to write.

        Args:
            path: Of the Markdown file.
            now: When the run ended.
            api_key: Must not be in it.

        Raises:
            RuntimeError: The key is in the page, which is not written then.
        """
        if not self.calls:
            return
        text = self.to_markdown(now)
        if api_key and api_key in text:
            raise RuntimeError(f"The API key would be in {path.name}; nothing was written.")
        path.write_text(text, encoding="utf-8")

    def to_markdown(self, now: datetime) -> str:
        """Return the page.

        Args:
            now: When the run ended.
        """
        hosts = ", ".join(f"`{host}`" for host in sorted({call.host for call in self.calls}))
        results = Counter(self.outcomes.values())
        tests = ", ".join(f"{number} {result}" for result, number in sorted(results.items()))
        rows = [self._to_row(call) for call in self.calls]
        return f"""# Live tests

What the hosted service billed, and what `count_tokens` counts offline: images and videos exactly,
text by an estimate. `make live` writes this page.

- {now:%Y-%m-%d %H:%M} UTC, {hosts}
- qwen-vl {version("qwen-vl")}, Python {platform.python_version()}
- Tests: {tests}
- Requests: {self._describe_costs()}

{_to_line(COLUMNS)}
{_to_line("---" for _ in COLUMNS)}
{chr(10).join(map(_to_line, rows))}
{"".join(map(_to_section, self.notes.items()))}"""

    def _to_row(self, call: Call) -> list[str]:
        usage, cost = call.usage, call.input_cost
        result = self.outcomes.get(call.test, "unknown")
        if call.status != "200":
            result = f"{result}: {call.status}"
        return [
            call.test,
            result,
            call.model,
            call.request_id or "none",
            _to_number(usage and usage.input_tokens),
            _to_number(call.counted),
            f"{call.counted - usage.input_tokens:+,}" if usage else "–",
            _to_number(usage and usage.image_tokens),
            _to_number(usage and usage.video_tokens),
            _to_number(usage and usage.output_tokens),
            NO_PRICE if cost is None else f"{cost:.6f}",
        ]

    def _describe_costs(self) -> str:
        costs = [cost for call in self.calls if (cost := call.input_cost) is not None]
        return (
            f"{len(self.calls)}. The input of {len(costs)} cost {sum(costs):.6f} yuan at the list "
            f"price in Beijing. Other input, and output: {NO_PRICE}."
        )


def count_input(request: Request) -> int:
    """Count the tokens of a request as `count_tokens` does for a user.

    Args:
        request: Its media may be prepared or not.
    """
    with warnings.catch_warnings():
        # Of media whose size is unknown; the difference shows it.
        warnings.simplefilter("ignore")
        return count_tokens(
            request.turns,
            request.model,
            parameters=request.parameters,
            policy=request.policy,
            server=request.server,
            model_family=request.model_family,
        )


def _to_section(note: tuple[str, str]) -> str:
    heading, text = note
    return f"\n## {heading}\n\n```text\n{text}\n```\n"


def _to_number(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _to_line(cells: Iterable[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
