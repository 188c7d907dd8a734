"""Firth's penalty: half the logarithm of the determinant of the information."""

from __future__ import annotations

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block
from xlr.functions import sigmoid, softmax
from xlr.losses import Loss
from xlr.objective import passes
from xlr.objective.objective import Evaluation, Objective

# Power of the machine epsilon. The information counts as singular if the relative error
# of its determinant is larger: 5e-7 in float64, 2e-3 in float32.
SINGULAR_ERROR_POWER = 0.4


def jeffreys_term(
    total_weight: Array, objective: Objective, parameters: Array
) -> Evaluation:
    r"""Return Jeffreys' prior as a term of the mean loss, and its gradient.

    With the information :math:`I = \sum_i s_i A_i \otimes z_i z_i^T` of all classes
    except the first, :math:`A = \mathrm{diag}(p) - p p^T`, and the total weight S,

    .. math::
        T &= -\frac{1}{2S} \log\det I \\
        \nabla T &= -\frac{1}{2S} \sum_i s_i A_i (\mathrm{diag}\,V_i - 2 V_i p_i)
        \otimes z_i, \qquad (V_i)_{kl} = z_i^T (I^{-1})_{kl} z_i

    It takes two passes, and is NaN if I is singular.

    Parameters
    ----------
    total_weight : array of shape (1,)
        S.
    objective : Objective
        Objective of one model.
    parameters : array of shape (1, n_parameters)

    References
    ----------
    Firth (1993), *Bias reduction of maximum likelihood estimates*, Biometrika 80,
    section 3.3; Kosmidis and Firth (2011), *Multinomial logit bias reduction via the
    Poisson log-linear model*, Biometrika 98.
    """
    xp = objective.xp
    # The softmax is invariant to a shift of all classes: leave out the first.
    first = objective.output_size * (objective.n_outputs > 1)
    information = objective.loss_hessian(parameters)[:, first:, first:]
    factor = arrays.cholesky(information[0, :, :], xp=xp)
    half_log_determinant = xp.sum(xp.log(xp.linalg.diagonal(factor)))
    solve = arrays.positive_definite_solver(information, xp=xp)
    # With I = L L', I^-1 L is the inverse of L', so z'I^-1 z = |L^-1 z|^2.
    inverse_root = solve(factor.T[None, :, :])[0, :, :]
    # Rounding changes the determinant by its error times the variance inflation.
    variance = xp.sum(inverse_root**2, axis=0)
    inflation = xp.linalg.diagonal(information)[0, :] * variance
    eps = objective.accumulation_rounding
    is_singular = xp.max(inflation) * eps > eps**SINGULAR_ERROR_POWER
    nan = xp.full_like(half_log_determinant, xp.nan)
    half_log_determinant = xp.where(is_singular, nan, half_log_determinant)
    # One column for each row of L^-1 and each class.
    columns = objective.split(inverse_root)
    product, total = objective.data.map_reduce(
        _gradient_sums, objective.loss, parameters, columns, width=columns[0].shape[0]
    )
    gradient = -objective.join(product, total) / total_weight[:, None]
    return Evaluation(-half_log_determinant / total_weight, gradient)


def _gradient_sums(
    block: Block, loss: Loss, parameters: Array, columns: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Return the sums over rows of A (diag V - 2 V p) z / 2, and the same without z."""
    xp = block.xp
    eta = passes.logits(block, loss, parameters)[:, 0, :]
    n = eta.shape[0]
    n_free = max(1, loss.n_outputs - 1)
    products = xp.reshape(block.matrix.matvec(*columns), (n, -1, n_free))
    V = xp.matmul(xp.matrix_transpose(products), products)
    if loss.n_outputs == 1:
        p, q = sigmoid(eta), sigmoid(-eta)
        residual = p * q * V[:, 0, :] * (q - p) / 2
    else:
        p = softmax(eta)
        w = xp.linalg.diagonal(V) - 2 * xp.matmul(V, p[:, 1:, None])[:, :, 0]
        w = xp.concat([xp.zeros_like(w[:, :1]), w], axis=1)
        residual = p * (w - xp.sum(p * w, axis=1, keepdims=True)) / 2
    residual = block.weights * residual
    total = xp.sum(residual, axis=0, dtype=block.accumulation_dtype)
    return block.matrix.transpose_matvec(residual, total), total
