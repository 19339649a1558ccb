"""The table of docs/reliability.md is what comes of each fault."""

import os
from pathlib import Path

import pytest

from server_faults import FAULTS, Fault, observe, write_table

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults -->\n", "<!-- end of faults -->"


# Pauses before retries add up.
@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_ends_as_the_page_says(fault: Fault) -> None:
    row = f"| {fault.name} | {observe(fault, stream=False)} | {observe(fault, stream=True)} |"
    assert row in PAGE.read_text(encoding="utf-8").splitlines()


def test_page_has_no_other_rows() -> None:
    page = PAGE.read_text(encoding="utf-8")
    if os.environ.get("WRITE_RELIABILITY"):
        before, _, rest = page.partition(BEGIN)
        page = before + BEGIN + "\n".join([*write_table(), END]) + rest.partition(END)[2]
        PAGE.write_text(page, encoding="utf-8")
    rows = page.partition(BEGIN)[2].partition(END)[0].splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [f.name for f in FAULTS]
