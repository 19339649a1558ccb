"""Citations of the service's pages, which one table resolves."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_version

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs/sources.md"
CITING = [
    path
    for root in ("src", "integrations", "docs")
    for path in sorted((ROOT / root).rglob("*"))
    if path.suffix in (".py", ".md") and path != TABLE
]
# `(Vision page, 2026-08)`, `Vision page (2026-08)`, `Errors and Temp-URL pages, 2026`
_CITATION = re.compile(r"((?:[\w-]+(?:, | and ))*[\w-]+) pages?,?\s+(?:#\s+)?\(?20\d\d\b")


def read_table() -> dict[str, str]:
    row = re.compile(r"^\| ([\w-]+) \| [^|]+ \| <(https://\S+)> \|$", re.MULTILINE)
    return dict(row.findall(TABLE.read_text()))


def find_cited(text: str) -> set[str]:
    names = (name for match in _CITATION.findall(text) for name in re.split(r", | and ", match))
    return {name for name in names if name[:1].isupper()}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("(Vision page, 2026-08)", {"Vision"}),
        ("Errors and Temp-URL pages (2026)", {"Errors", "Temp-URL"}),
        ("Of it the Native-API\n    page, 2026-09", set()),
        ("a page, 2026", set()),
    ],
)
def test_citations_are_found(text: str, names: set[str]) -> None:
    assert find_cited(text) == names


def test_each_cited_page_has_a_link() -> None:
    cited: dict[str, str] = {}
    for path in CITING:
        cited |= dict.fromkeys(find_cited(path.read_text()), path.relative_to(ROOT).as_posix())
    table = read_table()

    assert len(cited) > 8
    assert {name: where for name, where in cited.items() if name not in table} == {}
    assert [name for name in table if name not in cited] == []
