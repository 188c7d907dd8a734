"""Firth's penalty: half the logarithm of the determinant of the information."""

from __future__ import annotations

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Block
from xlr.objective.information import Information, information
from xlr.objective.objective import Evaluation, Objective

__all__ = ["FirthObjective"]


class FirthObjective(Objective):
    r"""The mean binary loss, less Jeffreys' prior of the coefficients.

    With the information :math:`I = \sum_i s_i p_i (1 - p_i) z_i z_i^T` and S the sum of
    the weights, as they were given,

    .. math::
        F^* &= F - \frac{1}{2S} \log\det I \\
        \nabla F^* &= \nabla F - \frac1S \sum_i h_i (\tfrac12 - p_i) z_i,
        \qquad h_i = s_i p_i (1 - p_i) z_i^T I^{-1} z_i

    The Hessian is that of F, which leaves out the penalty's.

    Parameters
    ----------
    objective : Objective
        F: of one model of two classes, without a penalty.
    total_weight : array of shape (1,)
        S.

    References
    ----------
    Firth (1993), *Bias reduction of maximum likelihood estimates*, Biometrika 80,
    section 3.3.
    """

    def __init__(self, objective: Objective, total_weight: Array) -> None:
        super().__init__(
            objective.design,
            objective.responses,
            objective.loss,
            objective.penalty,
            fit_intercept=objective.fit_intercept,
            units=objective.units,
        )
        self._sum = total_weight

    def value_and_gradient(self, parameters: Array) -> Evaluation:
        """F* and its gradient, in two passes; NaN where I is singular."""
        known = information(self, parameters)
        half_log_determinant, covariance_root = self._factors(known)
        slope = self._penalty_slope(parameters, covariance_root)
        loss = known.loss / self.total_weight
        return Evaluation(
            loss - half_log_determinant / self._sum,
            known.slope / self.total_weight[:, None] - slope / self._sum[:, None],
        )

    def _factors(self, known: Information) -> tuple[Array, Array]:
        """log(det I) / 2, and R with R R' the inverse of I, up to its scale."""
        xp = self.xp
        factor = arrays.cholesky(known.hessian, xp=xp)
        half_log_determinant = xp.sum(xp.log(xp.linalg.diagonal(factor)))
        solve = arrays.positive_definite_solver(known.hessian[None, :, :], xp=xp)
        # With I = L L', R = I^-1 L is the inverse of L'.
        root = solve(factor.T[None, :, :])[0, :, :].T
        return half_log_determinant, root

    def _penalty_slope(self, parameters: Array, root: Array) -> Array:
        """The sum of h (1/2 - p) z over the rows, as parameters."""
        xp = self.xp
        logits = self.logits_of_block(parameters)
        # Without an intercept the last column is not added.
        products = self.columns_of_block(root.T[:, : self.n_features], root.T[:, -1])

        def kernel(block: Block, y: Array, s: Array) -> tuple[Array, ...]:
            point = self.loss.at(logits(block), y, xp=xp)
            curvature = (s[..., None] * point.curvature().values)[:, 0, 0]
            leverage = curvature * xp.sum(products(block) ** 2, axis=1)
            probability = point.gradient()[:, 0, 0] + y[:, 0]
            return self.rmatvec(block, (leverage * (0.5 - probability))[:, None])

        return self.gathered(*self.sum_over_rows(kernel, self.n_parameters))
