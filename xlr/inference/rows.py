"""What there is to say of single rows: their influence, and their probabilities."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Design, reduce_over_blocks
from xlr.functions import sigmoid, softmax
from xlr.inference.evidence import Evidence
from xlr.objective import linear_map

__all__ = [
    "Influence",
    "ProbabilityInterval",
    "influence",
    "probability_interval",
]


class ProbabilityInterval(NamedTuple):
    """Probabilities of the classes and how sure they are, in the library of X.

    Attributes
    ----------
    proba : array of shape (n_samples, n_classes)
    se : array of shape (n_samples, n_classes)
        Standard errors, by the delta method.
    lower, upper : array of shape (n_samples, n_classes)
        Ends of the intervals, between 0 and 1.
    """

    proba: Array
    se: Array
    lower: Array
    upper: Array


@dataclass(frozen=True)
class Influence:
    """How much each row weighs in a fit, under statsmodels' names.

    Attributes
    ----------
    hat_matrix_diag : array of shape (n_samples,)
        Leverage h, the diagonal of W^(1/2) X (X'WX)^-1 X' W^(1/2), W = p (1 - p).
    resid_pearson : array of shape (n_samples,)
        r = (y - p) / sqrt(p (1 - p)).
    resid_studentized : array of shape (n_samples,)
        r / sqrt(1 - h).
    cooks_distance : array of shape (n_samples,)
        r^2 h / (k (1 - h)^2), with k the (effective) number of parameters: about how
        far, in units of their covariance, the estimates move without the row.

    References
    ----------
    Pregibon (1981), *Logistic regression diagnostics*, Annals of Statistics 9.
    """

    hat_matrix_diag: Array
    resid_pearson: Array
    resid_studentized: Array
    cooks_distance: Array


def _root(matrix: np.ndarray) -> np.ndarray:
    """R with R R' = M, for a positive semi-definite M."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0))


@arrays.quiet()
def influence(
    evidence: Evidence, inverse: np.ndarray, n_parameters: float
) -> Influence:
    """Leverages, residuals and Cook's distances, in one pass.

    Parameters
    ----------
    evidence : Evidence
        Of two classes.
    inverse : ndarray of shape (n_parameters, n_parameters)
        Of the Hessian of the sum of the losses and the penalty.
    n_parameters : float
    """
    objective = evidence.objective
    xp, design = objective.xp, objective.design
    responses = objective.responses
    logits = objective.logits_of_block(evidence.parameters)
    place = {"xp": xp, "device": objective.device, "dtype": objective.wide}
    columns = _columns(evidence, _root(inverse).T, place)
    products = linear_map(design, *columns, xp=xp)

    def kernel(rows: slice) -> tuple[Array]:
        block = design.block(rows)
        y, s = responses.block(rows, xp=xp)
        point = objective.loss.at(logits(block), y, xp=xp)
        curvature = point.curvature().diagonal[:, 0, 0]
        form = xp.sum(products(block) ** 2, axis=1)
        leverage = evidence.unit * s[:, 0] * curvature * form
        residual = -point.gradient()[:, 0, 0] / xp.sqrt(curvature)
        return (xp.stack([leverage, residual], axis=1),)

    slices = design.slices(3 * objective.n_parameters)
    parts = reduce_over_blocks(kernel, operator.add, slices)
    found = xp.concat(list(parts))
    leverage, residual = found[:, 0], found[:, 1]
    studentized = residual / xp.sqrt(1 - leverage)
    distance = studentized**2 * leverage / (1 - leverage) / n_parameters
    return Influence(leverage, residual, studentized, distance)


def probability_interval(
    evidence: Evidence, design: Design, covariance: np.ndarray, quantile: float
) -> ProbabilityInterval:
    r"""Probabilities with intervals by the delta method, on the scale of their logits.

    .. math::
        \lambda_k &= \log \frac{p_k}{1 - p_k} = \eta_k - \log \sum_{l \ne k} e^{\eta_l}
        \\
        \nabla \lambda_k &= (e_k - q_k) \otimes z, \qquad
        q_k = \mathrm{softmax}(\eta_l, l \ne k)

    so that an interval is :math:`\sigma(\lambda_k \pm c\, s_k)`, between 0 and 1, and
    the standard error of the probability :math:`p_k (1 - p_k) s_k`.

    Parameters
    ----------
    evidence : Evidence
    design : Design
        The rows, in the units of the solver.
    covariance : ndarray of shape (n_parameters, n_parameters)
        Of the parameters, in those units.
    quantile : float
        c.
    """
    objective, xp = evidence.objective, design.xp
    outputs, size = objective.n_outputs, objective.column_size
    place = {"xp": xp, "device": design.device, "dtype": objective.wide}
    at = arrays.to_host(evidence.parameters).reshape(outputs, size)
    linear = linear_map(design, *_columns(evidence, at, place), xp=xp)
    # One class after another, all the columns of the root: (outputs * m, size).
    by_class = _root(covariance).T.reshape(-1, outputs, size)
    columns = np.moveaxis(by_class, 1, 0).reshape(-1, size)
    errors = linear_map(design, *_columns(evidence, columns, place), xp=xp)

    def kernel(rows: slice) -> tuple[Array]:
        block = design.block(rows)
        eta = linear(block)
        if block.offset is not None:
            eta = eta + block.offset
        moves = xp.reshape(errors(block), (eta.shape[0], outputs, -1))
        if outputs == 1:
            se = xp.sqrt(xp.sum(moves[:, 0, :] ** 2, axis=1))[:, None]
            return (xp.stack([xp.concat([-eta, eta], axis=1), xp.tile(se, (1, 2))]),)
        logits, ses = [], []
        for k in range(outputs):
            others = [j for j in range(outputs) if j != k]
            rest = xp.stack([eta[:, j] for j in others], axis=1)
            share = softmax(rest)
            moved = moves[:, k, :]
            for i, j in enumerate(others):
                moved = moved - share[:, i, None] * moves[:, j, :]
            most = xp.max(rest, axis=1)
            total = xp.sum(xp.exp(rest - most[:, None]), axis=1)
            logits.append(eta[:, k] - most - xp.log(total))
            ses.append(xp.sqrt(xp.sum(moved**2, axis=1)))
        return (xp.stack([xp.stack(logits, axis=1), xp.stack(ses, axis=1)]),)

    slices = design.slices(2 * columns.shape[0])
    parts = reduce_over_blocks(kernel, operator.add, slices)
    found = xp.concat(list(parts), axis=1)
    logits, se = found[0, ...], found[1, ...]
    proba = sigmoid(logits)
    return ProbabilityInterval(
        proba,
        proba * sigmoid(-logits) * se,
        sigmoid(logits - quantile * se),
        sigmoid(logits + quantile * se),
    )


def _columns(
    evidence: Evidence, rows: np.ndarray, place: dict[str, Any]
) -> tuple[Array, Array | None]:
    """Rows (m, column_size) as coefficients and intercepts on a device."""
    n_features = evidence.objective.n_features
    coef = arrays.move(np.ascontiguousarray(rows[:, :n_features]), **place)
    if not evidence.fit_intercept:
        return coef, None
    return coef, arrays.move(np.ascontiguousarray(rows[:, n_features]), **place)
