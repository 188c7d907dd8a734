"""Labels as sorted classes and the class code of each row."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.inputs.tables import accept, check_n_rows, is_missing
from xlr.text import quoted


def read_labels(y: Any, n_samples: int) -> tuple[Array, Array]:
    """Return the sorted classes of y, and codes 0, 1, ... into them, in its library.

    Raises
    ------
    ValueError
        If y is of another length, or does not hold class labels.
    """
    y = accept("y", y)
    if not (isinstance(y, np.ndarray) and y.ndim == 1):
        _refuse_mixed_list(y)
        y = with_plain_integers(y)
        _refuse_matrix(y)
        if arrays.is_array(y):
            y = y[:, 0] if y.ndim == 2 else y
        else:
            y = column_or_1d(y, warn=True)
    check_n_rows("y", y.shape, n_samples)
    try:
        with arrays.current_device(y):
            classes, codes = _classes_and_codes(y, xp=arrays.namespace(y))
    except TypeError as error:
        _refuse_missing(arrays.to_host(y).tolist())
        raise mixed_types(error) from error
    _check_classes(arrays.to_host(classes))
    return classes, codes


def with_plain_integers(y: Any) -> Any:
    """Return nullable integers and booleans of pandas as NumPy's, all else unchanged.

    NumPy would make them float64, which cannot hold all integers above 2**53.

    Raises
    ------
    ValueError
        If labels are missing.
    """
    if getattr(y, "ndim", 1) == 2 and hasattr(type(y), "iloc") and y.shape[1] == 1:
        plain = with_plain_integers(y.iloc[:, 0])
        return plain[:, None] if isinstance(plain, np.ndarray) else y
    dtype = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if dtype is None or dtype.kind not in "biu":
        return y
    if y.isna().any():
        _refuse_missing(y.tolist())
    return y.to_numpy(dtype=dtype)


def _refuse_matrix(y: Any) -> None:
    """Raise ValueError for labels in several columns, with advice for their kind."""
    shape = tuple(getattr(y, "shape", None) or np.asarray(y).shape)
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        return
    advice = "Pass one label for each row."
    values = arrays.to_host(y) if arrays.is_array(y) else np.asarray(y)
    if len(shape) == 2 and np.isin(values, [0, 1]).all():
        advice = (
            "It has a column of 0 and 1 for each label: use "
            "xlr.MultiLabelLogisticRegression."
        )
        if (values.sum(axis=1) == 1).all():
            advice = (
                "It is one-hot, with one 1 in each row: pass the positions, "
                "numpy.asarray(y).argmax(axis=1)."
            )
    elif len(shape) == 2 and np.issubdtype(values.dtype, np.number):
        advice += " For class probabilities or counts, pass xlr.soft_labels(y)."
    raise ValueError(f"y should be a 1d array, got shape {shape}. {advice}")


def _refuse_mixed_list(y: Any) -> None:
    """Raise ValueError for a list of strings and numbers: NumPy makes all strings."""
    if not isinstance(y, list | tuple):
        return
    kinds = {type(label) for label in y}
    numbers = sorted(kind.__name__ for kind in kinds if issubclass(kind, Number))
    if numbers and any(issubclass(kind, str) for kind in kinds):
        _refuse_missing(y)
        raise mixed_types(TypeError(f"str and {', '.join(numbers)}"))


def mixed_types(error: TypeError) -> ValueError:
    """Return the error for labels that cannot be sorted."""
    return ValueError(
        f"The labels in y cannot be sorted, because they mix types ({error}). Make "
        "them one type, for instance with y.astype(str)."
    )


def _classes_and_codes(y: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the sorted classes and the code of each label.

    Sorting many labels takes longer than some passes over X. The classes of the first
    1,000 labels are therefore compared with all labels before a sort. The host sorts
    for libraries without data-dependent shapes.
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
            # Code + 1 of each label, and 0 where no class equals it.
            numbers = xp.zeros(y.shape, dtype=xp.uint8, device=arrays.device_of(y))
            for k in range(classes.shape[0]):
                numbers = numbers + (k + 1) * xp.astype(y == classes[k], xp.uint8)
            if arrays.to_host(xp.all(numbers > 0)):
                return classes, numbers - 1
    if xp is np:  # NumPy does not promise the order of its unique_inverse
        return np.unique(y, return_inverse=True)
    return xp.unique_inverse(y)


def _refuse_missing(labels: Any) -> None:
    if n_missing := sum(map(is_missing, labels)):
        raise ValueError(
            f"Input y contains missing labels, {n_missing} of {len(labels)}. Drop "
            "the rows without a label."
        )


def _check_classes(classes: np.ndarray) -> None:
    if classes.dtype.kind in "OSV":
        _refuse_missing(classes.tolist())
        others = [label for label in classes.tolist() if not isinstance(label, str)]
        if others:
            raise ValueError(
                "Unknown label type: unknown. y holds objects such as "
                f"{quoted(others[0])}; labels are strings, whole numbers or booleans. "
                "Convert them, for instance with y.astype(str) or y.astype(int)."
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
                    "the numbers of trials as sample_weight if you have them."
                )
            raise ValueError(
                "Unknown label type: continuous. y holds numbers that are not whole, "
                f"such as {fractions[0]}; logistic regression needs class labels. "
                f"{advice}"
            )


def check_n_classes(classes: Array) -> None:
    """Raise ValueError unless there are at least two classes."""
    if classes.shape[0] < 2:
        only = arrays.to_host(classes).tolist()[0]
        raise ValueError(
            f"y holds only one class, {quoted(only)}; logistic regression needs "
            "samples of at least two classes."
        )
