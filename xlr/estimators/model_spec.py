"""Model specs: the loss and the targets of the models that are fitted together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xlr.data import TrainingData
from xlr.losses import LogisticLoss, Loss, SoftmaxLoss

__all__ = [
    "ALWAYS",
    "INTERCEPTS",
    "NEVER",
    "UNKNOWN",
    "ModelSpec",
    "loss_of",
    "spread",
]

# In place of the number of a fitted row of ``coef_``: the intercepts of rows that are
# not fitted.
NEVER, ALWAYS, UNKNOWN = -1, -2, -3
INTERCEPTS = {UNKNOWN: np.nan, ALWAYS: np.inf, NEVER: -np.inf}


@dataclass(frozen=True)
class ModelSpec:
    """One or several models to fit to the same rows.

    Attributes
    ----------
    loss : Loss
    data : TrainingData
        Columns as they are in X.
    places : ndarray of shape (n_rows,) or None
        For each row of ``coef_``, the number of the fitted row, or NEVER, ALWAYS or
        UNKNOWN for one that is not fitted. None if all are fitted.
    """

    loss: Loss
    data: TrainingData
    places: np.ndarray | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes that the loss knows; 1 predicts it for every row."""
        return self.loss.n_outputs if self.loss.shift_invariant else 2

    def among(self, kept: np.ndarray) -> ModelSpec:
        """Return the spec of one model with some of the classes only.

        The rows of the others must have no weight. Several classes keep a logit each,
        so that the penalty is that of the limit in which the others vanish.
        """
        n_classes = self.n_classes
        if kept.shape[0] == n_classes:
            return self
        codes = np.zeros(n_classes, dtype=np.int64)
        codes[kept] = np.arange(kept.shape[0])
        places = np.where(np.isin(np.arange(n_classes), kept), codes, NEVER)
        if not self.loss.shift_invariant:
            places = np.asarray([ALWAYS if kept[0] else NEVER])
        if self.places is not None:
            places = np.where(self.places >= 0, places[self.places], self.places)
        return ModelSpec(SoftmaxLoss(kept.shape[0]), self.data.recoded(codes), places)

    def resampled(self, counts: Any, n_each: int) -> ModelSpec:
        """Return the spec of one model for each way to count the rows.

        Parameters
        ----------
        counts : array of shape (n_samples, n_counts) or PerRow
            As :meth:`TrainingData.place_rows` returns them.
        n_each : int
            As for :meth:`Targets.resampled`.
        """
        return replace(self, data=self.data.resampled(counts, n_each))


def loss_of(n_classes: int) -> Loss:
    """Return the loss of a model of so many classes."""
    return LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes)


def spread(values: np.ndarray, places: np.ndarray | None, fill: Any = 0) -> np.ndarray:
    """Return numbers of models, (..., n_models), for rows of ``coef_`` instead."""
    if places is None:
        return values
    filler = np.full_like(values[..., :1], fill)
    padded = np.concatenate([values, filler], axis=-1)
    return padded[..., np.maximum(places, NEVER)]
