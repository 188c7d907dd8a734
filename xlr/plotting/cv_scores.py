"""The score of a cross-validation against the penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr.plotting.axes import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CVScoresDisplay"]


class CVScoresDisplay:
    r"""Mean score over the folds against C, its spread, and two choices of C.

    The band is one standard error of the mean, :math:`s / \sqrt{K}` with s the standard
    deviation of the scores of K folds. One choice of C has the best mean; the other is
    the smallest, with the strongest penalty, whose mean is within one standard error of
    that (Hastie, Tibshirani and Friedman 2009, *The Elements of Statistical Learning*,
    section 7.10.1).

    Use :meth:`from_estimator`.

    Parameters
    ----------
    Cs : ndarray of shape (n_Cs,)
    scores : ndarray of shape (n_folds, n_Cs)
        NaN for folds that do not count.
    score_name : str, default='score'

    Attributes
    ----------
    mean, standard_error : ndarrays of shape (n_Cs,)
    best_C : float
    one_standard_error_C : float
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        The mean, as :meth:`plot` drew it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from xlr import LogisticRegressionCV
    >>> from xlr.plotting import CVScoresDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegressionCV(Cs=[0.001, 0.01, 0.1, 1, 10]).fit(X, y)
    >>> display = CVScoresDisplay.from_estimator(model)
    >>> display.best_C, display.one_standard_error_C
    (10.0, 1.0)
    """

    def __init__(
        self, Cs: np.ndarray, scores: np.ndarray, *, score_name: str = "score"
    ) -> None:
        order = np.argsort(Cs)
        self.Cs = np.asarray(Cs, dtype=np.float64)[order]
        self.scores = np.asarray(scores)[:, order]
        self.score_name = score_name
        counted = self.scores[np.isfinite(self.scores).all(axis=1)]
        self.mean = counted.mean(axis=0)
        self.standard_error = np.zeros_like(self.mean)
        if len(counted) > 1:
            self.standard_error = counted.std(axis=0, ddof=1) / len(counted) ** 0.5
        best = int(np.argmax(self.mean))
        within = self.mean >= self.mean[best] - self.standard_error[best]
        self.best_C = float(self.Cs[best])
        self.one_standard_error_C = float(self.Cs[np.argmax(within)])

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Axes | None = None, **kwargs: Any
    ) -> Self:
        """Draw the scores of a fitted ``LogisticRegressionCV``.

        Parameters
        ----------
        estimator : fitted LogisticRegressionCV
            xlr's, or scikit-learn's with ``use_legacy_attributes=False``.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            For matplotlib's ``plot``.

        Returns
        -------
        CVScoresDisplay

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(estimator, "scores_")
        scoring = estimator.scoring
        name = "log-likelihood of a row" if scoring is None else "score"
        if isinstance(scoring, str):
            name = scoring.replace("_", " ")
        # With several shares of L1, those of the share that is nearest the chosen one.
        nearest = np.argmin(
            np.abs(np.subtract(estimator.l1_ratios_, estimator.l1_ratio_))
        )
        scores = estimator.scores_[:, int(nearest), :]
        display = cls(estimator.Cs_, scores, score_name=name)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            For matplotlib's ``plot``.

        Returns
        -------
        CVScoresDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_for(self, ax)
        options = {"marker": "o", "label": f"mean of {len(self.scores)} folds"}
        (self.line_,) = ax.plot(self.Cs, self.mean, **{**options, **kwargs})
        ax.fill_between(
            self.Cs,
            self.mean - self.standard_error,
            self.mean + self.standard_error,
            color=self.line_.get_color(),
            alpha=0.2,
            linewidth=0,
            label="one standard error",
        )
        ax.axvline(
            self.best_C, color="0.4", linestyle=":", label=f"best: C={self.best_C:.3g}"
        )
        ax.axvline(
            self.one_standard_error_C,
            color="0.4",
            linestyle="--",
            label=f"within one standard error: C={self.one_standard_error_C:.3g}",
        )
        ax.set(xscale="log", xlabel="C, inverse strength of the penalty")
        ax.set_ylabel(f"{self.score_name}, held out")
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
