"""Tables as text, as HTML and as data frames."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from xlr import arrays
from xlr.inputs.parameters import check_parameters

__all__ = ["Summary", "Table", "interval_columns", "wald_table", "z_values"]

WIDTH = 78  # characters


def printable(text: str) -> str:
    """Escape the characters that a terminal would act on, or not show."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


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
        """The numbers as a pandas DataFrame, with the names as its index.

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
                "pip install pandas"
            ) from error
        index: Any = list(self.index)
        if self.groups:
            groups = np.repeat(self.groups, len(index) // len(self.groups))
            index = pd.MultiIndex.from_arrays([groups, index])
        return pd.DataFrame(dict(self.columns), index=index)

    def _parts(self) -> list[tuple[str, list[tuple[str, list[str]]]]]:
        """Return groups of rows, as printed: the name of each row and its cells."""
        cells = [
            [_cell(name, values[i]) for name, values in self.columns.items()]
            for i in range(len(self.index))
        ]
        rows = list(zip(map(printable, self.index), cells))
        size = len(rows) // max(1, len(self.groups))
        names = [f"class {printable(group)}" for group in self.groups] or [""]
        return [(name, rows[g * size : (g + 1) * size]) for g, name in enumerate(names)]

    def __str__(self) -> str:
        return "\n".join([self.title.center(WIDTH).rstrip(), *self._lines()])

    __repr__ = __str__

    def _lines(self) -> list[str]:
        parts = self._parts()
        names = [
            name for group, rows in parts for name in (group, *(r[0] for r in rows))
        ]
        first = max(map(len, names))
        widths = [
            max(10, len(name), *(len(_cell(name, v)) for v in values))
            for name, values in self.columns.items()
        ]
        first = max(first, WIDTH - sum(width + 1 for width in widths))

        def line(name: str, cells: Sequence[str]) -> str:
            padded = [cell.rjust(width) for cell, width in zip(cells, widths)]
            return " ".join([name.ljust(first), *padded]).rstrip()

        full = first + sum(width + 1 for width in widths)
        lines = ["=" * full]
        for g, (group, rows) in enumerate(parts):
            heads = list(self.columns) if g == 0 or self.groups else []
            if g:
                lines.append("-" * full)
            lines += [line(group, heads), "-" * full]
            lines += [line(name, cells) for name, cells in rows]
        return [*lines, "=" * full]

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = []
        for group, rows in self._parts():
            body.append(f"<tr><th>{html.escape(group)}</th>{heads}</tr>")
            for name, cells in rows:
                numbers = "".join(
                    f'<td style="text-align: right">{html.escape(cell)}</td>'
                    for cell in cells
                )
                body.append(f"<tr><th>{html.escape(name)}</th>{numbers}</tr>")
        caption = f"<caption>{html.escape(self.title)}</caption>"
        return f"<table>{caption}{''.join(body)}</table>"


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
        """The table of coefficients as a pandas DataFrame."""
        return self.table.to_frame()

    def _pairs(self) -> list[list[tuple[str, str]]]:
        """Return the facts in two columns, read downwards."""
        items = [(name, printable(value)) for name, value in self.facts.items()]
        half = (len(items) + 1) // 2
        items += [("", "")] * (2 * half - len(items))
        return [list(pair) for pair in zip(items[:half], items[half:])]

    def __str__(self) -> str:
        lines = self.table._lines()
        full = len(lines[0])
        half = full // 2 - 1
        head = [
            "  ".join(
                f"{name}{(value).rjust(half - len(name))}" for name, value in pair
            ).rstrip()
            for pair in self._pairs()
        ]
        notes = [
            textwrap.fill(f"[{i}] {printable(note)}", full, subsequent_indent="    ")
            for i, note in enumerate(self.notes, 1)
        ]
        title = printable(self.title).center(full).rstrip()
        return "\n".join([title, "=" * full, *head, *lines, *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr>"
            + "".join(
                f"<th>{html.escape(name)}</th><td>{html.escape(value)}</td>"
                for name, value in pair
            )
            + "</tr>"
            for pair in self._pairs()
        )
        notes = "".join(
            f"<li>{html.escape(printable(note))}</li>" for note in self.notes
        )
        caption = f"<caption>{html.escape(printable(self.title))}</caption>"
        return (
            f"<table>{caption}{rows}</table>{self.table._repr_html_()}"
            f"{f'<ol>{notes}</ol>' if notes else ''}"
        )
