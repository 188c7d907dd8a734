"""Fitted models with the rows of their fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.data import ColumnStatistics
from xlr.estimators import (
    FirthLogisticRegression,
    LogisticRegression,
    LogisticRegressionCV,
)
from xlr.estimators.dataset import LabelledDataset, read_dataset
from xlr.estimators.firth import firth_problem
from xlr.estimators.problem import Problem, read_regularisation
from xlr.inputs.features import Features
from xlr.objective import Objective
from xlr.text import quoted
from xlr.threads import Workers


class Units(NamedTuple):
    """Change of variables from standardized parameters to units of X, on the host.

    Standardized parameters are those of the solver: the coefficients of each output,
    with its intercept last. Reported parameters have the intercept of each equation
    first; with more than two classes, the parameters of the reference are subtracted.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_features,)
    n_outputs : int
    fit_intercept : bool
    reference : int
        Number of the reference class.
    """

    mean: np.ndarray
    scale: np.ndarray
    n_outputs: int
    fit_intercept: bool
    reference: int

    def raw(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Convert standardized parameters to raw coefficients and intercepts.

        Parameters
        ----------
        rows : ndarray of shape (m, n_parameters)

        Returns
        -------
        coef : ndarray of shape (m, n_outputs, n_features)
        intercept : ndarray of shape (m, n_outputs)
        """
        columns = rows.reshape(rows.shape[0], self.n_outputs, -1)
        coef = columns[:, :, : self.mean.size] / self.scale
        intercept = columns[:, :, self.mean.size :].sum(axis=2) - coef @ self.mean
        return coef, intercept

    def reported(self, rows: np.ndarray) -> np.ndarray:
        """Map standardized parameters, as rows, to reported ones: (m, n) to (m, n').

        The map is linear: apply it to both sides of a covariance.
        """
        columns, intercept = self.raw(rows)
        if self.fit_intercept:
            columns = np.concatenate([intercept[:, :, None], columns], axis=2)
        if self.n_outputs > 1:
            own = columns[:, self.reference, None, :]
            columns = np.delete(columns, self.reference, axis=1) - own
        elif self.reference:  # log-odds of the first class
            columns = -columns
        return columns.reshape(rows.shape[0], -1)


