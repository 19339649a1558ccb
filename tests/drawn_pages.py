"""Pages that are drawn, with what stands on them and where: what OCR is measured against."""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class DrawnBlock:
    """A block that was drawn: its kind, its words, and the box around its ink."""

    kind: str
    text: str
    box: Box


@dataclass
class DrawnPage:
    """A page, and the blocks on it in reading order."""

    size: tuple[int, int]
    font: Callable[[float], ImageFont.FreeTypeFont | ImageFont.ImageFont]
    blocks: list[DrawnBlock] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.image = Image.new("RGB", self.size, "white")
        self._draw = ImageDraw.Draw(self.image)

    def write(
        self, x: float, y: float, lines: Sequence[str], size: float = 20, kind: str = "paragraph"
    ) -> None:
        """Write a block of lines below each other."""
        boxes = [self._line(x, y + 1.4 * size * at, line, size) for at, line in enumerate(lines)]
        space = "" if re.search(r"[\u4e00-\u9fff]", lines[0]) else " "
        self.blocks.append(DrawnBlock(kind, space.join(lines), _union(boxes)))

    def table(
        self, xs: Sequence[float], y: float, rows: Sequence[Sequence[str]], *, step: float = 40
    ) -> None:
        """Write a table without vertical rules."""
        boxes = []
        for at, row in enumerate(rows):
            top = y + step * at
            self._draw.line((xs[0] - 10, top, self.size[0] - xs[0] + 10, top), "gray")
            boxes += [
                self._line(x, top + 8, cell, 20) for x, cell in zip(xs, row, strict=True) if cell
            ]
        text = "\n".join("\t".join(row) for row in rows)
        self.blocks.append(DrawnBlock("table", text, _union(boxes)))

    def to_png(self) -> bytes:
        """Return the page as a file."""
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG")
        return buffer.getvalue()

    @property
    def text(self) -> str:
        """All words of the page."""
        return "\n".join(block.text for block in self.blocks)

    def _line(self, x: float, y: float, text: str, size: float) -> Box:
        font = self.font(size)
        self._draw.text((x, y), text, "black", font)
        return self._draw.textbbox((x, y), text, font)


def draw_invoice() -> DrawnPage:
    """An invoice with labels beside, above and before their values, and a table of items."""
    page = DrawnPage((900, 1000), ImageFont.load_default)
    page.write(70, 60, ["INVOICE"], 44, "heading")
    page.write(560, 70, ["Lakeside Paper Ltd.", "12 Harbour Road, Bristol"])
    page.table(
        [70, 260],
        152,
        [
            ["Invoice number:", "2026-0117"],
            ["Date:", "30 November 2026"],
            ["Due date:", "30 December 2026"],
        ],
    )
    page.write(70, 304, ["Bill to", "Northwind Books"])
    page.table(
        [80, 440, 590, 750],
        392,
        [
            ["Description", "Quantity", "Unit price", "Amount"],
            ["Drawing paper A3", "10", "4.50", "45.00"],
            ["Ink, black", "3", "7.20", "21.60"],
            ["Brush set", "2", "12.95", "25.90"],
        ],
    )
    page.write(590, 640, ["Total: EUR 92.50"], 22)
    page.write(
        70,
        760,
        [
            "Payment within 30 days to the account below. Please name the invoice",
            "with every transfer; goods stay ours until they are paid.",
        ],
    )
    return page


def draw_report() -> DrawnPage:
    """A page of text with headings, paragraphs and a table."""
    page = DrawnPage((850, 1000), ImageFont.load_default)
    page.write(60, 50, ["Quarterly report"], 40, "heading")
    page.write(
        60,
        130,
        [
            "Revenue rose in every region but the north, where the new plant was",
            "closed for repairs until May. Two things explain the rest: prices of",
            "energy fell by a tenth, and orders from abroad doubled.",
        ],
    )
    page.table(
        [70, 320, 560],
        250,
        [
            ["Region", "Q1", "Q2"],
            ["North", "12.1", "9.8"],
            ["South", "8.4", "11.0"],
            ["West", "7.7", "10.2"],
        ],
    )
    page.write(60, 450, ["Outlook"], 30, "heading")
    page.write(
        60,
        510,
        [
            "The second half depends on the harbour. Until its cranes are back,",
            "two of three ships are unloaded in the south.",
        ],
    )
    page.write(
        60,
        620,
        [
            "We therefore keep the forecast of 112 million, and hope for more.",
        ],
    )
    return page


def draw_chinese() -> DrawnPage:
    """A page in Chinese. Noto Sans SC comes with the extra `fonts` of qwen-vl."""
    from pylopdf_fonts_zh_cn import sans_path  # noqa: PLC0415 - an extra.

    page = DrawnPage((850, 800), lambda size: ImageFont.truetype(str(sans_path()), size))
    page.write(60, 40, ["季度报告"], 42, "heading")
    page.write(
        60,
        140,
        [
            "除北部以外，所有地区的收入都有所增长。北部的新工厂因维修关闭到五月。",
            "其余的变化有两个原因：能源价格下降了十分之一，海外订单增加了一倍。",
        ],
    )
    page.table(
        [70, 320, 560],
        240,
        [["地区", "一季度", "二季度"], ["北部", "12.1", "9.8"], ["南部", "8.4", "11.0"]],
    )
    page.write(60, 420, ["展望"], 30, "heading")
    page.write(60, 490, ["下半年取决于港口。起重机修复之前，三分之二的船只在南部卸货。"])
    page.write(60, 570, ["合计：人民币一百一十二万元"])
    return page


def error_rate(found: str, expected: str) -> float:
    """Return the character error rate: edits per expected character, spaces counted as one."""
    one, other = (" ".join(text.split()) for text in (found, expected))
    costs = list(range(len(other) + 1))
    for row, character in enumerate(one, 1):
        before, costs[0] = costs[0], row
        for at, wanted in enumerate(other, 1):
            step = before + (character != wanted)
            before, costs[at] = costs[at], min(step, costs[at] + 1, costs[at - 1] + 1)
    return costs[-1] / len(other)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes over their union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (_area(one) + _area(other) - shared)


def best_overlaps(found: Iterable[Box], page: DrawnPage) -> list[float]:
    """Return for each block of a page how well the best box fits it."""
    boxes = list(found)
    return [max(overlap(box, block.box) for box in boxes) for block in page.blocks]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _union(boxes: Sequence[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
