"""An answer that breaks off anywhere: the blocks before are those of the whole answer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_vl.documents.blocks import ParsedBlocks
from qwen_vl.documents.parse_html import parse_html
from qwen_vl.documents.parse_markdown import parse_markdown
from qwen_vl.grounding.coordinates import CoordinateFrame

FRAME = CoordinateFrame(space="normalized", image=(2000, 1000), scale=(1000, 1000))
WORDS = st.text("abc é本&<>1.# ", min_size=1, max_size=12).filter(lambda text: text.strip())
BOXES = st.tuples(
    st.integers(0, 400), st.integers(0, 400), st.integers(401, 1000), st.integers(401, 1000)
)


@st.composite
def html_answers(draw: st.DrawFn) -> str:
    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    pieces = []
    for _ in range(draw(st.integers(1, 6))):
        words, box = escaped(draw(WORDS)), " ".join(map(str, draw(BOXES)))
        at = f'data-bbox="{box}"'
        forms = (
            f"<p {at}>{words}</p>",
            f"<h2 {at}>{words} <sup>2</sup></h2>",
            f"<ol {at}><li {at}>{words}</li><li {at}>{words}<ul><li {at}>x</li></ul></li></ol>",
            f'<table {at} class="table1"><tr><td>{words}</td><td>y</td></tr></table>',
            f'<div class="image caption" {at}><img {at} /><p>{words}</p></div>',
            f'<div class="formula" {at}><img {at} /><div>$$ {words} $$</div></div>',
            f'<div class="header" {at}><p {at}>{words}</p></div>',
        )
        pieces.append(draw(st.sampled_from(forms)))
    body = "\n".join(pieces)
    return draw(st.sampled_from([f"```html\n<html><body>\n{body}\n</body></html>\n```", body]))


@st.composite
def markdown_answers(draw: st.DrawFn) -> str:
    pieces = []
    for _ in range(draw(st.integers(1, 6))):
        # Letters alone: "1. a" would be an item, "# a" a heading.
        words = draw(st.text("abcé本", min_size=1, max_size=12))
        box = ", ".join(map(str, draw(BOXES)))
        forms = (
            words,
            f"## {words}",
            f"- {words}\n- {words}\n  1. {words}",
            f"<!-- Table ({box}) -->\n\\begin{{tabular}}{{l}}\n{words} \\\\\n\\end{{tabular}}",
            f"<!-- Image ({box}) -->",
            f"$$\n{words}\n$$",
            f"| {words} | b |\n|---|---|",
        )
        pieces.append(draw(st.sampled_from(forms)))
    body = "\n\n".join(pieces)
    return draw(st.sampled_from([f"```markdown\n{body}\n```", body]))


def check_prefix(whole: ParsedBlocks, part: ParsedBlocks) -> None:
    assert not whole.problems
    assert part.is_cut_off
    *before, last = (*part.blocks, None) if not _is_marked(part) else part.blocks
    # Everything before the cut is as in the whole answer, and nothing but the last block is marked.
    assert list(before) == list(whole.blocks[: len(before)])
    assert not any(block.is_cut for block in before if block)
    assert last is None or last.is_cut


def _is_marked(part: ParsedBlocks) -> bool:
    return bool(part.blocks) and part.blocks[-1].is_cut


@settings(max_examples=150, deadline=None)
@given(answer=html_answers(), share=st.floats(0, 1, exclude_max=True))
def test_html(answer: str, share: float) -> None:
    whole = parse_html(answer, FRAME, is_cut_off=False)
    part = parse_html(answer[: int(len(answer) * share)], FRAME, is_cut_off=True)

    check_prefix(whole, part)


@settings(max_examples=150, deadline=None)
@given(answer=markdown_answers(), share=st.floats(0, 1, exclude_max=True))
def test_markdown(answer: str, share: float) -> None:
    whole = parse_markdown(answer, FRAME)
    part = parse_markdown(answer[: int(len(answer) * share)], FRAME, is_cut_off=True)

    check_prefix(whole, part)


@pytest.mark.parametrize("parse", [parse_html, parse_markdown])
def test_marks_are_checked(parse: object) -> None:
    """A block that is passed as whole though it is not would be found."""
    whole = parse_html("<p>One two</p>", FRAME, is_cut_off=False)
    part = parse_html("<p>One</p>", FRAME, is_cut_off=True)

    with pytest.raises(AssertionError):
        check_prefix(whole, part)
