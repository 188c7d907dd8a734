"""Displays of one fit: its convergence and the influence of its rows."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.plotting.display import Display
from xlr.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = {
    "objective": "objective F",
    "optimality": "optimality (largest entry of the gradient)",
}
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
