"""The loop that every solver runs in: iterations, history, when to stop and why.

A solver is an object with ``init`` and ``step``.  Both work on the device alone
and return a state that carries a small ``report`` array; the loop fetches that
array once an iteration, which is all that ever crosses to the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective

__all__ = ["Record", "Solution", "Solver", "State", "Status", "minimise", "report"]


# A fit whose gradient is within tol has converged once another step would lower F by
# less than this times tol, as a share of F. That is foreseen to a factor of a few, and
# steps follow it.
SETTLED = 1e-5

# Models that are done leave when no more than this share of those that run is left.
WORTH_LEAVING = 3 / 4


class State(Protocol):
    """What a solver carries from one iteration to the next.

    ``select`` gives the state of some of the models, by their numbers on the host, for
    the objective of those models: the others are done.

    Attributes
    ----------
    parameters : array of shape (n_models, n_parameters)
        The best point so far.
    at : Evaluation
        The objective there.
    report : array of shape (4, n_models)
        Objective, optimality, largest change of a parameter in this iteration
        (0 where a step was refused) and a number of the solver's own.
    """

    parameters: Array
    at: Evaluation
    report: Array

    def select(self, models: np.ndarray, objective: Objective) -> State: ...


class Solver(Protocol):
    """Mathematics on quantities of the size of the parameters.

    Attributes
    ----------
    standardised : bool
        Whether the solver wants the columns of X standardised.
    patience : float
        Iterations without progress after which the arithmetic is at its end.
    enough_columns : float
        Columns of W beyond which more models at a time only wait for each other: a
        pass for so many costs no less for each with more.
    finds_start : bool
        Whether it looks for a start of its own, given any.
    """

    @property
    def standardised(self) -> bool: ...

    @property
    def patience(self) -> float: ...

    @property
    def enough_columns(self) -> float: ...

    @property
    def finds_start(self) -> bool: ...

    def model_bytes(self, objective: Objective) -> int:
        """Memory that the solver needs for a model, roughly."""
        ...

    def init(self, objective: Objective, start: Array) -> Any: ...

    def step(self, objective: Objective, state: Any, fetched: np.ndarray) -> Any:
        """The next state; ``fetched`` is the report, with zeros for models done."""
        ...


class Status(Enum):
    """Why a fit ended; the value is the sentence a user reads."""

    CONVERGED = "The optimality {optimality:.3g} is within tol={tol:.3g}."
    ITERATION_LIMIT = (
        "Stopped after max_iter={max_iter} iterations at an optimality of "
        "{optimality:.3g}, above tol={tol:.3g}. Increase max_iter{advice}."
    )
    PRECISION_LIMIT = (
        "Stopped where {dtype} arithmetic ends, at an optimality of {optimality:.3g}, "
        "above tol={tol:.3g}: no step of this solver improves the fit any more. Raise "
        "tol{advice}."
    )
    CALLBACK = (
        "A callback ended the fit at an optimality of {optimality:.3g}, above "
        "tol={tol:.3g}."
    )


@dataclass(frozen=True)
class Record:
    """One iteration as a user sees it; each field but two has one entry a model."""

    iteration: int
    seconds: float
    objective: np.ndarray
    optimality: np.ndarray
    step: np.ndarray


@dataclass(frozen=True)
class Solution:
    """Where a solver ended.

    Attributes
    ----------
    parameters : array of shape (n_models, n_parameters)
    at : Evaluation
        The objective there.
    records : list of Record
        The start, then one for each iteration.
    status : list of Status
        One a model.
    n_iter : ndarray of shape (n_models,)
        Iterations until each model was finished.
    """

    parameters: Array
    at: Evaluation
    records: list[Record]
    status: list[Status]
    n_iter: np.ndarray

    def with_proof(self, gap: np.ndarray, tol: float) -> Solution:
        """Where a bound proves F to be within tol of its minimum, as a share of it,
        the model has converged, whatever ended its fit.
        """
        proven = gap <= tol * self.records[-1].objective
        status = [
            Status.CONVERGED if within else status
            for within, status in zip(proven, self.status)
        ]
        return replace(self, status=status)

    def history(self) -> dict[str, np.ndarray]:
        """The records as columns: seconds, and one array (n_records, n_models) each."""
        columns = {
            name: np.stack([getattr(record, name) for record in self.records])
            for name in ("objective", "optimality", "step")
        }
        return {**columns, "seconds": np.asarray([r.seconds for r in self.records])}


def report(
    objective: Objective, at: Evaluation, change: Array | None = None, extra: Any = 0.0
) -> Array:
    """The numbers of one iteration in one array, ready to be fetched: (4, n_models)."""
    xp = objective.xp
    zeros = xp.zeros_like(at.value)
    step = zeros if change is None else xp.max(xp.abs(change), axis=1)
    return xp.stack([at.value, objective.optimality(at.gradient), step, zeros + extra])


def minimise(
    solver: Solver,
    objective: Objective,
    start: Array,
    *,
    tol: float,
    max_iter: int,
    settle: float = SETTLED,
    negligible: float = 0.0,
    on_iteration: Callable[[Record, Array], bool | None] | None = None,
) -> Solution:
    """Run a solver until every model is finished.

    Parameters
    ----------
    solver : Solver
    objective : Objective
    start : array of shape (n_models, n_parameters)
    tol : float
        Bound on the optimality.
    settle : float, default=1e-5
        A model within ``tol`` that would still lower F in a step by more than this
        times ``tol``, as a share of F, goes on; ``inf`` for none.
    negligible : float, default=0.0
        F below which it is that share of this. Without a penalty F may fall towards 0
        for ever.
    max_iter : int
    on_iteration : callable, optional
        Called with the record and the parameters of each iteration, the start
        included; a true return value ends the fit.

    Returns
    -------
    Solution

    Raises
    ------
    FloatingPointError
        If the objective is not finite: the start is too far out, or a fixed
        learning rate too large.
    """
    started = perf_counter()
    batch = _Batch(objective)
    records: list[Record] = []
    status: list[Status | None] = [None] * objective.n_models
    n_iter = np.zeros(objective.n_models, dtype=np.int32)
    with arrays.quiet():
        state = solver.init(objective, start)
        fetched = arrays.to_host(state.report)
        # At zero, without an offset, F is this. A textbook's loop, in the units of X,
        # begins where it is told to.
        at_zero = math.log(max(2, objective.n_outputs))
        if solver.standardised and (fetched[0] > at_zero).any():
            nearer = objective.or_zero(start, state.at.value)
            if nearer is not start:
                state = solver.init(objective, nearer)
                fetched = arrays.to_host(state.report)
        elsewhere = objective.xp.any(state.parameters != 0, axis=1)
    progress = _Progress(arrays.to_host(elsewhere))

    for iteration in range(max_iter + 1):
        value, optimality, step = batch.all_models(fetched.astype(np.float64)[:3])
        record = Record(iteration, perf_counter() - started, value, optimality, step)
        records.append(record)
        if not np.isfinite(value).all():
            raise FloatingPointError(
                f"The objective is {value[~np.isfinite(value)][0]} after iteration "
                f"{iteration}. Start from smaller coefficients, lower learning_rate if "
                "the solver is 'gradient-descent', or scale the features "
                "(sklearn.preprocessing.StandardScaler)."
            )
        stopped = bool(
            on_iteration and on_iteration(record, batch.parameters(state.parameters))
        )
        progress.note(value, optimality, step)
        share = max(tol * settle, 4 * objective.rounding)
        settled = progress.settled(share, negligible)
        for model in batch.running:
            if status[model] is not None:
                continue
            n_iter[model] = iteration
            ended = None
            if stopped:
                ended = Status.CALLBACK
            elif progress.idle[model] >= solver.patience:
                ended = Status.PRECISION_LIMIT
            elif iteration == max_iter:
                ended = Status.ITERATION_LIMIT
            if optimality[model] <= tol and (settled[model] or ended):
                ended = Status.CONVERGED
            status[model] = ended
        if None not in status:
            break
        going = np.asarray([status[model] is None for model in batch.running])
        with arrays.quiet():  # a step too long may overflow; it is then refused
            if not going.all():
                # What is done asks for nothing more: it is flat, and its step was kept.
                done = np.asarray([[0.0], [0.0], [1.0], [0.0]])
                fetched = np.where(going, fetched, done)
                if going.mean() <= WORTH_LEAVING:
                    state = batch.leave(going, state)
                    fetched = fetched[:, going]
            state = solver.step(batch.objective, state, fetched)
        fetched = arrays.to_host(state.report)  # the one transfer of an iteration
    final = [s for s in status if s is not None]
    return Solution(
        batch.parameters(state.parameters), batch.at(state.at), records, final, n_iter
    )


class _Batch:
    """The models that still run, and what became of those that left.

    Models that are done go on with the others until there are enough of them: to go on
    with fewer costs a copy of what the solver carries.

    Attributes
    ----------
    objective : Objective
        Of the models that run.
    running : ndarray of int
        Their numbers.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.running = np.arange(objective.n_models)
        self._last = np.empty((3, objective.n_models))
        self._gone: list[tuple[np.ndarray, Array, Evaluation]] = []

    def all_models(self, numbers: np.ndarray) -> np.ndarray:
        """Value, optimality and step of all models: (3, n_models).

        Those that left keep their last value and optimality, and step no more.
        """
        if not self._gone:
            self._last = numbers
            return numbers
        self._last = self._last.copy()
        self._last[2] = 0
        self._last[:, self.running] = numbers
        return self._last

    def leave(self, going: np.ndarray, state: Any) -> Any:
        """Let all models but some go; returns the state of the rest."""
        left = np.nonzero(~going)[0]
        done = arrays.rows(state.parameters, left), state.at.select(left)
        self._gone.append((self.running[~going], *done))
        self.running = self.running[going]
        models = np.nonzero(going)[0]
        self.objective = self.objective.select(models)
        return state.select(models, self.objective)

    def parameters(self, running: Array) -> Array:
        """Parameters of all models: (n_models, n_parameters)."""
        return self._joined([parameters for _, parameters, _ in self._gone], running)

    def at(self, running: Evaluation) -> Evaluation:
        """The objective there."""
        gone = [at for _, _, at in self._gone]
        return Evaluation(
            *(self._joined(list(parts), last) for *parts, last in zip(*gone, running))
        )

    def _joined(self, gone: list[Array], running: Array) -> Array:
        if not gone:
            return running
        numbers = [*(models for models, _, _ in self._gone), self.running]
        place = np.argsort(np.concatenate(numbers))
        return arrays.rows(self.objective.xp.concat([*gone, running]), place)


