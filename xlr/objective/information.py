"""The information of one model: its loss, gradient and Hessian over the rows."""

from __future__ import annotations

from typing import NamedTuple

from xlr.arrays import Array
from xlr.data import Block
from xlr.losses import Loss
from xlr.objective import passes
from xlr.objective.hessian import bordered, softmax_hessian
from xlr.objective.objective import Objective


class Information(NamedTuple):
    """Sums over the rows, without the penalty, for the columns of the objective.

    Attributes
    ----------
    loss : array of shape ()
        Minus the log-likelihood.
    gradient : array of shape (n_parameters,)
        Gradient of the loss.
    hessian : array of shape (n_parameters, n_parameters)
        Hessian of the loss: the observed information, which equals the expected one.
    """

    loss: Array
    gradient: Array
    hessian: Array


def information(objective: Objective, parameters: Array) -> Information:
    """Return the loss, its gradient and its Hessian, in one pass.

    Parameters
    ----------
    objective : Objective
        Objective of one model.
    parameters : array of shape (1, n_parameters)
    """
    xp, n_outputs = objective.xp, objective.n_outputs
    width = n_outputs * objective.n_features
    value, product, total, *sums = objective.data.map_reduce(
        _sums,
        objective.loss,
        parameters,
        # The sums are matrices of this width: many rows must share their addition.
        width=width,
        least=4 * width,
    )
    hessian = bordered(*sums, xp=xp) if objective.fit_intercept else sums[0]
    if n_outputs > 1:
        hessian = softmax_hessian(hessian, n_outputs, xp=xp)
    gradient = objective.join(product, total)[0, :]
    return Information(value[0], gradient, hessian[0, :, :])


def _sums(block: Block, loss: Loss, parameters: Array) -> tuple[Array, ...]:
    """Return the sums of a block in the accumulation dtype."""
    block = block._replace(matrix=block.matrix.astype(block.accumulation_dtype))
    return (
        *passes.value_and_gradient(block, loss, parameters),
        *passes.gram_sums(block, loss, parameters, block.accumulation_dtype, False),
    )
