"""The models of all folds, for each share of the L1 penalty and each C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators.dataset import LabelledDataset
from xlr.estimators.fitting import Fitting
from xlr.estimators.folds import Folds, Group
from xlr.solvers import Record, Status

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
    solver : str
        The solver of the last fit.
    """

    coef: Array
    intercept: Array
    n_iter: np.ndarray
    converged: bool
    solver: str

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


Listener = Callable[[Fitting], Callable[[Record, Array], bool] | None]


def fit_folds(
    estimator: Any,
    dataset: LabelledDataset,
    folds: Folds,
    grid: tuple[np.ndarray, np.ndarray],
    listener: Listener,
) -> FoldModels:
    """Fit the models of all folds and penalties, those of a share of L1 together.

    Parameters
    ----------
    estimator : LogisticRegressionCV
    dataset : LabelledDataset
    folds : Folds
    grid : tuple of two ndarrays
        Shares of L1 and values of C.
    listener : callable
        Takes a fitting; returns what to call after its iterations.

    Warns
    -----
    ConvergenceWarning
        If some did not converge.
    """
    by_group = [
        _fit_group(estimator, dataset, group, counts, grid, listener)
        for group, counts in zip(folds.groups, folds.counts)
    ]
    xp = dataset.features.xp
    back = np.argsort(np.concatenate([group.members for group in folds.groups]))
    return FoldModels(
        arrays.rows(xp.concat([each.coef for each in by_group]), back),
        arrays.rows(xp.concat([each.intercept for each in by_group]), back),
        np.concatenate([each.n_iter for each in by_group])[back],
        all(each.converged for each in by_group),
        by_group[-1].solver,
    )


def _fit_group(
    estimator: Any,
    dataset: LabelledDataset,
    group: Group,
    counts: Any,
    grid: tuple[np.ndarray, np.ndarray],
    listener: Listener,
) -> FoldModels:
    """Fit the models of the folds whose models have the same classes."""
    xp, (l1_ratios, Cs) = dataset.features.xp, grid
    order = np.argsort(Cs, kind="stable")  # weaker and weaker penalties: a path
    n_folds = group.members.size
    place = np.argsort(order) * n_folds
    spec = dataset.spec.among(group.kept).resampled(counts, Cs.shape[0])
    strengths = dataset.features.place(np.repeat(Cs[order], n_folds), spec.data.wide)
    coefs: list[Array] = []
    intercepts: list[Array] = []
    n_iters, converged, solver = [], True, ""
    for l1_ratio in l1_ratios:
        many = Fitting(
            estimator,
            dataset,
            spec,
            strengths,
            l1_ratio=float(l1_ratio),
            along=np.log(Cs[order]),
        )
        solution = many.run(listener(many))
        many.warn_unless_converged(solution)
        found = many.problem.coefficients_by_model(solution.parameters)
        rest = found["_intercept_rest"]
        exact = xp.astype(found["intercept_"], rest.dtype) + rest
        for values, by_fold in zip((found["coef_"], exact), (coefs, intercepts)):
            by_fold.append(
                xp.stack([arrays.rows(values, place + i) for i in range(n_folds)])
            )
        n_iters.append(solution.n_iter[place + np.arange(n_folds)[:, None]])
        converged &= all(status is Status.CONVERGED for status in solution.status)
        solver = many.solver_name
    return FoldModels(
        xp.concat(coefs, axis=1),
        xp.concat(intercepts, axis=1),
        np.concatenate(n_iters, axis=1),
        converged,
        solver,
    )
