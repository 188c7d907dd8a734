"""Whether events happen as often as they were said to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import stats
from sklearn.utils import column_or_1d

from xlr import arrays
from xlr.arrays import Array
from xlr.plotting.axes import axes_for
from xlr.plotting.positive_class import positive_class

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CalibrationDisplay"]


class CalibrationDisplay:
    """Observed shares against predicted probabilities, with intervals.

    The rows are cut into groups of about the same size by their probability; each has a
    Wilson interval for the share of the positive class. Use :meth:`from_estimator` or
    :meth:`from_predictions`.

    Parameters
    ----------
    predicted, observed : ndarray of shape (n_groups,)
        Mean probability and share of the positive class.
    lower, upper : ndarray of shape (n_groups,)
        Ends of the intervals.
    counts : ndarray of shape (n_groups,)
        Rows.
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

    def __init__(
        self,
        predicted: np.ndarray,
        observed: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        counts: np.ndarray,
        *,
        pos_label: Any = 1,
    ) -> None:
        self.predicted = predicted
        self.observed = observed
        self.lower = lower
        self.upper = upper
        self.counts = counts
        self.pos_label = pos_label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Array,
        y: Array,
        *,
        pos_label: Any = None,
        n_bins: int = 10,
        alpha: float = 0.05,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the probabilities that an estimator predicts for some rows.

        Parameters
        ----------
        estimator : fitted classifier of two classes
        X : array of shape (n_samples, n_features)
            Of any library and device that the estimator takes.
        y : array of shape (n_samples,)
            True labels.
        pos_label : label, default=None
            The positive class; None for ``classes_[1]``.
        n_bins : int, default=10
            Groups of rows.
        alpha : float, default=0.05
            One less the level of the intervals.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            For matplotlib's ``errorbar``.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ValueError
            If there are not two classes, ``pos_label`` is none of them, or there are
            fewer rows than groups.
        ImportError
            If matplotlib is not installed.
        """
        pos_label, probability = positive_class(estimator, X, pos_label)
        return cls.from_predictions(
            y,
            probability,
            pos_label=pos_label,
            n_bins=n_bins,
            alpha=alpha,
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
        pos_label, n_bins, alpha, ax, **kwargs
            As for :meth:`from_estimator`.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ValueError, ImportError
            As :meth:`from_estimator`.
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

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the groups.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            For matplotlib's ``errorbar``.

        Returns
        -------
        CalibrationDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_for(self, ax)
        ax.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="as predicted")
        # Rounding may leave an end beyond the share itself.
        reach = np.maximum(0, [self.observed - self.lower, self.upper - self.observed])
        options = {"fmt": "o", "capsize": 3, "label": "observed, Wilson interval"}
        self.errorbar_ = ax.errorbar(
            self.predicted, self.observed, yerr=reach, **{**options, **kwargs}
        )
        ax.set(
            xlabel=f"predicted probability of {self.pos_label}",
            ylabel=f"observed share of {self.pos_label}",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
            aspect="equal",
        )
        ax.legend(loc="upper left")
        self.ax_, self.figure_ = ax, ax.figure
        return self
