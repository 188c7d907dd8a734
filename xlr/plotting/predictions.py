"""Displays of predicted probabilities: calibration and decision thresholds."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import stats
from sklearn.metrics import precision_recall_curve
from sklearn.utils import column_or_1d

from xlr import arrays
from xlr.arrays import Array
from xlr.plotting.display import BinaryDisplay
from xlr.text import printable, quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CalibrationDisplay", "ThresholdDisplay"]


@dataclass(eq=False, repr=False)
class CalibrationDisplay(BinaryDisplay):
    """Observed shares against predicted probabilities, with intervals.

    Rows are grouped by their probability, in groups of about the same size. Each group
    has a Wilson interval for the share of the positive class. Use
    :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    predicted, observed : ndarray of shape (n_groups,)
        Mean probability and share of the positive class.
    lower, upper : ndarray of shape (n_groups,)
        Ends of the intervals.
    counts : ndarray of shape (n_groups,)
        Number of rows.
    pos_label : label, default=1

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    errorbar_ : matplotlib ErrorbarContainer

    References
    ----------
    Wilson (1927), *Probable inference, the law of succession, and statistical
    inference*; Brown, Cai and DasGupta (2001), *Interval estimation for a binomial
    proportion*.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> import xlr
    >>> from xlr.plotting import CalibrationDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = xlr.LogisticRegression().fit(X, y)
    >>> display = CalibrationDisplay.from_estimator(model, X, y, n_bins=4)
    >>> display.counts
    array([143, 142, 142, 142])
    """

    predicted: np.ndarray
    observed: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    counts: np.ndarray
    _: KW_ONLY
    pos_label: Any = 1

    @classmethod
    def from_predictions(
        cls,
        y_true: Array,
        y_proba: Array,
        *,
        pos_label: Any = 1,
        n_bins: int = 10,
        alpha: float = 0.05,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw predicted probabilities.

        Parameters
        ----------
        y_true : array of shape (n_samples,)
            True labels.
        y_proba : array of shape (n_samples,)
            Probabilities of ``pos_label``.
        pos_label : label, default=1
            The positive class.
        n_bins : int, default=10
            Number of groups.
        alpha : float, default=0.05
            One minus the level of the intervals.
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.
        **kwargs
            For matplotlib's ``errorbar``.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ValueError
            If there are fewer rows than groups.
        ImportError
            If matplotlib is not installed.
        """
        positive = column_or_1d(arrays.to_host(y_true)) == pos_label
        probability = column_or_1d(arrays.to_host(y_proba))
        if not 1 <= n_bins <= positive.size:
            raise ValueError(
                f"n_bins must be from 1 to the number of rows, {positive.size}; got "
                f"{n_bins!r}."
            )
        groups = np.array_split(np.argsort(probability, kind="stable"), n_bins)
        counts = np.asarray([group.size for group in groups])
        predicted = np.asarray([probability[group].mean() for group in groups])
        events = np.asarray([positive[group].sum() for group in groups])
        intervals = [
            stats.binomtest(int(k), int(n)).proportion_ci(1 - alpha, method="wilson")
            for k, n in zip(events, counts)
        ]
        lower, upper = np.transpose([[i.low, i.high] for i in intervals])
        display = cls(
            predicted, events / counts, lower, upper, counts, pos_label=pos_label
        )
        return display.plot(ax=ax, **kwargs)

    def _draw(self, ax: Axes, **kwargs: Any) -> None:
        ax.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="as predicted")
        # Rounding can put an end of the interval beyond the share itself.
        reach = np.maximum(0, [self.observed - self.lower, self.upper - self.observed])
        options = {"fmt": "o", "capsize": 3, "label": "observed, Wilson interval"}
        self.errorbar_ = ax.errorbar(
            self.predicted, self.observed, yerr=reach, **{**options, **kwargs}
        )
        label = printable(self.pos_label)
        ax.set(
            xlabel=f"predicted probability of {label}",
            ylabel=f"observed share of {label}",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
            aspect="equal",
        )
        ax.legend(loc="upper left")


@dataclass(eq=False, repr=False)
class ThresholdDisplay(BinaryDisplay):
    """Precision, recall and F1 against the decision threshold, with the best F1 marked.

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
        With the positive class predicted where its probability is at least the
        threshold.
    pos_label : label
        The positive class.

    Attributes
    ----------
    best_threshold : float
        Threshold of the largest F1; the lowest of several.
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

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    _: KW_ONLY
    pos_label: Any

    def __post_init__(self) -> None:
        best = int(np.argmax(self.f1))
        self.best_threshold = float(self.thresholds[best])
        self.best_f1 = float(self.f1[best])

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
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.
        **kwargs
            For matplotlib's ``plot``.

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
            raise ValueError(f"No label in y_true is pos_label={quoted(pos_label)}.")
        if sample_weight is not None:
            sample_weight = arrays.to_host(sample_weight)
        precision, recall, thresholds = precision_recall_curve(
            positive, arrays.to_host(y_proba), sample_weight=sample_weight
        )
        # The last entries are the end of the curve, where no row is predicted positive.
        precision, recall = precision[:-1], recall[:-1]
        total = precision + recall
        f1 = np.divide(
            2 * precision * recall, total, out=np.zeros_like(total), where=total > 0
        )
        display = cls(thresholds, precision, recall, f1, pos_label=pos_label)
        return display.plot(ax=ax, **kwargs)

    def _draw(self, ax: Axes, **kwargs: Any) -> None:
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
            xlabel=f"threshold on the probability of {printable(self.pos_label)}",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.05),
        )
        ax.legend(loc="lower center")
