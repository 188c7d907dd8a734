"""Plots of fits and predictions, as scikit-learn's displays.

``CalibrationDisplay`` is scikit-learn's own.

``from_estimator`` (``from_predictions``, ``from_path``, ``from_results``) computes the
curves and draws them; ``plot`` draws them again. Displays hold NumPy arrays.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import precision_recall_curve
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.inputs.parameters import check_option
from xlr.text import listed, printable, quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = [
    "CVScoresDisplay",
    "CalibrationDisplay",
    "CoefficientPathDisplay",
    "InfluenceDisplay",
    "LossCurveDisplay",
    "ThresholdDisplay",
]

METRICS = {
    "objective": "objective F",
    "optimality": "optimality (largest entry of the gradient)",
}
C_LABEL = "C, inverse strength of the penalty"
STYLES = ("-", "--", ":", "-.")  # of the levels of a category
POSITION_LABELS = {"iterations": "iteration", "seconds": "seconds"}


class Display(ABC):
    """Base class of displays: draws on given axes, or on those of a new figure."""

    ax_: Axes
    figure_: Figure | SubFigure

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.
        **kwargs
            For matplotlib's function that draws the lines or points.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib_support(type(self).__name__)
        from matplotlib import pyplot

        self.ax_ = pyplot.subplots(layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        self._draw(self.ax_, **kwargs)
        return self

    @abstractmethod
    def _draw(self, ax: Axes, **kwargs: Any) -> None:
        """Draw on the axes."""


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
        check_option("metric", metric, METRICS)
        check_option("against", against, POSITION_LABELS)
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
        label = self.names if len(self.names) > 1 else self.names[0]
        self.lines_ = ax.plot(self.positions, self.values, **{"label": label} | kwargs)
        if self.metric == "optimality":
            ax.set_yscale("log")
        ax.set(xlabel=POSITION_LABELS[self.against], ylabel=METRICS[self.metric])
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
            If there are more than two classes, or the results do not keep the training
            data.
        ImportError
            If matplotlib is not installed.
        """
        influence = results.get_influence()
        display = cls(
            arrays.to_host(influence.hat_matrix_diag),
            arrays.to_host(influence.resid_studentized),
            arrays.to_host(influence.cooks_distance),
            results.effective_df,
        )
        return display.plot(**kwargs)

    def _draw(self, ax: Axes, *, n_labels: int = 5, **kwargs: Any) -> None:
        top = float(self.distance.max())
        options = {"s": 8 + 200 * self.distance / max(top, 1e-300), "alpha": 0.5}
        points = np.stack([self.leverage, self.residual], axis=1)
        self.points_ = ax.scatter(*points.T, **{**options, **kwargs})
        largest = np.argsort(-self.distance, kind="stable")[:n_labels]
        self.labels_ = [
            ax.annotate(str(row), points[row], (5, 5), textcoords="offset points")
            for row in largest
        ]
        limits = ax.get_ylim()
        # D = r² h / (k (1 - h)), solved for the residual r of each leverage h.
        left, right = np.clip(ax.get_xlim(), 1e-4, 0.999)
        h = np.linspace(left, right, 200)
        for share, style in ((0.5, ":"), (1.0, "--")):
            curve = np.sqrt(share * top * self.n_parameters * (1 - h) / h)
            labels = [f"Cook's distance {share * top:.2g}", "_"]
            ax.plot(h, np.c_[curve, -curve], style, color="0.6", label=labels)
        ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        ax.set(xlabel="leverage", ylabel="studentized Pearson residual", ylim=limits)
        ax.legend(loc="lower right")


