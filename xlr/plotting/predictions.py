"""Displays of predicted probabilities: calibration and decision thresholds."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy import stats
from sklearn.metrics import precision_recall_curve
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.plotting.display import Display
from xlr.text import printable, quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class _BinaryDisplay(Display):
    """Base class of displays of the predicted probabilities of one class of two."""

    from_predictions: ClassVar[Any]

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Array, y: Array, *, pos_label: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the probabilities that an estimator predicts.

        Parameters
        ----------
        estimator : fitted classifier of two classes
            With ``predict_proba``; pipelines too.
        X : array of shape (n_samples, n_features)
            Of any library and device that the estimator takes.
        y : array of shape (n_samples,)
            True labels.
        pos_label : label, default=None
            The positive class; None for ``classes_[1]``.
        **kwargs
            As in ``from_predictions``.

        Returns
        -------
        display

        Raises
        ------
        ValueError
            If there are not two classes, ``pos_label`` is not one of them, or
            ``from_predictions`` raises it.
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(estimator)
        classes = arrays.to_host(estimator.classes_).tolist()
        if len(classes) != 2:
            raise ValueError(
                f"{cls.__name__} draws two classes; the estimator has {len(classes)}. "
                "Pass one column of predict_proba and y == label to from_predictions."
            )
        pos_label = classes[1] if pos_label is None else pos_label
        if pos_label not in classes:
            raise ValueError(
                f"pos_label={quoted(pos_label)} is not a class: {quoted(classes)}."
            )
        probability = estimator.predict_proba(X)[:, classes.index(pos_label)]
        display: Self = cls.from_predictions(
            y, probability, pos_label=pos_label, **kwargs
        )
        return display


@dataclass(eq=False, repr=False)
class CalibrationDisplay(_BinaryDisplay):
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
        **kwargs
            For :meth:`plot`: ``ax``, and arguments of matplotlib's ``errorbar``.

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
        predicted, observed = (
            np.asarray([values[group].mean() for group in groups])
            for values in (probability, positive)
        )
        tests = map(stats.binomtest, [int(positive[g].sum()) for g in groups], counts)
        intervals = [test.proportion_ci(1 - alpha, method="wilson") for test in tests]
        lower, upper = np.transpose(intervals)
        display = cls(predicted, observed, lower, upper, counts, pos_label=pos_label)
        return display.plot(**kwargs)

    def _draw(self, ax: Axes, **kwargs: Any) -> None:
        ax.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="as predicted")
        # Rounding can put an end of the interval beyond the share itself.
        reach = np.maximum(0, [self.observed - self.lower, self.upper - self.observed])
        options = {"fmt": "o", "capsize": 3, "label": "observed, Wilson interval"}
        self.errorbar_ = ax.errorbar(
            self.predicted, self.observed, yerr=reach, **{**options, **kwargs}
        )
        label = printable(self.pos_label)
        ax.set_xlabel(f"predicted probability of {label}")
        ax.set_ylabel(f"observed share of {label}")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        ax.legend(loc="upper left")


@dataclass(eq=False, repr=False)
class ThresholdDisplay(_BinaryDisplay):
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
        **kwargs
            For :meth:`plot`: ``ax``, and arguments of matplotlib's ``plot``.

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
        *curves, thresholds = precision_recall_curve(
            positive, arrays.to_host(y_proba), sample_weight=sample_weight
        )
        # The last entries are the end of the curve, where no row is predicted positive.
        precision, recall = (curve[:-1] for curve in curves)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        display = cls(thresholds, precision, recall, f1, pos_label=pos_label)
        return display.plot(**kwargs)

    def _draw(self, ax: Axes, **kwargs: Any) -> None:
        curves = {"precision": self.precision, "recall": self.recall, "F1": self.f1}
        self.lines_ = [
            ax.plot(self.thresholds, curve, **{"label": name, **kwargs})[0]
            for name, curve in curves.items()
        ]
        color = self.lines_[-1].get_color()
        best = f"best F1: {self.best_f1:.3f} at {self.best_threshold:.3f}"
        ax.plot(self.best_threshold, self.best_f1, "o", color=color, label=best)
        ax.axvline(self.best_threshold, color="0.6", linestyle=":", zorder=0)
        ax.set_xlabel(f"threshold on the probability of {printable(self.pos_label)}")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
        ax.legend(loc="lower center")
