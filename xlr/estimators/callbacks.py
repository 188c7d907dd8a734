"""scikit-learn's fit callbacks, where the installed version has them (1.9)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
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
        self._data = data
        self._context = None
        self._last: tuple[Any, ...] = ()
        # Without callbacks nothing is built: a long gradient descent would pile up
        # one context an iteration.
        if getattr(estimator, "_skl_callbacks", None):
            given = {k: v for k, v in data["metadata"].items() if v is not None}
            self._data = {**data, "metadata": given}
            self._context = estimator._init_callback_context(max_subtasks=max_iter)
            self._context.call_on_fit_task_begin(estimator=estimator, **self._data)

    def listener(
        self, reconstruct: Reconstruct
    ) -> Callable[[Record, Array], bool] | None:
        """Return what to call after each iteration of a run; None without callbacks.

        It returns True if a callback asks to stop. ``reconstruct`` takes parameters and
        returns the fitted attributes that make the estimator predict; it is called only
        if a callback asks for them.
        """
        return None if self._context is None else partial(self._report, reconstruct)

    def end(self) -> None:
        """Report the end of the fit, as the last iteration left it."""
        if self._context is not None:
            self._context.call_on_fit_task_end(**self._told(*self._last))

    def _report(
        self, reconstruct: Reconstruct, record: Record, parameters: Array
    ) -> bool:
        assert self._context is not None
        now = parameters, reconstruct
        before, self._last = self._last, now
        if record.iteration == 0:
            return False
        task = self._context.subcontext(task_name="iteration")
        task.call_on_fit_task_begin(**self._told(*before))
        stops: bool = task.call_on_fit_task_end(**self._told(*now))
        return stops

    def _told(self, parameters: Array, reconstruct: Reconstruct) -> dict[str, Any]:
        return {
            "estimator": self._estimator,
            **self._data,
            "reconstruction_attributes": lambda: reconstruct(parameters),
        }
