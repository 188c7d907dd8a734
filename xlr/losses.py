"""Floor 2: losses as functions of the linear predictor.

A loss is a small class with a value, a gradient and a curvature, each pointwise
in the rows.  Shapes, for a batch of rows, models and outputs (classes):

- ``logits``: (n_rows, n_models, n_outputs)
- ``targets``: (n_rows, n_models), or (n_rows, 1) shared by all models; class
  codes 0, 1, ... in the dtype of the logits
- ``value``: (n_rows, n_models)
- ``gradient``: the shape of ``logits``
- ``curvature``: (n_rows, n_models, n_outputs, n_outputs); its diagonal and its
  product with a vector have the shape of ``logits``
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.functions import log_softmax, sigmoid, softmax

__all__ = [
    "LogisticLoss",
    "Loss",
    "SoftmaxLoss",
    "binary_cross_entropy",
    "cross_entropy",
]


class Loss(Protocol):
    """What the objective needs from a loss.

    Attributes
    ----------
    n_outputs : int
        Logits a model has for each row.
    shift_invariant : bool
        Whether adding one number to all logits of a row changes nothing. Then
        the Hessian is singular in that direction, and the objective fills it.
    """

    n_outputs: int
    shift_invariant: bool

    def value(self, logits: Array, targets: Array, *, xp: Namespace) -> Array: ...

    def gradient(self, logits: Array, targets: Array, *, xp: Namespace) -> Array: ...

    def curvature(self, logits: Array, targets: Array, *, xp: Namespace) -> Array: ...

    def curvature_diagonal(
        self, logits: Array, targets: Array, *, xp: Namespace
    ) -> Array: ...

    def curvature_product(
        self, logits: Array, targets: Array, vector: Array, *, xp: Namespace
    ) -> Array: ...

    def curvature_bound(self) -> float: ...


class LogisticLoss:
    r"""Cross-entropy of a binary target y in [0, 1] under probability sigmoid(z).

    .. math::
        \ell(z, y) &= \log(1 + e^z) - y z \\
        \ell'(z, y) &= \sigma(z) - y \\
        \ell''(z, y) &= \sigma(z)\,\sigma(-z)

    References
    ----------
    Bishop (2006), *Pattern Recognition and Machine Learning*, eqs 4.90-4.97.
    """

    n_outputs = 1
    shift_invariant = False

    def value(self, logits: Array, targets: Array, *, xp: Namespace) -> Array:
        """log(1 + e^z) - y z, as two non-negative terms so that nothing cancels."""
        z = logits[..., 0]
        size = xp.abs(z)
        return size * xp.where(z > 0, 1 - targets, targets) + xp.log1p(xp.exp(-size))

    def gradient(self, logits: Array, targets: Array, *, xp: Namespace) -> Array:
        """sigmoid(z) - y, as (1 - y) sigmoid(z) - y sigmoid(-z), accurate at y = 1."""
        y = targets[..., None]
        return (1 - y) * sigmoid(logits) - y * sigmoid(-logits)

    def curvature(self, logits: Array, targets: Array, *, xp: Namespace) -> Array:
        """sigmoid(z) sigmoid(-z), as a matrix of one entry."""
        return self.curvature_diagonal(logits, targets, xp=xp)[..., None]

    def curvature_diagonal(
        self, logits: Array, targets: Array, *, xp: Namespace
    ) -> Array:
        """sigmoid(z) sigmoid(-z), of the shape of ``logits``."""
        return sigmoid(logits) * sigmoid(-logits)

    def curvature_product(
        self, logits: Array, targets: Array, vector: Array, *, xp: Namespace
    ) -> Array:
        """The curvature times ``vector``, of the shape of ``logits``."""
        return self.curvature_diagonal(logits, targets, xp=xp) * vector

    def curvature_bound(self) -> float:
        """Largest curvature over all logits: 1/4, at z = 0."""
        return 0.25


class SoftmaxLoss:
    r"""Cross-entropy of a class y under probabilities p = softmax(z).

    .. math::
        \ell(z, y) &= \log \sum_k e^{z_k} - z_y \\
        \partial_k \ell &= p_k - [y = k] \\
        \partial_k \partial_l \ell &= p_k ([k = l] - p_l)

    Parameters
    ----------
    n_outputs : int
        Number of classes.

    References
    ----------
    Bishop (2006), *Pattern Recognition and Machine Learning*, eqs 4.108-4.110.
    """

    shift_invariant = True

    def __init__(self, n_outputs: int) -> None:
        self.n_outputs = n_outputs

    def _is_target(self, logits: Array, targets: Array, xp: Namespace) -> Array:
        classes = xp.arange(
            self.n_outputs, dtype=targets.dtype, device=arrays.device_of(logits)
        )
        return targets[..., None] == classes

    def value(self, logits: Array, targets: Array, *, xp: Namespace) -> Array:
        """-log p_y, picked by a mask: Dask has no take_along_axis."""
        log_p = log_softmax(logits)
        is_target = self._is_target(logits, targets, xp)
        return -xp.sum(xp.where(is_target, log_p, xp.zeros_like(log_p)), axis=-1)

    def gradient(self, logits: Array, targets: Array, *, xp: Namespace) -> Array:
        """p - onehot(y), with 1 - p_y summed from the other classes."""
        p = softmax(logits)
        is_target = self._is_target(logits, targets, xp)
        others = xp.where(is_target, xp.zeros_like(p), p)
        return xp.where(is_target, -xp.sum(others, axis=-1, keepdims=True), p)

    def curvature(self, logits: Array, targets: Array, *, xp: Namespace) -> Array:
        """diag(p) - p p'."""
        p = softmax(logits)
        identity = xp.eye(
            self.n_outputs, dtype=p.dtype, device=arrays.device_of(logits)
        )
        return p[..., None] * (identity - p[..., None, :])

    def curvature_diagonal(
        self, logits: Array, targets: Array, *, xp: Namespace
    ) -> Array:
        """p (1 - p), of the shape of ``logits``."""
        p = softmax(logits)
        return p * (1 - p)

    def curvature_product(
        self, logits: Array, targets: Array, vector: Array, *, xp: Namespace
    ) -> Array:
        """(diag(p) - p p') v, without forming the matrix."""
        p = softmax(logits)
        return p * (vector - xp.sum(p * vector, axis=-1, keepdims=True))

    def curvature_bound(self) -> float:
        """Bound on the largest eigenvalue over all logits (Böhning 1992): 1/2."""
        return 0.5


