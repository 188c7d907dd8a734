"""Kinds of values: arrays, lists, and tables of pandas, polars, PyArrow and cuDF.

Native tables stay native: narwhals recognises them, and reads them column by column
to find the columns that an error names.
"""

from __future__ import annotations

from numbers import Number
from typing import Any, NoReturn

import narwhals.stable.v2 as nw
import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.text import listed, printable, quoted


def is_table(X: Any) -> bool:
    """Return whether X is a table in memory, of any library that narwhals knows."""
    # Most tables are of pandas, and this check is much faster than the other.
    return nw.dependencies.is_pandas_dataframe(X) or (
        nw.dependencies.is_into_dataframe(X)
    )


def native(values: Any, *, decode: bool = True) -> Any:
    """Return a table or a column in its own library, and anything else unchanged.

    The result has no narwhals wrapper. A batch of PyArrow becomes a table. With
    ``decode``, PyArrow's dictionaries become the values that they encode: NumPy reads
    the code of a missing value as the last value.

    Raises
    ------
    TypeError
        If the table is not computed yet.
    ValueError
        If columns share a name.
    """
    values = nw.to_native(values, pass_through=True)
    if nw.dependencies.is_pandas_series(values) or (
        nw.dependencies.is_pandas_dataframe(values) and values.columns.is_unique
    ):
        return values  # the checks below take as long as a prediction
    if (pyarrow := nw.dependencies.get_pyarrow()) is not None:
        if isinstance(values, pyarrow.RecordBatch):
            values = pyarrow.Table.from_batches([values])
        values = _decoded(values, pyarrow) if decode else values
    if isinstance(nw.from_native(values, pass_through=True), nw.LazyFrame):
        raise TypeError(
            f"A {type(values).__name__} has no numbers until it is computed: call its "
            ".collect() or .to_arrow_table(), and pass the table in memory."
        )
    return values


def _decoded(values: Any, pyarrow: Any) -> Any:
    def plain(dtype: Any) -> Any:
        return dtype.value_type if pyarrow.types.is_dictionary(dtype) else dtype

    if isinstance(values, pyarrow.Table):
        fields = [field.with_type(plain(field.type)) for field in values.schema]
        return values.cast(pyarrow.schema(fields))
    if isinstance(values, pyarrow.Array | pyarrow.ChunkedArray):
        return values.cast(plain(values.type))
    return values


def accept(name: str, values: Any) -> Any:
    """Return arrays and lists unchanged, and tables without their narwhals wrapper.

    An X keeps PyArrow's dictionaries, which are categories.

    Raises
    ------
    TypeError, ValueError
        For lazy tables, and for entries that are masked.
    """
    if isinstance(values, np.ndarray):
        if np.ma.is_masked(values):
            raise ValueError(
                f"{name} has {np.ma.count_masked(values)} masked entries, without a "
                f"value. Drop those rows, or fill the entries ({name}.filled)."
            )
        return values
    is_known = arrays.is_sparse(values) or arrays.is_foreign(values, name)
    return values if is_known else native(values, decode=name != "X")


def refuse_sparse(name: str, values: Any) -> None:
    """Raise ValueError for a sparse matrix."""
    if arrays.is_sparse(values):
        raise ValueError(
            f"{name} must be dense; got a sparse {type(values).__name__} of shape "
            f"{tuple(values.shape)}. Pass {name}.toarray()."
        )


def as_real(values: Any, name: str) -> Array:
    """Return real numbers as an array; arrays of other libraries than NumPy unchanged.

    Raises
    ------
    ValueError
        If the values are sparse, complex or not numbers.
    """
    values = accept(name, values)
    refuse_sparse(name, values)
    if not arrays.is_foreign(values):
        values = np.asarray(values)
        try:
            values = values if values.dtype.kind in "biufcmM" else values.astype(float)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must hold real numbers: {error}.") from error
    if "complex" in str(values.dtype) or getattr(values.dtype, "kind", "f") in "mM":
        raise ValueError(f"{name} must hold real numbers; got {values.dtype}.")
    return values


