"""Batches: the running models of a fit, and the results of the ended models."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.steps import Diagnostics

# Share of running models in a batch up to which the ended ones are removed. The removal
# copies the state of the solver, so it does not pay for a few models.
MAX_RUNNING_SHARE = 3 / 4


class Batch:
    """The models of a fit, running or ended.

    Attributes
    ----------
    objective : Objective
        Objective of the running models.
    running : ndarray of int
        Indices of the running models.
    ended : list of tuples
        Indices, parameters, F and gradients of the removed models.
    last : Diagnostics
        Diagnostics of all models in the last iteration.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.running = np.arange(objective.n_models)
        self.last: Diagnostics
        self.ended: list[tuple[np.ndarray, tuple[Array, ...]]] = []

    def of_all_models(self, now: Diagnostics) -> Diagnostics:
        """Return the diagnostics of all models; removed models keep their last."""
        all_models = Diagnostics(*(values.copy() for values in self.last))
        all_models.step_norm[:] = 0
        for values, new in zip(all_models, now):
            values[self.running] = new
        return all_models

    def without_ended(self, continues: np.ndarray, state: Any) -> Any:
        """Return the state without the ended models, if their removal pays.

        Otherwise they stay in the batch, as models at a minimum that do not delay the
        end of the fit: their gradient is zero and their last step was accepted.

        Parameters
        ----------
        continues : ndarray of bool
            Mask of the models of the batch that continue.
        state : named tuple
            State of a solver.
        """
        now = state.diagnostics
        now = now._replace(
            optimality=np.where(continues, now.optimality, 0.0),
            step_norm=np.where(continues, now.step_norm, 1.0),
            damping=np.where(continues, now.damping, 0.0),
        )
        state = state._replace(diagnostics=now)
        if continues.mean() > MAX_RUNNING_SHARE:
            return state
        ended = np.nonzero(~continues)[0]
        parameters, at = _select((state.parameters, state.at), ended)
        self.ended.append((self.running[~continues], (parameters, *at)))
        self.running = self.running[continues]
        models = np.nonzero(continues)[0]
        self.objective = self.objective.select(models)
        return _select(state, models)

    def join(self, parameters: Array, at: Evaluation) -> tuple[Array, Evaluation]:
        """Return parameters and evaluation of all models, given the running ones."""
        if not self.ended:
            return parameters, at
        models, values = zip(*self.ended, (self.running, (parameters, *at)))
        order = np.argsort(np.concatenate(models))
        concat = self.objective.xp.concat
        joined = (arrays.take(concat(list(field)), order) for field in zip(*values))
        return next(joined), Evaluation(*joined)


def _select(field: Any, models: np.ndarray) -> Any:
    """Return some models of a field of a state, by their indices.

    Arrays and lists have the models first. A function becomes None: the next step makes
    a new one.
    """
    if hasattr(field, "shape"):
        return arrays.take(field, models)
    if hasattr(field, "select"):
        return field.select(models)
    if isinstance(field, tuple):
        entries = (_select(entry, models) for entry in field)
        return type(field)(*entries) if hasattr(field, "_fields") else tuple(entries)
    if isinstance(field, list):
        return [field[model] for model in models]
    return None if callable(field) else field
