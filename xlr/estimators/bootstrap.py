"""Refits on resampled rows: how far coefficients would vary with other data."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators.fitting import Fitting
from xlr.estimators.folds import n_classes_counted, small_counts
from xlr.estimators.logistic_regression import LogisticRegression
from xlr.estimators.problem import Task, multinomial
from xlr.inputs.features import Features, read_features
from xlr.inputs.labels import read_labels
from xlr.inputs.parameters import check_parameters
from xlr.inputs.weights import read_weights
from xlr.solvers import Status
from xlr.threads import Workers, workers

__all__ = ["BootstrapResult", "bootstrap"]

# Of the free memory, for how often each resample counts each row.
MEMORY_SHARE = 1 / 8


@dataclass(frozen=True, repr=False)
class BootstrapResult:
    """Coefficients of refits on resampled rows.

    Attributes
    ----------
    coef : array of shape (n_resamples, n_columns, n_features)
        In the library, dtype and device of X; NaN where a resample has one class only.
    intercept : array of shape (n_resamples, n_columns)
    converged : ndarray of shape (n_resamples,)
        Whether each refit converged.
    """

    coef: Array
    intercept: Array
    converged: np.ndarray

    def __repr__(self) -> str:
        n_resamples, n_columns, n_features = self.coef.shape
        return (
            f"<BootstrapResult of {n_resamples} resamples: "
            f"{n_columns} x {n_features} coefficients each, "
            f"{np.count_nonzero(~self.converged) or 'none'} not converged>"
        )

    def interval(self, level: float = 0.95) -> dict[str, tuple[Array, Array]]:
        """Percentile intervals of coefficients and intercepts.

        The quantiles of the replicates, interpolated linearly; replicates that are NaN
        do not count.

        Parameters
        ----------
        level : float, default=0.95
            Share of the replicates inside, between 0 and 1.

        Returns
        -------
        dict
            ``coef`` and ``intercept``, each with the arrays of lower and upper ends.

        Raises
        ------
        ValueError
            If ``level`` is not between 0 and 1.

        References
        ----------
        Efron and Tibshirani (1993), *An Introduction to the Bootstrap*, section 13.3.
        """
        check_parameters({"level": level})
        tail = (1 - level) / 2
        return {
            name: (_quantile(values, tail), _quantile(values, 1 - tail))
            for name, values in (("coef", self.coef), ("intercept", self.intercept))
        }


def _quantile(values: Array, q: float) -> Array:
    """Along the first axis, of the rows that are not NaN."""
    xp = arrays.namespace(values)
    first = xp.reshape(values, (values.shape[0], -1))[:, 0]
    kept = np.nonzero(np.isfinite(arrays.to_host(first)))[0]
    ordered = xp.sort(arrays.rows(values, kept), axis=0)
    place = q * (kept.size - 1)
    below = math.floor(place)
    above = min(below + 1, kept.size - 1)
    share = place - below
    return (1 - share) * ordered[below, ...] + share * ordered[above, ...]


def bootstrap(
    estimator: LogisticRegression,
    X: Array,
    y: Array,
    sample_weight: Array | None = None,
    *,
    n_resamples: int = 1000,
    random_state: Any = None,
) -> BootstrapResult:
    """Fit an estimator to many resamples of the rows, all together.

    Each resample draws as many rows as there are, with replacement. To count a row
    twice is to weigh it twice, so that all refits share X; where the rows are many for
    the parameters, they begin at the fit to all rows.

    Parameters
    ----------
    estimator : LogisticRegression
        Whose parameters the refits have; it is not changed.
    X : array or sparse matrix of shape (n_samples, n_features)
    y : array of shape (n_samples,)
    sample_weight : array of shape (n_samples,), default=None
        Weights that go with the rows.
    n_resamples : int, default=1000
    random_state : int, RandomState or None, default=None
        Draws the rows; the same ones each time for the same number.

    Returns
    -------
    BootstrapResult

    Raises
    ------
    TypeError, ValueError
        If a parameter or the data are not as described, or if all resamples have one
        class only.

    Warns
    -----
    ConvergenceWarning
        If refits did not reach the estimator's ``tol``.
    UserWarning
        If resamples have one class only: their replicates are NaN.

    References
    ----------
    Efron and Tibshirani (1993), *An Introduction to the Bootstrap*, section 9.5,
    bootstrapping pairs.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> import xlr
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X[:, :2])
    >>> result = xlr.bootstrap(xlr.LogisticRegression(), X, y, random_state=0)
    >>> low, high = result.interval(0.9)["coef"]
    >>> low.round(1), high.round(1)
    (array([[-3.8, -1.1]]), array([[-3. , -0.7]]))
    """
    if not isinstance(estimator, LogisticRegression):
        raise TypeError(f"bootstrap takes a xlr.LogisticRegression; got {estimator!r}.")
    parameters = estimator.get_params(deep=False)
    check_parameters({**parameters, "n_resamples": n_resamples})
    # One number seeds the rest: NumPy's newer generator draws five times as fast.
    seed = check_random_state(random_state).randint(2**31)
    draw = np.random.default_rng(seed)
    features = read_features(estimator, X, reset=True)
    n_samples = features.X.shape[0]
    with workers(features.X, estimator.n_jobs) as crew:
        labels = read_labels(y, n_samples)
        if estimator.multi_class == "ovr" and labels.classes.shape[0] > 2:
            raise ValueError(
                "bootstrap does not take multi_class='ovr' with more than two classes: "
                "use 'multinomial', or bootstrap each class against the rest."
            )
        weights = read_weights(sample_weight, estimator.class_weight, labels, features)
        task = multinomial(features, labels, weights)
        at_a_time = (
            MEMORY_SHARE * arrays.free_bytes(arrays.entries(features.X)) / n_samples
        )
        n_slices = math.ceil(n_resamples / max(1, at_a_time))
        parts = []
        for part in np.array_split(np.arange(n_resamples), n_slices):
            drawn = [
                draw.integers(n_samples, size=n_samples, dtype=np.int32) for _ in part
            ]
            counts = features.place(small_counts(drawn, n_samples), None)
            usable = n_classes_counted(task, counts, features) >= 2
            parts.append(_refits(estimator, features, task, counts, usable, crew))
        coef, intercept, converged = zip(*parts)
        return BootstrapResult(
            features.xp.concat(list(coef)),
            features.xp.concat(list(intercept)),
            np.concatenate(converged),
        )


def _refits(
    estimator: LogisticRegression,
    features: Features,
    task: Task,
    counts: Array,
    usable: np.ndarray,
    crew: Workers,
) -> tuple[Array, Array, np.ndarray]:
    """Coefficients, intercepts and whether they converged, for some resamples."""
    xp, chosen = features.xp, np.nonzero(usable)[0]
    if chosen.size == 0:
        raise ValueError(
            "Each resample has one class only: there is too little data of the rarer "
            "class to resample."
        )
    if not usable.all():
        warnings.warn(
            f"{np.sum(~usable)} of {usable.size} resamples have one class only; their "
            "replicates are NaN.",
            UserWarning,
            stacklevel=3,
        )
        counts = xp.take(counts, features.place(chosen, None), axis=1)
    fitting = Fitting(
        estimator,
        features,
        task.resampled(counts, 1),
        estimator.C,
        crew,
        l1_ratio=float(estimator.l1_ratio),
    )
    solution = fitting.run()
    fitting.warn_unless_converged(solution, stacklevel=4)
    place = np.full(usable.size, chosen.size)
    place[chosen] = np.arange(chosen.size)
    found = fitting.problem.coefficients_by_model(solution.parameters)
    coef, intercept = (
        arrays.rows(xp.concat([v, xp.full_like(v[:1, ...], xp.nan)]), place)
        for v in (found["coef_"], found["intercept_"])
    )
    converged = np.zeros(usable.size, dtype=bool)
    converged[chosen] = [status is Status.CONVERGED for status in solution.status]
    return coef, intercept, converged
