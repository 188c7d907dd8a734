"""Marginal effects: changes of the probabilities with each feature."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Block, DenseMatrix, Targets, TrainingData
from xlr.estimators.dataset import loss_of
from xlr.functions import log_sigmoid, log_softmax, sigmoid, softmax
from xlr.inference.fitted_data import FittedData, Units
from xlr.inference.fitted_results import FittedResults
from xlr.inference.table import Table, wald_table
from xlr.inputs.features import read_features
from xlr.inputs.parameters import check_option
from xlr.losses import Loss
from xlr.objective.passes import logits
from xlr.text import quoted

METHODS = {
    "dydx": "dy/dx",
    "eyex": "d(lny)/d(lnx)",
    "dyex": "dy/d(lnx)",
    "eydx": "d(lny)/dx",
}

MEDIAN_COLUMNS = 256  # columns of X that are brought to the host at a time


class MarginalEffects(FittedResults):
    """Marginal effects of the features."""

    def get_margeff(
        self,
        at: Literal["overall", "mean", "median", "zero"] | Array = "overall",
        method: Literal["dydx", "eyex", "dyex", "eydx"] = "dydx",
        atexog: Mapping[str | int, float] | None = None,
        dummy: bool = False,
        count: bool = False,
        *,
        alpha: float = 0.05,
    ) -> Table:
        """Tabulate marginal effects: changes of the probabilities with the features.

        Standard errors are those of the delta method. Two classes have effects on the
        second class; more classes have effects on each.

        Parameters
        ----------
        at : {'overall', 'mean', 'median', 'zero'} or array of shape (m, n_features)
            ``'overall'`` averages the effects over the rows of the fit. ``'mean'`` and
            ``'median'`` take one row, of the means or medians of the columns;
            ``'zero'`` takes the row of zeros. An array averages over its own rows.
            Offsets count in ``'overall'`` alone.
        method : {'dydx', 'eyex', 'dyex', 'eydx'}, default='dydx'
            Derivative dP/dx, elasticity dlogP/dlogx, or one logarithm: dP/dlogx or
            dlogP/dx.
        atexog : dict, default=None
            Values of features that replace those of the rows, by the name of the
            feature or the number of its column in X.
        dummy : bool, default=False
            True for the change of P from 0 to 1 as the effect of a feature that is
            0 or 1 in all rows of the fit.
        count : bool, default=False
            True for half the change from x - 1 to x + 1 as the effect of a feature of
            other whole numbers from 0.
        alpha : float, default=0.05
            One minus the level of the intervals.

        Returns
        -------
        Table
            With the effects (``dy/dx``, ``d(lny)/d(lnx)``, ...), ``std err``, ``z``,
            ``P>|z|`` and the interval.

        Raises
        ------
        ValueError
            If columns are aliased: only a sum of their coefficients has a meaning. If
            the results are without the rows, and an argument needs them.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> import xlr
        >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
        >>> X = X[["mean radius", "mean texture"]]
        >>> results = xlr.infer(xlr.LogisticRegression(C=float("inf")).fit(X, y), X, y)
        >>> table = results.get_margeff(at=X.iloc[:100], method="eyex")
        >>> table.columns["d(lny)/d(lnx)"].round(3)
        array([-8.718, -2.217])
        """
        self._refuse_aliased("effects")
        check_option("method", method, METHODS)
        if isinstance(at, str):
            check_option("at", at, ("overall", "mean", "median", "zero", "an array"))
        if (dummy or count) and method.endswith("ex"):
            raise ValueError(
                "The change of a dummy or a count has no logarithm of the feature: "
                f"method must be 'dydx' or 'eydx'; got {method!r}."
            )
        effects, jacobian = self._effects(at, method, dict(atexog or {}), dummy, count)
        covariance = self._estimates.standardized_covariance
        variance = np.sum(jacobian @ covariance * jacobian, axis=2)
        is_overall = isinstance(at, str) and at == "overall"
        return wald_table(
            "Average marginal effects" if is_overall else "Marginal effects",
            METHODS[method],
            self._feature_names * effects.shape[0],
            effects.reshape(-1),
            np.sqrt(np.maximum(variance, 0)).reshape(-1),
            alpha,
            self.classes if self.equations else [],
        )

    @property
    def _feature_names(self) -> list[str]:
        return self.names[int(self._units.fit_intercept) :]

    def _effects(
        self,
        at: Any,
        method: str,
        atexog: dict[str | int, float],
        dummy: bool,
        count: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return effects and their derivatives in the standardized parameters."""
        columns: list[int] = []
        n_dummies = 0
        if dummy or count:
            with self._rows("get_margeff(dummy=True) or (count=True)") as data:
                columns, n_dummies = _discrete_columns(data, dummy, count)
        average = partial(
            _average_effects,
            loss=loss_of(len(self.classes)),
            standardized=self._estimates.standardized,
            units=self._units,
            method=method,
            held={self._column(key): float(value) for key, value in atexog.items()},
            columns=columns,
            n_dummies=n_dummies,
        )
        if not isinstance(at, str):
            features = read_features(self._reader, at, reset=False)
            rows = arrays.to_host(features.matrix.to_dense()).astype(np.float64)
        elif at == "zero":
            rows = np.zeros((1, self._units.mean.size))
        else:
            with self._rows("get_margeff") as data:
                if at == "overall":
                    return average(data.objective.data)
                rows = _column_centre(data, at)
        if not np.isfinite(rows).all():
            raise ValueError("at contains NaN or infinity.")
        Z, ones = (rows - self._units.mean) / self._units.scale, np.ones((len(rows), 1))
        given = TrainingData(DenseMatrix(Z, xp=np), Targets(1, 0 * ones, ones))
        return average(given)

    def _column(self, key: str | int) -> int:
        """Return the number of a column of X by its name or number.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        names = self._feature_names
        if key in names:
            return names.index(key)
        if isinstance(key, int | np.integer) and 0 <= key < len(names):
            return int(key)
        raise ValueError(
            f"atexog holds {quoted(key)}, which is no feature. Use the name of a "
            f"feature, {quoted(names)}, or the number of its column in X."
        )


@arrays.quiet()
def _average_effects(
    data: TrainingData,
    loss: Loss,
    standardized: np.ndarray,
    units: Units,
    method: str,
    held: dict[int, float],
    columns: list[int],
    n_dummies: int,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return effects averaged over rows by their weights, and their derivatives.

    With V = p or, for the logarithm of a probability, V = log p, its derivatives in the
    logits are :math:`G_{kl} = p_k ([k = l] - p_l)`, over :math:`p_k` for the logarithm.
    An effect is :math:`\sum_l G_{kl} w_{lj} f_j`, with f = 1 or, for the logarithm of a
    feature, f = x. One pass.

    Parameters
    ----------
    data : TrainingData
        With standardized columns.
    loss : Loss
    standardized : ndarray of shape (n_parameters,)
    units : Units
    method : {'dydx', 'eyex', 'dyex', 'eydx'}
    held : dict of int to float
        Values of columns that replace those of the rows.
    columns : list of int
        Columns whose effect is a difference of V: from 0 to 1, or half of that from
        x - 1 to x + 1.
    n_dummies : int
        Number of the former, which come first.

    Returns
    -------
    effects : ndarray of shape (n_outputs, n_features)
        Of all classes, or of the second of two.
    jacobian : ndarray of shape (n_outputs, n_features, n_parameters)
        In the standardized parameters.
    """
    outputs, p = loss.n_outputs, units.mean.size
    by_class = standardized.reshape(outputs, -1)
    values = np.full(p, np.nan)
    values[list(held)] = list(held.values())
    parameters, coef, mean, scale, values = (
        arrays.move(part, xp=data.xp, device=data.device, dtype=data.wide)
        for part in (
            standardized.reshape(1, -1),
            by_class[:, :p],
            units.mean,
            units.scale,
            (values - units.mean) / units.scale,
        )
    )
    sums = data.map_reduce(
        _effect_sums,
        loss,
        parameters,
        (mean, scale, coef),
        values if held else None,
        method,
        columns,
        n_dummies,
        width=3 * outputs**2 * (max(outputs, p) if method.endswith("ex") else outputs),
    )
    total = float(arrays.to_host(data.total_weight())[0])
    first, second, *changes = (
        arrays.to_host(part).astype(np.float64) / total for part in sums
    )
    # The intercept is the last parameter of an output, if there is one.
    second = second[..., : by_class.shape[1]]
    raw, j = by_class[:, :p] / units.scale, np.arange(p)
    if method.endswith("ex"):
        effects = np.einsum("klj,lj->kj", first, raw)
        jacobian = np.einsum("kmjq->kjmq", second).copy()
        jacobian[:, j, :, j] += np.einsum("kmj->jkm", first / units.scale)
    else:
        effects = first @ raw
        jacobian = np.einsum("klmq,lj->kjmq", second, raw, order="C")
        jacobian[:, j, :, j] += first / units.scale[:, None, None]
    if changes:
        difference, product, moved = changes
        product = product[..., : by_class.shape[1]]
        product[np.arange(len(columns)), :, :, columns] = moved
        effects[:, columns] = difference.T
        jacobian[:, columns] = np.moveaxis(product, 0, 1)
    return effects, jacobian.reshape(*effects.shape, -1)


