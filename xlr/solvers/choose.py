"""Choice of a solver by its estimated time."""

from __future__ import annotations

# In multiply-adds of a product of X with a few columns, which waits for memory:
# what a pass over the rows costs in addition, and by how much a product of two large
# matrices runs faster.
PASS_OVERHEAD = 1e5
MATRIX_SPEEDUP = 10

PRODUCTS = 8  # with the Hessian, for one step by preconditioned conjugate gradients
UNPRECONDITIONED = 4  # times as many with a diagonal as the preconditioner

# Of the rows, for a Hessian where there are so many for each parameter that it can be
# begun on samples and held.
HESSIAN_SHARE = 1 / 4
MANY_ROWS = 80

# A pass in which arithmetic takes longer than the many calls of a quasi-Newton step.
WORTH_LEARNING = 1e7

# Parameters up to which a Hessian is sent from each chunk, in megabytes.
MOST_IN_CHUNKS = 2048

# Parameters up to which the Hessian of all of them costs less than a pass.
FEW_PARAMETERS = 256


def choose(
    n_samples: int,
    n_features: int,
    n_outputs: int,
    *,
    smooth: bool = True,
    sparse_costs: tuple[float, float] | None = None,
    in_chunks: bool = False,
) -> str:
    """Name of the solver with the least estimated time.

    Both of Newton's methods take few iterations whatever the data. With the whole
    Hessian an iteration pays n p^2 for each pair of classes, in large matrix products,
    and the cube of the number of parameters; by conjugate gradients it pays n p for
    each class, several times, and a preconditioner with a block for each class. With
    many classes a quasi-Newton method from that preconditioner reads X less often.

    Parameters
    ----------
    n_samples, n_features : int
    n_outputs : int
        Of a model: 1 for two classes, else one for each. Several models that share X
        take longer by the same factor with either solver.
    smooth : bool, default=True
        Whether the penalty has a derivative everywhere, and there are no bounds.
    sparse_costs : tuple of two floats, default=None
        What a row of a sparse X adds to a product and to a Gram matrix, in
        multiply-adds of a dense product; None for a dense X.
    in_chunks : bool, default=False
        Whether what counts is how often X is read, and not what is computed then: the
        whole Hessian is begun on a sample and held, while each product is a pass.
    """
    n_parameters = n_outputs * n_features
    if not smooth:
        if n_parameters <= FEW_PARAMETERS:
            return "proximal-newton"
        return "active-set" if sparse_costs is None else "newton-cg"
    if in_chunks:
        return "newton-cholesky" if n_parameters <= MOST_IN_CHUNKS else "lbfgs"
    dense_costs = n_features, n_features**2 / (2 * MATRIX_SPEEDUP)
    product, gram = sparse_costs or dense_costs
    one_pass = PASS_OVERHEAD + 2 * n_samples * n_outputs * product

    share = HESSIAN_SHARE if n_samples > MANY_ROWS * n_parameters else 1
    whole = n_samples * share * n_outputs**2 * gram
    cholesky = one_pass + whole + n_parameters**3 / (3 * MATRIX_SPEEDUP)

    sampled = min(n_samples, 4 * n_features)
    blocks = n_outputs * (sampled * gram + n_features**3 / (3 * MATRIX_SPEEDUP))
    products = PRODUCTS * one_pass
    preconditioned, plain = products + blocks, UNPRECONDITIONED * products
    if cholesky <= one_pass + min(preconditioned, plain):
        return "newton-cholesky"
    # With an estimate of what each class has for its own, quasi-Newton steps learn the
    # rest of the Hessian from gradients; products would find it again in each step.
    learns = n_outputs > 1 and preconditioned <= plain
    return "lbfgs" if learns and one_pass > WORTH_LEARNING else "newton-cg"
