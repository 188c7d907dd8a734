"""Tables of pandas, polars, PyArrow, narwhals and cuDF: their names and numbers.

What a table can do is asked of its type: pandas hands out columns as attributes, and
they may have any name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.sparse import issparse

__all__ = [
    "column_dtypes",
    "column_names",
    "columns",
    "columns_on_device",
    "decoded",
    "native_table",
    "numbers",
]


def native_table(X: Any) -> Any:
    """The table that narwhals wraps, a batch of PyArrow as a table, else X itself.

    Raises
    ------
    TypeError
        If it is a table that is not computed yet.
    """
    if _has(X, "to_native"):
        X = X.to_native()
    if type(X).__name__ == "LazyFrame":
        raise TypeError(
            "A LazyFrame has no numbers until it is computed: call its .collect(), and "
            "pass the table in memory."
        )
    if type(X).__name__ == "RecordBatch":
        # scikit-learn asks tables alone for names; this one shares the memory.
        return type(X.schema.empty_table()).from_batches([X])
    return X


def column_names(X: Any) -> list[Any] | None:
    """The names of the columns of a table; None for what is no table."""
    for attribute in ("column_names", "columns"):  # those of PyArrow are arrays
        if _has(X, attribute):
            return list(getattr(X, attribute))
    return None


def column_dtypes(X: Any) -> list[Any]:
    """What each column of a table holds; empty for what does not say it."""
    if _has(X, "columns") and _has(X, "dtypes"):
        return list(X.dtypes)
    return list(X.schema.types) if _of_pyarrow(X) else []


def columns(X: Any) -> Iterable[Any]:
    """The columns of a table, of which some may share a name."""
    if _has(X, "iloc"):
        return (X.iloc[:, j] for j in range(X.shape[1]))
    if _of_pyarrow(X):
        return map(decoded, X.itercolumns())
    return X.iter_columns() if _has(X, "iter_columns") else ()


def columns_on_device(X: Any) -> Any | None:
    """The numbers of a cuDF table, as a CuPy array; None for anything else."""
    return X.to_cupy() if _has(X, "to_cupy") else None


def numbers(X: Any) -> Any:
    """A matrix, dense or sparse, from a table or anything else that NumPy reads.

    Dense tables of pandas stay as they are: scikit-learn knows what can be in them.
    """
    if isinstance(X, np.ndarray) or issparse(X):
        return X
    if _has(X, "iloc"):
        return _sparse_matrix(X) if _all_sparse(X) else X
    if _of_pyarrow(X):
        for i, dtype in enumerate(X.schema.types):
            if _of_codes(dtype):
                X = X.set_column(i, X.column_names[i], decoded(X.column(i)))
    return np.asarray(decoded(X))


def decoded(column: Any) -> Any:
    """A column of PyArrow with the values that its codes stand for, else as it is.

    NumPy would take the last of the values for one that is missing.
    """
    if _has(column, "type") and _of_codes(column.type):
        return column.cast(column.type.value_type)
    return column


def _has(X: Any, attribute: str) -> bool:
    return hasattr(type(X), attribute)


def _of_pyarrow(X: Any) -> bool:
    return _has(X, "column_names") and _has(X, "schema")


def _of_codes(dtype: Any) -> bool:
    return _has(dtype, "index_type") and _has(dtype, "value_type")


def _all_sparse(X: Any) -> bool:
    dtypes = column_dtypes(X)
    return bool(dtypes) and all(_has(dtype, "fill_value") for dtype in dtypes)


def _sparse_matrix(X: Any) -> Any:
    """The matrix of a table of pandas whose columns are all sparse.

    scikit-learn would change float32, leave truth values, and fail on columns of both.
    """
    dtypes = column_dtypes(X)
    subtypes = [dtype.subtype for dtype in dtypes]
    if any(subtype != subtypes[0] for subtype in subtypes):
        common = np.result_type(*subtypes)
        X = X.astype(type(dtypes[0])(common, common.type(0)))
    return X.sparse.to_coo()
