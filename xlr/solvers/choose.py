"""Which solver suits a problem."""

from __future__ import annotations

__all__ = ["choose"]

# Passes over the rows until convergence, and how much faster than a product of X
# with a few columns, which waits for memory, a product of two large matrices runs.
NEWTON_PASSES = 10
LBFGS_PASSES = 150
MATRIX_SPEEDUP = 10


def choose(n_samples: int, n_features: int, n_classes: int) -> str:
    """Name of the solver with the least estimated time.

    Newton's method pays n p^2 for each pair of classes and the cube of the number
    of parameters, a few times, in large matrix products; L-BFGS pays n p for each
    class, many times, and loses on ill-conditioned problems.

    Parameters
    ----------
    n_samples, n_features : int
    n_classes : int
    """
    n_outputs = 1 if n_classes == 2 else n_classes
    pairs = n_outputs * (n_outputs + 1) // 2
    parameters = n_outputs * (n_features + 1)
    newton = (
        NEWTON_PASSES
        / MATRIX_SPEEDUP
        * (n_samples * n_features**2 * pairs + parameters**3 / 3)
    )
    lbfgs = LBFGS_PASSES * 2 * n_samples * n_features * n_outputs
    return "newton-cholesky" if newton <= lbfgs else "lbfgs"