class _Progress:
    """What the last iterations brought, for each model.

    Parameters
    ----------
    elsewhere : ndarray of bool, of shape (n_models,)
        Whether a model begins elsewhere than at zero: at the minimum of another F,
        where a small gradient does not say how far its own is.

    Attributes
    ----------
    idle : ndarray of shape (n_models,)
        Iterations in a row in which neither the objective nor the optimality improved:
        the objective must fall below the lowest seen so far, or the optimality by a
        tenth.  Rounding errors set new lows too, but ever more rarely.
    """

    def __init__(self, elsewhere: np.ndarray) -> None:
        n_models = elsewhere.shape[0]
        self._lowest = np.full(n_models, math.inf)
        self._flattest = np.full(n_models, math.inf)
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._decrease = np.where(elsewhere, math.inf, 0.0)
        self._value = np.ones(n_models)
        self.idle = np.zeros(n_models)

    def note(self, value: np.ndarray, optimality: np.ndarray, step: np.ndarray) -> None:
        """Take in the numbers of an iteration."""
        lower = value < self._lowest
        flatter = optimality < 0.9 * self._flattest
        self._lowest = np.where(lower, value, self._lowest)
        self._flattest = np.where(flatter, optimality, self._flattest)
        self.idle = np.where(lower | flatter, 0, self.idle + 1)
        if self._last is not None:
            last_value, last_optimality = self._last
            # The gradient fell by this much, and F goes with its square.
            rate = np.minimum(1, optimality / np.maximum(last_optimality, 1e-300))
            decrease = np.maximum(0, last_value - value) * rate**2
            # A step that was refused says nothing of what the next will bring.
            self._decrease = np.where(step > 0, decrease, self._decrease)
        self._last = value, optimality
        self._value = value

    def settled(self, share: float, negligible: float = 0.0) -> np.ndarray:
        """Whether another step would lower F by no more than a share of it, or of what
        is negligible.

        A small gradient alone does not say so where F is flat or near zero.
        """
        return self._decrease <= share * np.maximum(np.abs(self._value), negligible)
