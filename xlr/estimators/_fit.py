"""The fitting pipeline: checks, solver, warnings, fitted attributes and callbacks."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from xlr import arrays
from xlr.arrays import Array
from xlr.data import DenseMatrix
from xlr.inputs.dataset import Dataset, ModelSpec
from xlr.inputs.features import Features, read_features
from xlr.inputs.parameters import (
    OF_SKLEARN,
    check_parameters,
    check_solver_for,
    random_seed,
)
from xlr.inputs.problem import Problem, read_regularisation
from xlr.objective import duality_gap, pays_in_float32
from xlr.solvers import (
    SOLVERS,
    PathPoint,
    Record,
    Solution,
    Solver,
    Status,
    choose_solver,
    minimise,
    minimise_models,
)
from xlr.text import warn

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn 1.6 to 1.8

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replacement for scikit-learn's mixin of the same name."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method, without callbacks."""
        return method


Listener = Callable[[Record, Array], bool | None]


def begin_fit(estimator: Any, X: Any, *others: Any, chunked: bool = True) -> Features:
    """Check the parameters of an estimator, and validate X.

    Parameters
    ----------
    estimator : estimator
    X : array, sparse matrix or table
    *others : arrays
        The other arguments of the fit.
    chunked : bool, default=True
        As in :func:`read_features`.

    Raises
    ------
    TypeError, ValueError
        If a parameter or X is invalid, or JAX traces an array.

    Warns
    -----
    UserWarning
        If the solver is 'liblinear', which fits another model in scikit-learn.
    """
    check_parameters(vars(estimator))
    if arrays.is_traced(X, *others):
        raise TypeError(
            "Fits are not traced: under jax.jit, jax.vmap and jax.grad arrays have no "
            "values, which decide when a fit ends. Fit outside of them; "
            "decision_function and predict_proba of the fitted model can be traced."
        )
    if getattr(estimator, "solver", None) == "liblinear" and estimator.fit_intercept:
        warn(
            "scikit-learn's solver 'liblinear' penalises the intercept. xlr does not, "
            "like scikit-learn's other solvers. Leave solver out."
        )
    return read_features(estimator, X, reset=True, chunked=chunked)


def set_fitted(estimator: Any, attributes: dict[str, Any]) -> None:
    """Set all fitted attributes at once, as the last step of a fit.

    Predictions in other threads use all new attributes or none. A fit that fails or is
    interrupted changes nothing.
    """
    # An array sets neither: those of an earlier fit to a table must not remain.
    kept = dict(vars(estimator))
    kept.pop("feature_names_in_", None)
    kept.pop("_encoder", None)
    estimator.__dict__ = kept | attributes


# Advice after "Increase max_iter", by solver.
ITERATION_LIMIT_ADVICE = {
    "lbfgs": ", or use solver='newton-cholesky'",
    "gradient-descent": ", raise learning_rate, or use solver='auto'",
    "active-set": ", or use solver='proximal-newton'",
}

# Of several models, only the MAX_TESTED with the largest logits, above MIN_TESTED_LOGIT
# (odds of 150), are tested for separation: a test takes as long as an iteration.
MIN_TESTED_LOGIT = 5.0
MAX_TESTED = 5

UNPENALISED_FEATURES_ADVICE = "Use a penalty_factor above 0 for all features."

# Advice for solvers whose Hessian does not fit into memory.
HESSIAN_ADVICE = {
    "newton-cholesky": "'newton-cg' or 'lbfgs'",
    "proximal-newton": "'newton-cg' or 'active-set'",
}


class SeparationWarning(ConvergenceWarning):
    """Warning that no finite estimate exists, because features separate the classes."""


