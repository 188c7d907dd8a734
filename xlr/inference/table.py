"""Tables as text, as HTML, as LaTeX and as data frames."""

from __future__ import annotations

import html
import itertools
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.utils._optional_dependencies import check_pandas_support

from xlr import arrays
from xlr.inputs.parameters import check_parameters
from xlr.text import printable

WIDTH = 78  # characters of a line
CELL = 10  # minimum characters of a cell


def interval_columns(alpha: float) -> tuple[str, str]:
    """Return the column names of an interval, as in statsmodels.

    Raises
    ------
    ValueError
        If ``alpha`` is not between 0 and 1.
    """
    check_parameters({"alpha": alpha})
    return f"[{alpha / 2:.5g}", f"{1 - alpha / 2:.5g}]"


@dataclass(frozen=True, repr=False)
class Table:
    """Table of named rows, shown as text, and as HTML in a notebook.

    Attributes
    ----------
    title : str
    index : list of str
        Names of the rows.
    columns : dict of str to ndarray of shape (n_rows,)
    groups : list of str, default=[]
        Classes, one for each of equal parts of the rows; empty for one part.
    facts : dict of str to str, default={}
        Facts about the fit, above the rows.
    notes : list of str, default=[]
        Sentences below the rows.
    references : dict of str to str, default={}
        Names of the reference levels of categories, by the name of the row below them.
    """

    title: str
    index: Sequence[str]
    columns: Mapping[str, np.ndarray]
    groups: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    references: Mapping[str, str] = field(default_factory=dict)

    def to_frame(self) -> Any:
        """Return the numbers as a pandas DataFrame, with the names as the index.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pd = check_pandas_support("to_frame (pip install pandas)")
        index = pd.Index(self.index, dtype=object)
        if self.groups:
            n_rows = len(self.index) // len(self.groups)
            groups = np.repeat(np.asarray(self.groups, dtype=object), n_rows)
            index = pd.MultiIndex.from_arrays([groups, index], names=["class", None])
        return pd.DataFrame(dict(self.columns), index=index)

    def as_csv(self) -> str:
        """Return the rows as comma-separated values, the numbers with all digits.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return str(self.to_frame().to_csv(lineterminator="\n"))

    def as_latex(self) -> str:
        """Return the rows as a LaTeX table, with the title as its caption."""
        lines = [r"\begin{table}", rf"\caption{{{self.title.translate(LATEX)}}}"]
        lines.append(rf"\begin{{tabular}}{{l{'r' * len(self.columns)}}}")
        for block in self._blocks():
            cells = ([cell.translate(LATEX) for cell in row] for row in block)
            # After a line break, LaTeX would read [ or * as an argument.
            head, *rows = (
                "{}" * row[0].startswith(("[", "*")) + " & ".join(row) + r" \\"
                for row in cells
            )
            lines += [r"\hline", head, r"\hline", *rows]
        return "\n".join([*lines, r"\hline", r"\end{tabular}", r"\end{table}"])

    def __str__(self) -> str:
        blocks, facts = self._blocks(), list(self.facts.items())
        columns = zip(*itertools.chain(*blocks))
        widths = [max(CELL, *map(len, column)) for column in columns]
        width = max(WIDTH, sum(widths) + len(widths) - 1)
        widths[0] = width - sum(widths[1:]) - len(widths[1:])
        half, middle = width // 2 - 1, len(facts) // 2  # facts read downwards
        lines = [self.title.center(width), *["=" * width] * bool(facts)]
        for pair in zip(facts[:middle], facts[middle:]):
            cells = (
                name + printable(value, half - len(name) - 1).rjust(half - len(name))
                for name, value in pair
            )
            lines.append("  ".join(cells))
        for rule, block in zip("=" + "-" * len(blocks), blocks):
            head, *body = (
                " ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])])
                for name, *cells in block
            )
            lines += [rule * width, head, "-" * width, *body]
        lines.append("=" * width)
        notes = (f"[{i}] {note}" for i, note in enumerate(self.notes, 1))
        lines += [textwrap.fill(n, width, subsequent_indent="    ") for n in notes]
        return "\n".join(map(str.rstrip, lines))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        facts, body = self.facts.items(), itertools.chain(*self._blocks())
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<p>{html.escape(self.title)}</p><table>{_html_rows(facts)}</table>"
            f"<table>{_html_rows(body)}</table><ol>{notes}</ol>"
        )

    def _blocks(self) -> list[list[list[str]]]:
        """Return the printed cells of each group of rows, its head first."""
        heads = [f"class {printable(group)}" for group in self.groups] or [""]
        size = len(self.index) // len(heads)
        empty = [""] * (len(self.columns) - 1)
        blocks = []
        for k, head in enumerate(heads):
            rows = [[head, *self.columns]]
            for i, name in enumerate(self.index[k * size : (k + 1) * size], k * size):
                if reference := self.references.get(name):
                    rows.append([printable(reference), "reference", *empty])
                cells = (_number(key, v[i]) for key, v in self.columns.items())
                rows.append([printable(name), *cells])
            blocks.append(rows)
        return blocks


def _html_rows(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of a name and its values as escaped HTML."""
    escaped = (map(html.escape, row) for row in rows)
    return "".join(f"<tr><th>{'<td>'.join(row)}</tr>" for row in escaped)


# Characters that LaTeX reads as commands.
LATEX = str.maketrans(
    {c: rf"\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "|": r"\textbar{}"}
    | {"^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}"}
)


def _number(column: str, value: Any) -> str:
    """Format a number with useful digits; NaN becomes NA."""
    if value is None:
        return ""
    if math.isnan(value):
        return "NA"
    if isinstance(value, np.integer):
        return str(value)
    if column.startswith("P>"):
        return f"{value:.3f}" if value >= 0.0005 else f"{value:.0e}"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3e}"
    return f"{value:.3f}" if column == "z" else f"{value:.4f}"


@arrays.quiet()
def wald_columns(
    name: str,
    estimates: np.ndarray,
    standard_errors: np.ndarray,
    alpha: float,
    values: np.ndarray | float = 0.0,
) -> dict[str, np.ndarray]:
    """Return columns of estimates, standard errors, z, P and normal intervals.

    z and P test the hypothesis that the parameters have given values, 0 by default.
    They are NaN if estimate and standard error are 0, as for a constant column under a
    penalty.
    """
    low, high = interval_columns(alpha)
    z = (estimates - values) / standard_errors
    half_width = -ndtri(alpha / 2) * standard_errors
    return {
        name: estimates,
        "std err": standard_errors,
        "z": z,
        "P>|z|": 2 * ndtr(-np.abs(z)),
        low: estimates - half_width,
        high: estimates + half_width,
    }
