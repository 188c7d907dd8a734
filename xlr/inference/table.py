"""Tables as text, as HTML and as data frames."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from xlr import arrays
from xlr.inputs.parameters import check_parameters
from xlr.text import printable

__all__ = ["Summary", "Table", "interval_columns", "wald_table", "z_values"]

WIDTH = 78  # characters
NUMBER = 'td style="text-align: right"'  # HTML tag of a cell


def interval_columns(alpha: float) -> tuple[str, str]:
    """Return the column names of an interval, as statsmodels has them.

    Raises
    ------
    ValueError
        If ``alpha`` is not between 0 and 1.
    """
    check_parameters({"alpha": alpha})
    return f"[{alpha / 2:.5g}", f"{1 - alpha / 2:.5g}]"


@arrays.quiet()
def z_values(estimates: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Divide estimates by their standard errors.

    NaN where both are 0: a constant column under a penalty.
    """
    return estimates / errors


def wald_table(
    title: str,
    estimated: str,
    index: Sequence[str],
    estimates: np.ndarray,
    errors: np.ndarray,
    alpha: float,
    groups: Sequence[str],
) -> Table:
    """Tabulate estimates, standard errors, z, P and normal intervals."""
    low, high = interval_columns(alpha)
    z = z_values(estimates, errors)
    half_width = stats.norm.isf(alpha / 2) * errors
    columns = {
        estimated: estimates,
        "std err": errors,
        "z": z,
        "P>|z|": 2 * stats.norm.sf(np.abs(z)),
        low: estimates - half_width,
        high: estimates + half_width,
    }
    return Table(title, index, columns, groups)


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
        Classes of as many equal parts of the rows; none for one part.
    """

    title: str
    index: Sequence[str]
    columns: Mapping[str, np.ndarray]
    groups: Sequence[str] = field(default_factory=list)

    def to_frame(self) -> Any:
        """Return the numbers as a pandas DataFrame, with the names as its index.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "to_frame makes a DataFrame of pandas, which is not installed: "
                "pip install xlr[inference]"
            ) from error
        index: Any = list(self.index)
        if self.groups:
            groups = np.repeat(self.groups, len(index) // len(self.groups))
            index = pd.MultiIndex.from_arrays([groups, index])
        return pd.DataFrame(dict(self.columns), index=index)

    def _rows(self) -> list[tuple[bool, list[str]]]:
        """Return rows of printed cells, and whether each is the head of a group."""
        rows = []
        groups = [f"class {printable(group)}" for group in self.groups] or [""]
        size = len(self.index) // len(groups)
        for g, group in enumerate(groups):
            rows.append((True, [group, *self.columns]))
            for i in range(g * size, (g + 1) * size):
                cells = [_cell(column, v[i]) for column, v in self.columns.items()]
                rows.append((False, [printable(self.index[i]), *cells]))
        return rows

    def _lines(self) -> list[str]:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*(row for _, row in rows))]
        widths[1:] = [max(10, width) for width in widths[1:]]
        widths[0] = max(widths[0], WIDTH - sum(widths[1:]) - len(widths[1:]))
        full = sum(widths) + len(widths[1:])
        lines: list[str] = []
        for is_head, (name, *cells) in rows:
            padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:])]
            line = " ".join([name.ljust(widths[0]), *padded]).rstrip()
            rule = ("-" if lines else "=") * full
            lines += [rule, line, "-" * full] if is_head else [line]
        return [*lines, "=" * full]

    def __str__(self) -> str:
        return "\n".join([self.title.center(WIDTH).rstrip(), *self._lines()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _html(
            self.title,
            (
                [("th", name), *(("th" if is_head else NUMBER, cell) for cell in cells)]
                for is_head, (name, *cells) in self._rows()
            ),
        )


def _html(caption: str, rows: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Return an HTML table of rows of cells, each a tag and a text, escaped here."""
    body = "".join(
        "<tr>"
        + "".join(f"<{tag}>{html.escape(text)}</{tag[:2]}>" for tag, text in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><caption>{html.escape(caption)}</caption>{body}</table>"


def _cell(column: str, value: float) -> str:
    """Format a number in the digits that a reader can use; NA for NaN."""
    value = float(value)
    if math.isnan(value):
        return "NA"
    if column.startswith("P>"):
        return f"{value:.3f}" if value >= 0.0005 else f"{value:.0e}"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3e}"
    return f"{value:.3f}" if column == "z" else f"{value:.4f}"


@dataclass(frozen=True, repr=False)
class Summary:
    """Summary of a fit: facts, the table of coefficients, and notes.

    Attributes
    ----------
    title : str
    facts : dict of str to str
    table : Table
    notes : list of str
    """

    title: str
    facts: Mapping[str, str]
    table: Table
    notes: Sequence[str]

    def to_frame(self) -> Any:
        """Return the table of coefficients as a pandas DataFrame."""
        return self.table.to_frame()

    def _pairs(self) -> list[tuple[tuple[str, str], ...]]:
        """Return the facts in two columns, read downwards."""
        items = list(self.facts.items())
        half = (len(items) + 1) // 2
        items += [("", "")] * (2 * half - len(items))
        return list(zip(items[:half], items[half:]))

    def __str__(self) -> str:
        lines = self.table._lines()
        full = len(lines[0])
        half = full // 2 - 1
        head = [
            "  ".join(f"{name}{value.rjust(half - len(name))}" for name, value in pair)
            for pair in self._pairs()
        ]
        notes = [
            textwrap.fill(f"[{i}] {note}", full, subsequent_indent="    ")
            for i, note in enumerate(self.notes, 1)
        ]
        head = [self.title.center(full), "=" * full, *head]
        return "\n".join([*map(str.rstrip, head), *lines, *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        facts = (
            [cell for name, value in pair for cell in (("th", name), ("td", value))]
            for pair in self._pairs()
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"{_html(self.title, facts)}{self.table._repr_html_()}"
            f"{f'<ol>{notes}</ol>' if notes else ''}"
        )
