"""Soft labels: class probabilities or counts of each row instead of one label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.inputs.features import Features
from xlr.inputs.tables import as_real
from xlr.inputs.weights import class_totals, place_weights
from xlr.text import quoted


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
        """Number of rows."""
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
        A row weighs its sum times ``sample_weight``. An array of any library or Dask.
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
    P = features.place(as_real(y.P, "P"), features.wide)
    if P.ndim == 1:
        P = xp.stack([1 - P, P], axis=1)
    n_classes = 0 if P.ndim != 2 else P.shape[1]
    labels = np.arange(n_classes) if y.classes is None else y.classes
    if P.shape[0] != n_samples or labels.size != n_classes or n_classes < 2:
        known = "two classes or more"
        if y.classes is not None:
            known = quoted(labels.tolist())
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
    smallest, *totals = arrays.to_host(
        xp.concat([xp.min(P)[None], xp.sum(weights[:, None] * P, axis=0)])
    ).tolist()
    if not (np.isfinite(totals).all() and smallest >= 0):
        raise ValueError(
            "P must hold finite numbers from 0 up, and shares of a class from 0 to 1; "
            f"the least is {smallest:.3g}."
        )
    # 2. Shares of the classes in each row. A row of zeros has no weight.
    some = (sizes > 0)[:, None]
    shares = xp.where(some, P, xp.ones_like(P))
    shares = shares / xp.sum(shares, axis=1, keepdims=True)
    if n_classes == 2:
        shares = shares[:, 1:]
    return classes, shares, weights * sizes, np.asarray(totals)
