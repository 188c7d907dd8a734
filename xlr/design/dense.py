"""A dense matrix, standardised block by block."""

from __future__ import annotations

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design.standardisation import Standardisation

__all__ = ["DenseBlock", "DenseDesign"]


class DenseBlock:
    """Rows Z of a dense design, and the products a pass needs of them."""

    def __init__(self, rows: Array, *, xp: Namespace) -> None:
        self.rows = rows
        self._xp = xp

    def matvec(self, coef: Array) -> Array:
        """Z w for each row w of ``coef``: (n_columns, p) to (n_rows, n_columns)."""
        return self._xp.matmul(self.rows, coef.T)

    def rmatvec(self, residual: Array) -> Array:
        """Z'r for each column r: (n_rows, n_columns) to (n_columns, p)."""
        return self._xp.matmul(residual.T, self.rows)

    def gram(self, curvature: Array) -> Array:
        """Z' diag(h) Z for one h of shape (n_rows,): a (p, p) matrix."""
        return self._xp.matmul(self.rows.T, curvature[:, None] * self.rows)

    def gram_diagonal(self, curvature: Array) -> Array:
        """Diagonal of Z' diag(h) Z for each column h, as rows: (n_columns, p)."""
        return self._xp.matmul(curvature.T, self.rows * self.rows)


class DenseDesign:
    """A dense X of shape (n_samples, n_features), seen in standardised units.

    Each block is centred and scaled explicitly when it is used: folding the
    means into the products instead loses the Gram matrix on float32 data whose
    means are large against their deviations.  The copy is one block, not X.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    standardisation : Standardisation or None
        None leaves the rows as they are.
    xp : namespace
    """

    def __init__(
        self, X: Array, standardisation: Standardisation | None, *, xp: Namespace
    ) -> None:
        self.X = X
        self.xp = xp
        self.dtype = X.dtype
        self.device = arrays.device_of(X)
        self.n_samples, self.n_features = X.shape
        self._centre_scale = None
        if standardisation is not None:
            # The mean is a number of X's dtype already, so that x - mean here and
            # b - mean w in the coefficients are the same change of variables.
            self._centre_scale = (
                xp.astype(standardisation.mean, X.dtype),
                xp.astype(1 / standardisation.scale, X.dtype),
            )

    def block(self, rows: slice) -> DenseBlock:
        """The standardised rows of a slice."""
        values = self.X[rows, :]
        if self._centre_scale is not None:
            mean, inverse_scale = self._centre_scale
            values = (values - mean) * inverse_scale
        return DenseBlock(values, xp=self.xp)
