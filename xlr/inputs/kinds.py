"""Kinds and shapes of values: arrays, lists and tables of real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.inputs.tables import native


def accept(name: str, values: Any) -> Any:
    """Return an array, a list or a native table.

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
    is_known = arrays.is_sparse(values) or arrays.is_array(values)
    return values if is_known else native(values)


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
        raise ValueError(
            f"{name} is a single number, of shape (). Pass one for each row of X."
        )
    # Chunks of Dask have NaN rows where their sizes are not known.
    if abs(shape[0] - n_samples) > 0:
        raise ValueError(
            f"X and {name} have inconsistent numbers of samples: {n_samples} rows of "
            f"X, {shape[0]} of {name}. Pass one for each row."
        )
