"""From a task to a solution, as the parameters of an estimator ask for it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Chunks, row_costs
from xlr.estimators.problem import Problem, Task
from xlr.estimators.regularisation import read_regularisation
from xlr.inputs.features import Features
from xlr.inputs.parameters import OF_SKLEARN, check_solver_for, random_seed
from xlr.objective import Separation
from xlr.solvers import (
    SOLVERS,
    Record,
    Solution,
    Solver,
    Status,
    choose,
    minimise,
    minimise_models,
)
from xlr.threads import Workers

__all__ = ["Fitting", "SeparationWarning", "print_record", "warn_unless_converged"]

# What else to do where a solver ran out of iterations.
INSTEAD = {
    "newton-cg": ", or use solver='newton-cholesky'",
    "lbfgs": ", or use solver='newton-cholesky'",
    "gradient-descent": ", raise learning_rate, or use solver='auto'",
}
WITH_FREE_FEATURES = "Use a penalty_factor above 0 for all features."
INSTEAD_WITH_KINKS = {"active-set": ", or use solver='proximal-newton'"}

# Solvers that hold a whole Hessian, those to use instead where it is too large, and how
# many matrices of its size they have at a time.
INSTEAD_OF_HESSIAN = {
    "newton-cholesky": "'newton-cg' or 'lbfgs'",
    "proximal-newton": "'newton-cg' or 'active-set'",
}
HESSIANS = 4

# On a device: arrays of the size of a block of rows that a pass has at a time, numbers
# that are held of each row, and the largest sample: this share of the rows, or so many
# rows for a parameter.
BLOCKS = 4
ROW_NUMBERS = 4
SAMPLE, ROWS_OF_SAMPLE = 1 / 8, 1000


class SeparationWarning(ConvergenceWarning):
    """A fit has nothing to converge to: what has no penalty tells classes apart."""


class Fitting:
    """A task, the solver for it and the objective that the solver sees.

    Parameters
    ----------
    estimator : estimator
        With the parameters ``solver``, ``tol``, ``max_iter``, ``fit_intercept`` and
        ``random_state``; ``learning_rate`` for gradient descent if it has one.
    features : Features
    task : Task
    C : float or array of shape (n_models,)
    workers : Workers
    start : tuple of arrays, default=None
        Coefficients and intercepts to start from, in units of X; None for zero.
    l1_ratio : float, default=0.0
    along : ndarray, default=None
        Positions on a path, on each of which there are as many models.
    offset : array of shape (n_samples, n_outputs), default=None
        What is added to the logits.

    Raises
    ------
    MemoryError
        If the solver was asked for by name, and there is no room for its Hessian; on a
        device, if there is none for the rows.

    Attributes
    ----------
    solver_name : str
    problem : Problem
    """

    def __init__(
        self,
        estimator: Any,
        features: Features,
        task: Task,
        C: float | Array,
        workers: Workers,
        *,
        l1_ratio: float = 0.0,
        start: tuple[Array, Array] | None = None,
        along: np.ndarray | None = None,
        offset: Array | None = None,
    ) -> None:
        regularisation = read_regularisation(estimator, l1_ratio, C, features)
        name = estimator.solver
        if name == "auto" or name in OF_SKLEARN:
            n_samples, n_features = features.X.shape
            costs = None
            if arrays.is_sparse(features.X):
                costs = row_costs(features.X, xp=features.xp)
            name = choose(
                n_samples,
                n_features,
                task.loss.n_outputs,
                smooth=regularisation.smooth,
                sparse_costs=costs,
                in_chunks=isinstance(features.X, Chunks),
            )
        check_solver_for(name, smooth=regularisation.smooth)
        n_columns = features.X.shape[1] + bool(estimator.fit_intercept)
        _check_memory_for(estimator.solver, task.loss.n_outputs * n_columns, features)
        self.solver_name = name
        self._estimator = estimator
        self._features = features
        unpenalised = isinstance(C, float) and np.isposinf(C)
        self._is_unpenalised = unpenalised and regularisation.smooth
        self._may_diverge = unpenalised or regularisation.leaves_some_free
        self._instead_of_separation = () if unpenalised else (WITH_FREE_FEATURES,)
        self._start = start
        self._along = along
        self._seed = random_seed(estimator) if start is None else None
        self._solver = _solver(estimator, name, self._seed)
        self.problem = Problem(
            features,
            task,
            C=C,
            regularisation=regularisation,
            fit_intercept=bool(estimator.fit_intercept),
            standardized=self._solver.standardized,
            pool=workers,
            offset=offset,
        )
        self._check_memory_of_device()

    def _check_memory_of_device(self) -> None:
        """Refuse a fit that a device has no room for, before its driver does."""
        features, X, objective = (
            self._features,
            self._features.X,
            self.problem.objective,
        )
        if isinstance(X, Chunks) or arrays.in_host_memory(entries := arrays.entries(X)):
            return
        n_samples, n_features = X.shape
        size = features.xp.finfo(features.dtype).bits // 8
        stored = entries.size / n_samples if arrays.is_sparse(X) else n_features
        sample = min(SAMPLE * n_samples, ROWS_OF_SAMPLE * objective.n_parameters)
        needed = 8 * ROW_NUMBERS * n_samples + size * sample * stored
        needed += BLOCKS * min(size * n_samples * stored, arrays.block_bytes(entries))
        needed += self._solver.model_bytes(
            objective
        )  # of more, as many as there is room
        free = arrays.free_bytes(entries)
        if needed > free:
            raise MemoryError(
                f"A fit to X of shape {tuple(X.shape)} with "
                f"solver={self.solver_name!r} needs about {needed:.3g} bytes beside X "
                f"on {features.device}, and {free:.3g} are free. Free some, fit to "
                "fewer rows, or to chunks of Dask."
            )

    @property
    def n_passes(self) -> int | None:
        """How often all chunks of X were read; None for an X that is not in chunks."""
        X = self._features.X
        return X.n_passes if isinstance(X, Chunks) else None

    def run(
        self, on_iteration: Callable[[Record, Array], bool | None] | None = None
    ) -> Solution:
        """Minimise F for all models, and print the iterations if ``verbose``."""
        tell = self._printing(on_iteration) if self._estimator.verbose else on_iteration
        objective, tol = self.problem.objective, float(self._estimator.tol)
        start = self.problem.parameters(self._start)
        if self._estimator.max_iter == 0:  # no better start is looked for
            if objective.non_smooth is not None:
                start = objective.non_smooth.project(start, xp=objective.xp)
            return minimise(
                self._solver, objective, start, tol=tol, max_iter=0, on_iteration=tell
            )
        return minimise_models(
            self._solver,
            objective,
            start,
            seed=self._seed,
            tol=tol,
            max_iter=int(self._estimator.max_iter),
            along=self._along,
            on_iteration=tell,
        )

    def _printing(
        self, on_iteration: Callable[[Record, Array], bool | None] | None
    ) -> Callable[[Record, Array], bool | None]:
        def tell(record: Record, parameters: Array) -> bool | None:
            print_record(record, self.solver_name)
            return on_iteration is not None and on_iteration(record, parameters)

        return tell

    def proven(self, solution: Solution) -> tuple[np.ndarray, Solution]:
        """Bounds on what F is above its minimum, and the solution that they prove."""
        gap = self.problem.duality_gap(solution)
        return gap, solution.with_bound(gap, float(self._estimator.tol))

    def separation(self, solution: Solution) -> Separation | None:
        """What there is instead of an optimum; None where all is penalised, and of many
        models.
        """
        objective = self.problem.objective
        one_class = objective.loss.shift_invariant and objective.n_outputs == 1
        if not self._may_diverge or objective.n_models > 1 or one_class:
            return None
        gradient = arrays.to_host(solution.at.gradient)[0].astype(np.float64)
        return self.problem.separation(solution.parameters, gradient)

    def warn_unless_converged(
        self,
        solution: Solution,
        separation: Separation | None = None,
        *,
        stacklevel: int,
    ) -> None:
        """Say why models did not converge and what to do, in the words of the first.

        With separation there is nothing to converge to: then that.
        """
        if separation is not None:
            names = self._features.column_names
            sentence = separation.describe(names, *self._instead_of_separation)
            warnings.warn(sentence, SeparationWarning, stacklevel=stacklevel)
            return
        n_models = len(solution.status)
        if n_separated := self._n_separated(solution):
            warnings.warn(
                f"{n_separated} of {n_models} models have no finite estimate: their "
                "classes are separated without an error (complete separation), so "
                "that the likelihood rises without bound as coefficients grow. Use a "
                "finite C.",
                SeparationWarning,
                stacklevel=stacklevel,
            )
        failed = [
            model
            for model, status in enumerate(solution.status)
            if status is not Status.CONVERGED
        ]
        if not failed:
            return
        status = solution.status[failed[0]]
        advice = ""
        if status is Status.ITERATION_LIMIT:
            advice = INSTEAD.get(self.solver_name, "")
            if self.problem.objective.non_smooth is not None:
                # newton-cg is what is left for many parameters.
                advice = INSTEAD_WITH_KINKS.get(self.solver_name, "")
        _warn(
            solution,
            failed,
            self._estimator,
            self._features.dtype,
            advice,
            stacklevel + 1,
        )

    @arrays.quiet()
    def _n_separated(self, solution: Solution) -> int:
        """Return how many of many models separate all rows, for certain."""
        objective = self.problem.objective
        many = objective.n_models > 1 and objective.data.in_memory
        if not self._is_unpenalised or not many:
            return 0
        # The loss of a row on the wrong side is log 2 at least.
        xp, targets = objective.xp, objective.data.targets
        parts = [targets.weights]
        if targets.class_factors is not None:
            parts.append(targets.class_factors)
        least = 1.0
        for part in parts:
            positive = xp.where(part > 0, part, xp.full_like(part, xp.inf))
            least *= float(arrays.to_host(xp.min(positive)))
        loss = solution.records[-1].objective * arrays.to_host(objective.total_weight)
        return int(np.sum(loss < math.log(2) * least))


def warn_unless_converged(
    solution: Solution, estimator: Any, dtype: Any, *, stacklevel: int
) -> None:
    """Say why the model did not converge, where there is one solver to choose from."""
    if solution.status[0] is not Status.CONVERGED:
        _warn(solution, [0], estimator, dtype, "", stacklevel + 1)


def _warn(
    solution: Solution,
    failed: list[int],
    estimator: Any,
    dtype: Any,
    advice: str,
    stacklevel: int,
) -> None:
    status = solution.status[failed[0]]
    if status is Status.PRECISION_LIMIT and "32" in str(dtype):
        advice = ", or pass X as float64"
    sentence = status.value.format(
        optimality=solution.records[-1].optimality[failed].max(),
        reason=_reason(solution, failed, float(estimator.tol)),
        tol=estimator.tol,
        max_iter=estimator.max_iter,
        dtype=str(dtype).rpartition(".")[2],
        advice=advice,
    )
    if len(solution.status) > 1:
        sentence = f"{len(failed)} of {len(solution.status)} models: {sentence}"
    warnings.warn(sentence, ConvergenceWarning, stacklevel=stacklevel)


def _reason(solution: Solution, failed: list[int], tol: float) -> str:
    """Say which of the two conditions of convergence is not met."""
    last = solution.records[-1]
    if (last.optimality[failed] > tol).any():
        return f"above tol={tol:.3g}"
    share = (solution.decrease[failed] / np.abs(last.objective[failed])).max()
    return (
        f"within tol={tol:.3g}, but another step would still lower the objective by "
        f"{share:.2g} of it"
    )


def _check_memory_for(name: str, n_parameters: int, features: Features) -> None:
    """Refuse a Hessian that was asked for, before the memory is filled with it."""
    if name not in INSTEAD_OF_HESSIAN:
        return
    needed = HESSIANS * 8 * n_parameters**2
    X = features.X
    here = np.empty(0) if isinstance(X, Chunks) else arrays.entries(X)
    free = arrays.free_bytes(here)
    if needed > free:
        raise MemoryError(
            f"solver={name!r} needs {needed:.3g} bytes for the second derivatives in "
            f"{n_parameters} parameters, and {free:.3g} are free. Use solver='auto', "
            f"{INSTEAD_OF_HESSIAN[name]}."
        )


def _solver(estimator: Any, name: str, seed: int | None) -> Solver:
    if name == "gradient-descent":
        return SOLVERS[name](getattr(estimator, "learning_rate", None))
    if getattr(estimator, "learning_rate", None) is not None:
        warnings.warn(
            f"learning_rate has no effect with the solver {name!r}. Use "
            "solver='gradient-descent', or leave it out.",
            UserWarning,
            stacklevel=6,
        )
    return SOLVERS[name](seed) if name == "active-set" else SOLVERS[name]()


def print_record(record: Record, solver: str) -> None:
    """A line for an iteration."""
    print(
        f"[{solver}] iteration {record.iteration:4d}  "
        f"objective {record.objective.mean():.10g}  "
        f"optimality {record.optimality.max():.2e}  "
        f"step {record.step.max():.2e}  {record.seconds:.3f} s"
    )
