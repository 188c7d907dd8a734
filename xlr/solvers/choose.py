"""Choice of a solver by its estimated time."""

from __future__ import annotations

# Times are in multiply-adds of a product of X with few columns, which waits for memory.

# Fixed time of a pass over the rows.
PASS_OVERHEAD = 1e5

# Speed-up of products of large matrices in whole fits; data.matrix.GRAM_SPEEDUP is that
# of a block in the cache. On 90 simulated data sets of 200 to 100,000 rows, the chosen
# solver takes 1.12 times as long as the fastest on average, and with a speed-up of 10,
# 1.31 times (one core of an x86 server).
MATRIX_SPEEDUP = 4

# Number of Hessian products in a Newton step by conjugate gradients, and the factor on
# it for a diagonal preconditioner.
PRODUCTS_PER_STEP = 8
DIAGONAL_FACTOR = 4

# Share of the time of a Hessian that an iteration takes with more than this number of
# rows per parameter: the first Hessians are those of samples, and each serves several
# steps.
HESSIAN_SHARE = 1 / 4
MIN_ROWS_FOR_SAMPLED_HESSIANS = 80

# Maximum number of classes for which products in float32 make conjugate gradients the
# faster: on 5,000 images of 10 classes they take 0.8 of the time of L-BFGS, and with 12
# to 100 classes 1 to 5 times its time.
MAX_FLOAT32_CLASSES = 10

# Time of a pass beyond which arithmetic, not calls, dominates an L-BFGS step.
LONG_PASS = 1e7

# Maximum number of parameters for which each chunk sends its Hessian: 32 MB.
MAX_CHUNKED_PARAMETERS = 2048

# Maximum number of parameters for which a full Hessian costs less than a pass.
MAX_DENSE_PARAMETERS = 256


def choose_solver(
    n_samples: int,
    n_features: int,
    n_outputs: int,
    *,
    smooth: bool = True,
    sparse_costs: tuple[float, float] | None = None,
    in_chunks: bool = False,
    in_float32: bool = False,
) -> str:
    """Return the name of the solver with the least estimated time.

    Both Newton methods take few iterations on any data. With the full Hessian, an
    iteration costs n p^2 per pair of classes, and the cube of the number of parameters.
    With conjugate gradients, it costs several passes of n p per class, and a
    preconditioner with one block per class. With many classes, L-BFGS with the same
    preconditioner reads X less often.

    Parameters
    ----------
    n_samples, n_features : int
    n_outputs : int
        Outputs of a model: 1 for two classes, else one per class. The number of models
        that share X does not matter: it is the same factor for every solver.
    smooth : bool, default=True
        Whether the penalty is differentiable and there are no bounds.
    sparse_costs : tuple of two floats, default=None
        Time per row of a product with a sparse X and of its Gram matrix, in
        multiply-adds of a dense product. None for a dense X.
    in_chunks : bool, default=False
        Whether reading X dominates the time. A full Hessian takes one pass and serves
        several steps, while each Hessian product takes a pass.
    in_float32 : bool, default=False
        Whether a Hessian product takes half the time of a gradient.
    """
    n_parameters = n_outputs * n_features
    if not smooth:
        if n_parameters <= MAX_DENSE_PARAMETERS:
            return "proximal-newton"
        return "active-set" if sparse_costs is None else "newton-cg"
    if in_chunks:
        return "newton-cholesky" if n_parameters <= MAX_CHUNKED_PARAMETERS else "lbfgs"
    dense_costs = n_features, n_features**2 / (2 * MATRIX_SPEEDUP)
    product, gram = sparse_costs or dense_costs
    one_pass = PASS_OVERHEAD + 2 * n_samples * n_outputs * product
    is_sampled = n_samples > MIN_ROWS_FOR_SAMPLED_HESSIANS * n_parameters
    share = HESSIAN_SHARE if is_sampled else 1
    # 1. A step with the full Hessian and its Cholesky factor.
    hessian = n_samples * share * n_outputs**2 * gram
    cholesky = one_pass + hessian + n_parameters**3 / (3 * MATRIX_SPEEDUP)
    # 2. A step by conjugate gradients, with one block per class or the diagonal.
    sampled = min(n_samples, 4 * n_features)
    blocks = n_outputs * (sampled * gram + n_features**3 / (3 * MATRIX_SPEEDUP))
    products = PRODUCTS_PER_STEP * one_pass
    by_blocks, by_diagonal = products + blocks, DIAGONAL_FACTOR * products
    if cholesky <= one_pass + min(by_blocks, by_diagonal):
        return "newton-cholesky"
    # 3. L-BFGS keeps the curvature between classes from step to step; conjugate
    # gradients recompute it in each step.
    has_blocks = n_outputs > 1 and by_blocks <= by_diagonal
    has_fast_products = in_float32 and n_outputs <= MAX_FLOAT32_CLASSES
    is_lbfgs = has_blocks and not has_fast_products and one_pass > LONG_PASS
    return "lbfgs" if is_lbfgs else "newton-cg"
