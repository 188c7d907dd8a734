"""Displays against the strength of the penalty: paths and cross-validation."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.plotting.display import Display
from xlr.text import printable, term_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRENGTH = "C, inverse strength of the penalty"
STYLES = ("-", "--", ":", "-.")  # of the levels of a category


@dataclass(eq=False, repr=False)
class CoefficientPathDisplay(Display):
    """Coefficients against C, with the number of non-zero coefficients above.

    Use :meth:`from_path`. ``plot(n_labels=8)`` names the first features to enter. The
    levels of a category share a color.

    Parameters
    ----------
    Cs : ndarray of shape (n_Cs,)
    coefs : ndarray of shape (n_Cs, n_features)
    df : ndarray of shape (n_Cs,)
        Number of non-zero coefficients.
    names : list of str, default=None
        Names of the features; None for their numbers.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each feature with a non-zero coefficient, as :meth:`plot` drew them.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> import xlr
    >>> from xlr.plotting import CoefficientPathDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> path = xlr.logistic_path(StandardScaler().fit_transform(X), y, n_Cs=20)
    >>> display = CoefficientPathDisplay.from_path(path)
    >>> len(display.lines_)
    28
    """

    Cs: np.ndarray
    coefs: np.ndarray
    df: np.ndarray
    _: KW_ONLY
    names: list[str] | None = None

    @classmethod
    def from_path(cls, path: Any, *, column: int = 0, **kwargs: Any) -> Self:
        """Draw the path that :func:`xlr.logistic_path` returned.

        Parameters
        ----------
        path : xlr.LogisticPath
        column : int, default=0
            The class whose coefficients are drawn, where each has its own.
        **kwargs
            For :meth:`plot`: ``ax``, ``n_labels``, and arguments of matplotlib.

        Returns
        -------
        CoefficientPathDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        coefs = arrays.to_host(path.coefs)[:, column, :]
        names = None if path.feature_names is None else list(path.feature_names)
        df = np.count_nonzero(coefs, axis=1)
        return cls(path.Cs, coefs, df, names=names).plot(**kwargs)

    def _draw(self, ax: Axes, *, n_labels: int = 8, **kwargs: Any) -> None:
        present = np.nonzero((self.coefs != 0).any(axis=0))[0]
        first = (self.coefs[:, present] != 0).argmax(axis=0)
        names = self.names or [f"feature {j}" for j in range(self.coefs.shape[1])]
        terms: dict[str, int] = {}  # levels of each category so far: they share a color
        self.lines_ = []
        for rank, j in enumerate(present[np.argsort(first, kind="stable")]):
            options: dict[str, Any] = {"color": "0.75", "linewidth": 1, "zorder": 1}
            term = term_of(names[j])
            terms[term] = level = terms.get(term, -1) + 1
            if rank < n_labels:
                color = f"C{list(terms).index(term)}"
                options = {"label": printable(names[j]), "color": color}
                if level:
                    options["linestyle"] = STYLES[level % len(STYLES)]
            (line,) = ax.plot(self.Cs, self.coefs[:, j], **{**options, **kwargs})
            self.lines_.append(line)
        ax.axhline(0, color="0.4", linewidth=0.8)
        ax.set(xscale="log", xlabel=STRENGTH, ylabel="coefficient")
        if self.lines_ and n_labels > 0:
            ax.legend(title="first to enter", fontsize="small")
        above = ax.secondary_xaxis("top")
        shown = np.linspace(0, len(self.Cs) - 1, min(6, len(self.Cs))).astype(int)
        above.set_xticks(self.Cs[shown], [str(self.df[i]) for i in shown])
        above.minorticks_off()
        above.set_xlabel("non-zero coefficients")


@dataclass(eq=False, repr=False)
class CVScoresDisplay(Display):
    r"""Mean score over the folds against C, its standard error, and two choices of C.

    The band is one standard error of the mean, :math:`s / \sqrt{K}` with s the standard
    deviation of the scores of K folds. One choice of C has the best mean. The other is
    the smallest, with the strongest penalty, whose mean is within one standard error of
    the best (Hastie, Tibshirani and Friedman 2009, *The Elements of Statistical
    Learning*, section 7.10.1).

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

    Cs: np.ndarray
    scores: np.ndarray
    _: KW_ONLY
    score_name: str = "score"

    def __post_init__(self) -> None:
        order = np.argsort(self.Cs)
        self.Cs = np.asarray(self.Cs, dtype=np.float64)[order]
        self.scores = np.asarray(self.scores)[:, order]
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
    def from_estimator(cls, estimator: Any, **kwargs: Any) -> Self:
        """Draw the scores of a fitted ``LogisticRegressionCV``.

        Parameters
        ----------
        estimator : fitted LogisticRegressionCV
            xlr's, or scikit-learn's with ``use_legacy_attributes=False``.
        **kwargs
            For :meth:`plot`: ``ax``, and arguments of matplotlib's ``plot``.

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
        # Of several l1_ratios, the scores of the one nearest to the chosen one.
        distance = np.abs(np.subtract(estimator.l1_ratios_, estimator.l1_ratio_))
        scores = estimator.scores_[:, int(np.argmin(distance)), :]
        return cls(estimator.Cs_, scores, score_name=name).plot(**kwargs)

    def _draw(self, ax: Axes, **kwargs: Any) -> None:
        options = {"marker": "o", "label": f"mean of {len(self.scores)} folds"}
        (self.line_,) = ax.plot(self.Cs, self.mean, **{**options, **kwargs})
        band = self.mean + np.outer((-1, 1), self.standard_error)
        color, label = self.line_.get_color(), "one standard error"
        ax.fill_between(self.Cs, *band, color=color, alpha=0.2, lw=0, label=label)
        for C, style, label in (
            (self.best_C, ":", "best"),
            (self.one_standard_error_C, "--", "within one standard error"),
        ):
            ax.axvline(C, color="0.4", linestyle=style, label=f"{label}: C={C:.3g}")
        ax.set(xscale="log", xlabel=STRENGTH, ylabel=f"{self.score_name}, held out")
        ax.legend()