def _mean_loss(
    loss: Loss, logits: Array, y: Array, sample_weight: Array | None
) -> Array:
    """Weighted mean of the loss over rows, for logits of shape (n, n_outputs)."""
    xp = arrays.namespace(logits)
    place = {"xp": xp, "device": arrays.device_of(logits), "dtype": logits.dtype}
    with arrays.quiet():
        targets = arrays.move(y, **place)[:, None]
        value = loss.value(logits[:, None, :], targets, xp=xp)[:, 0]
        if sample_weight is None:
            return xp.mean(value)
        weights = arrays.move(sample_weight, **place)
        return xp.sum(value * weights) / xp.sum(weights)


def _floating(logits: Array) -> Array:
    xp = arrays.namespace(logits)
    if not arrays.is_array(logits):
        logits = xp.asarray(logits)
    return xp.astype(logits, arrays.floating_dtype(logits, xp=xp), copy=False)


def _check_shapes(
    expected: tuple[int, ...], y: Array, sample_weight: Array | None
) -> None:
    for name, values in (("y", y), ("sample_weight", sample_weight)):
        if values is None and name == "sample_weight":
            continue
        shape = tuple(values.shape) if hasattr(values, "shape") else np.shape(values)
        if shape != expected:
            raise ValueError(
                f"{name} has shape {shape}, but these logits need one entry per row: "
                f"{expected}."
            )


def binary_cross_entropy(
    logits: Array, y: Array, sample_weight: Array | None = None
) -> Array:
    r"""Mean binary cross-entropy (log-loss) from logits.

    .. math::
        \frac{1}{\sum_i s_i} \sum_i s_i \left[\log(1 + e^{z_i}) - y_i z_i\right]

    Parameters
    ----------
    logits : array of shape (n,)
        Linear predictors z.
    y : array of shape (n,)
        Targets: 0 or 1, or probabilities between them. Any library; moved to
        that of the logits.
    sample_weight : array of shape (n,), default=None
        Weights s; None weighs all rows alike.

    Returns
    -------
    array of shape ()
        The loss in nats, in the library, device and dtype of ``logits``.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np, xlr
    >>> float(xlr.binary_cross_entropy(np.asarray([0.0, 0.0]), np.asarray([0, 1])))
    0.6931471805599453
    """
    logits = _floating(logits)
    if logits.ndim != 1:
        raise ValueError(f"logits must have shape (n,), got {tuple(logits.shape)}.")
    _check_shapes(tuple(logits.shape), y, sample_weight)
    return _mean_loss(LogisticLoss(), logits[:, None], y, sample_weight)


def cross_entropy(logits: Array, y: Array, sample_weight: Array | None = None) -> Array:
    r"""Mean cross-entropy (log-loss) of class codes from one logit per class.

    .. math::
        \frac{1}{\sum_i s_i} \sum_i s_i \left[\log \sum_k e^{z_{ik}} - z_{i y_i}\right]

    Parameters
    ----------
    logits : array of shape (n, n_classes)
        Linear predictors z.
    y : array of shape (n,)
        Class codes 0, ..., n_classes - 1. Any library; moved to that of the
        logits, and fetched to the host once to be checked.
    sample_weight : array of shape (n,), default=None
        Weights s; None weighs all rows alike.

    Returns
    -------
    array of shape ()
        The loss in nats, in the library, device and dtype of ``logits``.

    Raises
    ------
    ValueError
        If the shapes differ or a code is not one of 0, ..., n_classes - 1.

    Examples
    --------
    >>> import numpy as np, xlr
    >>> float(xlr.cross_entropy(np.zeros((2, 4)), np.asarray([0, 3])))
    1.3862943611198906
    """
    logits = _floating(logits)
    if logits.ndim != 2:
        raise ValueError(
            f"logits must have shape (n, n_classes), got {tuple(logits.shape)}."
        )
    n, n_classes = logits.shape
    _check_shapes((n,), y, sample_weight)
    codes = arrays.to_host(y)
    if n and not ((codes >= 0) & (codes < n_classes) & (codes % 1 == 0)).all():
        raise ValueError(
            f"y must hold class codes 0, ..., {n_classes - 1}, one for each column of "
            f"logits; got values from {codes.min()} to {codes.max()}."
        )
    return _mean_loss(SoftmaxLoss(n_classes), logits, y, sample_weight)
