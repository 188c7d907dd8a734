"""The models of all folds, for each share of the L1 penalty and each C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import ChunkedCounts
from xlr.estimators.fitting import Fitting
from xlr.estimators.folds import Folds
from xlr.estimators.problem import Task
from xlr.inputs.features import Features
from xlr.solvers import Record, Status
from xlr.threads import Workers

__all__ = ["FoldModels", "fit_folds"]


@dataclass(frozen=True)
class FoldModels:
    """Models of the usable folds, by fold, share of L1 and C.

    Attributes
    ----------
    coef : array of shape (n_folds, n_l1_ratios * n_Cs, n_columns, n_features)
        One share of L1 after the other.
    intercept : array of shape (n_folds, n_l1_ratios * n_Cs, n_columns)
        In the widest dtype.
    n_iter : ndarray of shape (n_folds, n_l1_ratios * n_Cs)
    converged : bool
    """

    coef: Array
    intercept: Array
    n_iter: np.ndarray
    converged: bool

    @arrays.quiet()
    def mean_of(self, which: np.ndarray) -> dict[str, Array]:
        """Coefficients and intercepts, a mean over the folds of one model of each.

        As :meth:`Problem.coefficients` has them. For each class, a mean over the folds
        whose models know it.
        """
        xp = arrays.namespace(self.coef)
        coef, intercept = (
            xp.stack([values[i, int(k), ...] for i, k in enumerate(which)])
            for values in (self.coef, self.intercept)
        )
        known = xp.isfinite(intercept)
        if arrays.to_host(xp.all(known)):
            coef, intercept = xp.mean(coef, axis=0), xp.mean(intercept, axis=0)
        else:
            n_known = xp.sum(xp.astype(known, intercept.dtype), axis=0)
            divisor = xp.maximum(n_known, xp.ones_like(n_known))
            zeros = xp.zeros_like(intercept)
            mean = xp.sum(xp.where(known, intercept, zeros), axis=0) / divisor
            # Where no fold knows it, all of them have the same infinity.
            intercept = xp.where(n_known > 0, mean, intercept[0, ...])
            coef = xp.where(known[..., None], coef, xp.zeros_like(coef))
            divisor = xp.astype(divisor, coef.dtype)[..., None]
            coef = xp.sum(coef, axis=0) / divisor
        rounded = xp.astype(intercept, coef.dtype)
        rest = intercept - xp.astype(rounded, intercept.dtype)
        rest = xp.where(xp.isfinite(rest), rest, xp.zeros_like(rest))
        return {"coef_": coef, "intercept_": rounded, "_intercept_rest": rest}


def fit_folds(
    estimator: Any,
    features: Features,
    task: Task,
    folds: Folds,
    grid: tuple[np.ndarray, np.ndarray],
    pool: Workers,
    follow: Callable[[Fitting], Callable[[Record, Array], bool]],
) -> FoldModels:
    """Fit the models of all folds and penalties, those of a share of L1 together.

    Parameters
    ----------
    estimator : LogisticRegressionCV
    features : Features
    task : Task
        Of one model.
    folds : Folds
    grid : tuple of two ndarrays
        Shares of L1 and values of C.
    pool : Workers
    follow : callable
        Takes a fitting; returns what to call after its iterations.

    Warns
    -----
    ConvergenceWarning
        If some did not converge.
    """
    xp = features.xp
    members = np.concatenate([group.members for group in folds.groups])
    by_group = [
        _fit_group(
            estimator, features, task.among(group.kept), counts, grid, pool, follow
        )
        for group, counts in zip(folds.groups, folds.counts)
    ]
    coefs, intercepts, n_iters, converged = zip(*by_group)
    back = np.argsort(members)
    return FoldModels(
        arrays.rows(xp.concat(list(coefs)), back),
        arrays.rows(xp.concat(list(intercepts)), back),
        np.concatenate(n_iters)[back],
        all(converged),
    )


def _fit_group(
    estimator: Any,
    features: Features,
    task: Task,
    counts: Any,
    grid: tuple[np.ndarray, np.ndarray],
    pool: Workers,
    follow: Callable[[Fitting], Callable[[Record, Array], bool]],
) -> tuple[Array, Array, np.ndarray, bool]:
    """Fit the models of the folds whose models have the same classes.

    Returns the attributes of :class:`FoldModels`.
    """
    xp = features.xp
    l1_ratios, Cs = grid
    order = np.argsort(Cs, kind="stable")  # weaker and weaker penalties: a path
    n_folds = (counts.sampled if isinstance(counts, ChunkedCounts) else counts).shape[1]
    place = np.argsort(order) * n_folds
    coefs: list[Array] = []
    intercepts: list[Array] = []
    n_iters, converged = [], True
    for l1_ratio in l1_ratios:
        many = Fitting(
            estimator,
            features,
            task.resampled(counts, Cs.shape[0]),
            features.place(np.repeat(Cs[order], n_folds), features.wide),
            pool,
            l1_ratio=float(l1_ratio),
            along=np.log(Cs[order]),
        )
        solution = many.run(follow(many))
        many.warn_unless_converged(solution, stacklevel=9)
        found = many.problem.coefficients_by_model(solution.parameters)
        exact = xp.astype(found["intercept_"], features.wide) + found["_intercept_rest"]
        for values, by_fold in zip((found["coef_"], exact), (coefs, intercepts)):
            by_fold.append(
                xp.stack([arrays.rows(values, place + i) for i in range(n_folds)])
            )
        n_iters.append(solution.n_iter[place + np.arange(n_folds)[:, None]])
        converged &= all(status is Status.CONVERGED for status in solution.status)
    return (
        xp.concat(coefs, axis=1),
        xp.concat(intercepts, axis=1),
        np.concatenate(n_iters, axis=1),
        converged,
    )
