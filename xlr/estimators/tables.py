"""Tables, column by column: their names, and those that hold no numbers."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

__all__ = ["column_names", "columns_on_device", "explain_columns", "refuse_dates"]


def column_names(X: Any) -> list[Any] | None:
    """The names of the columns of a table; None for what is no table.

    A table is what pandas, polars, PyArrow and cuDF call so.
    """
    for attribute in ("column_names", "columns"):
        names = getattr(X, attribute, None)
        if names is not None and not callable(names):
            return list(names)
    return None


def columns_on_device(X: Any) -> Any | None:
    """The numbers of a cuDF table, as a CuPy array; None for anything else."""
    return X.to_cupy() if hasattr(X, "to_cupy") else None


def refuse_dates(X: Any) -> None:
    """Raise ValueError if a table has columns of dates or times.

    NumPy would turn them into numbers without a word.
    """
    names = column_names(X)
    if names is None:
        return
    # The dtypes alone, for this is asked before each prediction.
    dtypes = X.dtypes if hasattr(X, "dtypes") else X.schema.types
    dates = [
        name
        for name, dtype in zip(names, dtypes)
        if getattr(dtype, "kind", "") in ("m", "M")  # pandas
        or getattr(dtype, "is_temporal", bool)()  # polars
        or str(dtype).startswith(("date", "time", "duration"))  # PyArrow
    ]
    if dates:
        raise ValueError(
            f"{_named(dates)} of X {_hold(dates)} dates or times. Turn them into "
            "numbers first, such as days since a date or the month."
        )


def explain_columns(X: Any, error: Exception) -> NoReturn:
    """Raise ``error``, or one that names the columns of a table that caused it."""
    wrong = []
    for name, column in _columns(X):
        try:
            np.asarray(column).astype(np.float64)
        except (TypeError, ValueError):
            wrong.append(name)
    if not wrong:
        raise error
    raise ValueError(
        f"{_named(wrong)} of X {_hold(wrong)} no numbers. Encode them, for instance "
        "with sklearn.compose.make_column_transformer((OneHotEncoder(), "
        f"{[str(name) for name in wrong[:3]]}), remainder='passthrough') in a pipeline."
    ) from error


def _columns(X: Any) -> list[tuple[Any, Any]]:
    names = column_names(X)
    if names is None:
        return []
    if hasattr(X, "iloc"):  # two columns may have the same name
        return [(name, X.iloc[:, j]) for j, name in enumerate(names)]
    return [(name, X[name]) for name in names]


def _named(names: list[Any]) -> str:
    """Column 'a', or columns 'a', 'b' and so on."""
    shown = ", ".join(repr(str(name)) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"Column {shown}" if len(names) == 1 else f"Columns {shown}{more}"


def _hold(names: list[Any]) -> str:
    return "holds" if len(names) == 1 else "hold"
