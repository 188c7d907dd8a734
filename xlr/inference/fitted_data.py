"""Fitted models with their training data, and their estimates."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators import (
    FirthLogisticRegression,
    LogisticRegression,
    LogisticRegressionCV,
)
from xlr.estimators.firth import firth_problem
from xlr.inputs.dask_input import label_levels
from xlr.inputs.dataset import LabelledDataset, read_dataset
from xlr.inputs.features import Features
from xlr.inputs.problem import Problem, read_regularisation
from xlr.penalties import NonSmooth
from xlr.text import quoted
from xlr.threads import ThreadPool


class ParameterMap(NamedTuple):
    """Linear map of standardized parameters to raw and reported ones, on the host.

    Standardized parameters are those of the solver: the coefficients of each output,
    with its intercept last. Reported parameters have the intercept of each equation
    first; with more than two classes, the parameters of the reference are subtracted.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_features,)
    n_outputs : int
    fit_intercept : bool
    reference : int
        Index of the reference class.
    """

    mean: np.ndarray
    scale: np.ndarray
    n_outputs: int
    fit_intercept: bool
    reference: int

    def to_raw(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Convert standardized parameters to raw coefficients and intercepts.

        Parameters
        ----------
        parameters : ndarray of shape (m, n_parameters)

        Returns
        -------
        coef : ndarray of shape (m, n_outputs, n_features)
        intercept : ndarray of shape (m, n_outputs)
        """
        by_output = parameters.reshape(parameters.shape[0], self.n_outputs, -1)
        coef = by_output[:, :, : self.mean.size] / self.scale
        intercept = by_output[:, :, self.mean.size :].sum(axis=2) - coef @ self.mean
        return coef, intercept

    def to_reported(self, parameters: np.ndarray) -> np.ndarray:
        """Map standardized parameters to reported ones: (m, n) to (m, n').

        For a covariance, apply it to both sides.
        """
        by_output, intercept = self.to_raw(parameters)
        if self.fit_intercept:
            by_output = np.concatenate([intercept[:, :, None], by_output], axis=2)
        if self.n_outputs > 1:
            reference_params = by_output[:, self.reference, None, :]
            by_output = np.delete(by_output, self.reference, axis=1) - reference_params
        return self.sign * by_output.reshape(parameters.shape[0], -1)

    @property
    def sign(self) -> int:
        """Return the sign of results: -1 if the reference is the second of two."""
        return -1 if self.n_outputs == 1 and self.reference else 1

    @property
    def matrix(self) -> np.ndarray:
        """Return the matrix of the reported parameters: (n_reported, n_parameters)."""
        size = self.mean.size + self.fit_intercept
        return self.to_reported(np.eye(self.n_outputs * size)).T


@dataclass
class Estimates:
    """Estimates and their covariance, on the host.

    Attributes
    ----------
    params : ndarray of shape (n_reported,)
        NaN for an aliased feature.
    covariance : ndarray of shape (n_reported, n_reported)
        NaN for an aliased feature, and for a coefficient at zero under the L1 penalty,
        or at a bound.
    standardized_params : ndarray of shape (n_parameters,)
        The estimates in standardized units.
    standardized_covariance : ndarray of shape (n_parameters, n_parameters)
        Zero for parameters without a covariance.
    inverse_hessian : ndarray of shape (n_parameters, n_parameters)
        Inverse Hessian of the summed losses and the penalty, zero for the same
        parameters.
    llf : float
        Log-likelihood.
    effective_df : float
        Trace of the information times the inverse Hessian.
    aliased : str
        Names of the aliased columns; empty if there are none.
    was_indefinite : bool
        Whether negative eigenvalues of the covariance were set to zero.
    llnull, saturated : float
        Log-likelihoods of the intercepts alone, and of the saturated model.
    profile : list of ndarrays of shape (n_reported,), or None
        Likelihood-ratio statistics of the hypotheses that a parameter is zero, and the
        lower and upper ends of intervals of level 0.95, infinite where there is none.
    """

    params: np.ndarray
    covariance: np.ndarray
    standardized_params: np.ndarray
    standardized_covariance: np.ndarray
    inverse_hessian: np.ndarray
    llf: float
    effective_df: float
    aliased: str = ""
    was_indefinite: bool = False
    llnull: float = np.nan
    saturated: float = 0.0
    profile: list[np.ndarray] | None = None

    @property
    def standard_errors(self) -> np.ndarray:
        """Return the standard errors: (n_reported,)."""
        return np.sqrt(np.diagonal(self.covariance))


