"""How the parameters of several models lie in one array."""

from __future__ import annotations

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Device, Namespace

__all__ = ["Layout"]


class Layout:
    """Parameters of shape (n_models, n_parameters), and their parts.

    A row holds one model's coefficients, output (class) by output, each followed by
    its intercept: [w_1, b_1, w_2, b_2, ...].

    Parameters
    ----------
    n_models, n_outputs, n_features : int
    fit_intercept : bool
    dtype : dtype
        Of parameters: the widest that the device has.
    device : device
    xp : namespace

    Attributes
    ----------
    n_columns : int
        Outputs of all models together.
    column_size : int
        Coefficients of an output, and its intercept.
    n_parameters : int
        Of one model.
    """

    def __init__(
        self,
        n_models: int,
        n_outputs: int,
        n_features: int,
        fit_intercept: bool,
        *,
        dtype: object,
        device: Device,
        xp: Namespace,
    ) -> None:
        self.n_models = n_models
        self.n_outputs = n_outputs
        self.n_features = n_features
        self.fit_intercept = fit_intercept
        self.wide = dtype
        self.device = device
        self.xp = xp
        self.n_columns = n_models * n_outputs
        self.column_size = n_features + fit_intercept
        self.n_parameters = n_outputs * self.column_size

    def join(self, coef: Array, intercept: Array) -> Array:
        """(n_columns, n_features) and (n_columns,) to parameters."""
        columns = coef
        if self.fit_intercept:
            columns = self.xp.concat([coef, intercept[:, None]], axis=1)
        return self.xp.reshape(columns, (self.n_models, self.n_parameters))

    def split(self, parameters: Array) -> tuple[Array, Array]:
        """Parameters to (n_columns, n_features) and (n_columns,); the inverse."""
        columns = self.xp.reshape(parameters, (self.n_columns, self.column_size))
        if self.fit_intercept:
            return columns[:, :-1], columns[:, -1]
        return columns, self.xp.zeros_like(columns[:, 0])

    def by_class(self, parameters: Array) -> Array:
        """Coefficients of shape (n_models, n_outputs, n_features)."""
        shape = self.n_models, self.n_outputs, self.n_features
        return self.xp.reshape(self.split(parameters)[0], shape)

    def zeros(self) -> Array:
        """Parameters that are all zero."""
        shape = self.n_models, self.n_parameters
        return self.xp.zeros(shape, dtype=self.wide, device=self.device)

    def place(self, values: np.ndarray, dtype: object = None) -> Array:
        """Bring numbers from the host to the parameters, in their dtype or another."""
        return arrays.move(
            values, xp=self.xp, device=self.device, dtype=dtype or self.wide
        )

    def identity(self, size: int) -> Array:
        """The identity matrix, where the parameters are."""
        return self.xp.eye(size, dtype=self.wide, device=self.device)

    def without_equal_changes(self, vector: Array) -> Array:
        """The vector less its mean over the classes of each model."""
        shape = self.n_models, self.n_outputs, self.column_size
        by_class = self.xp.reshape(vector, shape)
        by_class = by_class - self.xp.mean(by_class, axis=1, keepdims=True)
        return self.xp.reshape(by_class, vector.shape)