def _effect_sums(
    block: Block,
    loss: Loss,
    parameters: Array,
    units: tuple[Array, Array, Array],
    held: Array | None,
    method: str,
    discrete: list[int],
    n_dummies: int,
) -> tuple[Array, ...]:
    """Return the sums over the rows of G, of its derivatives, and of the changes."""
    xp, s = block.xp, block.weights
    matrix = block.matrix
    if held is not None or discrete or method.endswith("ex"):
        Z = matrix.to_dense()
        if held is not None:
            held = xp.astype(held, Z.dtype)
            Z = xp.where(xp.isnan(held), Z, held)
        matrix = DenseMatrix(Z, matrix.dtype, xp=xp)
    mean, scale, coef = (xp.astype(part, matrix.dtype) for part in units)
    eta = logits(block._replace(matrix=matrix), loss, parameters)[:, 0, :]

    def sums(rows: Array) -> Array:
        """Return R'[Z, 1] of the weighted rows (n, ...): (..., n_features + 1)."""
        shape = rows.shape[1:]
        rows = s * xp.reshape(rows, (rows.shape[0], -1))
        total = xp.sum(rows, axis=0, dtype=block.wide)
        product = matrix.transpose_matvec(rows, total)
        product = xp.concat([product, total[:, None]], axis=1)
        return xp.reshape(product, (*shape, -1))

    def total(rows: Array) -> Array:
        """Return the sums of the weighted rows (n, ...): (...)."""
        weights = xp.reshape(s[:, 0], (-1, *(1 for _ in rows.shape[1:])))
        return xp.sum(weights * rows, axis=0, dtype=block.wide)

    # 1. Derivatives.
    takes_log = method.startswith("ey")
    _, G, dG = _derivatives(eta, takes_log, xp=xp)
    if method.endswith("ex"):
        x = Z * scale + mean
        dG = xp.matmul(xp.permute_dims(dG, (0, 1, 3, 2)), coef / scale)
        G, dG = G[..., None] * x[:, None, None, :], dG * x[:, None, None, :]
    found = [total(G), sums(dG)]
    if not discrete:
        return tuple(found)
    # 2. Changes.
    device = arrays.device_of(eta)
    columns = xp.asarray(discrete, device=device)
    is_count = xp.arange(columns.shape[0], device=device) >= n_dummies
    step, zero = 1 / xp.take(scale, columns), -xp.take(mean / scale, columns)
    at = xp.take(Z, columns, axis=1)
    step = xp.where(is_count, 2 * step, step)
    start = xp.where(is_count, at - step / 2, zero)
    ends = start, start + step
    own = xp.take(coef, columns, axis=1).T
    low, high = (
        _derivatives(eta[:, None, :] + (z - at)[:, :, None] * own, takes_log, xp=xp)
        for z in ends
    )
    share = 1 - xp.astype(is_count, eta.dtype) / 2
    difference = share[:, None] * (high[0] - low[0])
    share = share[:, None, None]
    moved = high[1] * ends[1][..., None, None] - low[1] * ends[0][..., None, None]
    found += [
        total(difference),
        sums(share * (high[1] - low[1])),
        total(share * moved),
    ]
    return tuple(found)