def check_2d(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless an X of this shape is a matrix."""
    if len(shape) != 2:
        raise ValueError(
            f"Expected 2D array, got an X of shape {shape} instead. Reshape your data: "
            "X.reshape(-1, 1) for a single feature, X.reshape(1, -1) for a single row."
        )


def check_n_rows(name: str, shape: tuple[int, ...], n_samples: float) -> None:
    """Raise ValueError unless values of this shape have one entry for each row of X."""
    if not shape:
        raise ValueError(f"{name} is a single number. Pass one for each row of X.")
    # Chunks of Dask have NaN rows where their sizes are not known.
    if abs(shape[0] - n_samples) > 0:
        raise ValueError(
            f"X and {name} have inconsistent numbers of samples: {n_samples} rows of "
            f"X, {shape[0]} of {name}. Pass one for each row."
        )


def to_matrix(X: Any) -> Any:
    """Return the numbers of a native table: NumPy's, or CuPy's for cuDF.

    Sparse columns of pandas become a sparse matrix. Tables of pandas with columns of
    other types than NumPy's numbers are returned unchanged: scikit-learn reads them and
    their missing values.

    Raises
    ------
    ValueError
        For dates and times, which NumPy reads as numbers of some unit.
    """
    if nw.dependencies.is_pandas_like_dataframe(X):
        dtypes = list(X.dtypes)
        levels = [getattr(dtype, "categories", None) for dtype in dtypes]
        value_dtypes = [getattr(a, "dtype", b) for a, b in zip(levels, dtypes)]
        has_dates = any(dtype.kind in "mM" for dtype in value_dtypes)
    else:
        X = native(X)
        dtypes = list(nw.from_native(X).schema.values())
        has_dates = any(dtype.is_temporal() for dtype in dtypes)
    if has_dates:
        raise ValueError("X holds dates or times")
    if nw.dependencies.is_cudf_dataframe(X):
        return X.to_cupy()
    if not nw.dependencies.is_pandas_like_dataframe(X):
        return np.asarray(X)
    if all(isinstance(dtype, np.dtype) and dtype.kind in "fiu" for dtype in dtypes):
        return X.to_numpy()
    if not all(hasattr(dtype, "fill_value") for dtype in dtypes):
        return X
    if len(set(dtypes)) > 1:  # scikit-learn fails on numbers and truth values
        common = np.result_type(*(dtype.subtype for dtype in dtypes))
        X = X.astype(type(dtypes[0])(common, common.type(0)))
    return X.sparse.to_coo()


def raise_with_columns(X: Any, error: Exception) -> NoReturn:
    """Raise ``error``, or an error that names the columns of X that caused it."""
    columns: list[tuple[Any, Any]] = []
    if is_table(X):
        frame = nw.from_native(native(X))
        columns = list(zip(frame.columns, frame.iter_columns()))
    elif isinstance(X, np.ndarray | list | tuple) and np.ndim(X) == 2:
        entries = np.asarray(X, dtype=getattr(X, "dtype", object))
        columns = list(enumerate(entries.T))
    contents = {name: _content_of(column) for name, column in columns}
    if wrong := [name for name, content in contents.items() if content == "words"]:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{columns_hold(wrong)} no numbers: {printable(error)}. Turn dates into "
            "numbers, such as days since a date. Encode categories, for instance with "
            "sklearn.compose.make_column_transformer((OneHotEncoder(), "
            f"[{', '.join(map(quoted, wrong[:3]))}]), remainder='passthrough') in a "
            "pipeline, or name them in categorical, for a table."
        ) from error
    if missing := [name for name, content in contents.items() if content == "missing"]:
        raise ValueError(
            f"{columns_hold(missing)} missing values. Drop those rows, or impute them "
            "(sklearn.impute.SimpleImputer)."
        ) from error
    raise error


def _content_of(column: Any) -> str:
    """Return whether a column holds numbers, words, or numbers and missing values."""
    values = column if isinstance(column, np.ndarray) else column.to_numpy()
    known = [value for value in values.tolist() if not is_missing(value)]
    for entries, content in ((values, "numbers"), (np.asarray(known), "missing")):
        if entries.ndim > 1 or entries.dtype.kind in "mM":  # lists, dates or times
            break
        try:
            # Complex numbers are numbers: scikit-learn's own sentence explains them.
            entries.astype(np.complex128)
        except (TypeError, ValueError):
            continue
        return content
    return "words"


def is_missing(label: Any) -> bool:
    """Return whether a label is None, NaN, or NA or NaT of pandas or NumPy."""
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    # NaN and NumPy's NaT differ from themselves.
    return isinstance(label, Number | np.generic) and bool(label != label)


def columns_hold(names: list[Any]) -> str:
    """Return the subject and the verb of a sentence about columns of X."""
    several = len(names) > 1
    return f"Column{'s' * several} {listed(names)} of X hold{'s' * (not several)}"
