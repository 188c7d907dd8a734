"""What values are: real numbers, or what NumPy would make something else of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.inputs.tables import decoded

__all__ = ["as_real", "refuse_kind"]


def refuse_kind(name: str, values: Any) -> None:
    """Raise unless ``values`` may be an array, or a list or table of such.

    Raises
    ------
    TypeError
        For iterators, which can be read but once, sets and dicts.
    ValueError
        For masked, structured and complex arrays.
    """
    if arrays.is_sparse(values):  # of which one kind is a dict
        return
    if isinstance(values, Iterator | Set | Mapping):
        advice = f"list({name})"
        if isinstance(values, Mapping):
            advice = f"pandas.DataFrame({name})"
        raise TypeError(
            f"{name} must be an array, a list or a table; got a "
            f"{type(values).__name__}. Pass {advice}."
        )
    if not isinstance(values, np.ndarray):
        return
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} has {np.ma.count_masked(values)} masked entries, which would be "
            "read as if they were not. Drop those rows, or fill in what is missing "
            f"({name}.filled)."
        )
    if values.dtype.names is not None:
        raise ValueError(
            f"{name} holds records, with fields {', '.join(values.dtype.names[:5])}. "
            "Pass numpy.lib.recfunctions.structured_to_unstructured, or a table."
        )
    if values.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} has dtype {values.dtype}."
        )


def as_real(values: Any, name: str) -> Array:
    """Arrays of other libraries as they are, all else as a NumPy array of numbers.

    Raises
    ------
    ValueError
        If the values are sparse, complex or no numbers at all.
    """
    if arrays.is_sparse(values):
        raise ValueError(
            f"{name} must be dense; got a sparse {type(values).__name__} of shape "
            f"{tuple(values.shape)}. Pass {name}.toarray()."
        )
    if not arrays.is_array(values):
        refuse_kind(name, values)
        try:
            values = np.asarray(decoded(values))
            if values.dtype.kind in "OUS":
                values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must hold real numbers: {error}.") from error
    if "complex" in str(values.dtype) or getattr(values.dtype, "kind", "f") in "mM":
        raise ValueError(f"{name} must hold real numbers; got {values.dtype}.")
    return values
