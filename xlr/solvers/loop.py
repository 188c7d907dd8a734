"""The loop that every solver runs in: iterations, history and the stopping rule.

A solver is an object with ``init`` and ``step``. Both return a state with
:class:`~xlr.solvers.steps.Diagnostics`, the few numbers that move to the host once per
iteration. Near the end, the predicted decrease moves too, and for columns with outliers
the change of the logits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.batch import Batch
from xlr.solvers.stopping import (
    DEFAULT_DECREASE_SHARE,
    NEGLIGIBLE_VALUE,
    Status,
    StoppingRule,
)
from xlr.solvers.surrogate import Surrogate

# Change of a logit up to which the curvature p (1 - p) of its row changes by a factor
# of at most e^0.5.
MAX_PREDICTED_LOGIT_CHANGE = 0.5

# Threshold between the machine epsilons of float64 (2.2e-16) and float32 (1.2e-7).
MAX_FLOAT64_ROUNDING = 1e-15


class Start(NamedTuple):
    """Start of a fit.

    Attributes
    ----------
    parameters : array of shape (n_models, n_parameters)
    at : Evaluation
        F and its gradient at the parameters.
    surrogate : Surrogate or None
        A smaller objective whose Hessian approximates that of F.
    """

    parameters: Array
    at: Evaluation
    surrogate: Surrogate | None = None


class Solver(Protocol):
    """Protocol of a solver: mathematics on quantities of the size of the parameters.

    Attributes
    ----------
    standardized : bool
        Whether the solver needs standardized columns.
    patience : float
        Iterations without progress that show the limit of the arithmetic.
    """

    standardized: bool
    patience: float

    def min_sample_size(self, objective: Objective) -> float:
        """Return the minimum rows of a useful sample to start from; inf for none."""
        ...

    def model_bytes(self, objective: Objective) -> int:
        """Return the approximate memory of a model, in bytes."""
        ...

    def init(self, objective: Objective, start: Start) -> Any:
        """Return the state at the start.

        It is a named tuple with at least three fields: ``parameters``, the best point
        so far; ``at``, the evaluation of F there; and ``diagnostics``. The first axis
        of its arrays is the model axis. When ended models are removed, functions become
        None, and the next step makes new ones.
        """
        ...

    def step(self, objective: Objective, state: Any) -> Any:
        """Return the next state."""
        ...

    def decrease(self, objective: Objective, state: Any) -> Array | np.ndarray:
        """Return the predicted decrease of F by the next step: (n_models,).

        Half the squared Newton decrement, g'H^-1 g / 2, with the current estimate of
        the Hessian (Boyd and Vandenberghe 2004, *Convex Optimization*, section 9.5.1).
        """
        ...


class Record(NamedTuple):
    """Numbers of an iteration; the last three are arrays of shape (n_models,)."""

    iteration: int
    seconds: float
    objective: np.ndarray
    optimality: np.ndarray
    step: np.ndarray


class Solution(NamedTuple):
    """Result of a solver.

    Attributes
    ----------
    parameters : array of shape (n_models, n_parameters)
    at : Evaluation
        F and its gradient at the parameters.
    records : list of Record
        Records of the start and of each iteration; only one record for a fit in slices
        or steps (:func:`~xlr.solvers.many_models.minimise_models`).
    status : list of Status
        Status of each model.
    n_iter : ndarray of shape (n_models,)
        Iterations of each model.
    decrease : ndarray of shape (n_models,)
        Last predicted decrease of F by another step; inf without a prediction, where no
        model was within tol.
    """

    parameters: Array
    at: Evaluation
    records: list[Record]
    status: list[Status]
    n_iter: np.ndarray
    decrease: np.ndarray

    @property
    def converged(self) -> np.ndarray:
        """Return a mask of the converged models: (n_models,)."""
        return np.asarray([status is Status.CONVERGED for status in self.status])

    def with_bound(self, gap: np.ndarray, tol: float) -> Solution:
        """Return the solution, in which models with a gap of at most tol F converged.

        F is at least 0, so a gap is at most F, which is tol F for a tol of 1.
        """
        is_proven = (gap <= tol * self.records[-1].objective) | (tol >= 1)
        status = [
            Status.CONVERGED if proven else before
            for proven, before in zip(is_proven, self.status)
        ]
        return self._replace(status=status)

    def history(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return seconds (n_records,), and the other columns (n_records, n_models)."""
        _, seconds, *columns = zip(*self.records)
        history = dict(zip(Record._fields[2:], map(np.asarray, columns)))
        return np.asarray(seconds), history


