"""Base classes of the displays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.text import quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["BinaryDisplay", "Display"]


class Display:
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
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError(
                f"{type(self).__name__} draws with matplotlib, which is not installed: "
                "pip install matplotlib"
            ) from error
        self.ax_ = pyplot.subplots(layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        self._draw(self.ax_, **kwargs)
        return self

    def _draw(self, ax: Axes, **kwargs: Any) -> None:
        raise NotImplementedError


class BinaryDisplay(Display):
    """Base class of displays of the predicted probabilities of one class of two."""

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
            As for ``from_predictions``.

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
        classes = arrays.to_host(estimator.classes_)
        if classes.shape[0] != 2:
            raise ValueError(
                f"{cls.__name__} draws two classes; the estimator has "
                f"{classes.shape[0]}. Pass one column of predict_proba and y == label "
                "to from_predictions."
            )
        pos_label = classes[1] if pos_label is None else pos_label
        (position,) = np.nonzero(classes == pos_label)
        if position.size == 0:
            raise ValueError(
                f"pos_label={quoted(pos_label)} is not a class: "
                f"{quoted(classes.tolist())}."
            )
        probability = estimator.predict_proba(X)[:, int(position[0])]
        return cls.from_predictions(y, probability, pos_label=pos_label, **kwargs)

    @classmethod
    def from_predictions(
        cls, y_true: Array, y_proba: Array, *, pos_label: Any = 1, **kwargs: Any
    ) -> Self:
        """Draw predicted probabilities of ``pos_label``."""
        raise NotImplementedError
