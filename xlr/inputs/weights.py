"""Validation of sample weights, class weights, offsets and start coefficients."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.inputs.features import Features
from xlr.inputs.tables import as_real
from xlr.text import quoted

NOT_FINITE = (
    "sample_weight contains NaN or infinity, or its sum overflows. Pass weights with a "
    "finite sum."
)
OFFSET_ENTRIES = (
    "a number for each row; with more than two classes, a number for each row and "
    "class."
)


def read_sample_weight(sample_weight: Any, features: Features) -> Array:
    """Return sample weights in the widest dtype on the device of X: (n_samples,).

    Raises
    ------
    ValueError
        If weights are negative, not finite, of another length or all zero.
    """
    weights = place_weights(sample_weight, features)
    check_totals(class_totals(weights))
    return weights


def place_weights(sample_weight: Any, features: Features) -> Array:
    """Return sample weights in the accumulation dtype on the device of X.

    They may be negative or not finite. None gives ones. A number is the weight of every
    sample.

    Raises
    ------
    ValueError
        If weights are of another length or not numbers.
    """
    n_samples, dtype = features.X.shape[0], features.accumulation_dtype
    if sample_weight is None or isinstance(sample_weight, Real):
        size = 1.0 if sample_weight is None else float(sample_weight)
        return features.xp.full(n_samples, size, dtype=dtype, device=features.device)
    weights = features.place(as_real(sample_weight, "sample_weight"), dtype)
    if tuple(weights.shape) != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {tuple(weights.shape)}, expected "
            f"({n_samples},): one weight for each row of X."
        )
    return weights


@arrays.quiet()
def class_totals(
    weights: Array, codes: Array | None = None, n_classes: int = 1
) -> np.ndarray:
    """Return the sums of the weights of each class, on the host: (n_classes,).

    Without codes, all rows are of one class.

    Raises
    ------
    ValueError
        If weights are negative or not finite.
    """
    if isinstance(codes, np.ndarray):  # a third of the time of products
        totals: np.ndarray = np.bincount(codes, weights, minlength=n_classes)
        smallest = weights.min()
    else:
        xp, dtype = arrays.namespace(weights), weights.dtype
        sums = [xp.sum(weights)]
        if codes is not None:
            sums = [weights @ xp.astype(codes == k, dtype) for k in range(n_classes)]
        numbers = arrays.to_host(xp.stack([*sums, xp.min(weights)])).astype(np.float64)
        totals, smallest = numbers[:-1], numbers[-1]
    if not np.isfinite(totals).all():  # a sum is NaN or infinite if a weight is
        raise ValueError(NOT_FINITE)
    if smallest < 0:
        raise ValueError(
            f"sample_weight contains negative values, such as {smallest}. Weights must "
            "be zero or positive."
        )
    return totals


def class_factors(class_weight: Any, classes: Array, totals: np.ndarray) -> np.ndarray:
    """Return the factors of ``class_weight`` for each class, on the host.

    Parameters
    ----------
    class_weight : dict or 'balanced'
    classes : array of shape (n_classes,)
    totals : ndarray of shape (n_classes,)
        Sums of the weights of each class.

    Raises
    ------
    ValueError
        If class weights are negative, not finite or of other classes.
    """
    names = arrays.to_host(classes).tolist()
    if class_weight == "balanced":
        factors = balanced_factors(totals)
    else:
        factors = np.asarray([class_weight.get(name, 1) for name in names], dtype=float)
        wrong = [key for key in class_weight if key not in names]
        unnamed = [name for name in names if name not in class_weight]
        if wrong and unnamed:  # else the keys are classes that these rows lack
            raise ValueError(
                f"The key {quoted(wrong[0])} of class_weight is not a class, and the "
                f"classes {quoted(unnamed)} are not in class_weight. Use labels of y."
            )
    if not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError(
            f"class_weight gives the weights {quoted(factors.tolist())} to the classes "
            f"{quoted(names)}. Weights must be finite, zero or positive."
        )
    return factors


@arrays.quiet()
def balanced_factors(totals: np.ndarray, *, one_vs_rest: bool = False) -> np.ndarray:
    """Return factors of the weights that give all classes with weight the same weight.

    Parameters
    ----------
    totals : ndarray of shape (..., n_classes)
        Sums of the weights of each class.
    one_vs_rest : bool, default=False
        Whether each class has its own model, of the other classes and the class.

    Returns
    -------
    ndarray of shape (..., n_classes), or (..., n_classes, 2) with ``one_vs_rest``
        Zero for a class without weight.
    """
    if one_vs_rest:
        # Differences from the total may round to zero, so sum the others.
        others = totals @ (1 - np.eye(totals.shape[-1]))
        totals = np.stack([others, totals], axis=-1)
    n_classes = np.count_nonzero(totals, axis=-1, keepdims=True)
    factors = totals.sum(axis=-1, keepdims=True) / (n_classes * totals)
    return np.where(totals == 0, 0.0, factors)


def check_totals(totals: np.ndarray) -> None:
    """Raise ValueError unless the sum of the totals is positive and finite."""
    if not np.isfinite(totals.sum()):
        raise ValueError(NOT_FINITE)
    if not totals.any():
        raise ValueError(
            "All weights are zero: sample_weight times class_weight must be positive "
            "for some rows."
        )


def read_start(
    coef: Any, intercept: Any, shape: tuple[int, int], features: Features
) -> tuple[Array, Array]:
    """Return start coefficients and intercepts on the device of X; zeros for None.

    Raises
    ------
    ValueError
        If they have another shape than ``coef_`` or are not finite numbers.
    """
    xp, dtype, starts = features.xp, features.accumulation_dtype, []
    given = ("coef_init", coef, shape), ("intercept_init", intercept, shape[:1])
    for name, values, expected in given:
        values = np.zeros(expected) if values is None else values
        start = features.place(as_real(values, name), dtype)
        # For two classes the leading 1 is optional, as for SGDClassifier.
        optional = expected[1:] if expected[0] == 1 else expected
        if tuple(start.shape) not in (expected, optional):
            raise ValueError(
                f"{name} has shape {tuple(start.shape)}, expected {expected} for these "
                "classes and features (with warm_start: the same as in the last fit)."
            )
        if not arrays.to_host(xp.all(xp.isfinite(start))):
            raise ValueError(f"{name} contains NaN or infinity.")
        starts.append(xp.reshape(start, expected))
    return starts[0], starts[1]


def finite_intercepts(intercept: Array) -> np.ndarray:
    """Return intercepts on the host, with zero for a class that a fit left out."""
    return np.nan_to_num(arrays.to_host(intercept), posinf=0.0, neginf=0.0)


def read_offset(
    offset: Any, features: Features, *, differentiable: bool = False
) -> Array:
    """Return the offset of the logits on the device of X: (n_samples, n_columns).

    With ``differentiable``, an offset of the library and the device of X keeps its
    derivatives.

    Raises
    ------
    ValueError
        Unless it holds a finite number for each row, or each row and class.
    """
    xp, n_samples = features.xp, features.X.shape[0]
    move = arrays.move_with_gradient if differentiable else arrays.move
    place = {"xp": xp, "device": features.device, "dtype": features.dtype}
    values = move(as_real(offset, "offset"), **place)
    if values.ndim not in (1, 2) or values.shape[0] != n_samples:
        raise ValueError(
            f"offset has shape {tuple(values.shape)}, expected ({n_samples},): "
            f"{OFFSET_ENTRIES}"
        )
    finite = xp.all(xp.isfinite(values))
    if not arrays.is_traced(finite) and not arrays.to_host(finite):
        raise ValueError("offset contains NaN or infinity.")
    return xp.reshape(values, (n_samples, -1))


def check_offset_columns(offset: Array | None, n_columns: int) -> None:
    """Raise ValueError unless an offset is None or has this number of columns."""
    if offset is not None and offset.shape[1] != n_columns:
        raise ValueError(
            f"offset has {offset.shape[1]} columns, expected {n_columns}: "
            f"{OFFSET_ENTRIES}"
        )
