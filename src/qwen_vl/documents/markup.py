"""A tolerant reader of the HTML that models write: a tree of elements, with their offsets.

Not `html.parser`: what that makes of a tag that breaks off, or of a quote that is missing, differs
between Python's releases, and answers break off anywhere.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


VOID = _names("area base br col embed hr img input link meta source track wbr")
RAW = _names("script style")
INLINE = _names(
    "a abbr b bdi bdo big cite code data del dfn em font i input ins kbd label mark q s samp small "
    "span strike strong sub sup time tt u var wbr"
)
_PARAGRAPH_ENDS = _names(
    "address article aside blockquote center details div dl figcaption figure footer form h1 h2 h3 "
    "h4 h5 h6 header li main nav ol p pre section table td th tr ul"
)
KNOWN = (
    INLINE
    | VOID
    | RAW
    | _PARAGRAPH_ENDS
    | _names("body caption col colgroup dd dt head html math summary svg tbody tfoot thead title")
)
_UNSAFE = RAW | _names("embed head iframe link meta object template title")
# What a program may embed in its pages. Links and image URLs are not content.
_SHOWN = (INLINE | _PARAGRAPH_ENDS | _names("br caption col colgroup dd dt tbody tfoot thead")) - (
    _names("a font form")
)
_ATTRIBUTES = _names("align checked class colspan dir disabled lang rowspan scope span start type")
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
# What an element that begins ends first, up to what it does not end.
_IMPLIED: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "li": (frozenset({"li"}), frozenset({"ul", "ol", "table"})),
    "dt": (frozenset({"dt", "dd"}), frozenset({"dl", "table"})),
    "dd": (frozenset({"dt", "dd"}), frozenset({"dl", "table"})),
    "td": (frozenset({"td", "th"}), frozenset({"tr", "table"})),
    "th": (frozenset({"td", "th"}), frozenset({"tr", "table"})),
    "tr": (frozenset({"tr"}), frozenset({"table"})),
    "tbody": (frozenset({"tr", "thead", "tbody"}), frozenset({"table"})),
    "tfoot": (frozenset({"tr", "thead", "tbody"}), frozenset({"table"})),
}
_NAME = r"[A-Za-z][\w:.-]*+"
_QUOTED = r"""(?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+"""
_LOOSE = r"""(?:[^<>"']++|"[^"]{0,500}+"|'[^']{0,500}+'){0,16}+"""
_TAG = re.compile(rf"<(/?)({_NAME})(?=[\s/>])({_QUOTED})>")
_DAMAGED_TAG = re.compile(rf"<(/?)({_NAME})(?=[\s/>])([^<>]*+|{_LOOSE})>")
_COMMENT = re.compile(r"<!--(?s:.*?)-->|<![A-Za-z][^<>]*+>|<\?[^<>]*+>")
_PARTIAL = re.compile(
    rf"""<(?:/?(?:{_NAME}(?:[\s/]{_QUOTED}(?:"[^"<]*+|'[^'<]*+)?)?)?|!(?:-(?:-(?s:.*))?)?)\Z"""
)
_ATTRIBUTE = re.compile(
    r"""([A-Za-z_][\w:.-]*+)(?:\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s"'<>]++)))?"""
)
# Answers are three to six elements deep.
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Words:
    """A piece of text between two tags, by its offsets."""

    start: int
    end: int


@dataclass(slots=True)
class Element:
    """An element.

    Args:
        name: In lower case.
        attributes: By their names in lower case.
        start: Offset of its tag.
        inner: Offset behind its tag.
        end: Offset behind its last part.
        is_open: Whether the text ends within it.
        children: What is in it.
    """

    name: str
    attributes: dict[str, str]
    start: int
    inner: int
    end: int = 0
    is_open: bool = True
    children: list["Element | Words"] = field(default_factory=list)

    @property
    def elements(self) -> Iterator["Element"]:
        """The elements directly in it."""
        return (child for child in self.children if isinstance(child, Element))

    def walk(self) -> Iterator["Element"]:
        """Return all elements within it, in the order of their tags."""
        rest = list(self.elements)[::-1]
        while rest:
            element = rest.pop()
            yield element
            rest += list(element.elements)[::-1]


Node: TypeAlias = Element | Words


@dataclass(frozen=True, slots=True)
class Tree:
    """A document.

    Args:
        source: The text.
        root: Holds its outermost parts.
        partial: The beginning of a tag at the very end, which is in no element.
    """

    source: str
    root: Element
    partial: str = ""

    def words(self, piece: Words) -> str:
        """Return the text of a piece, without entities.

        Args:
            piece: Of this document.
        """
        return html.unescape(self.source[piece.start : piece.end])

    def to_html(self, node: Node) -> str:
        """Write a part as HTML that is safe to show: no boxes, scripts, styles or links.

        Args:
            node: Of this document.
        """
        if isinstance(node, Words):
            return html.escape(self.words(node), quote=False)
        if node.name in _UNSAFE:
            return ""
        inner = "".join(map(self.to_html, node.children))
        if node.name not in _SHOWN:
            return inner
        attributes = "".join(
            f' {name}="{html.escape(value)}"' if value else f" {name}"
            for name, value in node.attributes.items()
            if name in _ATTRIBUTES
        )
        opening = f"<{node.name}{attributes}>"
        return opening if node.name in VOID else f"{opening}{inner}</{node.name}>"


def read_markup(text: str) -> Tree:
    """Read a document, whatever is wrong with it.

    Args:
        text: HTML, which may break off.

    Example:
        >>> tree = read_markup('<p data-bbox="1 2 3 4">Hi &amp; <b>you')
        >>> paragraph = next(tree.root.elements)
        >>> paragraph.attributes, paragraph.is_open
        ({'data-bbox': '1 2 3 4'}, True)
    """
    return _Builder(text).build()


class _Builder:
    def __init__(self, text: str) -> None:
        self._text = text
        self._root = Element("", {}, 0, 0)
        self._stack = [self._root]
        self._written = 0
        self._endless: set[str] = set()

    def build(self) -> Tree:
        text, at, partial = self._text, 0, ""
        while (at := text.find("<", at)) >= 0:
            if found := _TAG.match(text, at):
                at = self._read_tag(found)
            elif comment := _COMMENT.match(text, at):
                self._add_words(at)
                at = self._written = comment.end()
            elif _PARTIAL.match(text, at):
                partial = text[at:]
                break
            elif damaged := _DAMAGED_TAG.match(text, at):
                at = self._read_tag(damaged)
            else:
                at += 1
        end = len(text) - len(partial)
        self._add_words(end)
        for element in self._stack:
            element.end = end
        return Tree(text, self._root, partial)

    def _read_tag(self, found: re.Match[str]) -> int:
        name, rest = found[2].lower(), found[3]
        attributes = {} if found[1] else _read_attributes(rest)
        is_known = name in KNOWN or "data-bbox" in attributes or "class" in attributes
        if not is_known and all(element.name != name for element in self._stack):
            # As in "a <b or so> c": words, unless it is ours or of HTML.
            return found.start() + 1
        self._add_words(found.start())
        self._written = found.end()
        if found[1]:
            self._close(name, found.start(), found.end())
            return found.end()
        self._close_implied(name, found.start())
        if len(self._stack) > _DEEPEST and name not in VOID:
            # What is in it stands in the element around it.
            return found.end()
        element = Element(name, attributes, found.start(), found.end())
        self._stack[-1].children.append(element)
        if name in VOID or rest.rstrip().endswith("/"):
            element.end, element.is_open = found.end(), False
        elif name in RAW:
            return self._skip_raw(element)
        else:
            self._stack.append(element)
        return found.end()

    def _skip_raw(self, element: Element) -> int:
        closing = None
        if element.name not in self._endless:
            ends = re.compile(rf"</{element.name}\s*+>", re.IGNORECASE)
            closing = ends.search(self._text, element.inner)
        if closing is None:
            self._endless.add(element.name)
        # Without an end it ends at the next tag, so that it does not take all that follows.
        following = closing or re.compile(r"<[A-Za-z]").search(self._text, element.inner)
        end = len(self._text) if following is None else following.start()
        end = closing.end() if closing else end
        element.is_open, element.end, self._written = following is None, end, end
        if element.is_open:
            self._stack.append(element)
        return end

    def _add_words(self, end: int) -> None:
        if end > self._written:
            self._stack[-1].children.append(Words(self._written, end))
            self._written = end

    def _close(self, name: str, start: int, end: int) -> None:
        for depth in range(len(self._stack) - 1, 0, -1):
            if self._stack[depth].name == name:
                self._pop(depth, start, end)
                return

    def _close_implied(self, name: str, at: int) -> None:
        if name in _PARAGRAPH_ENDS:
            top = self._stack[-1].name
            # The root has no name.
            while top in INLINE or top == "p" or top in _HEADINGS:
                depth = next(
                    (
                        depth
                        for depth in range(len(self._stack) - 1, 0, -1)
                        if self._stack[depth].name not in INLINE
                    ),
                    0,
                )
                if self._stack[depth].name != "p" and self._stack[depth].name not in _HEADINGS:
                    break
                self._pop(depth, at, at)
                top = self._stack[-1].name
        ended, borders = _IMPLIED.get(name, (frozenset(), frozenset()))
        for depth in range(len(self._stack) - 1, 0, -1):
            if self._stack[depth].name in borders:
                return
            if self._stack[depth].name in ended:
                self._pop(depth, at, at)
                return

    def _pop(self, depth: int, inner_end: int, end: int) -> None:
        for element in self._stack[depth:]:
            element.end, element.is_open = inner_end, False
        self._stack[depth].end = end
        del self._stack[depth:]


def _read_attributes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text):
        value = next((value for value in match.groups()[1:] if value is not None), "")
        found.setdefault(match[1].lower(), html.unescape(value))
    return found
