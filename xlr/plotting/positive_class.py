"""The class that a picture of two classes is of."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array

__all__ = ["positive_class"]


def positive_class(estimator: Any, X: Array, pos_label: Any) -> tuple[Any, Array]:
    """The positive class, ``classes_[1]`` for None, and its probability for each row.

    Raises
    ------
    ValueError
        If there are not two classes, or ``pos_label`` is none of them.
    """
    check_is_fitted(estimator)
    classes = arrays.to_host(estimator.classes_)
    if classes.shape[0] != 2:
        raise ValueError(
            f"This is a picture of two classes; the estimator has {classes.shape[0]}. "
            "Pass one column of predict_proba and y == label to from_predictions."
        )
    if pos_label is None:
        pos_label = classes[1]
    (position,) = np.nonzero(classes == pos_label)
    if position.size == 0:
        raise ValueError(f"pos_label={pos_label!r} is not a class: {classes.tolist()}.")
    return pos_label, estimator.predict_proba(X)[:, int(position[0])]
