"""Reading what comes with X: labels, weights, offsets and where to start.

Each check ends in a sentence that says what was given, what is needed and what to
do; none of them changes the estimator.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d, compute_class_weight

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.estimators.features import Features
from xlr.estimators.tables import decoded, native_table

__all__ = [
    "Labels",
    "read_labels",
    "read_offset",
    "read_sample_weight",
    "read_start",
    "read_weights",
]


@dataclass(frozen=True)
class Labels:
    """The classes of y, and y as codes 0, 1, ... into them.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Sorted, in the library of y.
    codes : array of shape (n_samples,)
        Integers, in the library of y.
    """

    classes: Array
    codes: Array


def read_labels(y: Any, n_samples: int) -> Labels:
    """Find the classes in y.

    Raises
    ------
    ValueError
        If y is missing, of another length, not made of class labels, or holds
        fewer than two classes.
    """
    if y is None:
        raise ValueError(
            "LogisticRegression requires y to be passed, but the target y is None."
        )
    if arrays.is_array(y):
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim != 1:
            raise ValueError(f"y should be a 1d array, got shape {tuple(y.shape)}.")
        xp = arrays.namespace(y)
    else:
        y = column_or_1d(decoded(native_table(y)), warn=True)
        xp = arrays.namespace(y)
    if y.shape[0] != n_samples:
        raise ValueError(
            f"X and y have inconsistent numbers of samples: {n_samples} rows of X, "
            f"{y.shape[0]} entries of y. Pass one label for each row."
        )
    try:
        classes, codes = _classes_and_codes(y, xp=xp)
    except TypeError as error:
        _refuse_missing(arrays.to_host(y))
        raise ValueError(
            f"The labels in y cannot be sorted, because they mix types ({error}). Make "
            "them one type, for instance with y.astype(str)."
        ) from error
    _check_classes(arrays.to_host(classes))
    return Labels(classes, codes)


def _classes_and_codes(y: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """The sorted classes and the place of each label among them.

    Sorting many labels takes longer than some passes over X: the classes among the
    first are tried on all of them before.
    """
    if y.shape[0] > 10_000 and xp.isdtype(y.dtype, ("integral", "real floating")):
        classes = xp.unique_values(y[:1000])
        if classes.shape[0] <= 16:
            known = xp.zeros(y.shape, dtype=xp.bool, device=arrays.device_of(y))
            codes = xp.astype(known, xp.uint8)
            for k in range(classes.shape[0]):
                here = y == classes[k]
                known = known | here
                codes = codes + k * xp.astype(here, xp.uint8)
            if arrays.to_host(xp.all(known)):
                return classes, codes
    return xp.unique_inverse(y)


def _refuse_missing(labels: np.ndarray) -> None:
    n_missing = sum(map(_is_missing, labels.tolist()))
    if n_missing:
        raise ValueError(
            f"Input y contains missing labels, {n_missing} of {labels.shape[0]}. Drop "
            "the rows without a label."
        )


def _is_missing(label: Any) -> bool:
    # NaN is no number that equals itself; the others are those of pandas.
    if isinstance(label, float):
        return label != label
    return label is None or type(label).__name__ in ("NAType", "NaTType")


def _check_classes(classes: np.ndarray) -> None:
    if classes.dtype.kind in "OSV":
        _refuse_missing(classes)
        others = [label for label in classes.tolist() if not isinstance(label, str)]
        if others:
            raise ValueError(
                f"Unknown label type: unknown. y holds objects such as {others[0]!r}; "
                "labels are strings, whole numbers or booleans. Turn them into those, "
                "for instance with y.astype(str) or y.astype(int)."
            )
    if classes.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: y has dtype {classes.dtype}.")
    if classes.dtype.kind == "f":
        if not np.isfinite(classes).all():
            raise ValueError(
                "Input y contains NaN or infinity. Drop the rows without a label."
            )
        fractions = classes[classes % 1 != 0]
        if fractions.size:
            raise ValueError(
                "Unknown label type: continuous. y holds numbers that are not whole, "
                f"such as {fractions[0]}; logistic regression needs class labels. Cut "
                "the numbers into classes, or use a regression model."
            )
    if classes.shape[0] < 2:
        raise ValueError(
            f"y holds only one class, {classes.tolist()[0]!r}; logistic regression "
            "needs samples of at least two classes."
        )


def _as_real(values: Any, name: str) -> Array:
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
        try:
            values = np.asarray(decoded(values))
            if values.dtype.kind in "OUS":
                values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must hold real numbers: {error}.") from error
    if "complex" in str(values.dtype):
        raise ValueError(f"{name} must hold real numbers; got {values.dtype}.")
    return values


@arrays.quiet()
def read_sample_weight(sample_weight: Any, features: Features) -> Array:
    """Sample weights in the widest dtype where X is: (n_samples,).

    Raises
    ------
    ValueError
        If weights are not finite, negative, of another length, or all zero.
    """
    xp = features.xp
    weights = _place_weights(sample_weight, features)
    total, smallest = arrays.to_host(xp.stack([xp.sum(weights), xp.min(weights)]))
    _check_weights(total, float(smallest))
    if total == 0:
        raise ValueError("The weights are zero for all samples.")
    return weights


def _place_weights(sample_weight: Any, features: Features) -> Array:
    xp, n_samples = features.xp, features.X.shape[0]
    wide = arrays.widest_float(xp=xp, device=features.device)
    if sample_weight is None or isinstance(sample_weight, Real):
        size = 1.0 if sample_weight is None else float(sample_weight)
        return xp.full(n_samples, size, dtype=wide, device=features.device)
    weights = features.place(_as_real(sample_weight, "sample_weight"), wide)
    if tuple(weights.shape) != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {tuple(weights.shape)}, expected "
            f"({n_samples},): one weight for each row of X."
        )
    return weights


def _check_weights(totals: np.ndarray, smallest: float) -> None:
    if not np.isfinite(totals).all():
        raise ValueError(
            "sample_weight contains NaN or infinity, or its sum overflows. Pass finite "
            "weights of a usual size."
        )
    if smallest < 0:
        raise ValueError(
            f"sample_weight contains negative values (the smallest is {smallest}). "
            "Weights must be zero or positive."
        )


@arrays.quiet()
def read_weights(
    sample_weight: Any,
    class_weight: dict[Any, float] | str | None,
    labels: Labels,
    features: Features,
) -> Array:
    """Sample weights times class weights, in the widest dtype where X is: (n_samples,).

    Raises
    ------
    ValueError
        If weights are not finite, negative, of another length, or leave fewer than
        two classes.
    """
    xp = features.xp
    weights = _place_weights(sample_weight, features)
    wide = weights.dtype
    n_classes = labels.classes.shape[0]
    # Class by class: the sums say, in one transfer, all there is to check.
    codes = features.place(labels.codes, None)
    sums = [weights @ xp.astype(codes == k, wide) for k in range(n_classes)]
    numbers = arrays.to_host(xp.stack([*sums, xp.min(weights)])).astype(np.float64)
    totals = numbers[:-1]
    _check_weights(totals, numbers[-1])

    if class_weight is not None:
        host_classes = arrays.to_host(labels.classes)
        if class_weight == "balanced":
            with arrays.quiet():
                factors = totals.sum() / (n_classes * totals)
            factors[totals == 0] = 0
        else:
            factors = compute_class_weight(
                class_weight, classes=host_classes, y=host_classes
            )
        if not (np.isfinite(factors) & (factors >= 0)).all():
            raise ValueError(
                f"class_weight gives the weights {factors.tolist()} to the classes "
                f"{host_classes.tolist()}. Weights must be finite, zero or positive."
            )
        totals = totals * factors
        weights = weights * xp.take(features.place(factors, wide), codes)
    if (totals > 0).sum() < 2:
        raise ValueError(
            "The weights are zero for all samples, or for all but one class. Logistic "
            "regression needs samples of at least two classes with positive weights."
        )
    return weights


def read_start(
    name: str, values: Any, shape: tuple[int, ...], features: Features
) -> Array:
    """Coefficients or intercepts to start from; zeros for None.

    Raises
    ------
    ValueError
        If they are of another shape, not finite or no numbers.
    """
    xp = features.xp
    wide = arrays.widest_float(xp=xp, device=features.device)
    if values is None:
        return xp.zeros(shape, dtype=wide, device=features.device)
    start = features.place(_as_real(values, name), wide)
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


def read_offset(offset: Any, n_columns: int, features: Features) -> Array:
    """What is added to the logits: (n_samples, n_columns), where X is.

    Raises
    ------
    ValueError
        If it is of another shape, not finite or no numbers.
    """
    n_samples = features.X.shape[0]
    values = features.place(_as_real(offset, "offset"), features.X.dtype)
    expected = (n_samples,) if n_columns == 1 else (n_samples, n_columns)
    if tuple(values.shape) != expected:
        raise ValueError(
            f"offset has shape {tuple(values.shape)}, expected {expected}: a number "
            "for each row, with more than two classes for each row and class."
        )
    if not arrays.to_host(features.xp.all(features.xp.isfinite(values))):
        raise ValueError("offset contains NaN or infinity.")
    return features.xp.reshape(values, (n_samples, n_columns))
