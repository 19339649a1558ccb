"""Blocks as Markdown, as HTML, and as plain text."""

from collections.abc import Callable, Iterable
from html import escape
from typing import TypeAlias

from qwen_vl.documents.blocks import Block

Link: TypeAlias = Callable[[Block], str | None]
"""Returns the URL or file of a figure's image; `None` if there is none."""

_HTML_ELEMENTS = {
    "paragraph": "p",
    "blockquote": "blockquote",
    "caption": "figcaption",
    "header": "header",
    "footer": "footer",
}
_LOWEST_HEADING = 6
_INDENT = "    "


def to_markdown(blocks: Iterable[Block], link: Link | None = None) -> str:
    r"""Write blocks as Markdown.

    Formulas stand between `$$`; tables stay as the model wrote them, in LaTeX or HTML.

    Args:
        blocks: In reading order.
        link: Finds the images of figures; without it a comment with the box stands for each.

    Example:
        >>> blocks = [Block(kind="heading", text="Sum", level=2), Block(kind="formula", latex="x")]
        >>> to_markdown(blocks)
        '## Sum\n\n$$\nx\n$$\n'
    """
    return _join(((block, _to_markdown(block, link)) for block in blocks), end="\n")


def to_text(blocks: Iterable[Block]) -> str:
    """Write the text of blocks; formulas, and tables without cells, are LaTeX.

    Args:
        blocks: In reading order.

    Example:
        >>> to_text([Block(kind="heading", text="Sum"), Block(kind="image")])
        'Sum'
    """
    return _join(((block, block.text or block.content) for block in blocks), end="")


def to_html(blocks: Iterable[Block], link: Link | None = None) -> str:
    r"""Write blocks as HTML elements; `data-bbox` holds their boxes in pixels.

    Args:
        blocks: In reading order.
        link: Finds the images of figures.

    Example:
        >>> to_html([Block(kind="paragraph", text="1 < 2", box=(1, 2, 3, 4))])
        '<p data-bbox="1 2 3 4">1 &lt; 2</p>\n'
    """
    lines = []
    depth = 0
    names: list[str] = []
    for block in blocks:
        level = (block.level or 1) if block.kind == "list_item" else 0
        while depth > level:
            lines.append(f"</li></{names.pop()}>")
            depth -= 1
        if level and depth == level:
            lines.append("</li>")
        while depth < level:
            names.append("ol" if block.marker and block.marker[0].isdigit() else "ul")
            # A level without an item is nested in an empty one.
            lines.append(f"<{names[-1]}>" + ("<li>" if depth + 1 < level else ""))
            depth += 1
        lines.append(_to_html(block, link))
    lines += [f"</li></{name}>" for name in reversed(names)]
    return "".join(f"{line}\n" for line in lines)


def _to_markdown(block: Block, link: Link | None) -> str:
    match block.kind:
        case "heading":
            return f"{'#' * (block.level or 1)} {_words(block)}".rstrip()
        case "list_item":
            indent = _INDENT * ((block.level or 1) - 1)
            words = _words(block).replace("\n", f"\n{indent}{_INDENT}")
            return f"{indent}{block.marker or '-'} {words}".rstrip()
        case "formula":
            return f"$$\n{block.latex or block.text}\n$$"
        case "code":
            return f"```{block.notation or ''}\n{block.text}\n```"
        case "blockquote":
            return "\n".join(f"> {line}".rstrip() for line in _words(block).splitlines())
        case "table":
            return block.content
        case _ if block.is_figure:
            return _to_figure(block, link)
        case _:
            return _words(block) or _announce(block)


def _to_figure(block: Block, link: Link | None) -> str:
    url = link(block) if link else None
    shown = " ".join(block.text.split()) if block.kind == "image" else block.kind.replace("_", " ")
    head = _announce(block) if url is None else f"![{shown}]({url})"
    data = block.html if block.html is not None and block.html.startswith("<table") else None
    body = data or block.latex or (block.text if url is None or block.kind != "image" else "")
    return "\n".join(part for part in (head, body) if part)


def _announce(block: Block) -> str:
    """Return a comment in place of a block without text."""
    place = f" ({', '.join(map(str, block.box))})" if block.box else ""
    return f"<!-- {block.kind}{place} -->"


def _words(block: Block) -> str:
    return block.html or block.text


def _join(pieces: Iterable[tuple[Block, str]], end: str) -> str:
    made = ""
    before: Block | None = None
    for block, piece in pieces:
        if not piece:
            continue
        if before is not None:
            is_list = before.kind == block.kind == "list_item"
            made += "\n" if is_list else "\n\n"
        made += piece
        before = block
    return made + end if made else ""


def _to_html(block: Block, link: Link | None) -> str:
    box = f' data-bbox="{" ".join(map(str, block.box))}"' if block.box else ""
    words = block.html or escape(block.text, quote=False).replace("\n", "<br>")
    kind = escape(block.kind)
    if block.kind == "heading":
        name = f"h{min(block.level or 1, _LOWEST_HEADING)}"
        return f"<{name}{box}>{words}</{name}>"
    if block.kind == "list_item":
        marker = (block.marker or "").rstrip(".)")
        value = f' value="{marker}"' if marker.isdigit() else ""
        return f"<li{value}{box}>{words}"
    if block.kind == "table" and block.html:
        return block.html.replace("<table", f"<table{box}", 1)
    if block.kind == "code":
        return f"<pre{box}>{escape(block.text, quote=False)}</pre>"
    if block.is_figure:
        url = link(block) if link else None
        image = f'<img src="{escape(url)}" alt="">' if url else ""
        caption = f"<figcaption>{words}</figcaption>" if words else ""
        return f'<figure class="{kind}"{box}>{image}{caption}</figure>'
    if block.latex is not None:
        latex = escape(block.latex, quote=False)
        return f'<div class="{kind}"{box}>{latex}</div>'
    element = _HTML_ELEMENTS.get(block.kind)
    if element is not None:
        return f"<{element}{box}>{words}</{element}>"
    return f'<div class="{kind}"{box}>{words}</div>'
