"""Firth's penalty: half the logarithm of the determinant of the information."""

from __future__ import annotations

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block
from xlr.losses import Loss
from xlr.objective import passes
from xlr.objective.objective import Evaluation, Objective

__all__ = ["JeffreysTerm"]

# Relative error of the determinant, as a power of the rounding error, beyond which the
# information counts as singular: 5e-7 in float64, 2e-3 in float32.
ERROR_POWER = 0.4


class JeffreysTerm:
    r"""Jeffreys' prior of the coefficients, as a term of the mean binary loss.

    With the information :math:`I = \sum_i s_i p_i (1 - p_i) z_i z_i^T` and S the sum of
    the weights, as they were given,

    .. math::
        T &= -\frac{1}{2S} \log\det I \\
        \nabla T &= -\frac1S \sum_i h_i (\tfrac12 - p_i) z_i,
        \qquad h_i = s_i p_i (1 - p_i) z_i^T I^{-1} z_i

    Parameters
    ----------
    total_weight : array of shape (1,)
        S.

    References
    ----------
    Firth (1993), *Bias reduction of maximum likelihood estimates*, Biometrika 80,
    section 3.3.
    """

    def __init__(self, total_weight: Array) -> None:
        self._total_weight = total_weight

    def value_and_gradient(self, objective: Objective, parameters: Array) -> Evaluation:
        """Return the term and its gradient, in two passes; NaN where I is singular."""
        xp = objective.xp
        information = objective.loss_hessian(parameters)
        factor = arrays.cholesky(information[0, :, :], xp=xp)
        half_log_determinant = xp.sum(xp.log(xp.linalg.diagonal(factor)))
        solve = arrays.positive_definite_solver(information, xp=xp)
        # With I = L L', I^-1 L is the inverse of L', so that z'I^-1 z = |L^-1 z|^2.
        inverse_root = solve(factor.T[None, :, :])[0, :, :]
        # Rounding changes the determinant by its error times the variance inflation.
        inflation = xp.linalg.diagonal(information)[0, :] * xp.sum(
            inverse_root**2, axis=0
        )
        eps = objective.wide_rounding
        is_singular = xp.max(inflation) * eps > eps**ERROR_POWER
        unknown = xp.full_like(half_log_determinant, xp.nan)
        half_log_determinant = xp.where(is_singular, unknown, half_log_determinant)
        columns = inverse_root[:, : objective.n_features], None
        if objective.fit_intercept:
            columns = columns[0], inverse_root[:, -1]
        product, total = objective.data.map_reduce(
            _gradient_sums,
            objective.loss,
            parameters,
            columns,
            width=objective.n_parameters,
        )
        gradient = -objective.join(product, total) / self._total_weight[:, None]
        return Evaluation(-half_log_determinant / self._total_weight, gradient)


def _gradient_sums(
    block: Block,
    loss: Loss,
    parameters: Array,
    columns: tuple[Array, Array | None],
) -> tuple[Array, Array]:
    """Return the sums of h (1/2 - p) z over the rows, and of h (1/2 - p)."""
    xp = block.xp
    eta = passes.logits(block, loss, parameters)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    h = passes.curvature(block, loss, parameters).values[:, 0, 0]
    leverage = h * xp.sum(block.matrix.matvec(*columns) ** 2, axis=1)
    probability = gradient[:, 0, 0] + block.labels[:, 0]
    residual = (leverage * (0.5 - probability))[:, None]
    total = xp.sum(residual, axis=0, dtype=block.wide)
    return block.matrix.transpose_matvec(residual, total), total
