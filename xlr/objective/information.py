"""What inference needs of the likelihood of one model, as sums over its rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Block, add, cut, reduce_over_blocks
from xlr.objective import hessian
from xlr.objective.objective import Objective
from xlr.objective.passes import Passes

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
    objective: Objective, parameters: Array, class_factors: np.ndarray | None = None
) -> Information:
    r"""The loss, its gradient, its Hessian and the outer products, in one pass.

    Parameters
    ----------
    objective : Objective
        Of one model.
    parameters : array of shape (1, n_parameters)
    class_factors : ndarray of shape (n_classes,), default=None
        With weights :math:`s_i = f_i c_{y_i}` that are how often a row counts and what
        its class weighs, the :math:`c_k`, for the outer products
        :math:`\sum_i f_i c_{y_i}^2\, \nabla\ell_i \nabla\ell_i^T`: a row that counts
        several times has as many scores. None for no outer products.
    """
    xp, intercept = objective.xp, objective.fit_intercept
    loss, product, total, sums, *outers = objective.over_rows(
        _sums, parameters, class_factors, name="information"
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


def _sums(
    passes: Passes, parameters: Array, class_factors: np.ndarray | None
) -> tuple[Array, ...]:
    """What rows add to the information, before it is assembled."""
    xp, wide, intercept = passes.xp, passes.wide, passes.fit_intercept
    _, folded = passes.design.gram_form(rough=False)
    logits = passes.logits_of_block(parameters)
    factors = None if class_factors is None else passes.place(class_factors)

    def kernel(block: Block, y: Array, s: Array) -> tuple[Array, ...]:
        point = passes.loss.at(logits(block), y, xp=xp)
        slope = point.gradient()
        curvature = point.curvature().weighted(s, xp=xp).astype(wide, xp=xp)
        rows = block.for_gram(wide, folded=folded)
        sums = [
            xp.sum(s * point.value(), axis=0),
            *passes.rmatvec(block, s[..., None] * slope),
            hessian.row_sums(rows, curvature, intercept, xp=xp),
        ]
        if factors is not None:
            own = xp.take(factors, xp.astype(y[:, 0], xp.int64))
            root = xp.sqrt(xp.astype(s, wide) * own[:, None])
            columns = root * xp.astype(slope[:, 0, :], wide)
            sums.append(hessian.gram(rows, columns, intercept, xp=xp)[None, :, :])
        return tuple(xp.astype(total, wide, copy=False) for total in sums)

    # The sums are matrices of this width: adding them must not cost more than they.
    width = passes.n_outputs * passes.n_features
    return passes.sum_over_rows(kernel, width, least=4 * width)


def cluster_scores(
    passes: Passes, parameters: Array, n_clusters: int, clusters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the loss summed within clusters: (n_clusters, n_parameters).

    In one pass, to the host; and how many rows of each cluster have a weight.

    Parameters
    ----------
    passes : Passes
        Of one model.
    parameters : array of shape (1, n_parameters)
    n_clusters : int
    clusters : ndarray of shape (n_samples,)
        The cluster of each row: 0, 1, ..., n_clusters - 1.
    """
    xp, design, wide = passes.xp, passes.design, passes.wide
    logits = passes.logits_of_block(parameters)
    sums = np.zeros((n_clusters, passes.n_parameters))
    counted = np.zeros(n_clusters)

    def on_rows(rows: slice) -> tuple[()]:
        block = design.block(rows)
        y, s = passes.responses.block(rows, xp=xp)
        slope = s * passes.loss.at(logits(block), y, xp=xp).gradient()[:, 0, :]
        here, place = np.unique(clusters[rows], return_inverse=True)
        is_member = np.arange(here.size)[:, None] == place
        member = passes.place(is_member, design.dtype)
        columns = []
        for k in range(passes.n_outputs):
            total = xp.astype(member @ slope[:, k], wide)
            product = xp.astype(block.weighted_sums(member, slope[:, k]), wide)
            columns.append(design.unfold(product, total))
            if passes.fit_intercept:
                columns.append(total[:, None])
        sums[here, :] += arrays.to_host(xp.concat(columns, axis=1))
        counted[here] += np.bincount(place, arrays.to_host(s)[:, 0] > 0)
        return ()

    # One block after another, for they add to the same sums.
    slices = cut(passes.n_samples, CLUSTER_ROWS, n_threads=1)
    reduce_over_blocks(on_rows, add, slices)
    return sums, counted
