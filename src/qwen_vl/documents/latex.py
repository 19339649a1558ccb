"""LaTeX of tables and formulas: where an environment ends, and the text in the cells of a table."""

import re

TABLES = frozenset({"table", "table*", "tabular", "tabular*", "tabularx", "tabulary", "longtable"})
"""Environments that are tables."""

FORMULAS = frozenset(
    {"align", "align*", "alignat", "alignat*", "displaymath", "equation", "equation*", "eqnarray"}
    | {"eqnarray*", "gather", "gather*", "math", "multline", "multline*"}
)
"""Environments that are formulas by themselves."""

_ENVIRONMENT = re.compile(r"\\(begin|end)\{([A-Za-z]{1,20}\*?)\}")
_COLUMNS = re.compile(
    r"\\begin\{(?:tabular\*?|tabularx|tabulary|longtable)\}(?:\[[^\]\n]*\])?(?:\{[^{}\n]*\}){0,2}"
    r"(?:\{(?:[^{}\n]|\{[^{}\n]*\})*\})?"
)
_RULES = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|centering|endhead|endfirsthead|endfoot|endlastfoot)\b"
    r"|\\(?:cline|cmidrule|label|vspace)(?:\([a-z]*\))?\{[^{}]*\}"
    r"|\\(?:begin|end)\{[^{}]*\}(?:\[[^\]\n]*\])?"
)
_SPANS = re.compile(r"\\multi(?:column|row)\{[^{}]*\}(?:\[[^\]\n]*\])?\{[^{}]*\}")
_COMMAND = re.compile(
    r"\\(?:textbf|textit|textrm|texttt|emph|underline|caption|makecell|text)\b\*?"
)
# Braces around all of it, with pairs within.
_BRACED = re.compile(r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*+\})*+\})*+\}")
_ESCAPED = re.compile(r"\\([&%$#_{}])")
_ROW_END = re.compile(r"\\\\(?:\[[^\]\n]*\])?")
_CELL = re.compile(r"(?<!\\)&")


def measure_depth(line: str) -> int:
    r"""Return how many more environments begin than end in a line.

    Args:
        line: LaTeX.

    Example:
        >>> measure_depth(r"\begin{table}\begin{tabular}{l}a\end{tabular}")
        1
    """
    return sum(1 if found[1] == "begin" else -1 for found in _ENVIRONMENT.finditer(line))


def read_cells(latex: str) -> str:
    r"""Return the text of a table: its cells between tabs, its rows in lines.

    Commands that only change how text looks are left out; others stay, as in formulas.

    Args:
        latex: The table.

    Example:
        >>> read_cells(r"\begin{tabular}{|l|r|} \hline \textbf{Item} & 5\% \\ \hline \end{tabular}")
        'Item\t5%'
    """
    plain = _RULES.sub(" ", _COLUMNS.sub(" ", latex))
    rows = []
    for row in _ROW_END.split(plain):
        cells = [_read_cell(cell) for cell in _CELL.split(row)]
        if any(cells):
            rows.append("\t".join(cells))
    return "\n".join(rows)


def _read_cell(cell: str) -> str:
    words = " ".join(_COMMAND.sub("", _SPANS.sub("", cell)).split())
    # Braces that are left around the text of a command or of a cell that spans several.
    while _BRACED.fullmatch(words):
        words = words[1:-1].strip()
    return _ESCAPED.sub(r"\1", words)