class Fitting:
    """A fit: models, their objective and the solver that minimises it.

    Parameters
    ----------
    estimator : estimator
        Estimator with the parameters ``solver``, ``tol``, ``max_iter``,
        ``fit_intercept`` and ``random_state``; and possibly ``learning_rate``.
    dataset : Dataset
    spec : ModelSpec, default=None
        Models of the rows of the dataset; None for those of the dataset.
    C : float or array of shape (n_models,), default=None
        None for that of the estimator.
    l1_ratio : float, default=None
        None for that of the estimator, if it has one.
    start : tuple of arrays, default=None
        Raw coefficients and intercepts to start from; None for those of
        :meth:`Problem.parameters`.

    Raises
    ------
    MemoryError
        If the Hessian of a chosen solver does not fit into memory.

    Attributes
    ----------
    solver_name : str
    problem : Problem
    """

    def __init__(
        self,
        estimator: Any,
        dataset: Dataset,
        spec: ModelSpec | None = None,
        *,
        C: float | Array | None = None,
        l1_ratio: float | None = None,
        start: tuple[Array, Array] | None = None,
    ) -> None:
        spec = dataset.spec if spec is None else spec
        features, data = dataset.features, spec.data
        C = float(estimator.C) if C is None else C
        if l1_ratio is None:
            l1_ratio = float(getattr(estimator, "l1_ratio", 0.0))
        regularisation = read_regularisation(estimator, l1_ratio, C, features)
        name, smooth = estimator.solver, regularisation.smooth
        if name == "auto" or name in OF_SKLEARN:
            matrix, costs = data.matrix, None
            if not isinstance(matrix, DenseMatrix):
                costs = matrix.product_cost, matrix.gram_cost
            name = choose_solver(
                data.n_samples,
                data.n_features,
                spec.loss.n_outputs,
                smooth=smooth,
                sparse_costs=costs,
                in_chunks=not data.in_memory,
                in_float32=spec.loss.n_outputs > 1 and pays_in_float32(data),
            )
        check_solver_for(name, smooth=smooth)
        self.solver_name = name
        self._estimator = estimator
        self._dataset = dataset
        unpenalised = isinstance(C, float) and math.isinf(C)
        self._may_diverge = unpenalised or regularisation.leaves_some_free
        self._separation_advice = () if unpenalised else (UNPENALISED_FEATURES_ADVICE,)
        self._start = start
        self._seed = random_seed(estimator) if start is None else None
        rate = getattr(estimator, "learning_rate", None)
        given = (rate,) if name == "gradient-descent" else ()
        self._solver: Solver = SOLVERS[name](*given)
        self.problem = Problem(
            dataset,
            spec,
            C=C,
            regularisation=regularisation,
            standardized=self._solver.standardized,
        )
        if estimator.solver in HESSIAN_ADVICE:
            free = arrays.free_bytes(data.matrix.stored)
            needed = self._solver.model_bytes(self.problem.objective)
            if free is not None and needed > free:
                raise self._no_memory(f"{free:.3g} bytes are free")

    def _no_memory(self, cause: Any) -> MemoryError:
        """Return the error for a Hessian that does not fit into memory."""
        name, objective = self.solver_name, self.problem.objective
        needed = self._solver.model_bytes(objective)
        return MemoryError(
            f"solver={name!r} needs {needed:.3g} bytes for the Hessian of "
            f"{objective.n_parameters} parameters ({cause}). Use solver='auto', "
            f"{HESSIAN_ADVICE[name]}."
        )

    def run(self, on_iteration: Listener | None = None, n_steps: int = 1) -> Solution:
        """Minimise F for all models, and print the iterations if ``verbose``.

        ``n_steps`` is the number of steps of a path, with equal numbers of models.
        """
        estimator, objective = self._estimator, self.problem.objective
        if estimator.verbose:
            on_iteration = printing_listener(self.solver_name, on_iteration)
        options: dict[str, Any] = {
            "tol": float(estimator.tol),
            "max_iter": int(estimator.max_iter),
            "on_iteration": on_iteration,
        }
        start = self.problem.parameters(self._start)
        if estimator.max_iter == 0:  # do not look for a better start
            start = objective.project(start)
            return minimise(self._solver, objective, start, **options)
        options |= {"seed": self._seed, "n_steps": n_steps}
        try:
            return minimise_models(self._solver, objective, start, **options)
        except MemoryError as error:
            # Otherwise X itself, not the Hessian, fills the memory.
            hessian_is_larger = objective.n_parameters**2 > objective.data.product_cost
            if self.solver_name not in HESSIAN_ADVICE or not hessian_is_larger:
                raise
            raise self._no_memory(error) from error

    def prediction_attributes(
        self, input_attributes: dict[str, Any], parameters: Array
    ) -> dict[str, Any]:
        """Return the attributes that predictions need.

        ``input_attributes`` describe X and y, from before the fit.
        """
        coefficients = self.problem.coefficients(parameters)
        return input_attributes | self._dataset.features.returned(**coefficients)

    def finish(
        self, solution: Solution, input_attributes: dict[str, Any]
    ) -> tuple[Solution, dict[str, Any]]:
        """Warn about failures; return the final solution and the fitted attributes.

        A model whose duality gap is small has converged.
        """
        bound = duality_gap(self.problem.objective, solution.parameters, solution.at)
        gap = arrays.to_host(bound).astype(np.float64)
        solution = solution.with_bound(gap, float(self._estimator.tol))
        has_optimum = self.check_convergence(solution)
        by_model = {
            "n_iter_": solution.n_iter,
            "duality_gap_": gap,
            "converged_": solution.converged,
            "optimality_": solution.records[-1].optimality,
        }
        return solution, {
            **self.problem.spec.by_row(by_model),
            "solver_": self.solver_name,
            "_has_optimum": has_optimum,
            **self.prediction_attributes(input_attributes, solution.parameters),
        }

    def warn_of_separation(self, solution: Solution | PathPoint) -> Collection[int]:
        """Warn about models without a finite estimate, and return their indices.

        There are none if everything is penalised. Among many models, at most MAX_TESTED
        with large logits are tested.
        """
        objective = self.problem.objective
        one_class = objective.loss.shift_invariant and objective.n_outputs == 1
        if not self._may_diverge or one_class:
            return ()
        n_models, separations = objective.n_models, {}
        models = np.arange(n_models)
        if n_models > 1:
            size = objective.largest_logits(solution.parameters)
            largest = np.argsort(-size, kind="stable")[:MAX_TESTED]
            models = np.sort(largest[size[largest] > MIN_TESTED_LOGIT])
        gradients = arrays.to_host(solution.at.gradient).astype(np.float64)
        for k in models.tolist():
            separation = self.problem.separation(solution.parameters, gradients[k], k)
            if separation is not None:
                separations[k] = separation
        if separations:
            names = self._dataset.features.column_names
            first = next(iter(separations.values()))
            sentence = first.describe(names, *self._separation_advice)
            if n_models > 1:
                at_least = "At least " * (len(separations) == MAX_TESTED < n_models)
                cause = sentence.removeprefix("There is no finite estimate: ")
                sentence = (
                    f"{at_least}{len(separations)} of {n_models} models have no finite "
                    f"estimate. In the first of them, {cause}"
                )
            warn(sentence, SeparationWarning)
        return separations

    def check_convergence(self, solution: Solution) -> bool:
        """Warn about separated and unconverged models, with the cause and advice.

        Returns
        -------
        bool
            False if a model has no finite estimate.
        """
        separated = self.warn_of_separation(solution)
        if set(solution.status) != {Status.CONVERGED}:
            advice = ITERATION_LIMIT_ADVICE.get(self.solver_name, "")
            warn_of_unconverged(
                solution, self._estimator, self._dataset, advice, separated
            )
        return not separated


