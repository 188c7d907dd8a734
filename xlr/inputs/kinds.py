"""Kinds and shapes of values: arrays, lists and tables of real numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.inputs.tables import native
from xlr.text import printable


def accept(name: str, values: Any) -> Any:
    """Return an array, a list or a native table, or raise an error.

    Raises
    ------
    TypeError
        For iterators, which can be read only once, sets, dicts and lazy tables.
    ValueError
        For masked, structured and complex arrays.
    """
    if isinstance(values, np.ndarray):
        if type(values) is np.ndarray and values.dtype.kind in "biuf":
            return values
        if np.ma.is_masked(values):
            raise ValueError(
                f"{name} has {np.ma.count_masked(values)} masked entries, without a "
                f"value. Drop those rows, or fill the entries ({name}.filled)."
            )
        if values.dtype.names is not None:
            fields = ", ".join(map(printable, values.dtype.names[:5]))
            raise ValueError(
                f"{name} holds records, with fields {fields}. Pass "
                "numpy.lib.recfunctions.structured_to_unstructured, or a table."
            )
        if values.dtype.kind == "c":
            raise ValueError(
                f"Complex data not supported: {name} has dtype {values.dtype}."
            )
        return values
    if arrays.is_sparse(values):  # SciPy's dok format is a dict, too
        return values
    if isinstance(values, Iterator | Set | Mapping):
        advice = f"list({name})"
        if isinstance(values, Mapping):
            advice = f"pandas.DataFrame({name})"
        elif hasattr(values, "read_all"):  # a reader of PyArrow
            advice = f"{name}.read_all()"
        raise TypeError(
            f"{name} must be an array, a list or a table; got a "
            f"{type(values).__name__}. Pass {advice}."
        )
    return values if arrays.is_array(values) else native(values)


def as_real(values: Any, name: str) -> Array:
    """Return real numbers as an array; arrays of other libraries than NumPy unchanged.

    Raises
    ------
    ValueError
        If the values are sparse, complex or not numbers.
    """
    values = accept(name, values)
    if arrays.is_sparse(values):
        raise ValueError(
            f"{name} must be dense; got a sparse {type(values).__name__} of shape "
            f"{tuple(values.shape)}. Pass {name}.toarray()."
        )
    if not arrays.is_array(values):
        try:
            values = np.asarray(values)
            if values.dtype.kind in "OUS":
                values = values.astype(np.float64)
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
        raise ValueError(
            f"{name} is a single number, of shape (). Pass one for each row of X."
        )
    # Chunks of Dask have NaN rows where their sizes are not known.
    if abs(shape[0] - n_samples) > 0:
        raise ValueError(
            f"X and {name} have inconsistent numbers of samples: {n_samples} rows of "
            f"X, {shape[0]} of {name}. Pass one for each row."
        )
