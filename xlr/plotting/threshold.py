"""The threshold of a decision, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.metrics import precision_recall_curve
from sklearn.utils import column_or_1d

from xlr import arrays
from xlr.arrays import Array
from xlr.plotting.axes import axes_for
from xlr.plotting.positive_class import positive_class

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ThresholdDisplay"]


class ThresholdDisplay:
    """Precision, recall and F1 over the threshold of the decision, the best F1 marked.

    With TP, FP and FN the (weighted) counts of true positives, false positives and
    false negatives when the positive class is predicted from a threshold up:
    precision is TP / (TP + FP), recall TP / (TP + FN) and
    F1 = 2 TP / (2 TP + FP + FN), their harmonic mean (van Rijsbergen 1979,
    *Information Retrieval*, ch. 7).

    Use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    thresholds : ndarray of shape (n_thresholds,)
        Probabilities, ascending.
    precision, recall, f1 : ndarrays of shape (n_thresholds,)
        With the positive class predicted where its probability is at least that.
    pos_label : label
        The positive class.

    Attributes
    ----------
    best_threshold : float
        That of the largest F1; the lowest of equals.
    best_f1 : float
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Precision, recall and F1, as :meth:`plot` drew them.

    Examples
    --------
    >>> from xlr import LogisticRegression
    >>> from xlr.datasets import load_exam_marks
    >>> from xlr.plotting import ThresholdDisplay
    >>> X, y = load_exam_marks(return_X_y=True)
    >>> model = LogisticRegression().fit(X, y)
    >>> display = ThresholdDisplay.from_estimator(model, X, y)
    >>> round(display.best_threshold, 3), round(display.best_f1, 3)
    (0.204, 0.938)
    """

    def __init__(
        self,
        thresholds: np.ndarray,
        precision: np.ndarray,
        recall: np.ndarray,
        f1: np.ndarray,
        *,
        pos_label: Any,
    ) -> None:
        self.thresholds = thresholds
        self.precision = precision
        self.recall = recall
        self.f1 = f1
        self.pos_label = pos_label
        best = int(np.argmax(f1))
        self.best_threshold = float(thresholds[best])
        self.best_f1 = float(f1[best])

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Array,
        y: Array,
        *,
        pos_label: Any = None,
        sample_weight: Array | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curves of a fitted classifier of two classes.

        Parameters
        ----------
        estimator : fitted classifier with ``predict_proba``
            A pipeline too.
        X : array of shape (n_samples, n_features)
            Of any library and device that the estimator takes.
        y : array of shape (n_samples,)
            True labels.
        pos_label : label, default=None
            The positive class; None for ``classes_[1]``.
        sample_weight : array of shape (n_samples,), default=None
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            For matplotlib's ``plot``.

        Returns
        -------
        ThresholdDisplay

        Raises
        ------
        ValueError
            If there are not two classes, or ``pos_label`` is none of them.
        ImportError
            If matplotlib is not installed.
        """
        pos_label, probability = positive_class(estimator, X, pos_label)
        return cls.from_predictions(
            y,
            probability,
            pos_label=pos_label,
            sample_weight=sample_weight,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Array,
        y_proba: Array,
        *,
        pos_label: Any = 1,
        sample_weight: Array | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curves of predicted probabilities.

        Parameters
        ----------
        y_true : array of shape (n_samples,)
            True labels.
        y_proba : array of shape (n_samples,)
            Probabilities of ``pos_label``.
        pos_label : label, default=1
            The positive class.
        sample_weight : array of shape (n_samples,), default=None
        ax, **kwargs
            As for :meth:`from_estimator`.

        Returns
        -------
        ThresholdDisplay

        Raises
        ------
        ValueError
            If lengths differ, or no label is ``pos_label``.
        ImportError
            If matplotlib is not installed.
        """
        positive = column_or_1d(arrays.to_host(y_true)) == pos_label
        if not positive.any():
            raise ValueError(f"No label in y_true is pos_label={pos_label!r}.")
        if sample_weight is not None:
            sample_weight = arrays.to_host(sample_weight)
        precision, recall, thresholds = precision_recall_curve(
            positive, arrays.to_host(y_proba), sample_weight=sample_weight
        )
        # The last entries are the curve's end at recall 0, where nothing is predicted.
        precision, recall = precision[:-1], recall[:-1]
        total = precision + recall
        f1 = np.divide(
            2 * precision * recall, total, out=np.zeros_like(total), where=total > 0
        )
        display = cls(thresholds, precision, recall, f1, pos_label=pos_label)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            For matplotlib's ``plot``.

        Returns
        -------
        ThresholdDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_for(self, ax)
        curves = {"precision": self.precision, "recall": self.recall, "F1": self.f1}
        self.lines_ = [
            ax.plot(self.thresholds, curve, **{"label": name, **kwargs})[0]
            for name, curve in curves.items()
        ]
        ax.plot(
            [self.best_threshold],
            [self.best_f1],
            "o",
            color=self.lines_[-1].get_color(),
            label=f"best F1: {self.best_f1:.3f} at {self.best_threshold:.3f}",
        )
        ax.axvline(self.best_threshold, color="0.6", linestyle=":", zorder=0)
        ax.set(
            xlabel=f"threshold on the probability of {self.pos_label}",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.05),
        )
        ax.legend(loc="lower center")
        self.ax_, self.figure_ = ax, ax.figure
        return self
