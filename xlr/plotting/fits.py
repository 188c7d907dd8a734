"""Displays of fits: convergence, influence of rows, paths and cross-validation."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.plotting.display import Display
from xlr.text import printable, term_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = {
    "objective": "objective F",
    "optimality": "optimality (largest entry of the gradient)",
}
STRENGTH = "C, inverse strength of the penalty"
STYLES = ("-", "--", ":", "-.")  # of the levels of a category
POSITIONS = {"iterations": "iteration", "seconds": "seconds"}


@dataclass(eq=False, repr=False)
class LossCurveDisplay(Display):
    """Objective or optimality of a fit, iteration by iteration.

    Use :meth:`from_estimator`; to compare several fits, pass the axes of the first to
    the others.

    Parameters
    ----------
    values : ndarray of shape (n_records,) or (n_records, n_classes)
        Values at the start and after each iteration; one line for each column.
    positions : ndarray of shape (n_records,)
        Iterations or seconds.
    metric : {'objective', 'optimality'}
        Meaning of the values.
    against : {'iterations', 'seconds'}
        Meaning of the positions.
    names : list of str
        Names of the lines.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        The lines that :meth:`plot` drew.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from xlr import LogisticRegression
    >>> from xlr.plotting import LossCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> newton = LogisticRegression().fit(X, y)
    >>> lbfgs = LogisticRegression(solver="lbfgs").fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(newton, metric="optimality")
    >>> both = LossCurveDisplay.from_estimator(
    ...     lbfgs, metric="optimality", ax=display.ax_
    ... )
    >>> [line.get_label() for line in both.ax_.get_lines()]
    ['newton-cholesky', 'lbfgs']
    """

    values: np.ndarray
    positions: np.ndarray
    _: KW_ONLY
    metric: str
    against: str
    names: list[str]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        metric: Literal["objective", "optimality"] = "objective",
        against: Literal["iterations", "seconds"] = "iterations",
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the history of a fit.

        Parameters
        ----------
        estimator : fitted estimator with ``history_``
        metric : {'objective', 'optimality'}, default='objective'
            F, or the largest entry of its gradient (on a logarithmic scale).
        against : {'iterations', 'seconds'}, default='iterations'
        name : str, default=None
            Name in the legend; None for the solver.
        **kwargs
            For :meth:`plot`: ``ax``, and arguments of matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If ``metric`` or ``against`` has another value.
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(estimator, "history_")
        for value, options in ((metric, METRICS), (against, POSITIONS)):
            if value not in options:
                raise ValueError(f"Expected one of {tuple(options)}; got {value!r}.")
        values = estimator.history_[metric]
        positions = estimator.history_["seconds"]
        if against == "iterations":
            positions = np.arange(values.shape[0])
        names = [name or estimator.solver_]
        if values.ndim == 2:
            classes = map(printable, arrays.to_host(estimator.classes_))
            names = [f"{names[0]}, {label} against the rest" for label in classes]
        display = cls(values, positions, metric=metric, against=against, names=names)
        return display.plot(**kwargs)

    def _draw(self, ax: Axes, **kwargs: Any) -> None:
        columns = self.values.reshape(self.values.shape[0], -1).T
        self.lines_ = [
            ax.plot(self.positions, column, **{"label": name, **kwargs})[0]
            for name, column in zip(self.names, columns)
        ]
        if self.metric == "optimality":
            ax.set_yscale("log")
        ax.set(xlabel=POSITIONS[self.against], ylabel=METRICS[self.metric])
        ax.legend()


@dataclass(eq=False, repr=False)
class InfluenceDisplay(Display):
    """Residuals against leverages, with curves of equal Cook's distance.

    Use :meth:`from_results`. ``plot(n_labels=5)`` numbers the rows with the largest
    distances.

    Parameters
    ----------
    leverage, residual : ndarray of shape (n_samples,)
        Diagonal of the hat matrix and studentized Pearson residuals.
    distance : ndarray of shape (n_samples,)
        Cook's distances.
    n_parameters : float
        Number of parameters in Cook's distance.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    points_ : matplotlib PathCollection
        One point for each row, of an area that grows with its distance.
    labels_ : list of matplotlib Annotation
        Numbers of the rows with the largest distances.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> import xlr
    >>> from xlr.plotting import InfluenceDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = xlr.LogisticRegression(C=float("inf")).fit(X[:, :3], y)
    >>> results = xlr.infer(model, X[:, :3], y, keep_data=True)
    >>> display = InfluenceDisplay.from_results(results)
    >>> [label.get_text() for label in display.labels_]
    ['112', '297', '541', '421', '379']
    """

    leverage: np.ndarray
    residual: np.ndarray
    distance: np.ndarray
    n_parameters: float

    @classmethod
    def from_results(cls, results: Any, **kwargs: Any) -> Self:
        """Draw the influence of the rows of a fit.

        Parameters
        ----------
        results : xlr.InferenceResults
            Of a fit to two classes, with ``keep_data=True``.
        **kwargs
            For :meth:`plot`: ``ax``, ``n_labels``, and arguments of matplotlib.

        Returns
        -------
        InfluenceDisplay

        Raises
        ------
        ValueError
            If there are more than two classes, or the results are without the rows.
        ImportError
            If matplotlib is not installed.
        """
        found = results.get_influence()
        leverage = arrays.to_host(found.hat_matrix_diag)
        residual = arrays.to_host(found.resid_studentized)
        distance = arrays.to_host(found.cooks_distance)
        return cls(leverage, residual, distance, results.effective_df).plot(**kwargs)

    def _draw(self, ax: Axes, *, n_labels: int = 5, **kwargs: Any) -> None:
        top = float(self.distance.max())
        options = {"s": 8 + 200 * self.distance / max(top, 1e-300), "alpha": 0.5}
        self.points_ = ax.scatter(self.leverage, self.residual, **{**options, **kwargs})
        largest = np.argsort(-self.distance, kind="stable")[:n_labels]
        placed: dict[str, Any] = {"xytext": (5, 5), "textcoords": "offset points"}
        self.labels_ = [
            ax.annotate(str(row), (self.leverage[row], self.residual[row]), **placed)
            for row in largest
        ]
        limits = ax.get_ylim()
        # D = r² h / (k (1 - h)), solved for the residual r of each leverage h.
        left, right = (min(max(end, 1e-4), 0.999) for end in ax.get_xlim())
        h = np.linspace(left, right, 200)
        for share, style in ((0.5, ":"), (1.0, "--")):
            curve = np.sqrt(share * top * self.n_parameters * (1 - h) / h)
            label = f"Cook's distance {share * top:.2g}"
            ax.plot(h, curve, color="0.6", linestyle=style, label=label)
            ax.plot(h, -curve, color="0.6", linestyle=style)
        ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        ax.set(xlabel="leverage", ylabel="studentized Pearson residual", ylim=limits)
        ax.legend(loc="lower right")


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
