"""A fitted model together with its rows: what all inference starts from."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Moments
from xlr.estimators import (
    FirthLogisticRegression,
    LogisticRegression,
    LogisticRegressionCV,
)
from xlr.estimators.firth import firth_problem
from xlr.estimators.problem import Problem
from xlr.estimators.regularisation import read_regularisation
from xlr.estimators.rows import Rows, read_rows
from xlr.inputs.features import Features
from xlr.objective import FirthObjective, Objective
from xlr.threads import Workers

__all__ = ["Evidence", "check_model", "read_evidence", "refuse_other_rows"]

# How much further from the optimum than the fit ended the model may be on the rows
# given: rounding its coefficients to the dtype of X, and other orders of summing.
SLACK = 10


@dataclass(frozen=True)
class Evidence:
    """A fitted model, its rows, and its parameters as a statistician lists them.

    Those of the solver are standardised, class by class with the intercept last. The
    reported ones are in units of X with the intercept first; of more than two classes,
    each is less that of the first class.

    Attributes
    ----------
    model : estimator
    features : Features
    objective : Objective
        Of the model, with its penalty.
    problem : Problem
    parameters : array of shape (1, n_parameters)
        Where the model is.
    unit : float
        What the weights of the objective are to be multiplied by.
    class_factors : ndarray of shape (n_classes,)
        What ``class_weight`` multiplies the weights of the rows by.
    n_samples : float
        Sum of the sample weights.
    class_totals : ndarray of shape (n_classes,)
        Weights of the classes.
    classes : ndarray
    """

    model: Any
    features: Features
    problem: Problem
    objective: Objective
    parameters: Array
    unit: float
    class_factors: np.ndarray
    n_samples: float
    class_totals: np.ndarray
    classes: np.ndarray

    @property
    def fit_intercept(self) -> bool:
        """Whether the model has intercepts."""
        return self.objective.fit_intercept

    @property
    def is_firth(self) -> bool:
        """Whether the likelihood has Firth's penalty."""
        return isinstance(self.objective, FirthObjective)

    @property
    def n_equations(self) -> int:
        """Columns of reported parameters: one, or one less than there are classes."""
        return max(1, self.objective.n_outputs - 1)

    @property
    def names(self) -> list[str]:
        """Of the reported parameters of one equation."""
        return ["intercept"] * self.fit_intercept + self.features.column_names

    @property
    def on_device(self) -> AbstractContextManager[Any]:
        """A context in which the device of X is the current one."""
        return arrays.current_device(self.parameters)

    @property
    def strength(self) -> np.ndarray:
        """Curvature of the penalty of the sum of the losses: (n_parameters,)."""
        with self.on_device:
            curvature = self.objective.penalty_curvature(self.parameters)[0, :]
        return arrays.to_host(curvature).astype(np.float64) * self.total_weight

    @property
    def total_weight(self) -> float:
        """Sum of the weights."""
        return float(self.class_totals.sum())

    @property
    def free(self) -> np.ndarray:
        """Which parameters could move: not zero by an L1 penalty, nor at a bound."""
        kinks = self.objective.kinks
        if kinks is None:
            return np.ones(self.objective.n_parameters, dtype=bool)
        at = arrays.to_host(self.parameters)[0]
        lasso, lower, upper = (arrays.to_host(part)[0] for part in kinks)
        return ~((lasso > 0) & (at == 0)) & (at > lower) & (at < upper)

    @property
    def is_penalised(self) -> bool:
        """Whether anything but the likelihood moves the parameters."""
        kinks = self.objective.kinks
        return bool(
            (self.strength > 0).any()
            or not self.free.all()
            or (kinks is not None and (arrays.to_host(kinks.lasso) > 0).any())
        )

    def reported(self, rows: np.ndarray) -> np.ndarray:
        """Parameters of the solver, as rows, to reported ones: (m, n) to (m, n').

        The map is linear: of a covariance, it is to be taken from both sides.
        """
        outputs, size = self.objective.n_outputs, self.objective.column_size
        columns = np.asarray(rows, dtype=np.float64).reshape(-1, outputs, size)
        n_features = self.objective.n_features
        coef = columns[:, :, :n_features]
        units = self.problem.units
        assert units is not None
        coef = coef / arrays.to_host(units.scale)
        if self.fit_intercept:
            moved = coef @ arrays.to_host(units.mean)
            intercept = columns[:, :, n_features] - moved
            coef = np.concatenate([intercept[:, :, None], coef], axis=2)
        if outputs > 1:
            coef = coef[:, 1:, :] - coef[:, :1, :]
        return coef.reshape(rows.shape[0], -1)

    def at(self, parameters: np.ndarray) -> Evidence:
        """The same at other parameters of the solver, (n_parameters,) on the host."""
        return replace(self, parameters=self.objective.place(parameters[None, :]))


