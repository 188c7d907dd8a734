"""Reports of fits to the callbacks of scikit-learn 1.9."""

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
        """Replacement for scikit-learn's mixin of the same name."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method, without callbacks."""
        return method


Reconstruct = Callable[..., dict[str, Any]]
Listener = Callable[[Record, Array], bool | None]


class FitCallbacks:
    """Reporter of the fit and its iterations to the callbacks of an estimator.

    Callbacks need scikit-learn 1.9. Without callbacks it does nothing: contexts of
    iterations would accumulate.

    Parameters
    ----------
    estimator : estimator with CallbackSupportMixin
    X, y : arrays
    **metadata
        Other arguments of the fit. The callbacks get those that are not None.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, **metadata: Any) -> None:
        self._context = None
        if getattr(estimator, "_skl_callbacks", None):
            given = {k: v for k, v in metadata.items() if v is not None}
            self._data = {"estimator": estimator, "X": X, "y": y, "metadata": given}
            self._context = estimator._init_callback_context(
                max_subtasks=estimator.max_iter
            )
            self._context.call_on_fit_task_begin(**self._data)

    def listener(self, reconstruct: Reconstruct, *arguments: Any) -> Listener | None:
        """Return a function to call after each iteration, or None without callbacks.

        The function returns True if a callback requests a stop.
        ``reconstruct(*arguments, parameters)`` returns the fitted attributes that
        predictions need; it is called only if a callback needs them.
        """
        context: Any = self._context
        if context is None:
            return None
        before: Any = None

        def data_at(parameters: Array) -> dict[str, Any]:
            known = functools.partial(reconstruct, *arguments, parameters)
            return {**self._data, "reconstruction_attributes": known}

        def report(record: Record, parameters: Array) -> bool:
            nonlocal before
            stops = False
            if record.iteration > 0:
                task = context.subcontext(task_name="iteration")
                task.call_on_fit_task_begin(**data_at(before))
                stops = task.call_on_fit_task_end(**data_at(parameters))
            before = parameters
            return stops

        return report

    def end(self, attributes: dict[str, Any]) -> None:
        """Report the end of the fit, with the fitted attributes."""
        if self._context is not None:
            self._context.call_on_fit_task_end(
                **self._data, reconstruction_attributes=lambda: attributes
            )
