"""Coefficients along a path of penalties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from xlr import arrays
from xlr.plotting.axes import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CoefficientPathDisplay"]


class CoefficientPathDisplay:
    """Each coefficient against C, and how many there are above.

    Use :meth:`from_path`.

    Parameters
    ----------
    Cs : ndarray of shape (n_Cs,)
    coefs : ndarray of shape (n_Cs, n_features)
    df : ndarray of shape (n_Cs,)
        Coefficients that are not zero.
    names : list of str, default=None
        Of the features; None for their numbers.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each feature that ever has a coefficient, as :meth:`plot` drew them.

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

    def __init__(
        self,
        Cs: np.ndarray,
        coefs: np.ndarray,
        df: np.ndarray,
        *,
        names: list[str] | None = None,
    ) -> None:
        self.Cs = np.asarray(Cs)
        self.coefs = np.asarray(coefs)
        self.df = np.asarray(df)
        self.names = names

    @classmethod
    def from_path(
        cls,
        path: Any,
        *,
        column: int = 0,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what :func:`xlr.logistic_path` returned.

        Parameters
        ----------
        path : xlr.LogisticPath
        column : int, default=0
            The class whose coefficients are drawn, where each has its own.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            For matplotlib's ``plot``.

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
        return cls(path.Cs, coefs, df, names=names).plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, *, n_labels: int = 8, **kwargs: Any) -> Self:
        """Draw the coefficients.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        n_labels : int, default=8
            Features in the legend: those that come in first.
        **kwargs
            For matplotlib's ``plot``.

        Returns
        -------
        CoefficientPathDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_for(self, ax)
        present = np.nonzero((self.coefs != 0).any(axis=0))[0]
        first = (self.coefs[:, present] != 0).argmax(axis=0)
        self.lines_ = []
        for rank, j in enumerate(present[np.argsort(first, kind="stable")]):
            name = f"feature {j}" if self.names is None else self.names[j]
            options: dict[str, Any] = {"color": "0.75", "linewidth": 1, "zorder": 1}
            if rank < n_labels:
                options = {"label": name, "color": f"C{rank}"}
            (line,) = ax.plot(self.Cs, self.coefs[:, j], **{**options, **kwargs})
            self.lines_.append(line)
        ax.axhline(0, color="0.4", linewidth=0.8)
        ax.set(xscale="log", xlabel="C, inverse strength of the penalty")
        ax.set_ylabel("coefficient")
        if self.lines_ and n_labels > 0:
            ax.legend(title="first to come in", fontsize="small")
        above = ax.secondary_xaxis("top")
        shown = np.linspace(0, len(self.Cs) - 1, min(6, len(self.Cs))).astype(int)
        above.set_xticks(self.Cs[shown], [str(n) for n in self.df[shown]])
        above.minorticks_off()
        above.set_xlabel("coefficients that are not zero")
        self.ax_, self.figure_ = ax, ax.figure
        return self
