"""A fitted model together with the rows of its fit: what all inference starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.cached import cached_property
from xlr.data import ColumnStatistics
from xlr.estimators import (
    FirthLogisticRegression,
    LogisticRegression,
    LogisticRegressionCV,
)
from xlr.estimators.dataset import LabelledDataset, read_dataset
from xlr.estimators.firth import firth_problem
from xlr.estimators.problem import Problem
from xlr.estimators.regularisation import read_regularisation
from xlr.inputs.features import Features
from xlr.objective import Objective
from xlr.text import quoted
from xlr.threads import Workers

__all__ = ["FittedData", "check_model", "read_fitted_data", "refuse_other_rows"]

# Factor on the optimality of the fit: the coefficients are rounded to the dtype of X,
# and sums over the rows are taken in another order.
SLACK = 10


@dataclass(frozen=True)
class FittedData:
    """A fitted model and its rows.

    Parameters have three forms. The solver's are standardized, with the intercept of
    each class last. On the host they are standardized with the intercept of each class
    first. Reported parameters are in units of X; of more than two classes, each is less
    that of the first class.

    Attributes
    ----------
    model : estimator
    features : Features
    problem : Problem
    objective : Objective
        Of the model, with its penalty.
    parameters : array of shape (1, n_parameters)
        The estimates, as the solver has them.
    unit : float
        Factor from the weights of the objective to those that were given.
    class_factors : ndarray of shape (n_classes,)
        Factors of ``class_weight`` on the weights of the rows.
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
        return self.objective.term is not None

    @property
    def n_equations(self) -> int:
        """Number of reported logits: one, or one less than there are classes."""
        return max(1, self.objective.n_outputs - 1)

    @property
    def names(self) -> list[str]:
        """Names of the reported parameters of one equation."""
        return ["intercept"] * self.fit_intercept + self.features.column_names

    @property
    def total_weight(self) -> float:
        """Sum of the weights."""
        return float(self.class_totals.sum())

    @cached_property
    def order(self) -> np.ndarray:
        """The solver's number of each parameter on the host."""
        numbers = np.arange(self.objective.n_parameters)
        by_class = numbers.reshape(self.objective.n_outputs, -1)
        return np.roll(by_class, int(self.fit_intercept), axis=1).reshape(-1)

    def on_host(self, values: Array) -> np.ndarray:
        """Copy a vector or square matrix of the solver's parameters to the host."""
        host = arrays.to_host(values)
        return host[np.ix_(*[self.order] * host.ndim)].astype(np.float64)

    def for_solver(self, values: np.ndarray) -> np.ndarray:
        """Reorder a vector or square matrix on the host as the solver's parameters."""
        return values[np.ix_(*[np.argsort(self.order)] * values.ndim)]

    @property
    def standardized(self) -> np.ndarray:
        """The estimates on the host: (n_parameters,)."""
        return self.on_host(self.parameters[0, :])

    def at(self, standardized: np.ndarray) -> FittedData:
        """Return the same data with other estimates, (n_parameters,) on the host."""
        parameters = self.for_solver(standardized)[None, :]
        return replace(self, parameters=self.objective.place(parameters))

    def centred(self, shift: np.ndarray) -> FittedData:
        """Return the same estimates of features centred elsewhere.

        Parameters
        ----------
        shift : ndarray of shape (n_features,)
            Distance of the new centre from the old one, in standardized units.
        """
        mean, scale = self.scaler
        # Exact in the dtype of X, as x - mean is.
        new = self.features.place(mean + shift * scale, self.features.dtype)
        problem = self.problem.centred_at(new)
        moved = replace(self, problem=problem, objective=problem.objective)
        columns = self.standardized.reshape(self.objective.n_outputs, -1).copy()
        columns[:, 0] += columns[:, 1:] @ ((moved.scaler[0] - mean) / scale)
        return moved.at(columns.reshape(-1))

    @property
    def scaler(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scale of the features, each (n_features,)."""
        scaler = self.problem.scaler
        assert scaler is not None
        return arrays.to_host(scaler.mean), arrays.to_host(scaler.scale)

    @property
    def penalty_curvature(self) -> np.ndarray:
        """Second derivatives of the penalty of the summed losses: (n_parameters,)."""
        curvature = self.objective.penalty_curvature(self.parameters)[0, :]
        return self.on_host(curvature) * self.total_weight

    @property
    def non_smooth(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Strength of the L1 penalty, lower and upper bounds, each (n_parameters,)."""
        penalty = self.objective.non_smooth
        if penalty is None:
            return None
        l1, lower, upper = (self.on_host(part[0, :]) for part in penalty)
        return l1, lower, upper

    @property
    def free(self) -> np.ndarray:
        """Mask of the parameters that are neither zero by L1 nor at a bound."""
        if self.non_smooth is None:
            return np.ones(self.objective.n_parameters, dtype=bool)
        (l1, lower, upper), at = self.non_smooth, self.standardized
        return ~((l1 > 0) & (at == 0)) & (at > lower) & (at < upper)

    @property
    def is_penalised(self) -> bool:
        """Whether a penalty or bounds change the estimates."""
        has_l1 = self.non_smooth is not None and (self.non_smooth[0] > 0).any()
        return bool(has_l1 or (self.penalty_curvature > 0).any() or not self.free.all())

    def reported(self, rows: np.ndarray) -> np.ndarray:
        """Map parameters on the host, as rows, to reported ones: (m, n) to (m, n').

        The map is linear: apply it to both sides of a covariance.
        """
        first = int(self.fit_intercept)
        columns = rows.reshape(rows.shape[0], self.objective.n_outputs, -1)
        mean, scale = self.scaler
        coef = columns[:, :, first:] / scale
        intercept = columns[:, :, :first] - (coef @ mean)[:, :, None]
        columns = np.concatenate([intercept, coef], axis=2)
        if self.objective.n_outputs > 1:
            columns = columns[:, 1:, :] - columns[:, :1, :]
        return columns.reshape(rows.shape[0], -1)


def read_fitted_data(
    model: Any,
    features: Features,
    y: Any,
    sample_weight: Any,
    offset: Any,
    pool: Workers,
) -> FittedData:
    """Check a model and its rows.

    Raises
    ------
    TypeError, ValueError
        If the rows are not as described, or of other classes than the model's.
    """
    moments = getattr(model, "_column_moments", None)
    known = None
    if moments is not None:
        mean, deviation = (features.place(moments[i, :], None) for i in range(2))
        known = ColumnStatistics(features.xp.ones_like(mean[0]), mean, deviation)
    dataset = read_dataset(
        model, features, y, sample_weight, offset, pool, statistics=known
    )
    _check_classes(model, dataset)
    weights = dataset.class_weights
    if weights.kept.shape[0] < dataset.totals.shape[0]:
        raise ValueError(
            "A class has no weight in these rows, and the fit leaves it out: it has no "
            "coefficients to infer. Fit without its rows."
        )
    problem = _problem(model, dataset)
    objective, features = problem.objective, dataset.features
    start = features.place(model.coef_, objective.wide)
    intercept = features.place(model.intercept_, objective.wide)
    rest = getattr(model, "_intercept_rest", None)
    if rest is not None:
        intercept = intercept + features.place(rest, objective.wide)
    return FittedData(
        model=model,
        features=features,
        problem=problem,
        objective=objective,
        parameters=problem.parameters((start, intercept)),
        unit=dataset.unit,
        class_factors=weights.factors,
        n_samples=float(dataset.totals.sum()),
        class_totals=dataset.totals * weights.factors,
        classes=arrays.to_host(dataset.classes),
    )


def refuse_other_rows(data: FittedData, gradient: np.ndarray) -> None:
    """Refuse rows on which the model is not at the optimum.

    Parameters
    ----------
    data : FittedData
    gradient : ndarray of shape (n_parameters,)
        Minimum-norm subgradient of F.

    Raises
    ------
    ValueError
    """
    model, optimality = data.model, float(np.abs(gradient).max())
    reached = max(float(model.tol), getattr(model, "optimality_", 0.0))
    if not optimality <= SLACK * max(reached, data.objective.rounding**0.5):
        raise ValueError(
            "The model is not the optimum on these rows: the gradient of F is "
            f"{optimality:.3g} there, and within {reached:.3g} where the fit ended. "
            "Pass the X, y, sample_weight and offset of the fit."
        )


def check_model(model: Any) -> None:
    """Refuse models that have no inference here.

    Raises
    ------
    TypeError, ValueError
    """
    kinds = FirthLogisticRegression, LogisticRegression, LogisticRegressionCV
    if not isinstance(model, kinds):
        names = ", ".join(f"xlr.{kind.__name__}" for kind in kinds)
        raise TypeError(f"model must be one of {names}; {_advice(model)}")
    check_is_fitted(model, "coef_")
    if getattr(model, "_one_vs_rest", False):
        raise ValueError(
            "A model of multi_class='ovr' is several models, each of other labels. Fit "
            "each class against the rest, or use multi_class='multinomial'."
        )


def _advice(model: Any) -> str:
    """Say what was given instead of a model of xlr, and what to pass."""
    kind = type(model).__name__
    if hasattr(model, "best_estimator_"):
        return f"got a {kind}. Pass its best_estimator_."
    if hasattr(model, "named_steps"):
        return (
            f"got a {kind}. Pass its last step and the rows that it was fitted to: "
            "xlr.infer(pipeline[-1], pipeline[:-1].transform(X), y)."
        )
    package = type(model).__module__.partition(".")[0]
    if package == "sklearn" and kind.startswith("LogisticRegression"):
        return (
            f"got scikit-learn's {kind}. Fit the same model here to the same rows: "
            f"xlr.LogisticRegression({_same_model(model)}).fit(X, y)."
        )
    if package not in ("builtins", "xlr"):
        kind = f"{kind} of the package {package}"
    return f"got a {kind}."


def _same_model(model: Any) -> str:
    """Return the arguments of xlr for a logistic regression of scikit-learn."""
    parameters = model.get_params()
    penalty = parameters.get("penalty", "deprecated")
    C = np.inf if penalty is None else parameters.get("C")
    l1_ratio = {"l1": 1.0, "l2": 0.0, None: 0.0}.get(
        penalty, parameters.get("l1_ratio")
    )
    if hasattr(model, "C_"):  # chosen by cross-validation
        C, l1_ratio = (np.ravel(v)[0] for v in (model.C_, model.l1_ratio_))
    given = {
        "C": C and float(C),
        "l1_ratio": float(l1_ratio or 0) or None,
        "fit_intercept": None if model.fit_intercept else False,
        "class_weight": model.class_weight,
    }
    text = ", ".join(f"{k}={v!r}" for k, v in given.items() if v is not None)
    return text.replace("C=inf", 'C=float("inf")')


def _check_classes(model: Any, dataset: LabelledDataset) -> None:
    given, known = arrays.to_host(dataset.classes), arrays.to_host(model.classes_)
    if given.shape != known.shape or not (given == known).all():
        raise ValueError(
            f"y holds the classes {quoted(given.tolist())}, and the model was fitted "
            f"to {quoted(known.tolist())}. Pass the y of the fit."
        )


def _problem(model: Any, dataset: LabelledDataset) -> Problem:
    """Return the objective of the model in standardized units."""
    if isinstance(model, FirthLogisticRegression):
        return firth_problem(dataset)
    searched = isinstance(model, LogisticRegressionCV)
    C = float(model.C_ if searched else model.C)
    l1_ratio = float(model.l1_ratio_ if searched else model.l1_ratio)
    return Problem(
        dataset,
        dataset.spec,
        C=C,
        regularisation=read_regularisation(model, l1_ratio, C, dataset.features),
        standardized=True,
    )
