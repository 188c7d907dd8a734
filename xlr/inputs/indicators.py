"""Validation of several binary labels for each row, with missing entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Targets, TrainingData
from xlr.inputs.features import Features
from xlr.inputs.tables import accept, is_table, to_matrix
from xlr.inputs.weights import check_totals, class_factors
from xlr.text import warn


@dataclass(frozen=True)
class Indicators:
    """Binary labels, one in each column.

    Attributes
    ----------
    targets : array of shape (n_samples, n_labels)
        0 or 1, a byte each; 0 where the entry is missing.
    counts : array of shape (n_samples, n_labels) or None
        0 where an entry is missing, else 1; None without missing entries.
    positive, negative : ndarrays of shape (n_labels,)
        Total weight of the ones and of the zeros of each label.
    factors : ndarray of shape (2,) or None
        Weights of zeros and ones from ``class_weight``.
    """

    targets: Array
    counts: Array | None
    positive: np.ndarray
    negative: np.ndarray
    factors: np.ndarray | None

    @property
    def varied(self) -> np.ndarray:
        """Positions of the labels with both zeros and ones."""
        return np.nonzero((self.positive > 0) & (self.negative > 0))[0]


def read_indicators(
    Y: Any, weights: Array, features: Features, class_weight: Any
) -> Indicators:
    """Validate Y and move it to the namespace and device of X.

    Raises
    ------
    ValueError
        If y is not a matrix of 0, 1 and NaN with a row for each row of X, or no label
        has entries of positive weight.

    Warns
    -----
    UserWarning
        If labels have only one value, or no entries.
    """
    ones, known = read_entries(Y, features.X.shape[0])
    targets = features.xp.astype(features.place(ones, None), features.xp.uint8)
    known = features.place(known, None)
    counts = None
    if not arrays.to_host(features.xp.all(known)):
        counts = features.xp.astype(known, features.xp.uint8)
    columns = Targets(targets.shape[1], targets, weights[:, None], counts)
    # Zeros and ones are summed apart: a difference from the total would give a label
    # without zeros a rounding error for their weight.
    both = TrainingData(features.matrix, columns).class_weights(2)
    totals, factors = arrays.to_host(both), None
    if isinstance(class_weight, dict):
        factors = class_factors(class_weight, np.asarray([0, 1]), np.ones(2))
        totals = totals * factors
    if not totals.any():
        raise ValueError(
            "No label in y has an entry in the rows of positive weight: "
            "there is nothing to fit."
        )
    check_totals(totals)
    negative, positive = totals.T
    _warn_of_constant_labels(positive, negative)
    return Indicators(targets, counts, positive, negative, factors)


def read_entries(Y: Any, n_samples: int) -> tuple[Array, Array]:
    """Return where Y is 1 and where it is not missing, each (n_samples, n_labels).

    Raises
    ------
    ValueError
        If Y is not a matrix of 0, 1 and NaN with ``n_samples`` rows.
    """
    Y = accept("y", Y)
    Y = to_matrix(Y) if is_table(Y) else Y
    Y = Y.toarray() if arrays.is_sparse(Y) else Y
    if not arrays.is_array(Y):
        try:  # scikit-learn reads the missing values of pandas as NaN
            some = {"ensure_min_samples": 0, "ensure_min_features": 0}
            Y = check_array(Y, ensure_all_finite=False, ensure_2d=False, **some)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must hold 0, 1 and NaN only: {error}.") from error
    if Y.ndim != 2 or Y.shape[0] != n_samples or Y.shape[1] == 0:
        raise ValueError(
            f"y has shape {tuple(Y.shape)}, expected ({n_samples}, n_labels): a row "
            "for each row of X and a column for each label."
        )
    xp = arrays.namespace(Y)
    with arrays.current_device(Y):
        positive = xp.ones_like(Y) == Y
        known = positive | (xp.zeros_like(Y) == Y)
        valid = known | xp.isnan(Y) if arrays.is_floating(Y, xp=xp) else known
        all_valid = arrays.to_host(xp.all(valid))
    if not all_valid:
        wrong = arrays.to_host(Y)[~arrays.to_host(valid)][0].item()
        raise ValueError(
            f"y must hold 0, 1 and, for missing entries, NaN only; got {wrong!r}. For "
            "labels of other values use sklearn.preprocessing.MultiLabelBinarizer."
        )
    return positive, known


def _warn_of_constant_labels(positive: np.ndarray, negative: np.ndarray) -> None:
    has_one_value = (positive > 0) != (negative > 0)
    kinds = {
        "have one value only, which is always predicted": has_one_value,
        "have no entries; their probabilities will be NaN": positive + negative == 0,
    }
    sentences = [
        f"The labels with the numbers {np.nonzero(labels)[0].tolist()} {said}."
        for said, labels in kinds.items()
        if labels.any()
    ]
    if sentences:
        warn(" ".join(sentences))
