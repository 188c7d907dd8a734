"""How far fits came, iteration by iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.plotting.axes import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LossCurveDisplay"]

LABELS = {
    "objective": "objective F",
    "optimality": "optimality (largest entry of the gradient)",
    "iterations": "iteration",
    "seconds": "seconds",
}


class LossCurveDisplay:
    """How far a fit came, iteration by iteration.

    Use :meth:`from_estimator`; to compare several fits, hand the axes of the first on
    to the others.

    Parameters
    ----------
    values : ndarray of shape (n_records,) or (n_records, n_classes)
        What is drawn, for the start and each iteration; a line for each column.
    positions : ndarray of shape (n_records,)
        Iterations or seconds.
    metric : {'objective', 'optimality'}
        What the values are.
    against : {'iterations', 'seconds'}
        What the positions are.
    names : list of str
        Of the lines.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        What :meth:`plot` drew.

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

    def __init__(
        self,
        values: np.ndarray,
        positions: np.ndarray,
        *,
        metric: str,
        against: str,
        names: list[str],
    ) -> None:
        self.values = values
        self.positions = positions
        self.metric = metric
        self.against = against
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        metric: Literal["objective", "optimality"] = "objective",
        against: Literal["iterations", "seconds"] = "iterations",
        name: str | None = None,
        ax: Axes | None = None,
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
            In the legend; None for the solver.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            For matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If ``metric`` or ``against`` is none of those named.
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(estimator, "history_")
        for value, options in (
            (metric, ("objective", "optimality")),
            (against, ("iterations", "seconds")),
        ):
            if value not in options:
                raise ValueError(f"Expected one of {options}; got {value!r}.")
        history = estimator.history_
        values = history[metric]
        positions = history["seconds"]
        if against == "iterations":
            positions = np.arange(values.shape[0])
        name = estimator.solver_ if name is None else name
        names = [name]
        if values.ndim == 2:
            classes = arrays.to_host(estimator.classes_)
            names = [f"{name}, {label} against the rest" for label in classes]
        display = cls(values, positions, metric=metric, against=against, names=names)
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
        LossCurveDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_for(self, ax)
        columns = self.values.reshape(self.values.shape[0], -1).T
        self.lines_ = [
            ax.plot(self.positions, column, **{"label": name, **kwargs})[0]
            for name, column in zip(self.names, columns)
        ]
        if self.metric == "optimality":
            ax.set_yscale("log")
        ax.set(xlabel=LABELS[self.against], ylabel=LABELS[self.metric])
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