@dataclass(frozen=True)
class FittedData:
    """Fitted model with the rows of its fit.

    Attributes
    ----------
    model : estimator
    dataset : LabelledDataset
    problem : Problem
        Problem in standardized units.
    parameters : array of shape (1, n_parameters)
        Estimates, in the order of the solver.
    reference : int, default=0
        Index of the reference class.
    """

    model: Any
    dataset: LabelledDataset
    problem: Problem
    parameters: Array
    reference: int = 0

    @property
    def objective(self) -> Objective:
        """Return the objective of the model, with its penalty."""
        return self.problem.objective

    @property
    def is_firth(self) -> bool:
        """Return whether the likelihood has Firth's penalty."""
        return self.objective.term is not None

    @property
    def column_names(self) -> list[str]:
        """Return the names of the columns of X."""
        return self.dataset.features.column_names

    @property
    def names(self) -> list[str]:
        """Return the names of the reported parameters of one equation."""
        return ["intercept"] * self.units.fit_intercept + self.column_names

    @cached_property
    def class_totals(self) -> np.ndarray:
        """Return the sums of the weights in each class: (n_classes,)."""
        return self.dataset.totals * self.dataset.class_weights.factors

    @property
    def total_weight(self) -> float:
        """Return the sum of the weights."""
        return float(self.class_totals.sum())

    @cached_property
    def units(self) -> Units:
        """Return the change of variables to units of X."""
        scaler, objective = self.problem.scaler, self.objective
        assert scaler is not None
        mean, scale = arrays.to_host(scaler.mean), arrays.to_host(scaler.scale)
        outputs, fit_intercept = objective.n_outputs, objective.fit_intercept
        return Units(mean, scale, outputs, fit_intercept, self.reference)

    @cached_property
    def standardized(self) -> np.ndarray:
        """Return the estimates on the host: (n_parameters,)."""
        return arrays.to_host(self.parameters)[0].astype(np.float64)

    def on_host(self, sums: Array) -> np.ndarray:
        """Return sums over the rows in float64 on the host, for the given weights."""
        return self.dataset.unit * arrays.to_host(sums).astype(np.float64)

    def sum_rows(
        self, function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> list[np.ndarray]:
        """Return the sums of a function of the loss and the estimates, on the host."""
        given = self.objective.loss, self.parameters, *arguments
        sums = self.objective.data.map_reduce(function, *given, **options)
        return [self.on_host(part) for part in sums]

    def map_rows(
        self, function: Callable[..., Array], *arguments: Any, width: int
    ) -> Array:
        """Return a function of the loss and the estimates for each row."""
        given = self.objective.loss, self.parameters, *arguments
        return self.objective.data.map_rows(function, *given, width=width)

    def at(self, standardized: np.ndarray) -> FittedData:
        """Return the same data with other estimates, (n_parameters,) on the host."""
        return replace(self, parameters=self.objective.place(standardized[None, :]))

    @cached_property
    def penalty_curvature(self) -> np.ndarray:
        """Return second derivatives of the summed losses' penalty: (n_parameters,)."""
        curvature = arrays.to_host(self.objective.penalty_curvature)
        return curvature[0].astype(np.float64) * self.total_weight

    @cached_property
    def non_smooth(self) -> tuple[np.ndarray, ...] | None:
        """Return L1 strengths, lower and upper bounds, all (n_parameters,)."""
        penalty = self.objective.non_smooth
        if penalty is None:
            return None
        return tuple(arrays.to_host(part)[0] for part in penalty)

    @cached_property
    def free(self) -> np.ndarray:
        """Return a mask of the parameters that no L1 penalty or bound holds."""
        if self.non_smooth is None:
            return np.ones(self.objective.n_parameters, dtype=bool)
        (l1, lower, upper), at = self.non_smooth, self.standardized
        return ~((l1 > 0) & (at == 0)) & (at > lower) & (at < upper)

    @property
    def is_penalised(self) -> bool:
        """Return whether a penalty or bounds change the estimates."""
        has_l1 = self.non_smooth is not None and (self.non_smooth[0] > 0).any()
        return bool(has_l1 or (self.penalty_curvature > 0).any() or not self.free.all())


def read_fitted_data(
    model: Any,
    features: Features,
    y: Any,
    sample_weight: Any,
    offset: Any,
    pool: Workers,
) -> FittedData:
    """Read the rows of a fit.

    Raises
    ------
    TypeError, ValueError
        If the rows are invalid, or have other classes than the model.
    """
    known, moments = None, getattr(model, "_column_moments", None)
    if moments is not None:
        mean, std = (features.place(moments[i, :], None) for i in range(2))
        known = ColumnStatistics(features.xp.ones_like(mean[0]), mean, std)
    dataset = read_dataset(
        model,
        features,
        y,
        sample_weight,
        offset,
        pool,
        statistics=known,
        takes_soft_labels=not isinstance(model, FirthLogisticRegression),
    )
    given, fitted = arrays.to_host(dataset.classes), arrays.to_host(model.classes_)
    if given.tolist() != fitted.tolist():
        raise ValueError(
            f"y holds the classes {quoted(given.tolist())}, and the model was fitted "
            f"to {quoted(fitted.tolist())}. Pass the y of the fit."
        )
    left_out = dataset.class_weights.kept.shape[0] < given.shape[0]
    if left_out and not isinstance(model, FirthLogisticRegression):
        raise ValueError(
            "A class has no weight in these rows, so that the fit has no coefficients "
            "for it. Fit without its rows."
        )
    features = dataset.features
    if isinstance(model, FirthLogisticRegression):
        problem = firth_problem(dataset, float(model.C))
    else:
        searched = isinstance(model, LogisticRegressionCV)
        C = float(model.C_ if searched else model.C)
        l1_ratio = float(model.l1_ratio_ if searched else model.l1_ratio)
        penalty = read_regularisation(model, l1_ratio, C, features)
        problem = Problem(
            dataset, dataset.spec, C=C, regularisation=penalty, standardized=True
        )
    wide = problem.objective.wide
    coef, intercept = (
        features.place(values, wide) for values in (model.coef_, model.intercept_)
    )
    rest = getattr(model, "_intercept_rest", None)
    if rest is not None:
        intercept = intercept + features.place(rest, wide)
    return FittedData(model, dataset, problem, problem.parameters((coef, intercept)))


def check_model(model: Any) -> None:
    """Raise an error for models that infer does not support.

    Raises
    ------
    TypeError, ValueError
    """
    kinds = FirthLogisticRegression, LogisticRegression, LogisticRegressionCV
    if not isinstance(model, kinds):
        names = ", ".join(f"xlr.{kind.__name__}" for kind in kinds)
        name, package = type(model).__name__, type(model).__module__.partition(".")[0]
        advice = ""
        if hasattr(model, "best_estimator_"):
            advice = " Pass its best_estimator_."
        elif hasattr(model, "named_steps"):
            advice = (
                " Pass its last step and the rows that it was fitted to: "
                "xlr.infer(pipeline[-1], pipeline[:-1].transform(X), y)."
            )
        elif package == "sklearn" and name.startswith("LogisticRegression"):
            advice = (
                " Fit xlr.LogisticRegression to the same rows, with the same C, "
                "l1_ratio, fit_intercept and class_weight (C=inf for no penalty)."
            )
        raise TypeError(
            f"model must be one of {names}; got {name} of {package}.{advice}"
        )
    check_is_fitted(model, "coef_")
    if model._has_model_for_each_class:
        raise ValueError(
            "A model of multi_class='ovr' is several models, each with labels of its "
            "own. Fit each class against the rest, or use multi_class='multinomial'."
        )
