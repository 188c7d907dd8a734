"""Bootstrap: fits to resampled rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators._cross_validation import fit_resamples
from xlr.estimators._fit import begin_fit
from xlr.estimators.logistic_regression import LogisticRegression
from xlr.inputs.dataset import read_dataset
from xlr.inputs.parameters import check_parameters
from xlr.threads import thread_pool


@dataclass(frozen=True, repr=False)
class BootstrapResult:
    """Coefficients of refits on resampled rows.

    Attributes
    ----------
    coef : array of shape (n_resamples, n_columns, n_features)
        Coefficients, in the library, dtype and device of X; NaN for a resample with
        only one class, and 0 for a class that a resample lacks.
    intercept : array of shape (n_resamples, n_columns)
        Minus infinity for a class that a resample lacks.
    converged : ndarray of shape (n_resamples,)
        Whether each refit converged.
    """

    coef: Array
    intercept: Array
    converged: np.ndarray

    def __repr__(self) -> str:
        n_resamples, *shape = self.coef.shape
        return f"<BootstrapResult of {n_resamples} resamples of {shape} coefficients>"

    def interval(self, level: float = 0.95) -> dict[str, tuple[Array, Array]]:
        """Return percentile intervals of the coefficients and intercepts.

        The quantiles of the replicates are interpolated linearly. Replicates that are
        NaN do not count.

        Parameters
        ----------
        level : float, default=0.95
            Share of the replicates in the interval, between 0 and 1.

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
    """Return a quantile along the first axis, without rows of NaN."""
    xp = arrays.namespace(values)
    first = xp.reshape(values, (values.shape[0], -1))[:, 0]
    kept = np.nonzero(~np.isnan(arrays.to_host(first)))[0]
    ordered = xp.sort(arrays.take(values, kept), axis=0)
    position = q * (kept.size - 1)
    below = math.floor(position)
    fraction = position - below
    if fraction == 0:  # 0 * inf is NaN
        return ordered[below, ...]
    return (1 - fraction) * ordered[below, ...] + fraction * ordered[below + 1, ...]


def bootstrap(
    estimator: LogisticRegression,
    X: Array,
    y: Array,
    sample_weight: Array | None = None,
    offset: Array | None = None,
    *,
    n_resamples: int = 1000,
    random_state: Any = None,
) -> BootstrapResult:
    """Fit an estimator to many resamples of the rows, all together.

    Each resample draws as many rows as X has, with replacement. The counts of a row are
    its weights, so that all refits share X. If there are many rows per parameter, the
    refits start at the fit to all rows. ``class_weight='balanced'`` balances each
    resample.

    Parameters
    ----------
    estimator : LogisticRegression
        Parameters of the refits. The estimator does not change.
    X : array or sparse matrix of shape (n_samples, n_features)
    y : array of shape (n_samples,)
    sample_weight : array of shape (n_samples,), default=None
        Weights of the rows, drawn with them.
    offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
        Added to the logits of each row, drawn with the rows.
    n_resamples : int, default=1000
    random_state : int, RandomState or None, default=None
        Seed of the draws.

    Returns
    -------
    BootstrapResult

    Raises
    ------
    TypeError, ValueError
        If a parameter or the data are invalid, or if all resamples have one class only.

    Warns
    -----
    ConvergenceWarning
        If refits did not reach the estimator's ``tol``.
    UserWarning
        If resamples have only one class, with replicates of NaN; or if they lack one of
        several classes, which their models leave out.

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
        raise TypeError(
            f"bootstrap takes an xlr.LogisticRegression; got {estimator!r}."
        )
    check_parameters({"n_resamples": n_resamples})
    features = begin_fit(estimator, X, y, sample_weight, offset, chunked=False)
    # NumPy's newer generator draws five times as fast.
    seed = check_random_state(random_state).randint(2**31)
    generator = np.random.default_rng(seed)
    n_samples = features.X.shape[0]
    with thread_pool(features.stored, estimator.n_jobs) as pool:
        dataset = read_dataset(estimator, features, y, sample_weight, offset, pool)
        dataset.warn_of_data()
        # The mean count of a row is 1: a count of 256 does not occur.
        counts = np.empty((n_resamples, n_samples), dtype=np.uint8)
        for own in counts:
            row_ids = generator.integers(n_samples, size=n_samples, dtype=np.int32)
            own[:] = np.bincount(row_ids, minlength=n_samples)
        grid = np.asarray([estimator.l1_ratio]), np.asarray([estimator.C])
        models = fit_resamples(estimator, dataset, counts.T, grid, "resample")
        found = features.returned(
            coef=features.place(models.coef[:, 0, 0], features.dtype),
            intercept=features.place(models.intercept[:, 0, 0], features.dtype),
        )
        return BootstrapResult(converged=models.converged[:, 0, 0], **found)