def _derivatives(
    eta: Array, takes_log: bool, *, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Return V, its first and its second derivatives in the logits (..., n_outputs).

    With A the derivatives of p: dA_kl / d eta_m = A_km ([k = l] - p_l) - p_k A_lm.
    """
    if eta.shape[-1] == 1:
        p, q = sigmoid(eta), sigmoid(-eta)
        A = (p * q)[..., None]
        if takes_log:
            return log_sigmoid(eta), q[..., None], -A[..., None]
        return p, A, (A * (q - p)[..., None])[..., None]
    p = softmax(eta)
    same = xp.eye(eta.shape[-1], dtype=eta.dtype, device=arrays.device_of(eta))
    rest = same - p[..., None, :]
    A = p[..., None] * rest
    if takes_log:
        dG = -A[..., None, :, :] * xp.ones_like(p)[..., None, None]
        return log_softmax(eta), rest, dG
    dA = A[..., None, :] * rest[..., None]
    return p, A, dA - p[..., None, None] * A[..., None, :, :]


def _discrete_columns(
    data: FittedData, dummy: bool, count: bool
) -> tuple[list[int], int]:
    """Return the columns of 0 and 1 alone, then those of other whole numbers from 0.

    And the number of the former. In one pass. Constant columns are neither.
    """
    raw, scaler = data.dataset.spec.data, data.problem.scaler
    assert scaler is not None
    found = raw.map_reduce(_other_numbers, width=4 * raw.n_features)
    is_dummy, is_count = (arrays.to_host(others) == 0 for others in found)
    varies = arrays.to_host(scaler.varies) > 0
    dummies = np.nonzero(is_dummy & varies & dummy)[0].tolist()
    counts = np.nonzero(is_count & ~is_dummy & varies & count)[0].tolist()
    return [*dummies, *counts], len(dummies)


def _other_numbers(block: Block) -> tuple[Array, Array]:
    """Count numbers that are not 0 or 1, and those that are negative or not whole."""
    xp, x = block.xp, block.matrix.to_dense()
    counts = xp.astype(block.row_weights > 0, block.wide).T
    not_binary = (x != 0) & (x != 1)
    not_count = (x < 0) | (xp.floor(x) != x)
    return tuple(
        xp.matmul(counts, xp.astype(others, block.wide))[0, :]
        for others in (not_binary, not_count)
    )


def _column_centre(data: FittedData, kind: str) -> np.ndarray:
    """Return the mean or the median of each column by the weights: (1, n_features).

    Raises
    ------
    ValueError
        For the median of rows in chunks.
    """
    raw = data.dataset.spec.data
    if kind == "mean":
        total, weight = raw.map_reduce(_sums_of_columns)
        return arrays.to_host(total / weight[:, None]).astype(np.float64)
    if not raw.in_memory:
        raise ValueError(
            "The median of columns in chunks of Dask takes a sort. Compute it, and "
            "pass it as at=, a row of n_features numbers."
        )
    weights = arrays.to_host(raw.targets.weights)[:, 0].astype(np.float64)
    medians: list[float] = []
    for start in range(0, raw.n_features, MEDIAN_COLUMNS):
        numbers = np.arange(start, min(start + MEDIAN_COLUMNS, raw.n_features))
        columns = arrays.move(numbers, xp=raw.xp, device=raw.device)
        values = arrays.to_host(raw.matrix.take_columns(columns).to_dense())
        medians += [_median(column, weights) for column in values.T]
    return np.asarray([medians], dtype=np.float64)


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the median of repeated values: the mean of the middle two."""
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    middle = [np.searchsorted(below, below[-1] / 2, side) for side in ("left", "right")]
    return float(values[order][middle].mean())


def _sums_of_columns(block: Block) -> tuple[Array, Array]:
    total = block.xp.sum(block.row_weights, axis=0, dtype=block.wide)
    return block.matrix.transpose_matvec(block.row_weights, total), total
