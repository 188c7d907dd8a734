"""Labels as classes and the number of each.

Each check ends in a sentence that says what was given, what is needed and what to
do; none of them changes the estimator.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.inputs.kinds import accept
from xlr.text import quoted

NO_LABELS = "LogisticRegression requires y to be passed, but the target y is None."


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
    """Find the classes in y, and the number of each label among them.

    Raises
    ------
    ValueError
        If y is of another length, or not made of class labels.
    """
    y = accept("y", y)
    if not (isinstance(y, np.ndarray) and y.ndim == 1):
        _refuse_mixed_list(y)
        if arrays.is_array(y):
            if y.ndim == 2 and y.shape[1] == 1:
                y = y[:, 0]
            _refuse_matrix(y)
        else:
            y = with_plain_integers(y)
            _refuse_matrix(y)
            y = column_or_1d(y, warn=True)
    xp = arrays.namespace(y)
    if y.shape[0] != n_samples:
        raise ValueError(
            f"X and y have inconsistent numbers of samples: {n_samples} rows of X, "
            f"{y.shape[0]} entries of y. Pass one label for each row."
        )
    try:
        with arrays.current_device(y):
            classes, codes = _classes_and_codes(y, xp=xp)
    except TypeError as error:
        _refuse_missing(_are_missing(arrays.to_host(y)), y.shape[0])
        raise mixed_types(error) from error
    _check_classes(arrays.to_host(classes))
    return Labels(classes, codes)


def with_plain_integers(y: Any) -> Any:
    """Return pandas' nullable integers and booleans as NumPy's, all else as it is.

    NumPy would make floats of them, which hold no integers above 2**53.

    Raises
    ------
    ValueError
        If some are missing.
    """
    if getattr(y, "ndim", 1) == 2 and hasattr(type(y), "iloc") and y.shape[1] == 1:
        plain = with_plain_integers(y.iloc[:, 0])
        return plain[:, None] if isinstance(plain, np.ndarray) else y
    dtype = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if dtype is None or dtype.kind not in "biu":
        return y
    _refuse_missing(y.isna(), y.shape[0])
    return y.to_numpy(dtype=dtype)


def _refuse_matrix(y: Any) -> None:
    """Raise ValueError for labels in columns, and say what they look like."""
    try:
        shape = tuple(y.shape if hasattr(y, "shape") else np.asarray(y).shape)
    except ValueError:  # a list of lists of unlike lengths
        return
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        return
    advice = "Pass one label for each row."
    values = arrays.to_host(y) if arrays.is_array(y) else np.asarray(y)
    if len(shape) == 2 and np.isin(values, [0, 1]).all():
        if (values.sum(axis=1) == 1).all():
            advice = (
                "It is one-hot, with one 1 in each row: pass the positions, "
                "numpy.asarray(y).argmax(axis=1)."
            )
        else:
            advice = (
                "It holds a column of 0 and 1 for each label: use "
                "xlr.MultiLabelLogisticRegression."
            )
    elif len(shape) == 2 and np.issubdtype(values.dtype, np.number):
        advice += " Class probabilities or counts become labels by xlr.soft_labels(y)."
    raise ValueError(f"y should be a 1d array, got shape {shape}. {advice}")


def _refuse_mixed_list(y: Any) -> None:
    """Raise ValueError for a list of strings and numbers, that NumPy makes strings."""
    if not isinstance(y, list | tuple):
        return
    kinds = {type(label) for label in y}
    numbers = sorted(kind.__name__ for kind in kinds if issubclass(kind, Number))
    if numbers and any(issubclass(kind, str) for kind in kinds):
        _refuse_missing(map(is_missing, y), len(y))
        raise mixed_types(TypeError(f"str and {', '.join(numbers)}"))


def mixed_types(error: TypeError) -> ValueError:
    """Return the error for labels that cannot be sorted."""
    return ValueError(
        f"The labels in y cannot be sorted, because they mix types ({error}). Make "
        "them one type, for instance with y.astype(str)."
    )


def _classes_and_codes(y: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the sorted classes and the number of each label among them.

    Sorting many labels takes longer than some passes over X: the classes among the
    first are tried on all of them before. The host sorts where the library has no
    shapes that depend on values.
    """
    capabilities = xp.__array_namespace_info__().capabilities()
    host = arrays.in_place(y)
    if not capabilities["data-dependent shapes"] or host is not y:
        classes, codes = _classes_and_codes(arrays.to_host(y), xp=np)
        place = {"xp": xp, "device": arrays.device_of(y)}
        return arrays.move(classes, dtype=y.dtype, **place), arrays.move(codes, **place)
    if y.shape[0] > 10_000 and xp.isdtype(y.dtype, ("integral", "real floating")):
        classes = xp.sort(xp.unique_values(y[:1000]))
        if classes.shape[0] <= 16:
            known = xp.zeros(y.shape, dtype=xp.bool, device=arrays.device_of(y))
            codes = xp.astype(known, xp.uint8)
            for k in range(classes.shape[0]):
                here = y == classes[k]
                known = known | here
                codes = codes + k * xp.astype(here, xp.uint8)
            if arrays.to_host(xp.all(known)):
                return classes, codes
    if xp is np:  # the order of its unique_inverse is not promised
        return np.unique(y, return_inverse=True)
    return xp.unique_inverse(y)


def _are_missing(labels: np.ndarray) -> Iterable[bool]:
    return map(is_missing, labels.tolist())


def _refuse_missing(missing: Iterable[bool], n_labels: int) -> None:
    n_missing = int(sum(missing))
    if n_missing:
        raise ValueError(
            f"Input y contains missing labels, {n_missing} of {n_labels}. Drop "
            "the rows without a label."
        )


def is_missing(label: Any) -> bool:
    """Return whether a label is None, NaN, or NA or NaT of pandas or NumPy."""
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    # NaN and NumPy's NaT differ from themselves.
    return isinstance(label, Number | np.generic) and bool(label != label)


def _check_classes(classes: np.ndarray) -> None:
    if classes.dtype.kind in "OSV":
        _refuse_missing(_are_missing(classes), classes.shape[0])
        others = [label for label in classes.tolist() if not isinstance(label, str)]
        if others:
            raise ValueError(
                "Unknown label type: unknown. y holds objects such as "
                f"{quoted(others[0])}; labels are strings, whole numbers or booleans. "
                "Turn them into those, for instance with y.astype(str) or "
                "y.astype(int)."
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
            advice = "Cut the numbers into classes, or use a regression model."
            if classes.min() >= 0 and classes.max() <= 1:
                advice = (
                    "If y is a share of successes, pass xlr.soft_labels(y), with "
                    "the numbers of trials as sample_weight if there are any."
                )
            raise ValueError(
                "Unknown label type: continuous. y holds numbers that are not whole, "
                f"such as {fractions[0]}; logistic regression needs class labels. "
                f"{advice}"
            )


def check_number(classes: Array) -> None:
    """Raise ValueError for a single class."""
    if classes.shape[0] < 2:
        only = arrays.to_host(classes).tolist()[0]
        raise ValueError(
            f"y holds only one class, {quoted(only)}; logistic regression needs "
            "samples of at least two classes."
        )
