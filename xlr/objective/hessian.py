r"""The Hessian of the mean loss: sums over rows, and the matrix made of them.

A row z of the design, with 1 appended if there is an intercept, and curvature
diag(h sum(h)) - h h' in the logits adds

.. math::
    \mathrm{diag}(h \textstyle\sum_k h_k) \otimes z z^T
    - (h \otimes z) (h \otimes z)^T

to the Hessian of a model. The second part is the Gram matrix of the rows h x z of all
classes side by side: one large product, where one for each pair of classes would be
many small ones. The first is in it: the sum over its columns of classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design import Block
from xlr.losses import Curvature

__all__ = [
    "BlockHessian",
    "DiagonalHessian",
    "Hessian",
    "assemble",
    "change_units",
    "gram",
    "intercepts_after_their_class",
    "row_sums",
]


class Hessian(Protocol):
    """What a Newton step needs of a Hessian H, or of an estimate of it.

    Attributes
    ----------
    diagonal : array of shape (n_models, n_parameters)
        D, a positive diagonal like that of H.
    """

    diagonal: Array

    def solver(
        self, damping: Array, least: Array | None = None
    ) -> Callable[[Array], Array]:
        """What solves (H + lambda D) x = b for x, both (n_models, n_parameters).

        With a D of ``least`` where that is more.
        """
        ...

    def select(self, models: np.ndarray) -> Self:
        """Those of some models, by their numbers; one may be chosen several times."""
        ...


class BlockHessian:
    """A block-diagonal matrix for each model; a whole Hessian is one block.

    Parameters
    ----------
    blocks : array of shape (n_matrices, n_blocks, q, q)
        In the widest dtype.
    rounding : float
        Relative rounding error of the entries.
    xp : namespace
    of : ndarray of shape (n_models,), default=None
        The matrix of each model, for models that share some; None for one each.

    Attributes
    ----------
    blocks : array of shape (n_matrices, n_blocks, q, q)
    diagonal : array of shape (n_models, n_parameters)
    """

    def __init__(
        self,
        blocks: Array,
        rounding: float,
        *,
        xp: Namespace,
        of: np.ndarray | None = None,
    ) -> None:
        self.blocks = blocks
        self._xp = xp
        self._rounding = rounding
        matrices, n_blocks, q, _ = blocks.shape
        diagonal = xp.linalg.diagonal(blocks)
        # One where there is no curvature at all: a constant column.
        diagonal = xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal))
        self._root = xp.reshape(xp.sqrt(diagonal), (matrices * n_blocks, 1, q))
        diagonal = xp.reshape(diagonal, (matrices, n_blocks * q))
        self._table = None if of is None else _Table(of)
        self.diagonal = diagonal if of is None else arrays.rows(diagonal, of)

    @property
    def noise(self) -> float:
        """Share of the diagonal below which a curvature is not to be told from none."""
        return 4 * self.diagonal.shape[1] ** 0.5 * self._rounding

    def matrices(self) -> Array:
        """The whole matrix of each model, of one block: (n_models, q, q).

        With as much on the diagonal as its rounding leaves uncertain.
        """
        q = self.blocks.shape[-1]
        diagonal = self._xp.reshape(self._root**2, (-1, 1, q))
        identity = self._xp.eye(
            q, dtype=self._root.dtype, device=arrays.device_of(self._root)
        )
        matrices = self.blocks[:, 0, :, :]
        matrices = matrices + identity * diagonal * (q**0.5 * self._rounding)
        return (
            matrices if self._table is None else arrays.rows(matrices, self._table.of)
        )

    def replace(self, models: np.ndarray, others: BlockHessian) -> Self:
        """With other matrices for some models, by their numbers."""
        n_matrices = self.blocks.shape[0]
        of = np.arange(n_matrices) if self._table is None else self._table.of.copy()
        of[models] = n_matrices + np.arange(models.shape[0])
        blocks = self._xp.concat([self.blocks, others.blocks])
        rounding = max(self._rounding, others._rounding)
        return self._sharing(blocks, of, rounding)

    def select(self, models: np.ndarray) -> Self:
        """Those of some models, by their numbers; one may be chosen several times."""
        of = models if self._table is None else self._table.of[models]
        return self._sharing(self.blocks, of, self._rounding)

    def _sharing(self, blocks: Array, of: np.ndarray, rounding: float) -> Self:
        """With matrices that models share, and none that no model has."""
        used, of = np.unique(of, return_inverse=True)
        if used.shape == of.shape:
            return type(self)(arrays.rows(blocks, used[of]), rounding, xp=self._xp)
        return type(self)(arrays.rows(blocks, used), rounding, xp=self._xp, of=of)

    def solver(
        self, damping: Array, least: Array | None = None
    ) -> Callable[[Array], Array]:
        """What solves (H + lambda D) x = b, scaled to a unit diagonal.

        Models that share a matrix share the largest of their dampings.
        """
        xp, table = self._xp, self._table
        n_matrices, n_blocks, q, _ = self.blocks.shape
        added = damping[:, None] * at_least(self.diagonal, least, xp=xp)
        if table is not None:
            added = xp.max(table.spread(added), axis=1)
        added = xp.reshape(added, self._root.shape)
        root = xp.sqrt(self._root**2 + added)
        identity = xp.eye(q, dtype=root.dtype, device=arrays.device_of(root))
        matrices = xp.reshape(self.blocks, (n_matrices * n_blocks, q, q))
        matrices = matrices / xp.matrix_transpose(root) / root
        # A Gram matrix of rounded numbers is positive definite only up to their
        # rounding error: without this much, collinear columns would break it. More,
        # for errors that add up where columns are alike, would hide what little
        # curvature separable classes leave: ten times the passes on digits at C=inf.
        ridge = added + q**0.5 * self._rounding * self._root**2
        matrices = matrices + ridge / root**2 * identity
        solve_scaled = arrays.positive_definite_solver(matrices, xp=xp)

        def solve(vector: Array) -> Array:
            if table is None:
                columns = xp.reshape(vector, root.shape) / root
                return xp.reshape(solve_scaled(columns) / root, vector.shape)
            spread = table.spread(vector)
            shape = n_matrices, spread.shape[1], n_blocks, q
            columns = xp.permute_dims(xp.reshape(spread, shape), (0, 2, 1, 3))
            columns = xp.reshape(columns, (n_matrices * n_blocks, -1, q)) / root
            solved = solve_scaled(columns) / root
            solved = xp.reshape(solved, (n_matrices, n_blocks, -1, q))
            solved = xp.permute_dims(solved, (0, 2, 1, 3))
            return table.gather(xp.reshape(solved, spread.shape))

        return solve


class _Table:
    """Models by the matrix that they share: a row a matrix, filled up with its first.

    Parameters
    ----------
    of : ndarray of shape (n_models,)
        The matrix of each model.
    """

    def __init__(self, of: np.ndarray) -> None:
        self.of = of
        order = np.argsort(of, kind="stable")
        counts = np.bincount(of)
        self._shape = counts.shape[0], int(counts.max())
        first = np.cumsum(counts) - counts
        column = np.arange(of.shape[0]) - np.repeat(first, counts)
        self._place = np.empty_like(order)
        self._place[order] = of[order] * self._shape[1] + column
        # A model of another matrix would have its damping taken for that of this one.
        self._models = np.repeat(order[first], self._shape[1])
        self._models[self._place[order]] = order

    def spread(self, values: Array) -> Array:
        """(n_models, m) to (n_matrices, most models of one, m)."""
        spread = arrays.rows(values, self._models)
        return arrays.namespace(values).reshape(spread, (*self._shape, values.shape[1]))

    def gather(self, values: Array) -> Array:
        """The inverse of :meth:`spread`."""
        values = arrays.namespace(values).reshape(values, (-1, values.shape[2]))
        return arrays.rows(values, self._place)


class DiagonalHessian:
    """A diagonal matrix for each model.

    Parameters
    ----------
    diagonal : array of shape (n_models, n_parameters)
    xp : namespace

    Attributes
    ----------
    diagonal : array of shape (n_models, n_parameters)
        With one where there is no curvature at all: a constant column.
    """

    def __init__(self, diagonal: Array, *, xp: Namespace) -> None:
        self._xp = xp
        self.diagonal = xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal))

    def select(self, models: np.ndarray) -> Self:
        """Those of some models, by their numbers; one may be chosen several times."""
        return type(self)(arrays.rows(self.diagonal, models), xp=self._xp)

    def solver(
        self, damping: Array, least: Array | None = None
    ) -> Callable[[Array], Array]:
        """What solves (H + lambda D) x = b, by a division."""
        added = damping[:, None] * at_least(self.diagonal, least, xp=self._xp)
        damped = self.diagonal + added
        return lambda vector: vector / damped


def at_least(diagonal: Array, least: Array | None, *, xp: Namespace) -> Array:
    """The diagonal, or what is more."""
    return diagonal if least is None else xp.maximum(diagonal, least)


def gram(block: Block, columns: Array, fit_intercept: bool, *, xp: Namespace) -> Array:
    """A'A for A = [u_1 x Z, ..., u_m x Z, U], the intercepts' columns last.

    With U, of shape (n_rows, m), the ``columns``.
    """
    gram, margin = block.gram(columns)
    if not fit_intercept:
        return gram
    corner = xp.matmul(columns.T, columns)
    return xp.concat(
        [xp.concat([gram, margin.T], axis=1), xp.concat([margin, corner], axis=1)]
    )


def row_sums(
    block: Block, curvature: Curvature, fit_intercept: bool, *, xp: Namespace
) -> Array:
    """What the rows of a block add to the Hessian, or to its classes' own blocks.

    Parameters
    ----------
    block : Block
        As :meth:`Block.for_gram` makes it, in the dtype of the curvature.
    curvature : Curvature
        Of shape (n_rows, n_models, n_outputs), weighted.
    fit_intercept : bool
    xp : namespace

    Returns
    -------
    array
        If the curvature is not coupled, the Gram matrices of the classes: (n_models,
        n_outputs, q, q) with q the number of features and intercept. Else that of all
        classes side by side: (n_models, m, m) with all coefficients first and then all
        intercepts.
    """
    values = curvature.values
    _, n_models, n_outputs = values.shape
    if curvature.coupled:
        together = [
            gram(block, values[:, model, :], fit_intercept, xp=xp)
            for model in range(n_models)
        ]
        return xp.stack(together)
    roots = xp.sqrt(values)
    own = [
        gram(block, roots[:, model, k][:, None], fit_intercept, xp=xp)
        for model in range(n_models)
        for k in range(n_outputs)
    ]
    own = xp.stack(own)
    return xp.reshape(own, (n_models, n_outputs, *own.shape[1:]))


def assemble(
    sums: Array, n_outputs: int, fit_intercept: bool, *, xp: Namespace
) -> Array:
    """The matrices of shape (n_models, n_parameters, n_parameters) from their sums.

    Rows and columns are class by class, each followed by its intercept.
    """
    if n_outputs == 1:
        return sums[:, 0, :, :]
    if fit_intercept:
        sums = intercepts_after_their_class(sums, n_outputs, xp=xp)
    n_models, size, _ = sums.shape
    q = size // n_outputs
    by_class = xp.reshape(sums, (n_models, n_outputs, q, n_outputs, q))
    # The Gram matrix of a class alone is that with all classes, summed.
    own = xp.sum(by_class, axis=3)
    own = (own + xp.matrix_transpose(own)) / 2  # but for rounding it is symmetric
    identity = xp.eye(n_outputs, dtype=sums.dtype, device=arrays.device_of(sums))
    blocks = own[:, :, :, None, :] * identity[None, :, None, :, None]
    return xp.reshape(blocks, sums.shape) - sums


def intercepts_after_their_class(
    matrix: Array, n_outputs: int, *, xp: Namespace
) -> Array:
    """From [w_1, ..., w_K, b_1, ..., b_K] to [w_1, b_1, ..., w_K, b_K]."""
    n_features = matrix.shape[-1] // n_outputs - 1
    coef = n_outputs * n_features
    order = [
        index
        for k in range(n_outputs)
        for index in (*range(k * n_features, (k + 1) * n_features), coef + k)
    ]
    order = xp.asarray(order, device=arrays.device_of(matrix))
    return xp.take(xp.take(matrix, order, axis=1), order, axis=2)


def change_units(
    matrix: Array, change: Callable[[Array], Array], q: int, *, xp: Namespace
) -> Array:
    """M H M' for each q x q block H of symmetric matrices, where M changes gradients.

    Parameters
    ----------
    matrix : array of shape (n_models, n q, n q)
    change : callable
        Takes gradients, as rows of shape (m, q), to M times each.
    q : int
    xp : namespace
    """
    for _ in range(2):
        rows = xp.reshape(matrix, (-1, q))
        matrix = xp.matrix_transpose(xp.reshape(change(rows), matrix.shape))
    return matrix