@dataclass(eq=False, repr=False)
class CoefficientPathDisplay(Display):
    """Coefficients against C, with the number of non-zero coefficients above.

    Use :meth:`from_path`. ``plot(n_labels=8)`` names the first terms to enter. A
    category is one term: its levels share a color, and its reference level precedes
    them in the legend.

    Parameters
    ----------
    Cs : ndarray of shape (n_Cs,)
    coefs : ndarray of shape (n_Cs, n_features)
    df : ndarray of shape (n_Cs,)
        Number of non-zero coefficients.
    names : list of str, default=None
        Names of the features; None for their numbers.
    terms : list of str, default=()
        Term of each feature: the category of a level. By default, each feature is a
        term of its name.
    references : list of str, default=()
        Names of the levels that the other levels of their categories compare with.

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
    terms: Sequence[str] = ()
    references: Sequence[str] = ()

    @classmethod
    def from_path(cls, path: Any, *, column: int = 0, **kwargs: Any) -> Self:
        """Draw the path that :func:`xlr.logistic_path` returned.

        Parameters
        ----------
        path : xlr.LogisticPath
        column : int, default=0
            Index of the class whose coefficients are drawn, for paths with several
            classes.
        **kwargs
            For :meth:`plot`: ``ax``, ``n_labels``, and arguments of matplotlib.

        Returns
        -------
        CoefficientPathDisplay

        Raises
        ------
        ValueError
            If there is no such column.
        ImportError
            If matplotlib is not installed.
        """
        coefs = arrays.to_host(path.coefs)
        if column not in range(-coefs.shape[1], coefs.shape[1]):
            raise ValueError(
                f"column must be the index of a class, from 0 to {coefs.shape[1] - 1}; "
                f"got {quoted(column)}."
            )
        coefs = coefs[:, column, :]
        display = cls(
            path.Cs,
            coefs,
            np.count_nonzero(coefs, axis=1),
            names=None if path.feature_names is None else list(path.feature_names),
            terms=() if path.feature_names is None else path.terms,
            references=path.references,
        )
        return display.plot(**kwargs)

    def _draw(self, ax: Axes, *, n_labels: int = 8, **kwargs: Any) -> None:
        present = np.nonzero((self.coefs != 0).any(axis=0))[0]
        first = (self.coefs[:, present] != 0).argmax(axis=0)
        names = self.names or [f"feature {j}" for j in range(self.coefs.shape[1])]
        term_of = self.terms or names
        terms: dict[str, list[int]] = {}  # the levels of a category are one term
        for j in present[np.argsort(first, kind="stable")]:
            terms.setdefault(term_of[j], []).append(j)
        references = {}
        for name in self.references:
            found = [term for term in terms if name.startswith(f"{term}[")]
            references[max(found, key=len, default="")] = name
        self.lines_ = []
        for rank, (term, levels) in enumerate(terms.items()):
            is_named = rank < n_labels
            if is_named and term in references:
                label = f"{printable(references[term])}: reference"
                ax.plot([], [], " ", label=label)
            for j, style in zip(levels, itertools.cycle(STYLES)):
                options: dict[str, Any] = {"color": "0.75", "linewidth": 1, "zorder": 1}
                if is_named:
                    options = {"label": printable(names[j]), "color": f"C{rank}"}
                options |= {"linestyle": style} | kwargs
                self.lines_ += ax.plot(self.Cs, self.coefs[:, j], **options)
        ax.axhline(0, color="0.4", linewidth=0.8)
        ax.set(xscale="log", xlabel=C_LABEL, ylabel="coefficient")
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
        n, ddof = len(counted), int(len(counted) > 1)
        self.standard_error = counted.std(axis=0, ddof=ddof) / n**0.5
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
        # scikit-learn's default depends on its version.
        is_ours = hasattr(estimator, "n_passes_")
        name = estimator.scoring or ("log-likelihood of a row" if is_ours else "score")
        name = name.replace("_", " ") if isinstance(name, str) else "score"
        # scores_ has an axis of l1_ratios; l1_ratio_ may differ by rounding.
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
        ax.set(xscale="log", xlabel=C_LABEL, ylabel=f"{self.score_name}, held out")
        ax.legend()


@dataclass(eq=False, repr=False)
class ThresholdDisplay(Display):
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
    def from_estimator(
        cls, estimator: Any, X: Array, y: Array, *, pos_label: Any = None, **kwargs: Any
    ) -> Self:
        """Predict with an estimator, and draw the display of its probabilities.

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
        ThresholdDisplay

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
                "ThresholdDisplay draws two classes; the estimator has "
                f"{len(classes)}. Pass one column of predict_proba and y == label to "
                "from_predictions."
            )
        pos_label = classes[1] if pos_label is None else pos_label
        if pos_label not in classes:
            raise ValueError(
                f"pos_label={quoted(pos_label)} is not a class: {quoted(classes)}."
            )
        probability = estimator.predict_proba(X)[:, classes.index(pos_label)]
        return cls.from_predictions(y, probability, pos_label=pos_label, **kwargs)

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
        """Draw precision, recall and F1 against thresholds on the probabilities.

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
            If lengths differ, no label is ``pos_label``, or a probability is not from
            0 to 1.
        ImportError
            If matplotlib is not installed.
        """
        labels = column_or_1d(arrays.to_host(y_true))
        probability = column_or_1d(arrays.to_host(y_proba))
        check_consistent_length(labels, probability)
        positive = labels == pos_label
        if not positive.any():
            raise ValueError(
                f"No label in y_true is pos_label={quoted(pos_label)}. Pass one of its "
                f"labels: {listed(list(dict.fromkeys(labels.tolist())))}."
            )
        if not ((probability >= 0) & (probability <= 1)).all():
            raise ValueError(
                f"y_proba has values from {np.nanmin(probability):.3g} to "
                f"{np.nanmax(probability):.3g}, or NaN, expected 0 to 1. Pass a column "
                "of predict_proba."
            )
        weights = None if sample_weight is None else arrays.to_host(sample_weight)
        *curves, thresholds = precision_recall_curve(
            positive, probability, sample_weight=weights
        )
        # The last entries are the end of the curve, where no row is predicted positive.
        precision, recall = (curve[:-1] for curve in curves)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        display = cls(thresholds, precision, recall, f1, pos_label=pos_label)
        return display.plot(**kwargs)

    def _draw(self, ax: Axes, **kwargs: Any) -> None:
        curves = np.stack([self.precision, self.recall, self.f1], axis=1)
        options = {"label": ["precision", "recall", "F1"]}
        self.lines_ = ax.plot(self.thresholds, curves, **{**options, **kwargs})
        color = self.lines_[-1].get_color()
        best = f"best F1: {self.best_f1:.3f} at {self.best_threshold:.3f}"
        ax.plot(self.best_threshold, self.best_f1, "o", color=color, label=best)
        ax.axvline(self.best_threshold, color="0.6", linestyle=":", zorder=0)
        ax.set_xlabel(f"threshold on the probability of {printable(self.pos_label)}")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
        ax.legend(loc="lower center")