def minimise(
    solver: Solver,
    objective: Objective,
    start: Array | Start,
    *,
    tol: float,
    max_iter: int,
    decrease_share: float = DEFAULT_DECREASE_SHARE,
    on_iteration: Callable[[Record, Array], bool | None] | None = None,
) -> Solution:
    """Run a solver until every model has ended.

    Parameters
    ----------
    solver : Solver
    objective : Objective
    start : Start, or array of shape (n_models, n_parameters)
    tol : float
        Bound on the optimality.
    max_iter : int
    decrease_share : float, default=1e-5
        A model continues while the next step would lower F by more than
        ``decrease_share`` times ``tol``, relative to F. With ``inf``, only the
        optimality decides.
    on_iteration : callable, optional
        Function of the record and the parameters, called at the start and after each
        iteration. A true return value ends the fit.

    Raises
    ------
    FloatingPointError
        If F is not finite: the start is too far from the minimum, or a learning rate
        too large.
    """
    started = perf_counter()
    rule = StoppingRule(
        objective,
        solver.patience,
        tol=tol,
        decrease_share=decrease_share,
        max_iter=max_iter,
    )
    batch, records, user_errstate = Batch(objective), [], np.geterr()
    last_parameters = None
    with arrays.quiet():  # a step that overflows is rejected
        if not isinstance(start, Start):
            start = Start(start, objective.value_and_gradient(start))
        state = solver.init(objective, start)
        del start  # frees its sample of the rows
        for iteration in itertools.count():
            running, stopped = state.diagnostics, False
            now = batch.of_all_models(running) if batch.ended else running
            batch.last = now
            records.append(Record(iteration, perf_counter() - started, *now[:3]))
            if np.count_nonzero(np.isfinite(now.value)) < now.value.size:
                raise _not_finite(now.value, iteration)
            if on_iteration is not None:
                joined = batch.join(state.parameters, state.at)[0]
                with np.errstate(**user_errstate):
                    stopped = bool(on_iteration(records[-1], joined))
            if np.count_nonzero(running.optimality <= tol):
                decrease = _decrease(solver, batch.objective, state, last_parameters)
                rule.decrease[batch.running] = decrease
            if rule.update(iteration, now, stopped):
                break
            if np.count_nonzero(rule.running) < objective.n_models:
                state = batch.without_ended(rule.running[batch.running], state)
            last_parameters = state.parameters
            state = solver.step(batch.objective, state)
    parameters, at = batch.join(state.parameters, state.at)
    status = rule.status.tolist()
    return Solution(parameters, at, records, status, rule.n_iter, rule.decrease)


def _decrease(
    solver: Solver, objective: Objective, state: Any, last_parameters: Array | None
) -> np.ndarray:
    """Return the predicted decrease of F by the next step: (n_models,).

    If the last step changed a logit by more than ``MAX_PREDICTED_LOGIT_CHANGE``, as an
    outlier in X can cause, the prediction is F itself: the row dominates the curvature,
    which has changed too. In float32 rounding alone can change such logits, so the rule
    is for float64.
    """
    decrease = arrays.to_host(solver.decrease(objective, state))
    is_float64 = objective.rounding <= MAX_FLOAT64_ROUNDING
    # Without root mean squares, no column has outliers.
    if last_parameters is None or not is_float64 or objective.column_rms is None:
        return decrease
    change = objective.largest_logits(state.parameters - last_parameters)
    value = state.diagnostics.value
    is_unknown = (change > MAX_PREDICTED_LOGIT_CHANGE) & (value > NEGLIGIBLE_VALUE)
    return np.where(is_unknown, value, decrease)


def _not_finite(value: np.ndarray, iteration: int) -> FloatingPointError:
    return FloatingPointError(
        f"The objective is {value[~np.isfinite(value)][0]} after iteration "
        f"{iteration}. Start from smaller coefficients, lower learning_rate if "
        "the solver is 'gradient-descent', or scale the features "
        "(sklearn.preprocessing.StandardScaler)."
    )
