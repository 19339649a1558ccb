"""Words that documentation of this field does not use: they do not come back."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_version

ROOT = Path(__file__).parents[2]
FILES = [
    *(path for name in ("src", "integrations", "docs") for path in (ROOT / name).rglob("*")),
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
]
PATTERNS = {
    r"\b[Pp]ictures?\b": "image",
    r"\b[Cc]olours?\b": "color",
    r"\b[Aa]new\b": "again",
    r"\b[Ss]hall\b": "must, should, will",
    r"\b[Ss]pel(?:l|ls|t|led)\b": "encode, format, write",
    r"\b[Ww]h(?:o|ich|er)ever\b": "if, when, the one that",
    r"\b[Bb]efalls?\b": "applies to",
    r"\bof one's own\b": "self-hosted, custom, separate",
    r"\bcounts? before\b": "takes precedence over",
    r"\b[Ss]ounds?\b": "audio",
    r"\bmade smaller\b": "downscaled",
    r"\b(?:at|behind|by) (?:its |an |the )?address(?:es)?\b": "by URL",
    r"^(?:Give|Tell|See to it)\b": "Return, Describe, Ensure (summary lines); Pass (errors)",
}
QUOTED = {
    "Find where things are in a picture": "a description that is sent to the model",
    "pictures are frames of": "a prompt that is sent to the model",
    "The pictures or videos of this result": "a note that is sent to the model",
    "The picture: its name": "a description that is sent to the model",
}


def find_texts(source: str, suffix: str) -> Iterator[tuple[int, str]]:
    """Yield lines of prose with their numbers: of Markdown; of comments and strings in Python."""
    if suffix == ".md":
        yield from enumerate(source.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _PROSE:
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, _MARKS.sub("", line).strip()


# The quotes of a string and their prefix; the mark of a comment.
_MARKS = re.compile(r"""^\s*(?:[rRbBfFuU]{0,2}["']+|#)\s*|["']+$""")
_PROSE = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def find_odd_words(source: str, suffix: str) -> list[str]:
    return [
        f"{number}: {match.group()!r} ({wanted}) in: {text}"
        for number, text in find_texts(source, suffix)
        if not any(quoted in text for quoted in QUOTED)
        for pattern, wanted in PATTERNS.items()
        for match in re.finditer(pattern, text)
    ]


@pytest.mark.parametrize(
    ("source", "suffix", "is_odd"),
    [
        ("# A picture of a cat.\n", ".py", True),
        ('"""Give the size."""\n', ".py", True),
        ('NAME = f"Give {1} a name"\n', ".py", True),
        ("picture = 1\n", ".py", False),
        ("A picture of a cat.\n", ".md", True),
        ("An image by URL.\n", ".md", False),
        ("Remember the address of the host.\n", ".md", False),
        ('NOTE = "The pictures or videos of this result follow"\n', ".py", False),
    ],
)
def test_odd_words_are_found(source: str, suffix: str, is_odd: bool) -> None:
    assert bool(find_odd_words(source, suffix)) is is_odd


def test_prose_uses_the_terms_of_the_field() -> None:
    files = [path for path in FILES if path.suffix in (".py", ".md")]
    found = [
        f"{path.relative_to(ROOT)}:{odd}"
        for path in files
        for odd in find_odd_words(path.read_text(encoding="utf-8"), path.suffix)
    ]

    assert len(files) > 200
    assert found == []
