"""Columns of X that hold no numbers: refused by their names."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from xlr.inputs.tables import column_dtypes, column_names, columns

__all__ = ["explain_columns", "refuse_columns", "refuse_matrix"]

# What NumPy would turn into numbers without a word, or refuse without a name: how the
# names of its dtypes begin, in NumPy, pandas, polars and PyArrow, and what to do.
_NO_NUMBERS = {
    "dates or times": (
        ("date", "time", "duration", "period"),
        "Turn them into numbers first, such as days since a date or the month.",
    ),
    "bytes": (
        ("binary", "large_binary", "fixed_size_binary"),
        "Turn them into numbers first.",
    ),
    "lists or records": (
        ("list", "large_list", "fixed_size_list", "array", "struct", "map"),
        "Give each of their values a column of its own first.",
    ),
    "complex numbers": (
        ("complex",),
        "Complex data not supported: give real and imaginary parts a column each.",
    ),
}


def refuse_columns(X: Any) -> None:
    """Raise ValueError if the dtypes of a table are not those of numbers.

    The dtypes alone, for this is asked before each prediction.
    """
    names, dtypes = column_names(X), column_dtypes(X)
    if names is None or not dtypes:
        return
    # Few objects, mostly; those with categories would take long to hash.
    objects = {id(dtype): dtype for dtype in dtypes}
    contents = {key: _content(dtype) for key, dtype in objects.items()}
    for content, (_, advice) in _NO_NUMBERS.items():
        if content in contents.values():
            found = [n for n, d in zip(names, dtypes) if contents[id(d)] == content]
            raise ValueError(f"{_named(found)} {_hold(found)} {content}. {advice}")
    if all(hasattr(dtype, "fill_value") for dtype in dtypes):
        found = [n for n, dtype in zip(names, dtypes) if dtype.fill_value != 0]
        if found:
            raise ValueError(
                f"{_named(found)} {_hold(found)} sparse values whose fill value is not "
                "0. Pass X.sparse.to_dense()."
            )


def refuse_matrix(X: Any) -> None:
    """Raise ValueError if a matrix of NumPy or SciPy holds dates or times.

    Those alone: scikit-learn refuses what else is no number.
    """
    if X.dtype.kind in ("m", "M"):
        content = "dates or times"
        raise ValueError(
            f"X holds {content}: its dtype is {X.dtype}. {_NO_NUMBERS[content][1]}"
        )


def explain_columns(X: Any, error: Exception) -> NoReturn:
    """Raise ``error``, or one that names the columns of a table that caused it."""
    names = column_names(X)
    if names is None:
        raise error
    wrong: list[Any] = []
    missing: list[Any] = []
    for name, column in zip(names, columns(X)):
        if _is_numeric(column):
            continue
        # pandas alone has missing values that are no floats.
        known = column.dropna() if hasattr(type(column), "dropna") else column
        (missing if _is_numeric(known) else wrong).append(name)
    if wrong:
        raise ValueError(
            f"{_named(wrong)} {_hold(wrong)} no numbers. Encode them, for instance "
            "with sklearn.compose.make_column_transformer((OneHotEncoder(), "
            f"{[str(name) for name in wrong[:3]]}), remainder='passthrough') in a "
            "pipeline."
        ) from error
    if missing:
        raise ValueError(
            f"{_named(missing)} {_hold(missing)} missing values. Drop those rows, or "
            "impute them (sklearn.impute.SimpleImputer)."
        ) from error
    raise error


def _content(dtype: Any) -> str | None:
    """What a column holds that is no number, as far as its dtype tells."""
    dtype = getattr(dtype, "pyarrow_dtype", dtype)  # pandas, on top of PyArrow
    if hasattr(dtype, "index_type"):  # codes of PyArrow
        dtype = dtype.value_type
    # Sparse columns of pandas and categories, which are codes.
    dtype = getattr(dtype, "subtype", dtype)
    dtype = getattr(getattr(dtype, "categories", None), "dtype", dtype)
    name = str(dtype).lower()
    for content, (beginnings, _) in _NO_NUMBERS.items():
        if name.startswith(beginnings):
            return content
    return None


def _is_numeric(column: Any) -> bool:
    try:
        # Complex numbers are numbers, of which scikit-learn says all there is to say.
        np.asarray(column).astype(np.complex128)
    except (TypeError, ValueError):
        return False
    return True


def _named(names: list[Any]) -> str:
    """Column 'a' of X, or columns 'a', 'b' and so on."""
    shown = ", ".join(repr(str(name)) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"Column {shown} of X" if len(names) == 1 else f"Columns {shown}{more} of X"


def _hold(names: list[Any]) -> str:
    return "holds" if len(names) == 1 else "hold"