class FittedData:
    """Fitted model with its training data.

    Parameters
    ----------
    model : estimator
    dataset : LabelledDataset
    reference : int
        Index of the reference class.

    Attributes
    ----------
    problem : Problem
        Problem in standardized units.
    objective : Objective
        Objective of the model, with its penalty.
    parameter_map : ParameterMap
    column_names, names : list of str
        Names of the columns of X, and of the reported parameters of an equation.
    terms : list of str
        Term of each of ``names``: race for race[a] and race[b], if race has levels.
    references : dict of str to str
        Names of the reference levels of categories, by term.
    class_totals : ndarray of shape (n_classes,)
        Sums of the weights in each class.
    n_equations : int
        Number of classes less one.
    total_weight : float
        Sum of the weights.
    penalty_curvature : ndarray of shape (n_parameters,)
        Second derivatives of the penalty of the summed losses.
    non_smooth : NonSmooth of three ndarrays of shape (n_parameters,) or floats
        L1 strengths, lower and upper bounds.
    parameters : array of shape (1, n_parameters)
        Estimates, in the order of the solver.
    """

    def __init__(self, model: Any, dataset: LabelledDataset, reference: int) -> None:
        self.model, self.dataset = model, dataset
        self.problem = problem = _problem(model, dataset)
        self.objective = objective = problem.objective
        self.is_firth = objective.term is not None
        scaler = dataset.scaler
        mean, scale = arrays.to_host(scaler.mean), arrays.to_host(scaler.scale)
        self.parameter_map = ParameterMap(
            mean, scale, objective.n_outputs, objective.fit_intercept, reference
        )
        self.column_names = dataset.features.column_names
        intercept, terms = "intercept", dataset.features.terms
        while intercept in {*self.column_names, *terms}:  # a feature of that name
            intercept = f"({intercept})"
        self.names = [intercept] * objective.fit_intercept + self.column_names
        self.terms = [intercept] * objective.fit_intercept + terms
        encoder = dataset.features.encoder
        self.references = {} if encoder is None else encoder.references
        self.class_totals = dataset.totals * dataset.class_weights.factors
        self.n_equations = self.class_totals.size - 1
        self.total_weight = float(self.class_totals.sum())
        curvature = arrays.to_host(objective.penalty_curvature)[0]
        self.penalty_curvature = curvature.astype(np.float64) * self.total_weight
        self.non_smooth = NonSmooth(0.0, -np.inf, np.inf)
        if objective.non_smooth is not None:
            values = (arrays.to_host(p)[0] for p in objective.non_smooth)
            self.non_smooth = NonSmooth(*values)
        features, widest = dataset.features, objective.accumulation_dtype
        coef = features.place(model.coef_, widest)
        intercept = model._exact_intercept(features, widest)
        self.parameters = problem.parameters((coef, intercept))

    @property
    def standardized_params(self) -> np.ndarray:
        """Return the estimates on the host: (n_parameters,)."""
        return arrays.to_host(self.parameters)[0].astype(np.float64)

    def with_estimates(self, standardized_params: np.ndarray) -> FittedData:
        """Return a copy with these standardized estimates, (n_parameters,)."""
        data = copy.copy(self)
        data.parameters = self.objective.place(standardized_params[None, :])
        return data

    @property
    def free(self) -> np.ndarray:
        """Return the mask of parameters neither at a bound nor at zero under L1."""
        return self.non_smooth.free(self.standardized_params)

    @property
    def is_penalised(self) -> bool:
        """Return whether a penalty or bounds change the estimates."""
        strengths = self.penalty_curvature + self.non_smooth.l1
        return bool((strengths > 0).any() or not self.free.all())

    def on_host(self, sums: Array) -> np.ndarray:
        """Return sums over the rows in float64 on the host, for the given weights."""
        return self.dataset.mean_weight * arrays.to_host(sums).astype(np.float64)

    def sum_rows(
        self, function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> list[np.ndarray]:
        """Return sums of a function of the rows at the estimates, on the host."""
        leading = self.objective.loss, self.parameters
        sums = self.objective.data.map_reduce(function, *leading, *arguments, **options)
        return list(map(self.on_host, sums))


def _problem(model: Any, dataset: LabelledDataset) -> Problem:
    """Return the problem of a fitted model, in standardized units."""
    if isinstance(model, FirthLogisticRegression):
        return firth_problem(dataset, float(model.C))
    is_cv = isinstance(model, LogisticRegressionCV)
    C = float(model.C_ if is_cv else model.C)
    l1_ratio = float(model.l1_ratio_ if is_cv else model.l1_ratio)
    penalty = read_regularisation(model, l1_ratio, C, dataset.features)
    return Problem(
        dataset, dataset.spec, C=C, regularisation=penalty, standardized=True
    )


def read_fitted_data(
    model: Any,
    features: Features,
    y: Any,
    sample_weight: Any,
    offset: Any,
    reference: Any,
    pool: ThreadPool,
) -> FittedData:
    """Read the training data of a fit.

    Raises
    ------
    TypeError, ValueError
        If the data are invalid, or have other classes than the model.
    """
    is_firth = isinstance(model, FirthLogisticRegression)
    dataset = read_dataset(
        model, features, y, sample_weight, offset, pool, takes_soft_labels=not is_firth
    )
    classes = arrays.to_host(dataset.classes).tolist()
    fitted_classes = arrays.to_host(model.classes_).tolist()
    if classes != fitted_classes:
        raise ValueError(
            f"y holds the classes {quoted(classes)}, and the model was fitted to "
            f"{quoted(fitted_classes)}. Pass the y of the fit."
        )
    if dataset.class_weights.kept.size < len(classes) and not is_firth:
        raise ValueError(
            "A class has no weight in these rows, so that the fit has no coefficients "
            "for it. Fit without its rows."
        )
    if reference is None:
        reference = first_class(y, classes)
    if reference not in classes:
        raise ValueError(
            f"reference must be one of the classes, {quoted(classes)}; got "
            f"{quoted(reference)}."
        )
    return FittedData(model, dataset, classes.index(reference))


def first_class(y: Any, classes: list[Any]) -> Any:
    """Return the first level of a categorical y that is a class, or the first class."""
    levels = [*(label_levels(y) or ()), *classes]
    return next(level for level in levels if level in classes)


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
        raise TypeError(
            f"model must be one of {names}; got {name} of {package}. Fit one to the "
            "same rows. For a search, pass best_estimator_; for a pipeline, pass its "
            "last step and the transformed X: "
            "xlr.infer(pipeline[-1], pipeline[:-1].transform(X), y)."
        )
    check_is_fitted(model, "coef_")
    if model._is_one_vs_rest:
        raise ValueError(
            "A model of multi_class='ovr' holds several models, one for each class. "
            "Fit each class against the rest, or use multi_class='multinomial'."
        )
