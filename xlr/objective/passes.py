r"""Passes over the rows: pure functions of a block of rows, whose results are summed.

For a block Z of rows with labels y and weights s, the logits of all models are

.. math:: \eta = Z W^T + b + offset

of shape (n_rows, n_models, n_outputs). W and b are the parameters of the objective,
(n_models, n_parameters).
"""

from __future__ import annotations

from typing import Any

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block, explicit
from xlr.losses import Curvature, Loss


def logits(block: Block, loss: Loss, parameters: Array) -> Array:
    """Return the logits: (n_rows, n_models, n_outputs)."""
    xp, (n_rows, p) = block.xp, block.matrix.shape
    columns = xp.reshape(parameters, (-1, parameters.shape[1] // loss.n_outputs))
    intercept = columns[:, p] if columns.shape[1] > p else None
    eta = block.matrix.matvec(columns[:, :p], intercept)
    eta = xp.reshape(eta, (n_rows, -1, loss.n_outputs))
    return eta if block.offset is None else eta + block.offset[:, None, :]


@arrays.compilable
def largest_logit(block: Block, loss: Loss, parameters: Array) -> tuple[Array]:
    """Return the largest absolute value of the logits without offset: (n_models,)."""
    eta = logits(block._replace(offset=None), loss, parameters)
    return (block.xp.max(abs(eta), axis=(0, 2)),)


def larger(a: tuple[Array], b: tuple[Array]) -> tuple[Array]:
    """Return the larger entries: combine two parts of :func:`largest_logit`."""
    return (arrays.namespace(a[0]).maximum(a[0], b[0]),)


@arrays.compilable
def value_and_gradient(
    block: Block, loss: Loss, parameters: Array
) -> tuple[Array, Array, Array]:
    """Return the sum of the losses, (n_models,), and its gradients in W and b."""
    xp, s = block.xp, block.weights
    eta = logits(block, loss, parameters)
    value, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    residual = xp.reshape(s[:, :, None] * gradient, (eta.shape[0], -1))
    total = xp.sum(residual, axis=0, dtype=block.accumulation_dtype)
    value = xp.sum(s * value, axis=0, dtype=block.accumulation_dtype)
    return value, block.matrix.transpose_matvec(residual, total), total


def curvature(block: Block, loss: Loss, parameters: Array) -> Curvature:
    """Return the weighted second derivatives of the losses in the logits."""
    eta = logits(block, loss, parameters)
    h, coupled = loss.curvature(eta, block.labels, xp=block.xp)
    weights = block.weights[:, :, None]
    # A coupled curvature is quadratic in h.
    return Curvature(h * (block.xp.sqrt(weights) if coupled else weights), coupled)


@arrays.compilable
def curvature_values(block: Block, loss: Loss, parameters: Array) -> Array:
    """Return the values of :func:`curvature`: (n_rows, n_models, n_outputs)."""
    return curvature(block, loss, parameters).values


@arrays.compilable
def hessian_product(
    block: Block,
    loss: Loss,
    parameters: Array,
    direction: Array,
    values: Array | None = None,
) -> tuple[Array, Array]:
    """Return the second derivatives of the sum of the losses times a direction.

    ``values`` are the :func:`curvature_values` of the rows, if they are known.
    """
    xp = block.xp
    if values is None:
        values = curvature(block, loss, parameters).values
    change = logits(block._replace(offset=None), loss, direction)
    product = Curvature(values, loss.shift_invariant).product(change, xp=xp)
    residual = xp.reshape(product, (product.shape[0], -1))
    total = xp.sum(residual, axis=0, dtype=block.accumulation_dtype)
    return block.matrix.transpose_matvec(residual, total), total


@arrays.compilable
def hessian_diagonal(
    block: Block, loss: Loss, parameters: Array
) -> tuple[Array, Array]:
    """Return the second derivatives of the sum of the losses in each entry of W, b."""
    xp = block.xp
    h = curvature(block, loss, parameters).diagonal(xp=xp)
    h = xp.reshape(h, (h.shape[0], -1))
    diagonal = explicit(block.matrix).sandwich_diagonal(h)
    return diagonal, xp.sum(h, axis=0, dtype=block.accumulation_dtype)


@arrays.compilable
def gram_sums(
    block: Block, loss: Loss, parameters: Array, dtype: Any, by_class: bool
) -> tuple[Array, Array, Array]:
    r"""Return the sums over the rows that make the Hessian of each model.

    With curvature diag(h sum(h)) - h h' in the logits (softmax), sum :math:`h h^T
    \otimes z z^T`: all classes of a model are side by side in one Gram matrix. With
    curvature diag(h), or ``by_class``, sum :math:`h_k\, z z^T` for each output.

    Parameters
    ----------
    block, loss, parameters
    dtype : dtype
        Of the products.
    by_class : bool
        Whether to sum only the blocks of single classes.

    Returns
    -------
    gram : array of shape (n, m p, m p)
    margin : array of shape (n, m, m p)
        The sums with 1 instead of one z.
    corner : array of shape (n, m, m)
        The sums with 1 instead of both.

    n is the number of models with m outputs, or of models times outputs with m = 1.
    """
    xp = block.xp
    h = curvature(block, loss, parameters)
    if h.coupled and not by_class:
        return outer_sums(block, h.values, dtype)
    values = h.diagonal(xp=xp) if h.coupled else h.values
    u = xp.reshape(xp.sqrt(values), (values.shape[0], -1, 1))
    return outer_sums(block, u, dtype)


def outer_sums(block: Block, U: Array, dtype: Any) -> tuple[Array, Array, Array]:
    r"""Return the sums of :math:`u u^T \otimes z z^T`, as :func:`gram_sums` does.

    Parameters
    ----------
    block : Block
    U : array of shape (n_rows, n, m)
        Vectors u of m numbers for each row and model.
    dtype : dtype
        Of the products.
    """
    xp, (_, n, m) = block.xp, U.shape
    matrix = explicit(block.matrix)
    U = xp.astype(U, dtype, copy=False)
    pairs = U * U if m == 1 else U[:, :, :, None] * U[:, :, None, :]
    pairs = xp.reshape(pairs, (-1, n * m * m))
    total = xp.sum(pairs, axis=0, dtype=block.accumulation_dtype)
    pairs = xp.astype(pairs, matrix.dtype, copy=False)
    margin = matrix.transpose_matvec(pairs, total)
    if n == 1:
        gram = matrix.sandwich(U[:, 0, :])[None, :, :]
    else:
        gram = xp.stack([matrix.sandwich(U[:, i, :]) for i in range(n)])
    return gram, xp.reshape(margin, (n, m, -1)), xp.reshape(total, (n, m, m))


def information_sums(block: Block, loss: Loss, parameters: Array) -> tuple[Array, ...]:
    """Return the sums of :func:`value_and_gradient` and of :func:`gram_sums`.

    The products are in the accumulation dtype.
    """
    widest = block.accumulation_dtype
    block = block._replace(matrix=block.matrix.astype(widest))
    sums = value_and_gradient(block, loss, parameters)
    return (*sums, *gram_sums(block, loss, parameters, widest, False))


@arrays.compilable
def pooled_sums(
    block: Block, loss: Loss, parameters: Array, fit_intercept: bool
) -> tuple[Array, ...]:
    """Return the sums of h z z' over the classes, of h, and of h z if centres need it.

    The products z z' are in float32. The shapes are (n_models, p, p),
    (n_models, n_outputs) and (n_columns, p).
    """
    xp = block.xp
    h = curvature(block, loss, parameters).diagonal(xp=xp)
    u = xp.sqrt(xp.sum(h, axis=2, keepdims=True))
    total = xp.sum(h, axis=0, dtype=block.accumulation_dtype)
    gram, _, _ = outer_sums(block, u, xp.float32)
    if not fit_intercept:
        return gram, total
    columns = xp.reshape(h, (h.shape[0], -1))
    sums = block.matrix.transpose_matvec(columns, xp.reshape(total, (-1,)))
    return gram, total, sums


@arrays.compilable
def squared_rows(block: Block, fit_intercept: bool) -> tuple[Array]:
    """Return the weighted sum of the squared rows: (n_models or 1,).

    With an intercept, each row has an additional entry of 1.
    """
    xp, weights = block.xp, block.weights
    squares = xp.sum(explicit(block.matrix).sandwich_diagonal(weights), axis=1)
    if fit_intercept:
        squares = squares + xp.sum(weights, axis=0, dtype=block.accumulation_dtype)
    return (squares,)


@arrays.compilable
def offset_size(block: Block) -> tuple[Array]:
    """Return the weighted sum of the largest size of each row's offsets: (1,)."""
    xp, dtype = block.xp, block.accumulation_dtype
    largest = xp.max(xp.abs(block.offset), axis=1, keepdims=True)
    return (xp.sum(largest * block.weights, axis=0, dtype=dtype),)
