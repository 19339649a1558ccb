"""An image of the ratios, for the documents."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.measure import Figures, find_ratio

_OURS = {"LangChain": ("chat-qwen-vl", "chat-openai"), "LlamaIndex": ("qwen-vl", "openai-like")}
_SHOWN = (
    *("address", "bytes-90kB", "bytes-5MB", "file-5MB", "block-5MB", "ten-90kB"),
    *("stream-plain", "stream-reasoning", "stream-arguments", "at-once-64", "history"),
)
_COLORS = {"LangChain": "#1c7c54", "LlamaIndex": "#7a4fbf"}


def draw_ratios(runs: Mapping[str, Figures], path: Path) -> None:
    """Draw how much of the peers' CPU time ours takes.

    Args:
        runs: What came out, by what it was run with.
        path: Of the PNG.
    """
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and for this alone.

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, len(runs), figsize=(6.4 * len(runs), 6.4), squeeze=False)
    for axis, (title, figures) in zip(axes[0], runs.items(), strict=True):
        rows = [
            (case, family, ratio)
            for case in _SHOWN
            for family in _OURS
            if (ratio := find_ratio(figures, case, *_OURS[family])) is not None
        ]
        for place, (_, family, ratio) in enumerate(rows):
            axis.barh(place, ratio, color=_COLORS[family], height=0.72)
            axis.text(ratio + 0.015, place, f"{ratio:.2f}x", va="center", fontsize=9)
        axis.set_yticks(range(len(rows)), [CASES[case].title for case, *_ in rows], fontsize=9)
        axis.invert_yaxis()
        axis.axvline(1.0, color="#888888", linewidth=1, linestyle="--")
        axis.set_xlim(0, 1.12)
        axis.set_xlabel("CPU time, as a ratio to the peer's (dashed: 1x)")
        axis.set_title(title, loc="left", fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in _COLORS.values()]
    names = ["ChatQwenVL : ChatOpenAI", "QwenVL : OpenAILike"]
    figure.legend(handles, names, loc="lower center", ncols=2, frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=120)
    plt.close(figure)
