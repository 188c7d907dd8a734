"""Batches: the running models of a fit, and the results of the ended ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.steps import Diagnostics

# Ended models leave the batch when at most this share of its models still run: their
# removal copies the state of the solver.
WORTH_LEAVING = 3 / 4


class Batch:
    """Models of a fit, running or ended.

    Attributes
    ----------
    objective : Objective
        Objective of the running models.
    running : ndarray of int
        Indices of the running models.
    ended : list of tuples
        Indices, parameters, F and gradients of the models that have left.
    last : Diagnostics
        Diagnostics of all models in the last iteration.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.running = np.arange(objective.n_models)
        self.last: Diagnostics | None = None
        self.ended: list[tuple[np.ndarray, tuple[Array, ...]]] = []

    def of_all_models(self, now: Diagnostics) -> Diagnostics:
        """Return the diagnostics of all models; ended models keep their last ones."""
        assert self.last is not None
        everything = [last.copy() for last in self.last]
        everything[Diagnostics._fields.index("step_norm")][:] = 0
        for values, new in zip(everything, now):
            values[self.running] = new
        return Diagnostics(*everything)

    def without_ended(self, going: np.ndarray, state: Any) -> Any:
        """Return the state without the ended models, if their removal pays.

        Otherwise they stay in the batch, and do not delay the end of the fit.

        Parameters
        ----------
        going : ndarray of bool
            Mask of the running models that continue.
        state : State
        """
        state = state._replace(diagnostics=state.diagnostics.at_rest(~going))
        if going.mean() > WORTH_LEAVING:
            return state
        ended = np.nonzero(~going)[0]
        parameters, at = _select((state.parameters, state.at), ended)
        self.ended.append((self.running[~going], (parameters, *at)))
        self.running = self.running[going]
        models = np.nonzero(going)[0]
        self.objective = self.objective.select(models)
        return _select(state, models)

    def join(self, parameters: Array, at: Evaluation) -> tuple[Array, Evaluation]:
        """Return parameters and evaluation of all models, given the running ones."""
        if not self.ended:
            return parameters, at
        numbers, points = zip(*self.ended, (self.running, (parameters, *at)))
        place = np.argsort(np.concatenate(numbers))
        concat = self.objective.xp.concat
        parts = (arrays.rows(concat(list(part)), place) for part in zip(*points))
        return next(parts), Evaluation(*parts)


def _select(part: Any, models: np.ndarray) -> Any:
    """Return some models of a field of a state, by their indices.

    Arrays and lists have the models first. A function becomes None: the next step makes
    a new one.
    """
    if hasattr(part, "shape"):
        return arrays.rows(part, models)
    if hasattr(part, "select"):
        return part.select(models)
    if isinstance(part, tuple):
        parts = (_select(each, models) for each in part)
        return type(part)(*parts) if hasattr(part, "_fields") else tuple(parts)
    if isinstance(part, list):
        return [part[model] for model in models]
    return None if callable(part) else part
