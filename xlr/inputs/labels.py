"""Labels: classes, class probabilities, and columns of 0 and 1."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array, column_or_1d

from xlr import arrays, numpy_namespace
from xlr.arrays import Array, Namespace
from xlr.dask_graph import fetch, parts_of
from xlr.data import Targets
from xlr.inputs.features import Features
from xlr.inputs.tables import (
    accept,
    as_real,
    check_n_rows,
    is_missing,
    is_table,
    refuse_sparse,
    to_matrix,
)
from xlr.inputs.weights import class_totals, place_weights
from xlr.text import quoted


def read_labels(y: Any, n_samples: int) -> tuple[Array, Array]:
    """Return the sorted classes of y, in its library, and codes 0, 1, ... into them.

    The codes may be on the host.

    Raises
    ------
    ValueError
        If y is of another length, or does not hold class labels.
    """
    y = accept("y", y)
    if not (isinstance(y, np.ndarray) and y.ndim == 1):
        refuse_sparse("y", y)
        _refuse_matrix(y)
        if arrays.is_foreign(y):
            y = y[:, 0] if y.ndim == 2 else y
        else:
            # NumPy would convert the numbers of a list with strings to strings, and
            # column_or_1d alone nullable integers of pandas to floats.
            is_mixed = isinstance(y, list | tuple) and (
                {isinstance(label, str) for label in y} == {True, False}
            )
            y = column_or_1d(np.asarray(y, object if is_mixed else None), warn=True)
    check_n_rows("y", y.shape, n_samples)
    try:
        with arrays.current_device(y):
            classes, codes = _classes_and_codes(y, xp=arrays.namespace(y))
    except TypeError as error:
        labels = arrays.to_host(y).tolist()
        _refuse_missing(labels)
        raise mixed_types(labels) from error
    host = arrays.to_host(classes)
    if host.dtype == object and any(map(is_missing, host)):
        _refuse_missing(y.tolist())
    _check_classes(host)
    return classes, codes


def on_host(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with their arrays on the host; collections of Dask are computed.

    Tables become arrays.
    """
    values = dict(values)
    lazy = {name: parts_of(v) for name, v in values.items() if arrays.is_dask(v)}
    if lazy:
        fetched = iter(fetch([part for parts in lazy.values() for part in parts])[0])
        for name, parts in lazy.items():
            pieces = itertools.islice(fetched, len(parts))
            values[name] = np.concatenate([_to_numpy(name, each) for each in pieces])
    return {name: _to_numpy(name, v) for name, v in values.items()}


def _to_numpy(name: str, values: Any) -> Any:
    values = accept("y" if name == "y_true" else name, values)  # scikit-learn's name
    if arrays.is_foreign(values):
        return arrays.to_host(values)
    return np.asarray(values) if hasattr(values, "__array__") else values


def _refuse_matrix(y: Any) -> None:
    """Raise ValueError for labels in several columns."""
    shape = tuple(getattr(y, "shape", None) or np.asarray(y).shape)
    if len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
        raise ValueError(
            f"y should be a 1d array, got shape {shape}. Pass one label for each row: "
            "numpy.asarray(y).argmax(axis=1) if y is one-hot. For class probabilities "
            "or counts, pass xlr.soft_labels(y). For a column of 0 and 1 for each of "
            "several labels, use xlr.MultiLabelLogisticRegression."
        )


def mixed_types(labels: list[Any]) -> ValueError:
    """Return the error for labels that cannot be sorted."""
    kinds = " and ".join(sorted({type(label).__name__ for label in labels}))
    return ValueError(
        "The labels in y cannot be sorted, because they mix types or do not compare "
        f"({kinds}). Make them one type, for instance with y.astype(str)."
    )


