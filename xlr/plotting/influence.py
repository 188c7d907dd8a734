"""The influence of each row on a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from xlr import arrays
from xlr.plotting.axes import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["InfluenceDisplay"]


class InfluenceDisplay:
    """Residuals against leverages, with curves of equal Cook's distance.

    Use :meth:`from_results`.

    Parameters
    ----------
    leverage, residual : ndarray of shape (n_samples,)
        Diagonal of the hat matrix and studentized Pearson residuals.
    distance : ndarray of shape (n_samples,)
        Cook's distances.
    n_parameters : float
        In Cook's distance.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    points_ : matplotlib PathCollection
        As large as their distances.
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

    def __init__(
        self,
        leverage: np.ndarray,
        residual: np.ndarray,
        distance: np.ndarray,
        n_parameters: float,
    ) -> None:
        self.leverage = leverage
        self.residual = residual
        self.distance = distance
        self.n_parameters = n_parameters

    @classmethod
    def from_results(
        cls, results: Any, *, ax: Axes | None = None, **kwargs: Any
    ) -> Self:
        """Draw the influence of the rows of a fit.

        Parameters
        ----------
        results : xlr.InferenceResults
            Of a fit to two classes, with ``keep_data=True``.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            For matplotlib's ``scatter``.

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
        display = cls(
            arrays.to_host(found.hat_matrix_diag),
            arrays.to_host(found.resid_studentized),
            arrays.to_host(found.cooks_distance),
            results.effective_df,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, *, n_labels: int = 5, **kwargs: Any) -> Self:
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        n_labels : int, default=5
            Rows that get their number.
        **kwargs
            For matplotlib's ``scatter``.

        Returns
        -------
        InfluenceDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_for(self, ax)
        size = 8 + 200 * self.distance / max(float(self.distance.max()), 1e-300)
        options = {"s": size, "alpha": 0.5}
        self.points_ = ax.scatter(self.leverage, self.residual, **{**options, **kwargs})
        largest = np.argsort(-self.distance, kind="stable")[:n_labels]
        self.labels_ = [
            ax.annotate(
                str(row),
                (self.leverage[row], self.residual[row]),
                xytext=(5, 5),
                textcoords="offset points",
            )
            for row in largest
        ]
        limits = ax.get_ylim()
        # D = r^2 h / (k (1 - h)), for the residual r of each leverage h.
        left, right = (min(max(end, 1e-4), 0.999) for end in ax.get_xlim())
        h = np.linspace(left, right, 200)
        top = float(self.distance.max())
        for share, style in ((0.5, ":"), (1.0, "--")):
            curve = np.sqrt(share * top * self.n_parameters * (1 - h) / h)
            label = f"Cook's distance {share * top:.2g}"
            ax.plot(h, curve, color="0.6", linestyle=style, label=label)
            ax.plot(h, -curve, color="0.6", linestyle=style)
        ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        ax.set(xlabel="leverage", ylabel="studentized Pearson residual", ylim=limits)
        ax.legend(loc="lower right")
        self.ax_, self.figure_ = ax, ax.figure
        return self
