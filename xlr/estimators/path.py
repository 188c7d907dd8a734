"""Models of a whole path of penalties."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators._fit import Fitting, begin_fit
from xlr.estimators.logistic_regression import LogisticRegression
from xlr.inputs.dataset import read_dataset
from xlr.inputs.parameters import check_parameters
from xlr.inputs.problem import Problem
from xlr.objective import duality_gap
from xlr.solvers import PathPoint, follow_path
from xlr.text import warn
from xlr.threads import thread_pool


@dataclass(frozen=True, repr=False)
class LogisticPath:
    """Models of a path, from the strongest penalty to the weakest.

    Attributes
    ----------
    Cs : ndarray of shape (n_Cs,)
        Inverse strengths of the penalty, ascending.
    coefs : array of shape (n_Cs, n_columns, n_features)
        Coefficients, in the library, dtype and device of X; one column for two classes,
        else one for each.
    intercepts : array of shape (n_Cs, n_columns)
    objective : ndarray of shape (n_Cs,)
        F, as in :class:`LogisticRegression`.
    duality_gap : ndarray of shape (n_Cs,)
        Upper bound on F less its minimum, as in :class:`LogisticRegression`.
    df : ndarray of shape (n_Cs,)
        Number of coefficients that are not zero: the degrees of freedom of a lasso
        (Zou, Hastie and Tibshirani 2007, *On the degrees of freedom of the lasso*).
    deviance_explained : ndarray of shape (n_Cs,)
        Decrease of the deviance as a share of the null deviance. The null model has
        only intercepts, or equal probabilities without intercepts. With an offset it is
        the model at an infinite penalty.
    n_iter : ndarray of shape (n_Cs,)
    n_in_play : ndarray of shape (n_Cs,)
        Number of features in the working set. All others satisfy the KKT conditions at
        zero.
    converged : ndarray of bool, of shape (n_Cs,)
        Whether the largest entry of the gradient is at most ``tol``. Unlike
        :class:`LogisticRegression`, the path does not test the predicted decrease.
    seconds : ndarray of shape (n_Cs,)
    l1_ratio : float
    classes : array of shape (n_classes,)
        In the library of y.
    feature_names : ndarray of str or None
        Names of the coefficients, if X was a table whose column names are all strings.
    references : list of str
        Names of the levels without a coefficient; empty unless categories drop one.
    terms : list of str
        Term of each coefficient: the column of its level, or the name of the feature.
    """

    Cs: np.ndarray
    coefs: Array
    intercepts: Array
    objective: np.ndarray
    duality_gap: np.ndarray
    df: np.ndarray
    deviance_explained: np.ndarray
    n_iter: np.ndarray
    n_in_play: np.ndarray
    converged: np.ndarray
    seconds: np.ndarray
    l1_ratio: float
    classes: Array
    feature_names: np.ndarray | None
    references: list[str]
    terms: list[str]

    def __repr__(self) -> str:
        n_Cs, _, n_features = self.coefs.shape
        return f"<LogisticPath of {n_Cs} models of {n_features} features>"


def logistic_path(
    X: Array,
    y: Array,
    sample_weight: Array | None = None,
    offset: Array | None = None,
    *,
    Cs: Any = None,
    n_Cs: int = 100,
    l1_ratio: float = 1.0,
    penalty_factor: Any = None,
    lower: Any = None,
    upper: Any = None,
    fit_intercept: bool = True,
    class_weight: Any = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
    n_jobs: int | None = None,
    verbose: int = 0,
    categorical: Any = None,
    drop: Any = "auto",
    handle_missing: Literal["error", "level"] = "error",
) -> LogisticPath:
    r"""Fit a regularisation path, from the strongest penalty of interest to a weak one.

    The path starts at the largest C at which all penalised coefficients are zero. The
    gradient g of the loss at this point gives it:

    .. math:: C_0 = \min_j \frac{\alpha f_j}{S\, |g_j|}

    with :math:`\alpha` the ``l1_ratio``, :math:`f_j` the ``penalty_factor`` and S the
    sum of the weights. Each model starts from the last, on the features that have a
    coefficient there or whose gradient exceeds the new penalty. It is a solution if no
    other feature violates the KKT conditions.

    Parameters
    ----------
    X : array or sparse matrix of shape (n_samples, n_features)
    y : array of shape (n_samples,)
        Labels; two classes or more (softmax).
    sample_weight : array of shape (n_samples,), default=None
    offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
        Added to the logits of all models.
    Cs : array of shape (n_Cs,), default=None
        Inverse strengths of the penalty, in any order; None for a path.
    n_Cs : int, default=100
        Number of models, evenly on a logarithmic scale up to 10,000 times the first C,
        or 100 times if there are at least as many features as rows. Only without
        ``Cs``.
    l1_ratio : float, default=1.0
        Share of the L1 penalty, above 0.
    penalty_factor, lower, upper, fit_intercept, class_weight, tol, max_iter, n_jobs
        As in :class:`LogisticRegression`. A path without ``Cs`` needs bounds that
        include zero.
    verbose : int, default=0
        Above 0, print a line for each model.
    categorical, drop, handle_missing
        As in :class:`LogisticRegression`.

    Returns
    -------
    LogisticPath

    Raises
    ------
    TypeError, ValueError
        If a parameter or the data are invalid.

    Warns
    -----
    ConvergenceWarning
        If a model did not converge, or if unpenalised features leave the last model
        without a finite estimate.

    See Also
    --------
    xlr.plotting.CoefficientPathDisplay : Draws the path.

    References
    ----------
    Friedman, Hastie and Tibshirani (2010), *Regularization paths for generalized linear
    models via coordinate descent*, section 2.5.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> import xlr
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> path = xlr.logistic_path(StandardScaler().fit_transform(X), y, n_Cs=4)
    >>> path.df
    array([ 0,  8, 16, 27])
    >>> path.deviance_explained[1:].round(2)
    array([0.83, 0.93, 0.96])
    """
    estimator = LogisticRegression(
        l1_ratio=l1_ratio,
        penalty_factor=penalty_factor,
        lower=lower,
        upper=upper,
        fit_intercept=fit_intercept,
        class_weight=class_weight,
        tol=tol,
        max_iter=max_iter,
        n_jobs=n_jobs,
        verbose=verbose,
        categorical=categorical,
        drop=drop,
        handle_missing=handle_missing,
    )
    features = begin_fit(estimator, X, y, sample_weight, offset)
    if not l1_ratio > 0:
        raise ValueError(
            f"l1_ratio must be above 0 for a path of sparse models; got {l1_ratio!r}. "
            "For ridge models use LogisticRegressionCV."
        )
    check_parameters({"n_Cs": n_Cs})
    if Cs is not None:
        Cs = np.atleast_1d(arrays.to_host(Cs))
        check_parameters({"Cs": Cs})
        Cs = np.sort(Cs.astype(np.float64))
    limits: dict[str, Any] = {"tol": float(tol), "max_iter": int(max_iter)}
    with thread_pool(features.stored, n_jobs) as pool:
        dataset = read_dataset(estimator, features, y, sample_weight, offset, pool)
        dataset.warn_of_data()
        fitting = Fitting(estimator, dataset, C=1.0)
        problem, xp = fitting.problem, features.xp
        objective = problem.objective
        # 1. The model of an infinite penalty, whose gradient gives the path's start.
        infinite = objective.with_penalty(problem.penalty(1.0).strong_l1_limit(xp=xp))
        exact = {**limits, "tol": 1e-3 * limits["tol"]}
        (null,) = follow_path([infinite], objective.null_parameters(), **exact)
        if Cs is None:
            # Start a relative tol below C_0: at C_0 itself, rounding decides whether
            # all coefficients are zero.
            Cs = (1 - limits["tol"]) * _default_path(problem, null, n_Cs)
        # 2. The models of the path.
        objectives = (objective.with_penalty(problem.penalty(float(C))) for C in Cs)
        fits, summaries, point = [], [], cast(Any, null)
        for C, point in zip(Cs, follow_path(objectives, null.parameters, **limits)):
            fits.append(problem.coefficients(point.parameters))
            summaries.append(_summary(point))
            if verbose:
                print(
                    f"C {C:.4g}  objective {summaries[-1][0]:.10g}  "
                    f"{point.n_working} features in the working set  "
                    f"{point.n_iter} iterations  {point.seconds:.3f} s"
                )
        # 3. Warnings.
        fitting.warn_of_separation(point)
        value, penalty_value, gap, n_iter, n_working, converged, seconds = map(
            np.asarray, zip(*summaries)
        )
        if not converged.all():
            warn(
                f"{np.count_nonzero(~converged)} of {len(fits)} models did not "
                "converge (see converged). Increase max_iter or tol."
                f"{dataset.advice_on_outliers()}",
                ConvergenceWarning,
            )
        coefs, intercepts = (
            xp.stack([fit[name] for fit in fits]) for name in ("coef_", "intercept_")
        )
        with arrays.quiet():  # one class leaves nothing to explain
            explained = 1 - (value - penalty_value) / _null_loss(null)
    feature_names, references = features.names, list[str]()
    if features.encoder is not None:
        feature_names = np.asarray(features.column_names, dtype=object)
        references = list(features.encoder.references.values())
    return LogisticPath(
        Cs,
        **features.returned(coefs=coefs, intercepts=intercepts),
        objective=value,
        duality_gap=gap,
        df=np.count_nonzero(arrays.to_host(coefs), axis=(1, 2)),
        deviance_explained=explained,
        n_iter=n_iter,
        n_in_play=n_working,
        converged=converged,
        seconds=seconds,
        l1_ratio=float(l1_ratio),
        classes=dataset.classes,
        feature_names=feature_names,
        references=references,
        terms=features.terms,
    )


def _default_path(problem: Problem, null: PathPoint, n_Cs: int) -> np.ndarray:
    """Return values of C, from the largest at which penalised coefficients are zero."""
    objective, xp = problem.objective, problem.objective.xp
    penalty: Any = objective.non_smooth  # at C = 1
    penalised = penalty.l1 > 0
    within = (penalty.lower <= 0) & (penalty.upper >= 0)
    if not arrays.to_host(xp.all(within | ~penalised)):
        raise ValueError(
            "lower and upper keep a penalised coefficient away from zero, so that no "
            "path begins with none. Give the values of C as Cs."
        )
    gradient = null.at.gradient
    zeros = xp.zeros_like(gradient)
    # Look at the sides that the bounds leave open.
    up = xp.where(penalty.upper > 0, -gradient, zeros)
    down = xp.where(penalty.lower < 0, gradient, zeros)
    decrease = xp.where(penalised, xp.maximum(up, down), zeros)
    ratios = decrease / xp.where(penalised, penalty.l1, zeros + 1)
    max_ratio = arrays.to_host(xp.max(ratios))  # 1 / C_0
    if not max_ratio > 0:
        raise ValueError(
            "No penalised feature separates the classes: there is no path. Remove "
            "constant columns, or give the values of C as Cs."
        )
    decades = 4 if objective.n_samples > objective.n_features else 2
    return np.logspace(0, decades, n_Cs) / float(max_ratio)


def _summary(point: PathPoint) -> tuple[Any, ...]:
    """Return F, penalty, duality gap, n_iter, n_working, converged and seconds."""
    objective, parameters = point.objective, point.parameters
    penalty = objective.penalty_terms(parameters).value
    gap = duality_gap(objective, parameters, point.at)
    values = (np.float64(arrays.to_host(x)[0]) for x in (point.at.value, penalty, gap))
    return *values, point.n_iter, point.n_working, point.converged, point.seconds


def _null_loss(null: PathPoint) -> float:
    """Return the mean loss of the null model."""
    objective = null.objective
    if objective.data.targets.offset is not None:
        return float(arrays.to_host(null.at.value)[0])
    if not objective.fit_intercept:
        return math.log(max(2, objective.n_outputs))
    shares = arrays.to_host(objective.class_shares)[0].astype(np.float64)
    return float(-shares @ np.log(shares))
