"""scikit-learn's fit callbacks, where the installed version has them (1.9)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from xlr.arrays import Array
from xlr.solvers import Record

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn 1.6 to 1.8

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's mixin of the same name."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Call the method, as deep in the stack as scikit-learn 1.9 does."""

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return call


Reconstruct = Callable[[Array], dict[str, Any]]

__all__ = ["CallbackSupportMixin", "FitCallbacks", "with_callbacks"]


class FitCallbacks:
    """Tells the callbacks of an estimator about the fit and its iterations.

    Parameters
    ----------
    estimator : estimator with CallbackSupportMixin
    data : dict
        X, y and metadata, handed to the callbacks: of metadata those that are not None.
    max_iter : int
    """

    def __init__(
        self,
        estimator: Any,
        data: dict[str, Any],
        max_iter: int,
    ) -> None:
        self._estimator = estimator
        metadata = data["metadata"].items()
        given = {name: value for name, value in metadata if value is not None}
        self._data = data = {**data, "metadata": given}
        self._context = None
        self._before: Array = None
        # Without callbacks nothing is built: a long gradient descent would pile up
        # one context an iteration.
        if getattr(estimator, "_skl_callbacks", None):
            self._context = estimator._init_callback_context(max_subtasks=max_iter)
            self._context.call_on_fit_task_begin(estimator=estimator, **data)

    def listener(
        self, reconstruct: Reconstruct
    ) -> Callable[[Record, Array], bool] | None:
        """Return what to call after each iteration; None without callbacks."""
        if self._context is None:
            return None
        return lambda record, parameters: self.on_iteration(
            record, parameters, reconstruct
        )

    def on_iteration(
        self, record: Record, parameters: Array, reconstruct: Reconstruct
    ) -> bool:
        """Report an iteration; True if a callback asks to stop.

        ``reconstruct`` takes parameters and returns the fitted attributes that make
        the estimator predict; it is called only if a callback asks for them.
        """
        if self._context is None:
            return False
        before, self._before = self._before, parameters
        if record.iteration == 0:
            return False
        task = self._context.subcontext(task_name="iteration")
        task.call_on_fit_task_begin(**self._told(before, reconstruct))
        return task.call_on_fit_task_end(**self._told(parameters, reconstruct))

    def end(self, parameters: Array, reconstruct: Reconstruct) -> None:
        """Report the end of the fit."""
        if self._context is not None:
            told = self._told(parameters, reconstruct)
            self._context.call_on_fit_task_end(**told)

    def _told(self, parameters: Array, reconstruct: Reconstruct) -> dict[str, Any]:
        return {
            "estimator": self._estimator,
            **self._data,
            "reconstruction_attributes": lambda: reconstruct(parameters),
        }