def _classes_and_codes(y: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the sorted classes and the code of each label.

    Sorting many labels takes longer than some passes over X. The classes of the first
    1,000 labels are therefore compared with all labels before a sort. The host sorts
    for libraries without data-dependent shapes.
    """
    if xp is not numpy_namespace:
        capabilities = xp.__array_namespace_info__().capabilities()
        host = arrays.numpy_view(y)
        if not capabilities["data-dependent shapes"] or host is not y:
            classes, codes = _classes_and_codes(arrays.to_host(y), xp=numpy_namespace)
            return arrays.move_like(classes, y, y.dtype), codes
    if y.shape[0] > 10_000 and xp.isdtype(y.dtype, ("integral", "real floating")):
        classes = xp.sort(xp.unique_values(y[:1000]))
        if classes.shape[0] <= 16:
            # Code + 1 of each label, and 0 where no class equals it.
            numbers = xp.zeros(y.shape, dtype=xp.uint8, device=arrays.device_of(y))
            for k in range(classes.shape[0]):
                numbers = numbers + (k + 1) * xp.astype(y == classes[k], xp.uint8)
            if arrays.to_host(xp.all(numbers > 0)):
                return classes, numbers - 1
    if xp is numpy_namespace:
        if y.dtype == object:  # hashing takes less time than sorting
            classes = np.unique(np.fromiter(set(y), dtype=object))
            code_of = {label: code for code, label in enumerate(classes.tolist())}
            return classes, np.fromiter(map(code_of.__getitem__, y), np.intp, y.size)
        # NumPy does not promise the order of its unique_inverse.
        return np.unique(y, return_inverse=True)
    return xp.unique_inverse(y)


def _refuse_missing(labels: Any) -> None:
    if n_missing := sum(map(is_missing, labels)):
        raise ValueError(
            f"Input y contains missing labels, {n_missing} of {len(labels)}. Drop "
            "the rows without a label."
        )


def _check_classes(classes: np.ndarray) -> None:
    if classes.dtype.kind in "OSVc":
        others = [label for label in classes.tolist() if not isinstance(label, str)]
        if others:
            raise ValueError(
                "Unknown label type: unknown. y holds objects such as "
                f"{quoted(others[0])}; labels are strings, whole numbers or booleans. "
                "Convert them, for instance with y.astype(str) or y.astype(int)."
            )
    if classes.dtype.kind == "f":
        if not np.isfinite(classes).all():
            raise ValueError(
                "Input y contains NaN or infinity. Drop the rows without a label."
            )
        fractions = classes[classes % 1 != 0]
        if fractions.size:
            raise ValueError(
                "Unknown label type: continuous. y holds numbers that are not whole, "
                f"such as {fractions[0]}. Cut the numbers into classes, or use a "
                "regression model. For shares of successes, pass xlr.soft_labels(y), "
                "with the numbers of trials as sample_weight if you have them."
            )


def check_n_classes(classes: Array) -> None:
    """Raise ValueError unless there are at least two classes."""
    if classes.shape[0] < 2:
        only = arrays.to_host(classes).tolist()[0]
        raise ValueError(
            f"y holds only one class, {quoted(only)}; a fit needs at least two. Pass "
            "rows of another class, too."
        )


# -- class probabilities ---------------------------------------------------------------


@dataclass(frozen=True)
class SoftLabels:
    """Class probabilities or counts, from :func:`soft_labels`.

    Attributes
    ----------
    P : array of shape (n_samples,) or (n_samples, n_classes)
    classes : ndarray of shape (n_classes,) or None
    """

    P: Any
    classes: np.ndarray | None

    @property
    def shape(self) -> tuple[int]:
        """Shape of a y with one label per row: (n_samples,)."""
        return self.P.shape[:1]


def soft_labels(P: Any, classes: Any = None) -> SoftLabels:
    """Make a y of class probabilities or counts, for :class:`xlr.LogisticRegression`.

    The fit minimises the expected cross-entropy. It equals a fit to rows repeated once
    for each class, with the class as label and its probability or count as weight.

    Parameters
    ----------
    P : array of shape (n_samples,) or (n_samples, n_classes)
        Shares of the second of two classes, from 0 to 1, with the numbers of trials as
        ``sample_weight`` if you have them; or probabilities or counts of all classes.
        The weight of a row is its sum times ``sample_weight``. An array of any library
        or Dask.
    classes : array of shape (n_classes,), default=None
        Labels of the columns of P. None means 0, 1, ...

    Returns
    -------
    SoftLabels

    Raises
    ------
    ValueError
        If two labels are equal. ``fit`` raises it for invalid P.

    Examples
    --------
    >>> import numpy as np, xlr
    >>> X = np.asarray([[0.0], [1.0], [2.0]])
    >>> model = xlr.LogisticRegression(C=np.inf)
    >>> model.fit(X, xlr.soft_labels([0.1, 0.5, 0.9])).coef_.round(3)
    array([[2.197]])

    As counts of failures and successes:

    >>> y = xlr.soft_labels([[9, 1], [5, 5], [1, 9]], ["failure", "success"])
    >>> model.fit(X, y).coef_.round(3), model.classes_
    (array([[2.197]]), array(['failure', 'success'], dtype='<U7'))
    """
    P = P if hasattr(P, "shape") else np.asarray(P)
    if classes is not None:
        classes = np.asarray(classes)
        if classes.ndim != 1 or np.unique(classes).size < max(2, classes.size):
            raise ValueError(
                "classes must be at least two different labels; got "
                f"{quoted(classes.tolist())}."
            )
    return SoftLabels(P, classes)


def refuse_soft_labels(y: Any) -> None:
    """Raise ValueError for soft labels in a score."""
    if isinstance(y, SoftLabels):
        raise ValueError(
            "score takes one label for each row; got soft labels. Repeat the rows, "
            "once for each class, with its probabilities as sample_weight."
        )


@arrays.quiet()
def read_soft_labels(
    y: SoftLabels, features: Features, sample_weight: Any
) -> tuple[Array, Array, Array, np.ndarray]:
    """Read probabilities or counts on the device of X.

    Returns
    -------
    classes : array of shape (n_classes,)
        Sorted.
    shares : array of shape (n_samples, n_classes), or (n_samples, 1) for two classes
        Class shares of each row, which sum to one; the second share for two classes.
    weights : array of shape (n_samples,)
        Sums of the rows, times the sample weights, in the widest dtype.
    totals : ndarray of shape (n_classes,)
        Sums of the weights of each class.

    Raises
    ------
    ValueError
        If P is negative, not finite, of another length than X or of fewer than two
        classes.
    """
    xp, n_samples = features.xp, features.X.shape[0]
    P = features.place(as_real(y.P, "P"), features.accumulation_dtype)
    if P.ndim == 1:
        P = xp.stack([1 - P, P], axis=1)
    n_classes = 0 if P.ndim != 2 else P.shape[1]
    labels = np.arange(n_classes) if y.classes is None else y.classes
    if P.shape[0] != n_samples or labels.size != n_classes or n_classes < 2:
        known = "two classes or more" if y.classes is None else quoted(labels.tolist())
        raise ValueError(
            f"P has shape {tuple(y.P.shape)}; expected ({n_samples},), or "
            f"({n_samples}, n_classes) with a column for each of {known}."
        )
    order = np.argsort(labels, kind="stable")
    P = xp.take(P, features.place(order, None), axis=1)
    classes = labels[order]
    if classes.dtype.kind in "biu":
        classes = features.place(classes, None)
    # 1. Weights.
    weights = place_weights(sample_weight, features)
    class_totals(weights)
    sizes = xp.sum(P, axis=1)
    sums = xp.sum(weights[:, None] * P, axis=0)
    smallest, *totals = arrays.to_host(xp.concat([xp.min(P)[None], sums])).tolist()
    if not (np.isfinite(totals).all() and smallest >= 0):
        raise ValueError(
            "P must hold finite numbers from 0 up, and shares of a class from 0 to 1; "
            f"the least is {smallest:.3g}."
        )
    # 2. Shares of the classes in each row. A row of zeros has no weight.
    has_weight = (sizes > 0)[:, None]
    shares = xp.where(has_weight, P, xp.ones_like(P))
    shares = shares / xp.sum(shares, axis=1, keepdims=True)
    if n_classes == 2:
        shares = shares[:, 1:]
    return classes, shares, weights * sizes, np.asarray(totals)


# -- many labels -----------------------------------------------------------------------


def read_indicators(Y: Any, weights: Array, features: Features) -> Targets:
    """Return the targets of one binary model per column of Y, on the device of X.

    Missing entries have the label 0, and count zero times.

    Raises
    ------
    ValueError
        If y is not a matrix of 0, 1 and NaN with a row for each row of X.
    """
    xp = features.xp
    ones, observed = (
        xp.astype(features.place(entries, None), xp.uint8)
        for entries in read_entries(Y, features.X.shape[0])
    )
    counts = None if arrays.to_host(xp.all(observed > 0)) else observed
    return Targets(ones.shape[1], ones, weights[:, None], counts)


def read_entries(Y: Any, n_samples: int) -> tuple[Array, Array]:
    """Return where Y is 1 and where it is not missing, each (n_samples, n_labels).

    Raises
    ------
    ValueError
        If Y is not a matrix of 0, 1 and NaN with ``n_samples`` rows.
    """
    Y = accept("y", Y)
    is_from_table = is_table(Y)
    Y = to_matrix(Y) if is_from_table else Y
    Y = Y.toarray() if arrays.is_sparse(Y) else Y
    if not arrays.is_foreign(Y):
        try:  # scikit-learn reads the missing values of pandas as NaN
            Y = check_array(
                Y,
                dtype=np.float64 if is_from_table else "numeric",
                ensure_all_finite=False,
                ensure_2d=False,
                ensure_min_samples=0,
                ensure_min_features=0,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"y must hold 0, 1 and NaN only: {str(error).rstrip('.')}. For lists "
                "of labels use sklearn.preprocessing.MultiLabelBinarizer."
            ) from error
    if Y.ndim != 2 or Y.shape[0] != n_samples or Y.shape[1] == 0:
        raise ValueError(
            f"y has shape {tuple(Y.shape)}, expected ({n_samples}, n_labels): a row "
            "for each row of X and a column for each label."
        )
    xp = arrays.namespace(Y)
    with arrays.current_device(Y):
        positive = xp.ones_like(Y) == Y
        observed = positive | (xp.zeros_like(Y) == Y)
        valid = observed | (Y != Y)  # NaN differs from itself
        all_valid = arrays.to_host(xp.all(valid))
    if not all_valid:
        wrong = arrays.to_host(Y)[~arrays.to_host(valid)][0].item()
        raise ValueError(
            f"y must hold 0, 1 and, for missing entries, NaN only; got {wrong!r}. For "
            "labels of other values use sklearn.preprocessing.MultiLabelBinarizer."
        )
    return positive, observed