def warn_of_unconverged(
    solution: Solution,
    estimator: Any,
    dataset: Dataset,
    advice: str = "",
    separated: Collection[int] = (),
) -> None:
    """Warn about models that did not converge, and describe the first.

    ``advice`` is for models that ran out of iterations. Separated models have their own
    warning.
    """
    unconverged = np.flatnonzero(~solution.converged).tolist()
    failed = [model for model in unconverged if model not in separated]
    if not failed:
        return
    status, dtype = solution.status[failed[0]], str(dataset.features.dtype)
    if status is Status.PRECISION_LIMIT:
        advice = ", or pass X as float64" if "32" in dtype else ""
    sentence = status.value.format(
        optimality=solution.records[-1].optimality[failed].max(),
        reason=_reason(solution, failed, float(estimator.tol)),
        tol=estimator.tol,
        max_iter=estimator.max_iter,
        dtype=dtype.rpartition(".")[2],
        advice=advice,
    )
    if len(solution.status) > 1:
        sentence = f"{len(failed)} of {len(solution.status)} models: {sentence}"
    warn(sentence + dataset.advice_on_outliers(), ConvergenceWarning)


def _reason(solution: Solution, failed: list[int], tol: float) -> str:
    """Return the condition of convergence that does not hold."""
    last = solution.records[-1]
    if (last.optimality[failed] > tol).any():
        return f"above tol={tol:.3g}"
    share = (solution.decrease[failed] / np.abs(last.objective[failed])).max()
    return (
        f"within tol={tol:.3g}, but another step would still lower the objective by "
        f"{share:.2g} of it"
    )


def printing_listener(solver: str, on_iteration: Listener | None = None) -> Listener:
    """Return a listener that prints a line for each iteration, and then reports it."""

    def print_record(record: Record, parameters: Array) -> bool | None:
        print(
            f"[{solver}] iteration {record.iteration:4d}  "
            f"objective {record.objective.mean():.10g}  "
            f"optimality {record.optimality.max():.2e}  "
            f"step {record.step.max():.2e}  {record.seconds:.3f} s"
        )
        return on_iteration is not None and on_iteration(record, parameters)

    return print_record


# -- callbacks of scikit-learn ---------------------------------------------------------


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

    def listener(
        self, reconstruct: Callable[..., dict[str, Any]], *arguments: Any
    ) -> Listener | None:
        """Return a function to call after each iteration, or None without callbacks.

        The function returns True if a callback requests a stop.
        ``reconstruct(*arguments, parameters)`` returns the fitted attributes that
        predictions need; it is called only if a callback needs them.
        """
        context: Any = self._context
        if context is None:
            return None
        before: dict[str, Any] = {}

        def report(record: Record, parameters: Array) -> bool:
            nonlocal before
            known, stops = functools.partial(reconstruct, *arguments, parameters), False
            now = {**self._data, "reconstruction_attributes": known}
            if record.iteration > 0:
                task = context.subcontext(task_name="iteration")
                task.call_on_fit_task_begin(**before)
                stops = task.call_on_fit_task_end(**now)
            before = now
            return stops

        return report

    def end(self, attributes: dict[str, Any]) -> None:
        """Report the end of the fit, with the fitted attributes."""
        if self._context is not None:
            self._context.call_on_fit_task_end(
                **self._data, reconstruction_attributes=lambda: attributes
            )
