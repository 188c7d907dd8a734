"""Marginal effects: changes of the probabilities with each feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Block, DenseMatrix, Targets, TrainingData
from xlr.functions import log_sigmoid, log_softmax, sigmoid, softmax
from xlr.inference.fitted_data import FittedData, Units
from xlr.losses import Loss
from xlr.objective.passes import logits

__all__ = [
    "METHODS",
    "Discrete",
    "average_effects",
    "column_centre",
    "discrete_columns",
    "given_rows",
]

METHODS = {
    "dydx": "dy/dx",
    "eyex": "d(lny)/d(lnx)",
    "dyex": "dy/d(lnx)",
    "eydx": "d(lny)/dx",
}

MEDIAN_COLUMNS = 256  # columns of X that are brought to the host at a time


@dataclass(frozen=True)
class Discrete:
    """Numbers of the columns whose effect is a change, not a derivative.

    Attributes
    ----------
    dummy : tuple of int
        Columns that change from 0 to 1.
    count : tuple of int
        Columns whose effect is half of the change from x - 1 to x + 1.
    """

    dummy: tuple[int, ...] = ()
    count: tuple[int, ...] = ()

    @property
    def columns(self) -> list[int]:
        """All of them, dummies first."""
        return [*self.dummy, *self.count]


@arrays.quiet()
def average_effects(
    data: TrainingData,
    loss: Loss,
    standardized: np.ndarray,
    units: Units,
    method: str,
    discrete: Discrete,
    held: dict[int, float],
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return effects averaged over rows by their weights, and their derivatives.

    With V = p or, for the logarithm of a probability, V = log p, its derivatives in the
    logits are :math:`G_{kl} = p_k ([k = l] - p_l)`, over :math:`p_k` for the logarithm.
    An effect is :math:`\sum_l G_{kl} w_{lj} f_j`, with f = 1 or, for the logarithm of a
    feature, f = x. The effect of a discrete column is a difference of V. One pass.

    Parameters
    ----------
    data : TrainingData
        With standardized columns.
    loss : Loss
    standardized : ndarray of shape (n_parameters,)
    units : Units
    method : {'dydx', 'eyex', 'dyex', 'eydx'}
    discrete : Discrete
    held : dict of int to float
        Values of columns that replace those of the rows.

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
        discrete,
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
        columns = discrete.columns
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
    discrete: Discrete,
) -> tuple[Array, ...]:
    """Return the sums over the rows of G, of its derivatives, and of the changes."""
    xp, s = block.xp, block.weights
    matrix = block.matrix
    if held is not None or discrete.columns or method.endswith("ex"):
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
    if not discrete.columns:
        return tuple(found)
    # 2. Changes.
    device = arrays.device_of(eta)
    columns = xp.asarray(discrete.columns, device=device)
    is_count = xp.arange(columns.shape[0], device=device) >= len(discrete.dummy)
    step, zero = 1 / xp.take(scale, columns), -xp.take(mean / scale, columns)
    at = xp.take(Z, columns, axis=1)
    ends = (
        xp.where(is_count, at - step, zero),
        xp.where(is_count, at + step, zero + step),
    )
    own = xp.take(coef, columns, axis=1).T
    low, high = (
        _derivatives(eta[:, None, :] + (z - at)[:, :, None] * own, takes_log, xp=xp)
        for z in ends
    )
    share = xp.astype(xp.where(is_count, step / step / 2, step / step), eta.dtype)
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


def given_rows(rows: np.ndarray, units: Units) -> TrainingData:
    """Return rows in units of X, (m, n_features), as standardized data."""
    Z, ones = (rows - units.mean) / units.scale, np.ones((rows.shape[0], 1))
    return TrainingData(DenseMatrix(Z, xp=np), Targets(1, 0 * ones, ones))


def discrete_columns(data: FittedData, *, dummy: bool, count: bool) -> Discrete:
    """Return the columns of 0 and 1 alone, and those of other whole numbers from 0.

    In one pass. Constant columns are neither.
    """
    if not (dummy or count):
        return Discrete()
    raw = data.dataset.spec.data
    scaler = data.problem.scaler
    assert scaler is not None
    found = raw.map_reduce(_other_numbers, width=4 * raw.n_features)
    is_dummy, is_count = (arrays.to_host(others) == 0 for others in found)
    varies = arrays.to_host(scaler.varies) > 0
    is_dummy, is_count = is_dummy & varies, is_count & ~is_dummy & varies
    return Discrete(
        tuple(np.nonzero(is_dummy & dummy)[0].tolist()),
        tuple(np.nonzero(is_count & count)[0].tolist()),
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


def column_centre(data: FittedData, kind: str) -> np.ndarray:
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
