"""Marginal effects: changes of the probabilities with each feature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Block, DenseMatrix, Targets, TrainingData
from xlr.estimators.dataset import loss_of
from xlr.functions import log_sigmoid, log_softmax, sigmoid, softmax
from xlr.inference.fitted_data import FittedData
from xlr.inference.fitted_results import FittedResults
from xlr.inference.table import Table, wald_columns
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
        """Tabulate marginal effects of the features on the probabilities.

        Standard errors follow from the delta method. For two classes the effects are on
        the probability of the second; for more, on the probability of each.

        Parameters
        ----------
        at : {'overall', 'mean', 'median', 'zero'} or array of shape (m, n_features)
            ``'overall'`` averages the effects over the rows of the fit. ``'mean'`` and
            ``'median'`` take one row, of the means or medians of the columns;
            ``'zero'`` takes the row of zeros. An array averages over its own rows.
            Only ``'overall'`` takes the offsets into account.
        method : {'dydx', 'eyex', 'dyex', 'eydx'}, default='dydx'
            Derivative dP/dx, elasticity dlogP/dlogx, or a derivative with one
            logarithm: dP/dlogx or dlogP/dx.
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
            The effects (``dy/dx``, ``d(lny)/d(lnx)``, ...), ``std err``, ``z``,
            ``P>|z|`` and the interval.

        Raises
        ------
        ValueError
            If columns are aliased, so that only sums of their coefficients are
            determined, or if an argument needs rows that the results do not hold.

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
        names = self.names[int(self._units.fit_intercept) :]
        places = {key: j for j, name in enumerate(names) for key in (j, name)}
        held, spans = np.full(len(names), np.nan), np.zeros(len(names))
        for key, value in (atexog or {}).items():
            if key not in places:
                raise ValueError(
                    f"atexog holds {quoted(key)}, which is not a feature. Use the name "
                    f"of a feature, {quoted(names)}, or the number of its column in X."
                )
            held[places[key]] = value
        if dummy or count:
            with self._rows("get_margeff(dummy=True) or (count=True)") as data:
                spans = _discrete_spans(data, dummy, count)
        is_overall = isinstance(at, str) and at == "overall"
        if is_overall:
            with self._rows("get_margeff") as data:
                rows = data.objective.data
        else:
            rows = self._rows_at(at)
        with arrays.current_device(rows.matrix.stored):
            effects, jacobian = self._average(rows, method, held, spans)
        covariance = self._estimates.standardized_covariance
        variance = np.sum(jacobian @ covariance * jacobian, axis=2)
        errors = np.sqrt(np.maximum(variance, 0)).reshape(-1)
        columns = wald_columns(METHODS[method], effects.reshape(-1), errors, alpha)
        title = "Average marginal effects" if is_overall else "Marginal effects"
        groups = self.classes if self.equations else []
        return Table(title, names * effects.shape[0], columns, groups)

    def _rows_at(self, at: Any) -> TrainingData:
        """Return the rows of ``at`` with standardized columns, on the host."""
        if not isinstance(at, str):
            features = read_features(self._reader, at, reset=False)
            rows = arrays.to_host(features.matrix.to_dense()).astype(np.float64)
        elif at == "zero":
            rows = np.zeros((1, self._units.mean.size))
        else:
            with self._rows("get_margeff") as data:
                rows = _column_centre(data, at)
        if not np.isfinite(rows).all():
            raise ValueError("at contains NaN or infinity.")
        Z, ones = (rows - self._units.mean) / self._units.scale, np.ones((len(rows), 1))
        return TrainingData(DenseMatrix(Z, xp=np), Targets(1, 0 * ones, ones))

    @arrays.quiet()
    def _average(
        self, data: TrainingData, method: str, held: np.ndarray, spans: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Return effects averaged over rows by their weights, and their derivatives.

        With V = p or, for the logarithm of a probability, V = log p, its derivatives in
        the logits are :math:`G_{kl} = p_k ([k = l] - p_l)`, over :math:`p_k` for the
        logarithm. An effect is :math:`\sum_l G_{kl} w_{lj} f_j`, with f = 1 or, for the
        logarithm of a feature, f = x. It takes one pass.

        Parameters
        ----------
        data : TrainingData
            Rows with standardized columns.
        method : {'dydx', 'eyex', 'dyex', 'eydx'}
        held : ndarray of shape (n_features,)
            Values that replace a column; NaN to keep the column.
        spans : ndarray of shape (n_features,)
            0 for a derivative, 1 for the change of V from 0 to 1, 2 for half of its
            change from x - 1 to x + 1.

        Returns
        -------
        effects : ndarray of shape (n_outputs, n_features)
            Effects on all classes, or on the second of two.
        jacobian : ndarray of shape (n_outputs, n_features, n_parameters)
            Derivatives in the standardized parameters.
        """
        units, loss, p = self._units, loss_of(len(self.classes)), held.size
        w, j = self._estimates.standardized.reshape(loss.n_outputs, -1), np.arange(p)
        by_log_x, discrete = method.endswith("ex"), np.nonzero(spans)[0]
        columns = [units.mean, held - units.mean, 1 - spans, np.ones(p)]
        parameters, columns = (
            arrays.move(
                part, xp=data.xp, device=data.device, dtype=data.accumulation_dtype
            )
            for part in (w.reshape(1, -1), np.stack(columns) / units.scale)
        )
        K, d = loss.n_outputs, discrete.size
        (sums,) = data.map_reduce(
            _effect_sums,
            loss,
            parameters,
            columns,
            not np.isnan(held).all(),
            method,
            discrete,
            width=3 * K**2 * max(K, p * by_log_x, 3 * d),
        )
        means = arrays.to_host(sums / data.total_weight()[0]).astype(np.float64)
        of = [p, p] if by_log_x else [1, K]
        shapes = [(K, K, of[0]), (K, K, of[1]), (d, K), (d, K, K), (d, K, K)]
        parts = np.split(means, np.cumsum(list(map(math.prod, shapes)))[:-1])
        G, dG, V, changed, own = (
            part.reshape(*shape, p + 1) for part, shape in zip(parts, shapes)
        )
        # The intercept is the last parameter of an output, if there is one.
        w, size = w[:, :p], w.shape[1]
        if by_log_x:
            factor = G[..., p]
            jacobian = np.einsum("kmjq->kjmq", dG[..., :size]).copy()
        else:
            factor = G[..., p] / units.scale
            jacobian = np.einsum("klmq,lj->kjmq", dG[..., :size], w / units.scale)
        effects = np.einsum("klj,lj->kj", factor, w)
        jacobian[:, j, :, j] += np.moveaxis(factor, 2, 0)
        for i, column in enumerate(discrete):
            effects[:, column] = V[i, :, p] / spans[column]
            jacobian[:, column] = changed[i, ..., :size] / spans[column]
            jacobian[:, column, :, column] = own[i, ..., p] / spans[column]
        return effects, jacobian.reshape(*effects.shape, -1)


def _effect_sums(
    block: Block,
    loss: Loss,
    parameters: Array,
    columns: Array,
    is_held: bool,
    method: str,
    discrete: np.ndarray,
) -> tuple[Array]:
    """Return R'[Z, 1] for G, its derivatives, and the changes, side by side in R.

    ``columns`` has four rows, divided by the scales of the columns: the means, the held
    values less the means, and the ends of changes, from zero or, if the first end is
    below zero, from the number of the row.
    """
    xp, matrix = block.xp, block.matrix
    mean, held, low, high = (xp.astype(columns[i, :], matrix.dtype) for i in range(4))
    takes_log = method.startswith("ey")
    if is_held:
        Z = matrix.to_dense()
        matrix = DenseMatrix(xp.where(xp.isnan(held), Z, held), matrix.dtype, xp=xp)
    # 1. Derivatives: dA_kl / d eta_m = A_km ([k = l] - p_l) - p_k A_lm.
    eta = logits(block._replace(matrix=matrix), loss, parameters)[:, 0, :]
    _, G, p, rest = _derivatives(eta, takes_log, xp=xp)
    A = p[..., None] * rest
    if takes_log:
        dG = -A[:, None, :, :] * xp.ones_like(p)[..., None, None]
    else:
        dG = A[:, :, None, :] * rest[..., None] - p[..., None, None] * A[:, None, :, :]
    coef = xp.reshape(xp.astype(parameters, matrix.dtype), (loss.n_outputs, -1))
    coef = coef[:, : matrix.shape[1]]
    if method.endswith("ex"):
        x = (matrix.to_dense() + mean)[:, None, None, :]  # over the scales
        G, dG = G[..., None] * x, xp.matmul(xp.matrix_transpose(dG), coef) * x
    found = [G, dG]
    # 2. Changes of V between two values of a column, which change the logits.
    if discrete.size:
        ids = arrays.move(discrete, xp=xp, device=matrix.device)
        z, coef = matrix.take_columns(ids).to_dense(), xp.take(coef, ids, axis=1).T
        mean, low, high = (xp.take(part, ids) for part in (mean, low, high))
        base = xp.where(low < 0, z, -mean)

        def at(end: Array) -> tuple[Array, ...]:
            moved = eta[:, None, :] + (end - z)[..., None] * coef
            V, G, *_ = _derivatives(moved, takes_log, xp=xp)
            return V, G, G * end[..., None, None]

        found += [b - a for a, b in zip(at(base + low), at(base + high))]
    # 3. Their products with the rows.
    n_rows = eta.shape[0]
    R = xp.concat([xp.reshape(part, (n_rows, -1)) for part in found], axis=1)
    R = block.weights * R
    total = xp.sum(R, axis=0, dtype=block.accumulation_dtype)
    return (xp.concat([matrix.transpose_matvec(R, total), total[:, None]], axis=1),)


def _derivatives(eta: Array, takes_log: bool, *, xp: Namespace) -> tuple[Array, ...]:
    """Return V and p, (..., n_outputs), and G and [k = l] - p_l, (..., k, l)."""
    if eta.shape[-1] == 1:
        p, rest = sigmoid(eta), sigmoid(-eta)[..., None]
        V = log_sigmoid(eta) if takes_log else p
    else:
        p = softmax(eta)
        same = xp.eye(eta.shape[-1], dtype=eta.dtype, device=arrays.device_of(eta))
        rest = same - p[..., None, :]
        V = log_softmax(eta) if takes_log else p
    return V, rest if takes_log else p[..., None] * rest, p, rest


def _discrete_spans(data: Any, dummy: bool, count: bool) -> np.ndarray:
    """Return 1 for columns of 0 and 1, 2 for other whole numbers from 0, else 0.

    Constant columns are neither.
    """
    raw, scaler = data.dataset.spec.data, data.problem.scaler
    (others,) = raw.map_reduce(_other_numbers, width=4 * raw.n_features)
    is_dummy, is_count = arrays.to_host(others).reshape(2, -1) == 0
    spans = np.where(is_dummy, 1.0 * dummy, 2.0 * (is_count & count))
    return spans * (arrays.to_host(scaler.varies) > 0)


def _other_numbers(block: Block) -> tuple[Array]:
    """Count numbers other than 0 and 1, and numbers that are negative or not whole."""
    xp, x = block.xp, block.matrix.to_dense()
    others = [(x != 0) & (x != 1), (x < 0) | (xp.floor(x) != x)]
    others = xp.astype(xp.concat(others, axis=1), block.accumulation_dtype)
    counts = xp.astype(block.row_weights > 0, block.accumulation_dtype)
    return (xp.matmul(counts.T, others)[0, :],)


def _column_centre(data: FittedData, kind: str) -> np.ndarray:
    """Return the weighted mean or median of each column: (1, n_features).

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
            "Medians of columns in Dask chunks need a sort. Compute them, and pass "
            "them as at=: a row of n_features numbers."
        )
    options: dict[str, Any] = {"method": "inverted_cdf"}
    options["weights"] = arrays.to_host(raw.targets.weights)[:, 0]
    medians = []
    for j in range(raw.n_features):
        number = arrays.move(np.asarray([j]), xp=raw.xp, device=raw.device)
        values = arrays.to_host(raw.matrix.take_columns(number).to_dense())[:, 0]
        # The mean of the two middle values.
        ends = (sign * np.quantile(sign * values, 0.5, **options) for sign in (1, -1))
        medians.append(sum(ends) / 2)
    return np.asarray([medians], dtype=np.float64)


def _sums_of_columns(block: Block) -> tuple[Array, Array]:
    total = block.xp.sum(block.row_weights, axis=0, dtype=block.accumulation_dtype)
    return block.matrix.transpose_matvec(block.row_weights, total), total
