"""What a pass needs of X, whatever X is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from xlr.arrays import Array, Device, Namespace
from xlr.threads import Workers

__all__ = ["Block", "Design"]


class Block(Protocol):
    """Rows of a design, and the products a pass needs of them.

    Attributes
    ----------
    offset : array of shape (n_rows, n_outputs) or None
        What is added to the logits; None for nothing.
    """

    offset: Array | None

    def matvec(self, coef: Array) -> Array:
        """The rows times each row w of ``coef``: (n_columns, p) to (n_rows, n_columns).

        On a folded design, w is what :meth:`Design.fold` makes of coefficients.
        """
        ...

    def rmatvec(self, residual: Array) -> Array:
        """Sums over the rows weighted by each column r: (n_rows, n_columns) to
        (n_columns, p), for :meth:`Design.unfold` on a folded design.
        """
        ...

    def weighted_sums(self, weights: Array, slope: Array) -> Array:
        """Sums over the rows times a slope (n_rows,) with each row of weights:
        (n_sums, n_rows) to (n_sums, p), for :meth:`Design.unfold`.
        """
        ...

    def gram_diagonal(self, curvature: Array) -> Array:
        """Diagonal of Z' diag(h) Z for each column h, as rows: (n_columns, p)."""
        ...

    def for_gram(self, dtype: Any, *, folded: bool) -> Block:
        """The rows for :meth:`gram`, in some dtype: folded or standardised."""
        ...

    def gram(self, columns: Array) -> tuple[Array, Array]:
        """A'A and U'A for A = [u_1 x Z, ..., u_m x Z], with U of shape (n_rows, m).

        Of shape (m p, m p) and (m, m p).
        """
        ...


class Design(Protocol):
    """X of shape (n_samples, n_features), seen in standardised units.

    A change of units may be folded into the coefficients, which costs nothing:
    z.w + b = x.(w / scale) + (b - mean.(w / scale)).

    Attributes
    ----------
    xp : namespace
        Of all arrays that go in and come out.
    dtype, device
    workers : Workers
        Threads for passes over the rows.
    n_samples, n_features : int
    n_drawable : int
        Most rows that :meth:`draw` may be asked for.
    product_cost : float
        Time of a product with a vector, in multiply-adds of a dense matrix.
    gram_cost : float
        Time that a row adds to that of a Gram matrix, in the same unit.
    offset : array of shape (n_samples, n_outputs) or None
        What is added to the logits, as a column with a coefficient of one would be.
    """

    xp: Namespace
    dtype: Any
    device: Device
    workers: Workers
    n_samples: int
    n_features: int
    n_drawable: int
    offset: Array | None

    @property
    def product_cost(self) -> float: ...

    @property
    def gram_cost(self) -> float: ...

    def fold(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Coefficients (n_columns, p) and intercepts for the rows of the blocks."""
        ...

    def unfold(self, product: Array, total: Array) -> Array:
        """Z'r from what blocks sum up: X'r and sum(r), for each column r."""
        ...

    def gram_form(self, *, rough: bool) -> tuple[Any, bool]:
        """The dtype to sum Gram matrices in, and whether before :meth:`unfold`.

        ``rough`` says that float32 is good enough for them.
        """
        ...

    def slices(self, width: int, least: int = 1) -> list[slice]:
        """The rows cut for a pass, as :func:`row_blocks` does.

        Parameters
        ----------
        width : int
            Numbers per row of the widest temporary.
        least : int, default=1
            Rows below which a block is not worth its sum.
        """
        ...

    def is_large(self, width: int) -> bool:
        """Whether arithmetic is what takes the time, with temporaries so wide."""
        ...

    def block(self, rows: slice) -> Block:
        """The rows of a slice."""
        ...

    def standardised_if_small(self) -> Design:
        """A copy with which passes take less time where there are few rows, or self."""
        ...

    def of_features(self, features: Array) -> Design:
        """A copy of some columns, by their numbers (m,) on the device."""
        ...

    def kernel(self, strength: Array, dtype: Any) -> Array:
        """Z diag(1 / strength) Z', for strengths (p,) above 0: (n, n), in ``dtype``."""
        ...

    def draw(self, size: int, seed: int) -> np.ndarray:
        """Numbers of ``size`` random rows for :meth:`sample`, on the host."""
        ...

    def sample(self, rows: Array, dtype: Any) -> Design:
        """A copy of some rows in a dtype, by their numbers (n,) on the device."""
        ...
