"""Batches: the models that still run, and the results of those that have ended."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.diagnostics import Diagnostics

__all__ = ["Batch"]

# Share of running models at which those that have ended leave: going on with fewer
# costs a copy of all that the solver carries.
WORTH_LEAVING = 3 / 4


class Batch:
    """The models of a fit, of which some have ended.

    Attributes
    ----------
    objective : Objective
        Of the models that run.
    running : ndarray of int
        Their numbers.
    ended : list of tuples
        Numbers, parameters and evaluations of those that left.
    last : Diagnostics
        Of all models, in the last iteration.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.running = np.arange(objective.n_models)
        self.last: Diagnostics | None = None
        self.ended: list[tuple[np.ndarray, Array, Evaluation]] = []

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
        results = arrays.rows(state.parameters, ended), state.at.select(ended)
        self.ended.append((self.running[~going], *results))
        self.running = self.running[going]
        models = np.nonzero(going)[0]
        self.objective = self.objective.select(models)
        return state.select(models, self.objective)

    def parameters(self, running: Array) -> Array:
        """Return the parameters of all models: (n_models, n_parameters)."""
        if not self.ended:
            return running
        return self._joined([parameters for _, parameters, _ in self.ended], running)

    def evaluation(self, running: Evaluation) -> Evaluation:
        """Return the objective of all models."""
        if not self.ended:
            return running
        ended = [at for _, _, at in self.ended]
        return Evaluation(
            *(self._joined(list(parts), last) for *parts, last in zip(*ended, running))
        )

    def _joined(self, ended: list[Array], running: Array) -> Array:
        numbers = [*(models for models, _, _ in self.ended), self.running]
        place = np.argsort(np.concatenate(numbers))
        return arrays.rows(self.objective.xp.concat([*ended, running]), place)
