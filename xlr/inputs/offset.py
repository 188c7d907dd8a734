"""Validation of offsets and of start coefficients."""

from __future__ import annotations

from typing import Any

from xlr import arrays
from xlr.arrays import Array
from xlr.inputs.features import Features
from xlr.inputs.kinds import as_real


def read_start(
    name: str, values: Any, shape: tuple[int, ...], features: Features
) -> Array:
    """Return start coefficients or intercepts on the device of X; zeros for None.

    Raises
    ------
    ValueError
        If their shape is wrong, or they are not finite numbers.
    """
    xp = features.xp
    wide = arrays.widest_float(xp=xp, device=features.device)
    if values is None:
        return xp.zeros(shape, dtype=wide, device=features.device)
    start = features.place(as_real(values, name), wide)
    # For two classes the leading 1 may be left out, as for SGDClassifier.
    allowed = [shape, shape[1:]] if shape[0] == 1 else [shape]
    if tuple(start.shape) not in allowed:
        raise ValueError(
            f"{name} has shape {tuple(start.shape)}, expected {shape} for these "
            "classes and features (with warm_start: the same as in the last fit)."
        )
    if not arrays.to_host(xp.all(xp.isfinite(start))):
        raise ValueError(f"{name} contains NaN or infinity.")
    return xp.reshape(start, shape)


def read_offset(offset: Any, features: Features) -> Array:
    """Return the offset of the logits on the device of X: (n_samples, n_columns).

    Raises
    ------
    ValueError
        If it is no number for each row, or row and class, or not finite.
    """
    xp, n_samples = features.xp, features.X.shape[0]
    values = features.place(as_real(offset, "offset"), features.dtype)
    shape = tuple(values.shape)
    if values.ndim not in (1, 2) or shape[0] != n_samples or shape[1:] == (1,):
        raise _wrong_shape(shape, f"({n_samples},)")
    if not arrays.to_host(xp.all(xp.isfinite(values))):
        raise ValueError("offset contains NaN or infinity.")
    return xp.reshape(values, (n_samples, -1))


def check_offset_columns(offset: Array | None, n_columns: int, n_samples: int) -> None:
    """Raise ValueError for an offset of another number of columns."""
    if offset is not None and offset.shape[1] != n_columns:
        given, expected = (
            (n_samples,) if columns == 1 else (n_samples, columns)
            for columns in (offset.shape[1], n_columns)
        )
        raise _wrong_shape(given, str(expected))


def _wrong_shape(shape: tuple[int, ...], expected: str) -> ValueError:
    return ValueError(
        f"offset has shape {tuple(shape)}, expected {expected}: a number for each "
        "row, with more than two classes for each row and class."
    )
