"""Batches: the models that still run, and the results of those that have ended."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.steps import Diagnostics

# Share of running models at which those that have ended leave: going on with fewer
# costs a copy of all that the solver carries.
WORTH_LEAVING = 3 / 4


class Batch:
    """The models of a fit; some of them have ended.

    Attributes
    ----------
    objective : Objective
        Of the models that run.
    running : ndarray of int
        Their numbers.
    ended : list of tuples
        Numbers of those that left; their parameters, F and gradients.
    last : Diagnostics
        Of all models, in the last iteration.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.running = np.arange(objective.n_models)
        self.last: Diagnostics | None = None
        self.ended: list[tuple[np.ndarray, tuple[Array, ...]]] = []

    def of_all_models(self, now: Diagnostics) -> Diagnostics:
        """Return the diagnostics of all models: the last ones of those that ended."""
        assert self.last is not None
        everything = [last.copy() for last in self.last]
        everything[Diagnostics._fields.index("step_norm")][:] = 0
        for values, new in zip(everything, now):
            values[self.running] = new
        return Diagnostics(*everything)

    def without_ended(self, going: np.ndarray, state: Any) -> Any:
        """Return the state without the models that ended, if that pays.

        Otherwise they go on, and ask for nothing more.

        Parameters
        ----------
        going : ndarray of bool
            Which of the running models go on.
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
        """Return parameters and evaluation of all models, from those that run."""
        if not self.ended:
            return parameters, at
        numbers, points = zip(*self.ended, (self.running, (parameters, *at)))
        place = np.argsort(np.concatenate(numbers))
        concat = self.objective.xp.concat
        parts = (arrays.rows(concat(list(part)), place) for part in zip(*points))
        return next(parts), Evaluation(*parts)


def _select(part: Any, models: np.ndarray) -> Any:
    """Return some models of a part of a state, by their numbers.

    Arrays and lists have the models first. A function becomes None: the next step makes
    another.
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
