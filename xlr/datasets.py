"""Two small data sets to learn logistic regression with."""

from __future__ import annotations

from importlib import resources

import numpy as np
from sklearn.utils import Bunch

from xlr import arrays
from xlr.arrays import Array, Device, Namespace

__all__ = ["load_exam_marks", "load_study_hours"]


def load_exam_marks(
    *,
    return_X_y: bool = False,
    xp: Namespace | None = None,
    device: Device | None = None,
) -> Bunch | tuple[Array, Array]:
    """Load the marks of 100 applicants in two exams, and who was admitted.

    A public course on machine learning introduces logistic regression with this data
    set, which it calls ex2data1. 60 applicants were admitted.

    Parameters
    ----------
    return_X_y : bool, default=False
        Whether to return the arrays alone.
    xp : namespace, default=None
        The array library to load into, such as ``numpy``, ``cupy``, ``torch`` or
        ``jax.numpy``; None for NumPy.
    device : device, default=None
        Device of the arrays in ``xp``; None for its default.

    Returns
    -------
    Bunch
        With ``data`` of shape (100, 2), marks from 30 to 100, in the library's widest
        floating dtype (float64, but float32 where there is none); ``target`` of shape
        (100,), 1 for admitted and 0 for not; ``feature_names``, ``target_names`` and
        ``DESCR``.
    (data, target)
        With ``return_X_y``.

    Examples
    --------
    >>> from xlr.datasets import load_exam_marks
    >>> X, y = load_exam_marks(return_X_y=True)
    >>> X.shape, int(y.sum())
    ((100, 2), 60)
    """
    bunch = Bunch(
        feature_names=["exam 1", "exam 2"],
        target_names=np.asarray(["not admitted", "admitted"]),
        DESCR="Marks of 100 applicants in two exams, and who was admitted.",
    )
    return _load("exam_marks.csv", bunch, return_X_y, xp, device)


def load_study_hours(
    *,
    return_X_y: bool = False,
    xp: Namespace | None = None,
    device: Device | None = None,
) -> Bunch | tuple[Array, Array]:
    """Load the hours that twelve students studied, and who passed the exam.

    Parameters
    ----------
    return_X_y, xp, device
        As in :func:`load_exam_marks`.

    Returns
    -------
    Bunch or (data, target)
        As in :func:`load_exam_marks`, with ``data`` of shape (12, 1), from 0.5 to 6
        hours, and ``target`` of shape (12,), 1 for passed and 0 for failed.

    Examples
    --------
    >>> from xlr import LogisticRegression
    >>> from xlr.datasets import load_study_hours
    >>> X, y = load_study_hours(return_X_y=True)
    >>> LogisticRegression().fit(X, y).predict([[2.0], [5.0]])
    array([0, 1])
    """
    bunch = Bunch(
        feature_names=["hours"],
        target_names=np.asarray(["failed", "passed"]),
        DESCR="Hours that twelve students studied, and who passed the exam.",
    )
    return _load("study_hours.csv", bunch, return_X_y, xp, device)


def _load(
    filename: str, bunch: Bunch, return_X_y: bool, xp: Namespace | None, device: Device
) -> Bunch | tuple[Array, Array]:
    """Add the arrays of a file to a bunch, or return them alone."""
    with (resources.files("xlr") / "data" / filename).open() as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1)
    data, target = table[:, :-1].copy(), table[:, -1].astype(np.int64)
    if xp is not None:
        empty = xp.empty(0)  # has a namespace and the default device
        xp = arrays.namespace(empty)
        device = arrays.device_of(empty) if device is None else device
        data, target = (arrays.move(v, xp=xp, device=device) for v in (data, target))
    if return_X_y:
        return data, target
    bunch.update(data=data, target=target)
    return bunch
