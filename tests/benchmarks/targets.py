"""What is promised: a measure of ours, as a ratio to another contender's in the same run."""

from dataclasses import dataclass

from benchmarks.measure import Figures, find_ratio


@dataclass(frozen=True)
class Target:
    """One promise.

    Args:
        title: In tables and on the image.
        case: Of `cases`.
        measure: `"cpu"`, `"cpu_of_request"`, `"wall"`, `"growth"` or `"peak"` of memory, `"rate"`
            or `"bytes"`.
        ours: A contender.
        other: Whom it is compared with.
        limit: Most, or least where more is better.
        more_is_better: Whether it is the least.
        other_case: The case of the other, where it is another.
    """

    title: str
    case: str
    measure: str
    ours: str
    other: str
    limit: float
    more_is_better: bool = False
    other_case: str | None = None

    def ratio(self, figures: Figures) -> float | None:
        """Give ours divided by the other's; `None` where one of them was not measured."""
        return find_ratio(
            figures, self.case, self.ours, self.other, self.measure, other_case=self.other_case
        )

    def is_met(self, ratio: float) -> bool:
        """Tell whether a ratio keeps the promise."""
        return ratio >= self.limit if self.more_is_better else ratio <= self.limit


_LC, _LI = "chat-qwen-vl", "qwen-vl"
_LC_PEER, _LI_PEER = "chat-openai", "openai-like"

TARGETS = (
    Target("invoke, image URL: CPU time", "address", "cpu", _LC, _LC_PEER, 0.40),
    Target("invoke, 5 MB of bytes: CPU time", "bytes-5MB", "cpu", _LC, _LC_PEER, 0.25),
    Target("invoke, 5 MB of bytes: memory taken", "bytes-5MB", "growth", _LC, _LC_PEER, 0.75),
    Target("invoke, 5 MB of bytes: peak memory", "bytes-5MB", "peak", _LC, _LC_PEER, 0.75),
    Target("chat, 5 MB ImageBlock: CPU time", "block-5MB", "cpu", _LI, _LI_PEER, 0.12),
    Target("stream, 2,000 chunks: CPU time", "stream-plain", "cpu", _LC, _LC_PEER, 0.10),
    Target("stream_chat, 2,000 chunks: CPU time", "stream-plain", "cpu", _LI, _LI_PEER, 0.20),
    Target("import, beside langchain-core's", "import", "cpu", _LC, "base-chat-model", 1.15),
    Target("import, beside llama-index-core's", "import", "cpu", _LI, "llm", 1.15),
    Target(
        "abatch of 64: requests per second",
        "at-once-64",
        "rate",
        _LC,
        _LC_PEER,
        4.0,
        more_is_better=True,
    ),
    Target(
        "3,000 requests at once: CPU time of each",
        "at-once-3000",
        "cpu_of_request",
        _LC,
        _LC,
        2.0,
        other_case="at-once-64",
    ),
    Target("import and first call: CPU time", "first-call", "cpu", _LC, _LC_PEER, 0.55),
    Target("12-megapixel JPEG: bytes on the wire", "photo", "bytes", _LC, _LC_PEER, 0.25),
    Target(
        "12-megapixel JPEG over 20 Mbit/s: wall time", "link-photo", "wall", _LC, _LC_PEER, 0.22
    ),
    Target(
        "second turn over 4 photographs: CPU time",
        "second-turn",
        "cpu",
        _LC,
        _LC,
        0.15,
        other_case="first-turn",
    ),
)
