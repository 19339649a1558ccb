"""Three documents of 20 pages each, and 30 questions whose answers stand on known pages.

The pages of a document share its words, so that no question is answered by finding the one page
with a rare word. Where each word stands is noted while the PDF is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fpdf import FPDF

# Small, as OCR of a page takes as long as it has lines.
WIDTH, HEIGHT = 105.0, 90.0
_MARGIN = 10.0
_TITLE_POINTS, _POINTS, _LINE_STEP = 15, 10.5, 5.6
_MILLIMETERS = 25.4 / 72
# Of Helvetica, as fractions of its size.
_ASCENT, _X_HEIGHT, _DESCENT, _COMMA = 0.70, 0.52, 0.20, 0.13
_LOW, _DEEP, _SUNK = map(frozenset, ("acegmnopqrsuvwxyz.,:;-", "gjpqy", ",;"))

Box = tuple[float, float, float, float]
Word = tuple[str, Box, float]
"""A word, where its ink is, and the baseline of its line."""

_CORPUS = Path(__file__).parent / "recipes/corpus"


@dataclass(frozen=True)
class Question:
    """A question, the page that answers it, and the words there."""

    text: str
    document: str
    page: int
    quote: str

    @property
    def wanted(self) -> str:
        """Name of the page, as the retrieval names it."""
        return f"{self.document}.pdf, page {self.page}"


def _ask(document: str, *rows: tuple[str, int, str]) -> list[Question]:
    return [Question(text, document, page, quote) for text, page, quote in rows]


QUESTIONS = [
    *_ask(
        "port-report",
        ("How many vessels visited the harbor this year?", 2, "1,946 ships called at the port"),
        ("Which share of the boxes was unloaded?", 3, "A third of them were empty"),
        (
            "Who rents the quay that coal was once landed at?",
            4,
            "leased to a maker of wind turbine blades until 2031",
        ),
        (
            "How long was the damaged crane out of use?",
            6,
            "The crane stood still for eleven weeks",
        ),
        (
            "Which depth does the channel to the sea have?",
            7,
            "The outer channel is kept at a depth of 13.8 meters",
        ),
        ("What was done against dust from loading?", 9, "Hoods were put on the loading arms"),
        (
            "What pay rise did the strike lead to?",
            11,
            "ended with a raise of 3.5 percent for everyone on shifts",
        ),
        ("Why could agents not book for hours?", 14, "after a change of certificates"),
        ("How much profit was left after taxes?", 15, "The result after tax came to 11.2 million"),
        (
            "How much money do the city and the county receive?",
            18,
            "The board proposes to pay them 4.5 million euros",
        ),
    ),
    *_ask(
        "pump-handbook",
        (
            "What is the longest way up from the water to the machine?",
            3,
            "no more than eight meters above the water",
        ),
        ("What kind of fuse does it take?", 5, "230 volts and a fuse of 10 amperes"),
        (
            "What happens if I switch on without filling in water?",
            6,
            "the seal will burn within a minute",
        ),
        (
            "At which pressure does the motor switch itself on?",
            8,
            "starts when the pressure falls below 1.5 bar and stops at 3 bar",
        ),
        (
            "How do I reset it after it ran dry?",
            9,
            "To reset the pump, hold the green button for five seconds",
        ),
        (
            "What does a red light mean that does not blink?",
            10,
            "Red, steady: the electronics are faulty",
        ),
        ("How many sprinklers can it supply?", 11, "The pump feeds four of them"),
        (
            "After how much time is the cartridge used up?",
            14,
            "lasts for about six months or 200 cubic meters",
        ),
        (
            "Which spanner do I need for the leaking shaft?",
            15,
            "You need a key of 13 millimeters and the kit 40-S",
        ),
        (
            "For how many years can I buy replacements?",
            19,
            "Spare parts are sold for twelve years after the last pump was built",
        ),
    ),
    *_ask(
        "garden-museum",
        (
            "On which day is admission free?",
            2,
            "On the first Sunday of the month nobody pays",
        ),
        ("How many trees lived through the cold?", 4, "Only nine survived the first winter"),
        (
            "Who got rich from a flower before the crash?",
            5,
            "Maria Venn sold hers a week before prices fell",
        ),
        ("What was the blue paint made from?", 6, "The blue wash was made of cornflowers"),
        (
            "How could customers get a refund for seeds?",
            8,
            "money was returned to those who complained in verse",
        ),
        ("Who bred the rose of this garden?", 10, "bred in this very garden in 1902 by Ida Roth"),
        (
            "How many families lived off the park in the war?",
            11,
            "The park fed 130 families in 1917",
        ),
        (
            "How do visitors find the way through the hedges?",
            16,
            "Those who keep a hand on the right wall get to the middle in twelve minutes",
        ),
        (
            "How old is the lime according to the foresters?",
            17,
            "A core taken by foresters gave it 290 years instead",
        ),
        ("How often does the bus come?", 20, "Bus 14 stops at the gate every twenty minutes"),
    ),
]


N_UNITS = 62
"""Pages of the PDF files, an image, and a frame of the video."""


@dataclass
class WrittenPage:
    """Where the words of a page stand, as fractions of its width and height."""

    words: list[Word] = field(default_factory=list)

    def find(self, quote: str) -> Box:
        """Return the box around the ink of some words that follow one another."""
        return _union([box for _, box, _ in self._find(quote)])

    def find_lines(self, quote: str) -> list[Box]:
        """Return the same for each line that they stand on."""
        lines: dict[float, list[Box]] = {}
        for _, box, baseline in self._find(quote):
            lines.setdefault(baseline, []).append(box)
        return [_union(boxes) for boxes in lines.values()]

    def _find(self, quote: str) -> list[Word]:
        wanted = quote.split()
        texts = [word for word, _, _ in self.words]
        for start in range(len(texts) - len(wanted) + 1):
            found = texts[start : start + len(wanted)]
            if [_bare(word) for word in found] == [_bare(word) for word in wanted]:
                return self.words[start : start + len(wanted)]
        raise AssertionError(f"{quote!r} was not written")


def _union(boxes: Sequence[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _bare(word: str) -> str:
    return word.strip(".,;:")


@dataclass(frozen=True)
class Library:
    """What is searched.

    Args:
        folder: Three PDF files of 20 pages each, an image, and a video of one frame.
        store: An index of it, made by the core.
        pages: Where words stand, by the names of the pages.
        n_requests: Requests that the index took.
    """

    folder: Path
    store: Path
    pages: dict[str, WrittenPage]
    n_requests: int


def write_corpus(folder: Path) -> dict[str, WrittenPage]:
    """Write the three PDF files, and return where words stand, by the names of the pages."""
    written: dict[str, WrittenPage] = {}
    for source in sorted(_CORPUS.glob("*.md")):
        # The given size is that of an upright page.
        pdf = FPDF("landscape", format=(HEIGHT, WIDTH))
        for number, section in enumerate(source.read_text().split("# ")[1:], 1):
            title, _, text = section.partition("\n")
            written[f"{source.stem}.pdf, page {number}"] = _write_page(pdf, title, text)
        pdf.output(str(folder / f"{source.stem}.pdf"))
    return written


def _write_page(pdf: FPDF, title: str, text: str) -> WrittenPage:
    page = WrittenPage()
    pdf.add_page()
    pdf.set_font("helvetica", "B", _TITLE_POINTS)
    page.words += _write_line(pdf, 18.0, title.split(), _TITLE_POINTS)
    pdf.set_font("helvetica", size=_POINTS)
    y = 30.0
    for line in _wrap(pdf, text.split()):
        page.words += _write_line(pdf, y, line, _POINTS)
        y += _LINE_STEP
    return page


def _wrap(pdf: FPDF, words: Sequence[str]) -> list[list[str]]:
    lines: list[list[str]] = [[]]
    for word in words:
        if pdf.get_string_width(" ".join([*lines[-1], word])) > WIDTH - 2 * _MARGIN:
            lines.append([])
        lines[-1].append(word)
    return lines


def _write_line(pdf: FPDF, y: float, words: Sequence[str], points: float) -> list[Word]:
    """Write a line with its baseline at a height, and return its words with their boxes."""
    pdf.text(_MARGIN, y, " ".join(words))
    size = points * _MILLIMETERS
    placed = []
    for at, word in enumerate(words):
        left = _MARGIN + pdf.get_string_width(" ".join([*words[:at], ""]))
        right = left + pdf.get_string_width(word)
        top, bottom = y - _find_height(word) * size, y + _find_depth(word) * size
        placed.append((word, (left / WIDTH, top / HEIGHT, right / WIDTH, bottom / HEIGHT), y))
    return placed


def _find_height(word: str) -> float:
    return _X_HEIGHT if _LOW.issuperset(word) else _ASCENT


def _find_depth(word: str) -> float:
    if not _DEEP.isdisjoint(word):
        return _DESCENT
    return 0.0 if _SUNK.isdisjoint(word) else _COMMA
