"""Marginal effects: changes of the probabilities with each feature."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Block, DenseMatrix, Targets, TrainingData
from xlr.estimators.dataset import loss_of
from xlr.functions import log_sigmoid, log_softmax, sigmoid, softmax
from xlr.inference.fitted_results import FittedResults
from xlr.inference.table import Table, wald_columns
from xlr.inputs.features import read_features
from xlr.inputs.parameters import check_option
from xlr.losses import Loss
from xlr.objective.passes import logits

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
        at: Literal["overall", "mean", "zero"] | Array = "overall",
        method: Literal["dydx", "eyex", "dyex", "eydx"] = "dydx",
        *,
        dummy: bool = False,
        alpha: float = 0.05,
    ) -> Table:
        """Tabulate marginal effects of the features on the probabilities.

        Standard errors follow from the delta method. For two classes the effects are on
        the probability of the second; for more, on the probability of each.

        Parameters
        ----------
        at : {'overall', 'mean', 'zero'} or array of shape (m, n_features)
            ``'overall'`` averages the effects over the rows of the fit. ``'mean'``
            takes one row, of the means of the columns; ``'zero'`` takes the row of
            zeros. An array averages over its own rows, such as one of medians, or rows
            of the fit with other values of a feature. Only ``'overall'`` takes the
            offsets into account.
        method : {'dydx', 'eyex', 'dyex', 'eydx'}, default='dydx'
            Derivative dP/dx, elasticity dlogP/dlogx, or a derivative with one
            logarithm: dP/dlogx or dlogP/dx.
        dummy : bool, default=False
            True for the change of P from 0 to 1 as the effect of a feature that is
            0 or 1 in all rows of the fit.
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
            check_option("at", at, ("overall", "mean", "zero"))
        if dummy and method.endswith("ex"):
            raise ValueError(
                "The change of a dummy has no logarithm of the feature: method must be "
                f"'dydx' or 'eydx'; got {method!r}."
            )
        names = self.names[int(self._units.fit_intercept) :]
        own = np.arange(len(names) if method.endswith("ex") else 0)
        if dummy:
            with self._rows("get_margeff(dummy=True)") as data:
                own = _dummies(data)
        is_overall = isinstance(at, str) and at == "overall"
        if is_overall:
            with self._rows("get_margeff") as data:
                rows = data.objective.data
        else:
            rows = self._rows_at(at)
        with arrays.current_device(rows.matrix.stored):
            effects, jacobian = self._average(rows, method, own)
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
                raw = data.dataset.spec.data
                total, weight = raw.map_reduce(_sums_of_columns)
                rows = arrays.to_host(total / weight[:, None]).astype(np.float64)
        if not np.isfinite(rows).all():
            raise ValueError("at contains NaN or infinity.")
        Z, ones = (rows - self._units.mean) / self._units.scale, np.ones((len(rows), 1))
        return TrainingData(DenseMatrix(Z, xp=np), Targets(1, 0 * ones, ones))

    @arrays.quiet()
    def _average(
        self, data: TrainingData, method: str, own: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Return effects averaged over rows by their weights, and their derivatives.

        With V = p or, for the logarithm of a probability, V = log p, and its
        derivatives G in the logits, an effect is :math:`\sum_l G_{kl} w_{lj}`. Its
        derivatives follow from those of G. Columns with a logarithm or a change have
        an effect of their own in each row. It takes one pass.

        Parameters
        ----------
        data : TrainingData
            Rows with standardized columns.
        method : {'dydx', 'eyex', 'dyex', 'eydx'}
        own : ndarray of int
            The columns whose effect is a logarithm's or, if the method has none, the
            change of V from 0 to 1.

        Returns
        -------
        effects : ndarray of shape (n_outputs, n_features)
            Effects on all classes, or on the second of two.
        jacobian : ndarray of shape (n_outputs, n_features, n_parameters)
            Derivatives in the standardized parameters.
        """
        mean, scale = self._units.mean, self._units.scale
        loss, j = loss_of(len(self.classes)), np.arange(mean.size)
        K = loss.n_outputs
        w = self._estimates.standardized.reshape(K, -1)
        columns = np.stack([mean, np.ones(j.size)])[:, own] / scale[own]
        parameters, columns = (
            arrays.move(
                part, xp=data.xp, device=data.device, dtype=data.accumulation_dtype
            )
            for part in (w.reshape(1, -1), columns)
        )
        sums = data.map_reduce(
            _effect_sums,
            loss,
            parameters,
            columns,
            method,
            own,
            width=3 * K**2 * max(K, 3 * own.size),
        )
        total = data.total_weight()[0]
        means, products = (
            arrays.to_host(part / total).astype(np.float64) for part in sums
        )
        G, change, by_own = _split(means, (K, K), (own.size, K), (own.size, K, K))
        # The intercept is the last parameter of an output, if there is one.
        dG, by_row = _split(products[:, : w.shape[1]], (K, K, K), (own.size, K, K))
        w = w[:, : j.size] / scale
        effects, jacobian = G @ w, np.einsum("klmq,lj->kjmq", dG, w)
        jacobian[:, j, :, j] += G / scale[:, None, None]
        effects[:, own], jacobian[:, own] = change.T, np.swapaxes(by_row, 0, 1)
        jacobian[:, own, :, own] += by_own
        return effects, jacobian.reshape(K, j.size, -1)


def _split(values: np.ndarray, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Split the first axis into parts of these shapes."""
    parts = np.split(values, np.cumsum(list(map(math.prod, shapes)))[:-1])
    return [p.reshape(*shape, *values.shape[1:]) for p, shape in zip(parts, shapes)]


def _effect_sums(
    block: Block,
    loss: Loss,
    parameters: Array,
    columns: Array,
    method: str,
    own: np.ndarray,
) -> tuple[Array, Array]:
    """Return sums over the rows: of G and effects, and of their derivatives times z.

    ``own`` are the columns with effects of their own, (n_rows, d, K), and ``columns``
    their means and 1 in standardized units. The derivatives of their effects are A z,
    and B in addition for the coefficients of the column.
    """
    xp, matrix, takes_log = block.xp, block.matrix, method.startswith("ey")
    # 1. Derivatives: dA_kl / d eta_m = A_km ([k = l] - p_l) - p_k A_lm.
    eta = logits(block, loss, parameters)[:, 0, :]
    _, G, p, rest = _derivatives(eta, takes_log, xp=xp)
    A = p[..., None] * rest
    dG = -A[:, None, :, :] * (xp.ones_like(p) if takes_log else p)[..., None, None]
    if not takes_log:
        dG = dG + A[:, :, None, :] * rest[..., None]
    alone, by_row = [G], [dG]
    # 2. Columns with effects of their own.
    if own.size:
        ids = arrays.move(own, xp=xp, device=matrix.device)
        coef = xp.reshape(xp.astype(parameters, matrix.dtype), (loss.n_outputs, -1))
        z, w = matrix.take_columns(ids).to_dense(), xp.take(coef, ids, axis=1).T
        mean, unit = (xp.astype(columns[i, :], matrix.dtype) for i in range(2))
    if method.endswith("ex"):
        x = (z + mean)[..., None, None]
        B = G[:, None, :, :] * x
        A = xp.permute_dims(xp.matmul(w, dG), (0, 2, 1, 3)) * x
        alone, by_row = [G, xp.sum(B * w[:, None, :], axis=-1), B], [dG, A]
    elif own.size:

        def at(end: Array) -> tuple[Array, ...]:
            change = (end - z)[..., None]
            V, G, *_ = _derivatives(eta[:, None, :] + change * w, takes_log, xp=xp)
            return V, G, G * change[..., None]

        V, A, B = (b - a for a, b in zip(at(-mean), at(unit - mean)))
        alone, by_row = [G, V, B], [dG, A]
    # 3. Their sums, and their products with the rows.
    R, S = (
        block.weights
        * xp.concat([xp.reshape(part, (eta.shape[0], -1)) for part in parts], axis=1)
        for parts in (alone, by_row)
    )
    means, total = (
        xp.sum(part, axis=0, dtype=block.accumulation_dtype) for part in (R, S)
    )
    products = matrix.transpose_matvec(S, total)
    return means, xp.concat([products, total[:, None]], axis=1)


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


def _dummies(data: Any) -> np.ndarray:
    """Return the columns that hold both 0 and 1 and no other numbers."""
    raw, scaler = data.dataset.spec.data, data.problem.scaler
    (others,) = raw.map_reduce(_other_numbers, width=4 * raw.n_features)
    varies = arrays.to_host(scaler.varies) > 0
    return np.nonzero((arrays.to_host(others) == 0) & varies)[0]


def _other_numbers(block: Block) -> tuple[Array]:
    """Count the numbers other than 0 and 1 in each column."""
    xp, x = block.xp, block.matrix.to_dense()
    others = xp.astype((x != 0) & (x != 1), block.accumulation_dtype)
    counts = xp.astype(block.row_weights > 0, block.accumulation_dtype)
    return (xp.matmul(counts.T, others)[0, :],)


def _sums_of_columns(block: Block) -> tuple[Array, Array]:
    total = block.xp.sum(block.row_weights, axis=0, dtype=block.accumulation_dtype)
    return block.matrix.transpose_matvec(block.row_weights, total), total
