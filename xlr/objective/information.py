"""What inference needs of the likelihood of one model, as sums over its rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Block, add, cut, reduce_over_blocks, sum_over_blocks
from xlr.objective import hessian
from xlr.objective.objective import Objective

__all__ = ["Information", "cluster_scores", "information"]

# Rows that are summed into their clusters at a time: by a product with a matrix of
# ones and zeros that may be as wide.
CLUSTER_ROWS = 512


class Information(NamedTuple):
    """Sums over the rows, without a penalty, in the units of the solver.

    Attributes
    ----------
    loss : array of shape ()
        Less the log-likelihood.
    slope : array of shape (n_parameters,)
        The gradient of the loss.
    hessian : array of shape (n_parameters, n_parameters)
        That of the loss: the observed information, which is the expected one here.
    outer : array of shape (n_parameters, n_parameters) or None
        The outer products of the gradients of the rows.
    """

    loss: Array
    slope: Array
    hessian: Array
    outer: Array | None


def information(
    objective: Objective, parameters: Array, outer_weights: Array | None = None
) -> Information:
    r"""The loss, its gradient, its Hessian and the outer products, in one pass.

    Parameters
    ----------
    objective : Objective
        Of one model.
    parameters : array of shape (1, n_parameters)
    outer_weights : array of shape (n_samples,), default=None
        :math:`v_i` in :math:`\sum_i v_i\, \nabla\ell_i \nabla\ell_i^T`; None for no
        outer products.
    """
    xp, wide, intercept = objective.xp, objective.wide, objective.fit_intercept
    _, folded = objective.design.gram_form(rough=False)
    logits = objective.logits_of_block(parameters)
    per_row = [objective.responses.targets, objective.responses.weights]
    if outer_weights is not None:
        per_row.append(xp.sqrt(outer_weights)[:, None])

    def kernel(block: Block, y: Array, s: Array, *roots: Array) -> tuple[Array, ...]:
        point = objective.loss.at(logits(block), xp.astype(y, s.dtype), xp=xp)
        slope = point.gradient()
        curvature = point.curvature().weighted(s, xp=xp).astype(wide, xp=xp)
        rows = block.for_gram(wide, folded=folded)
        sums = [
            xp.sum(s * point.value(), axis=0),
            *objective.rmatvec(block, s[..., None] * slope),
            hessian.row_sums(rows, curvature, intercept, xp=xp),
        ]
        for root in roots:
            columns = xp.astype(root * slope[:, 0, :], wide)
            sums.append(hessian.gram(rows, columns, intercept, xp=xp)[None, :, :])
        return tuple(xp.astype(total, wide, copy=False) for total in sums)

    # The sums are matrices of this width: adding them must not cost more than they.
    width = objective.n_outputs * objective.n_features
    slices = objective.design.slices(width, least=4 * width)
    loss, product, total, sums, *outers = sum_over_blocks(
        kernel, objective.design, slices, *per_row
    )
    n_outputs = objective.n_outputs
    matrix = hessian.assemble(sums, n_outputs, intercept, xp=xp)
    outer = outers[0] if outers else None
    if outer is not None:
        if intercept and n_outputs > 1:
            outer = hessian.intercepts_after_their_class(outer, n_outputs, xp=xp)
        outer = objective.gathered_matrix(outer, rough=False)[0, :, :]
    return Information(
        loss[0],
        objective.gathered(product, total)[0, :],
        objective.gathered_matrix(matrix, rough=False)[0, :, :],
        outer,
    )


def cluster_scores(
    objective: Objective,
    parameters: Array,
    row_weights: Array,
    clusters: np.ndarray,
) -> np.ndarray:
    """Gradients of the loss summed within clusters: (n_clusters, n_parameters).

    In one pass, to the host.

    Parameters
    ----------
    objective : Objective
        Of one model.
    parameters : array of shape (1, n_parameters)
    row_weights : array of shape (n_samples,)
    clusters : ndarray of shape (n_samples,)
        The cluster of each row: 0, 1, ..., n_clusters - 1.
    """
    xp, design, wide = objective.xp, objective.design, objective.wide
    logits = objective.logits_of_block(parameters)
    sums = np.zeros((int(clusters.max()) + 1, objective.n_parameters))

    def on_rows(rows: slice) -> tuple[()]:
        block = design.block(rows)
        y = xp.astype(objective.responses.targets[rows, :], design.dtype)
        slope = objective.loss.at(logits(block), y, xp=xp).gradient()[:, 0, :]
        slope = slope * xp.astype(row_weights[rows], design.dtype)[:, None]
        here, place = np.unique(clusters[rows], return_inverse=True)
        is_member = np.arange(here.size)[:, None] == place
        member = arrays.move(
            is_member, xp=xp, device=objective.device, dtype=design.dtype
        )
        columns = []
        for k in range(objective.n_outputs):
            total = xp.astype(member @ slope[:, k], wide)
            product = xp.astype(block.weighted_sums(member, slope[:, k]), wide)
            columns.append(design.unfold(product, total))
            if objective.fit_intercept:
                columns.append(total[:, None])
        sums[here, :] += arrays.to_host(xp.concat(columns, axis=1))
        return ()

    # One block after another, for they add to the same sums.
    slices = cut(objective.n_samples, CLUSTER_ROWS, n_threads=1)
    reduce_over_blocks(on_rows, add, slices)
    return sums
