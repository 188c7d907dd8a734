"""What callbacks and the reader are told while a cross-validation runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators.callbacks import FitCallbacks
from xlr.estimators.fitting import Fitting
from xlr.estimators.problem import Problem
from xlr.inputs.features import Features
from xlr.inputs.labels import Labels
from xlr.solvers import Record

__all__ = ["Progress"]


class Progress:
    """Tells callbacks and the reader how far the fits of an estimator are."""

    def __init__(
        self,
        estimator: Any,
        data: dict[str, Any],
        features: Features,
        labels: Labels,
    ) -> None:
        self.common = {
            "classes_": labels.classes,
            "n_features_in_": features.X.shape[1],
        }
        if features.names is not None:
            self.common["feature_names_in_"] = features.names
        self.solver_name = ""
        self._problem: Problem | None = None
        self._parameters: Array = None
        # A run for the folds with each share of L1, and one for the refit.
        n_runs = len(estimator.l1_ratios) + 1
        self._callbacks = FitCallbacks(estimator, data, n_runs * estimator.max_iter)

    def follow(self, fitting: Fitting) -> Callable[[Record, Array], bool]:
        """What to call after each iteration of a fitting."""
        self._problem = fitting.problem
        self.solver_name = fitting.solver_name

        def on_iteration(record: Record, parameters: Array) -> bool:
            self._parameters = parameters
            return self._callbacks.on_iteration(record, parameters, self._named)

        return on_iteration

    @property
    def column_moments(self) -> Array:
        """Of X, as :class:`Problem` has them."""
        assert self._problem is not None
        return self._problem.column_moments

    def end(self) -> None:
        """Report the end of the fit."""
        self._callbacks.end(self._parameters, self._named)

    def _named(self, parameters: Array) -> dict[str, Any]:
        """What makes an estimator predict: until the refit, the mean of the models."""
        assert self._problem is not None  # there is an iteration to report
        found = self._problem.coefficients_by_model(parameters)
        xp = arrays.namespace(parameters)
        mean = {name: xp.mean(values, axis=0) for name, values in found.items()}
        return {**self.common, **mean}