def read_evidence(
    model: Any,
    features: Features,
    y: Any,
    sample_weight: Any,
    offset: Any,
    crew: Workers,
) -> Evidence:
    """Check a model and its rows.

    Raises
    ------
    TypeError, ValueError
        If the rows are not as described, or other classes than those of the model.
    """
    moments = getattr(model, "_column_moments", None)
    known = None
    if moments is not None:
        mean, deviation = (features.place(moments[i, :], None) for i in range(2))
        known = Moments(features.xp.ones_like(mean[0]), mean, deviation)
    rows = read_rows(model, features, y, sample_weight, offset, moments=known)
    _check_classes(model, rows)
    problem, objective = _problem(model, rows, crew)
    start = rows.features.place(model.coef_, objective.wide)
    intercept = rows.features.place(model.intercept_, objective.wide)
    rest = getattr(model, "_intercept_rest", None)
    if rest is not None:
        intercept = intercept + rows.features.place(rest, objective.wide)
    factors = np.ones_like(rows.totals) if rows.factors is None else rows.factors
    unit = arrays.to_host(problem.total_weight / objective.total_weight)
    return Evidence(
        model=model,
        features=rows.features,
        problem=problem,
        objective=objective,
        parameters=problem.parameters((start, intercept)),
        unit=float(unit[0]),
        class_factors=factors,
        n_samples=float(rows.totals.sum()),
        class_totals=rows.totals * factors,
        classes=arrays.to_host(rows.labels.classes),
    )


def refuse_other_rows(evidence: Evidence, gradient: np.ndarray) -> None:
    """Refuse rows on which the model is not at the optimum.

    Parameters
    ----------
    evidence : Evidence
    gradient : ndarray of shape (n_parameters,)
        Of F, the least subgradient where it has kinks.

    Raises
    ------
    ValueError
    """
    model, optimality = evidence.model, float(np.abs(gradient).max())
    reached = max(float(model.tol), getattr(model, "optimality_", 0.0))
    if not optimality <= SLACK * max(reached, evidence.objective.rounding**0.5):
        raise ValueError(
            "The model is not the optimum on these rows: the gradient of F is "
            f"{optimality:.3g} there, and within {reached:.3g} where the fit ended. "
            "Pass the X, y, sample_weight and offset of the fit."
        )


def check_model(model: Any) -> None:
    """Refuse what inference is not for.

    Raises
    ------
    TypeError, ValueError
    """
    kinds = FirthLogisticRegression, LogisticRegression, LogisticRegressionCV
    if not isinstance(model, kinds):
        names = ", ".join(f"xlr.{kind.__name__}" for kind in kinds)
        raise TypeError(f"model must be one of {names}; got {model!r}.")
    check_is_fitted(model, "coef_")
    if getattr(model, "_one_vs_rest", False):
        raise ValueError(
            "A model of multi_class='ovr' is several models, each of other labels. Fit "
            "each class against the rest, or use multi_class='multinomial'."
        )


def _check_classes(model: Any, rows: Rows) -> None:
    given, known = arrays.to_host(rows.labels.classes), arrays.to_host(model.classes_)
    if given.shape != known.shape or not (given == known).all():
        raise ValueError(
            f"y holds the classes {given.tolist()}, and the model was fitted to "
            f"{known.tolist()}. Pass the y of the fit."
        )


def _problem(model: Any, rows: Rows, crew: Workers) -> tuple[Problem, Objective]:
    """The objective of the model, in standardised units."""
    fit_intercept = bool(model.fit_intercept)
    if isinstance(model, FirthLogisticRegression):
        return firth_problem(rows.features, rows.task, fit_intercept, crew, rows.offset)
    searched = isinstance(model, LogisticRegressionCV)
    C = float(model.C_ if searched else model.C)
    l1_ratio = float(model.l1_ratio_ if searched else model.l1_ratio)
    problem = Problem(
        rows.features,
        rows.task,
        C=C,
        regularisation=read_regularisation(model, l1_ratio, C, rows.features),
        fit_intercept=fit_intercept,
        standardised=True,
        workers=crew,
        offset=rows.offset,
    )
    return problem, problem.objective
