"""Marginal effects: changes of the probabilities with each feature."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Block, DenseMatrix, Matrix, Targets, TrainingData
from xlr.estimators.dataset import loss_of
from xlr.functions import log_sigmoid, log_softmax, sigmoid, softmax
from xlr.inference.fitted_data import FittedData
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
            check_option("at", at, ("overall", "mean", "median", "zero"))
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
        dummies: list[int] = []
        counts: list[int] = []
        if dummy or count:
            with self._rows("get_margeff(dummy=True) or (count=True)") as data:
                dummies, counts = _discrete_columns(data)
        held = np.full(self._units.mean.size, np.nan)
        for key, value in atexog.items():
            held[self._column(key)] = value
        average = partial(
            self._average,
            method=method,
            held=held,
            dummies=dummies if dummy else [],
            counts=counts if count else [],
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
    def _average(
        self,
        data: TrainingData,
        method: str,
        held: np.ndarray,
        dummies: list[int],
        counts: list[int],
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Return effects averaged over rows by their weights, and their derivatives.

        With V = p or, for the logarithm of a probability, V = log p, its derivatives in
        the logits are :math:`G_{kl} = p_k ([k = l] - p_l)`, over :math:`p_k` for the
        logarithm. An effect is :math:`\sum_l G_{kl} w_{lj} f_j`, with f = 1 or, for the
        logarithm of a feature, f = x. One pass.

        Parameters
        ----------
        data : TrainingData
            With standardized columns.
        method : {'dydx', 'eyex', 'dyex', 'eydx'}
        held : ndarray of shape (n_features,)
            Values of columns that replace those of the rows; NaN for none.
        dummies, counts : list of int
            Columns whose effect is a difference of V: from 0 to 1, or half of that from
            x - 1 to x + 1.

        Returns
        -------
        effects : ndarray of shape (n_outputs, n_features)
            Of all classes, or of the second of two.
        jacobian : ndarray of shape (n_outputs, n_features, n_parameters)
            In the standardized parameters.
        """
        units, loss, p = self._units, loss_of(len(self.classes)), held.size
        by_class = self._estimates.standardized.reshape(loss.n_outputs, -1)
        raw, takes_log = by_class[:, :p] / units.scale, method.endswith("ex")
        placed = (
            arrays.move(part, xp=data.xp, device=data.device, dtype=data.wide)
            for part in (
                by_class.reshape(1, -1),
                units.mean,
                units.scale,
                raw,
                (held - units.mean) / units.scale,
            )
        )
        sums = data.map_reduce(
            _effect_sums,
            loss,
            *placed,
            not np.isnan(held).all(),
            method,
            dummies,
            counts,
            width=3 * loss.n_outputs**2 * (max(loss.n_outputs, p * takes_log)),
        )
        total = float(arrays.to_host(data.total_weight())[0])
        first, second, *changes = (
            arrays.to_host(part).astype(np.float64) / total for part in sums
        )
        # The intercept is the last parameter of an output, if there is one.
        second, j = second[..., : by_class.shape[1]], np.arange(p)
        if takes_log:
            effects = np.einsum("klj,lj->kj", first, raw)
            jacobian = np.einsum("kmjq->kjmq", second).copy()
            jacobian[:, j, :, j] += np.einsum("kmj->jkm", first / units.scale)
        else:
            effects = first @ raw
            jacobian = np.einsum("klmq,lj->kjmq", second, raw, order="C")
            jacobian[:, j, :, j] += first / units.scale[:, None, None]
        if changes:
            difference, product = changes
            effects[:, dummies + counts] = difference.T
            jacobian[:, dummies + counts] = np.moveaxis(
                product[..., : by_class.shape[1]], 0, 1
            )
        return effects, jacobian.reshape(*effects.shape, -1)


def _effect_sums(
    block: Block,
    loss: Loss,
    parameters: Array,
    mean: Array,
    scale: Array,
    raw: Array,
    held: Array,
    is_held: bool,
    method: str,
    dummies: list[int],
    counts: list[int],
) -> tuple[Array, ...]:
    """Return the sums over the rows of G, of its derivatives, and of the changes."""
    xp, s, matrix = block.xp, block.weights, block.matrix
    mean, scale, raw, held = (
        xp.astype(part, matrix.dtype) for part in (mean, scale, raw, held)
    )
    if is_held or dummies or counts or method.endswith("ex"):
        Z = matrix.to_dense()
        Z = xp.where(xp.isnan(held), Z, held)
        matrix = DenseMatrix(Z, matrix.dtype, xp=xp)

    def derivatives(matrix: Matrix) -> tuple[Array, ...]:
        eta = logits(block._replace(matrix=matrix), loss, parameters)[:, 0, :]
        return _derivatives(eta, method.startswith("ey"), xp=xp)

    def total(rows: Array) -> Array:
        """Return the sums of the weighted rows (n, ...): (...)."""
        weights = xp.reshape(s[:, 0], (-1, *(1 for _ in rows.shape[1:])))
        return xp.sum(weights * rows, axis=0, dtype=block.wide)

    def products(rows: Array, matrix: Matrix) -> Array:
        """Return R'[Z, 1] of the weighted rows (n, ...): (..., n_features + 1)."""
        sums = xp.reshape(total(rows), (-1,))
        rows, shape = s * xp.reshape(rows, (rows.shape[0], -1)), rows.shape[1:]
        product = matrix.transpose_matvec(rows, sums)
        product = xp.concat([product, sums[:, None]], axis=1)
        return xp.reshape(product, (*shape, -1))

    # 1. Derivatives.
    _, G, dG = derivatives(matrix)
    if method.endswith("ex"):
        x = Z * scale + mean
        dG = xp.matmul(xp.permute_dims(dG, (0, 1, 3, 2)), raw)
        G, dG = G[..., None] * x[:, None, None, :], dG * x[:, None, None, :]
    found = [total(G), products(dG, matrix)]
    # 2. Changes, from the rows with the lower and the higher value of a column.
    changes = []
    for j in dummies + counts:
        unit, is_count = 1 / scale[j], j in counts
        middle = Z[:, j] if is_count else (0.5 - mean[j]) * unit + 0 * Z[:, j]
        step = unit if is_count else unit / 2
        is_own = xp.arange(Z.shape[1], device=arrays.device_of(Z)) == j
        ends = []
        for end in (middle - step, middle + step):
            moved = xp.where(is_own, end[:, None], Z)
            moved = DenseMatrix(moved, matrix.dtype, xp=xp)
            V, G, _ = derivatives(moved)
            ends.append((total(V), products(G, moved)))
        changes.append([(b - a) / (1 + is_count) for a, b in zip(*ends)])
    return *found, *(xp.stack(part) for part in zip(*changes))


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


def _discrete_columns(data: FittedData) -> tuple[list[int], list[int]]:
    """Return the columns of 0 and 1 alone, and those of other whole numbers from 0.

    In one pass. Constant columns are neither.
    """
    raw, scaler = data.dataset.spec.data, data.problem.scaler
    assert scaler is not None
    found = raw.map_reduce(_other_numbers, width=4 * raw.n_features)
    is_dummy, is_count = (arrays.to_host(others) == 0 for others in found)
    varies = arrays.to_host(scaler.varies) > 0
    return (
        np.nonzero(is_dummy & varies)[0].tolist(),
        np.nonzero(is_count & ~is_dummy & varies)[0].tolist(),
    )


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
