"""Losses as functions of the logits.

A loss is a small class with two pure functions, pointwise in the rows:
``value_and_gradient`` and ``curvature``. Shapes, for a block of rows, models and
outputs (classes):

- ``logits``: (n_rows, n_models, n_outputs)
- ``targets``: (n_rows, n_models), or (n_rows, 1) shared by all models; class codes 0,
  1, ... in the dtype of the logits, or class probabilities for the losses named
  Share...
- value: (n_rows, n_models); gradient and curvature: the shape of ``logits``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.functions import log_sigmoid, real_floating, softmax_terms


class Curvature(NamedTuple):
    """The second derivatives of a loss in the logits of each row.

    diag(h) for the binary loss; diag(p) - p p' for the softmax, with h = p.

    Attributes
    ----------
    values : array of shape (n_rows, n_models, n_outputs)
        h, not negative.
    coupled : bool
        False for diag(h); True for diag(h sum(h)) - h h', whose null space is a shift
        of all logits.
    """

    values: Array
    coupled: bool

    def diagonal(self, *, xp: Namespace) -> Array:
        """Return the diagonal, h or h (sum(h) - h), of the shape of h."""
        if not self.coupled:
            return self.values
        others = xp.sum(self.values, axis=-1, keepdims=True) - self.values
        # Rounding must not make it negative.
        return self.values * xp.maximum(others, xp.zeros_like(others))

    def product(self, vector: Array, *, xp: Namespace) -> Array:
        """Return the product of the matrix and v, without forming the matrix."""
        h = self.values
        if not self.coupled:
            return h * vector
        total = xp.sum(h, axis=-1, keepdims=True)
        if h.dtype == xp.float32:
            # Subtracting the mean from v does not change the product. Where one class
            # is certain, its entry of v is then small, and keeps digits that float32
            # would lose in the difference below.
            mean = xp.sum(h * vector, axis=-1, keepdims=True)
            vector = vector - mean / xp.where(total > 0, total, xp.ones_like(total))
        return h * (total * vector - xp.sum(h * vector, axis=-1, keepdims=True))


class Loss(Protocol):
    """A loss, pointwise in the rows.

    It is hashable: programs that JAX compiles contain it.

    Attributes
    ----------
    n_outputs : int
        Number of logits per row and model.
    shift_invariant : bool
        Whether the loss is unchanged when one number is added to all logits of a row.
        The Hessian is then singular, and the objective adds curvature along its null
        space.
    is_canonical : bool
        Whether the curvature does not depend on the labels (canonical link). Models
        with the same coefficients and weights then share a Hessian.
    """

    @property
    def n_outputs(self) -> int: ...

    @property
    def shift_invariant(self) -> bool: ...

    @property
    def is_canonical(self) -> bool: ...

    def value_and_gradient(
        self, logits: Array, targets: Array, *, xp: Namespace
    ) -> tuple[Array, Array]:
        """Return the loss, (n_rows, n_models), and its derivatives in the logits."""

    def curvature(self, logits: Array, targets: Array, *, xp: Namespace) -> Curvature:
        """Return the second derivatives in the logits."""

    def curvature_bound(self) -> float:
        """Return a bound on the largest eigenvalue of the curvature."""


@dataclass(frozen=True)
class LogisticLoss:
    r"""Cross-entropy of a label y, 0 or 1, under probability sigmoid(z).

    With the sign :math:`\epsilon = 1 - 2 y`, so that :math:`\epsilon z` is the logit
    of the wrong class,

    .. math::
        \ell(z, y) &= \log(1 + e^{\epsilon z}) \\
        \ell'(z, y) &= \epsilon\,\sigma(\epsilon z) = \sigma(z) - y \\
        \ell''(z, y) &= \sigma(z)\,\sigma(-z)

    References
    ----------
    Bishop (2006), *Pattern Recognition and Machine Learning*, eqs 4.90-4.97.
    """

    n_outputs = 1
    shift_invariant = False
    is_canonical = True

    def value_and_gradient(
        self, logits: Array, targets: Array, *, xp: Namespace
    ) -> tuple[Array, Array]:
        """Return log(1 + e^t) and sign sigmoid(t) at t = sign z.

        The value is log(1 + e^-|t|) + max(t, 0). The gradient, e^min(t, 0) over
        1 + e^-|t|, keeps its digits for either label. Half the range of the dtype
        limits the logits: beyond it, differences overflow.
        """
        sign = 1 - 2 * targets[..., None]
        t = sign * logits
        size = xp.abs(t)
        low = 0.5 * (t - size)  # min(t, 0)
        decay, rise = xp.exp(-size), xp.exp(low)
        value = xp.log1p(decay) + (t - low)
        return value[..., 0], sign * (rise / (1 + decay))

    def curvature(self, logits: Array, targets: Array, *, xp: Namespace) -> Curvature:
        """Return sigmoid(z) sigmoid(-z), for either label."""
        decay = xp.exp(-xp.abs(logits))
        return Curvature(decay / (1 + decay) ** 2, False)

    def curvature_bound(self) -> float:
        """Return the largest curvature over all logits: 1/4, at z = 0."""
        return 0.25


@dataclass(frozen=True)
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

    n_outputs: int
    shift_invariant = True
    is_canonical = True

    def value_and_gradient(
        self, logits: Array, targets: Array, *, xp: Namespace
    ) -> tuple[Array, Array]:
        """Return -log p_y and p - onehot(y).

        With d = z - max(z), the value is log(sum of e^d) - d_y. Where y is nearly
        certain, the sum less 1, its largest term, and 1 - p_y are computed from sums
        over the other classes, so no digit is lost.
        """
        device, over_classes = arrays.device_of(logits), {"axis": -1, "keepdims": True}
        classes = xp.arange(logits.shape[-1], dtype=targets.dtype, device=device)
        # The rows are contiguous, as those of the logits. Products with a mask keep
        # this order in NumPy; where() would not, and takes twice the time.
        is_target = targets.T[:, None, :] == classes[:, None]
        is_target = xp.astype(xp.permute_dims(is_target, (2, 0, 1)), logits.dtype)
        difference = logits - xp.max(logits, **over_classes)
        own = xp.sum(is_target * difference, **over_classes)
        exponential = xp.exp(difference) * (1 - is_target)
        others = xp.sum(exponential, **over_classes)
        own_exponential = xp.exp(own)
        value = xp.log1p(others + (own_exponential - 1)) - own
        gradient = exponential - is_target * others
        return value[..., 0], gradient / (others + own_exponential)

    def curvature(self, logits: Array, targets: Array, *, xp: Namespace) -> Curvature:
        """Return diag(p) - p p' as a coupled curvature.

        It lacks the corrections of :func:`softmax_terms`: a Hessian needs fewer digits
        than a gradient.
        """
        exponential = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
        p = exponential / xp.sum(exponential, axis=-1, keepdims=True)
        return Curvature(p, True)

    def curvature_bound(self) -> float:
        """Return a bound on the largest eigenvalue, 1/2 (Böhning 1992)."""
        return 0.5


@dataclass(frozen=True)
class ShareLogisticLoss:
    r"""Cross-entropy of a share y of the second class, from 0 to 1.

    .. math::
        \ell(z, y) &= -y \log \sigma(z) - (1 - y) \log \sigma(-z) \\
        \ell'(z, y) &= (1 - y)\,\sigma(z) - y\,\sigma(-z)
    """

    n_outputs = 1
    shift_invariant = False
    is_canonical = True
    curvature = LogisticLoss.curvature
    curvature_bound = LogisticLoss.curvature_bound

    def value_and_gradient(
        self, logits: Array, targets: Array, *, xp: Namespace
    ) -> tuple[Array, Array]:
        """Return log(1 + e^-|z|) + max(z, 0) - y z, and its derivative."""
        y, high = targets[..., None], xp.maximum(logits, xp.zeros_like(logits))
        rise, fall = xp.exp(logits - high), xp.exp(-high)
        decay = rise * fall
        value = xp.log1p(decay) + (high - y * logits)
        return value[..., 0], ((1 - y) * rise - y * fall) / (1 + decay)


@dataclass(frozen=True)
class ShareSoftmaxLoss:
    r"""Cross-entropy of class shares y, (n_rows, n_outputs), which all models share.

    .. math:: \ell(z, y) = \log \sum_k e^{z_k} - \sum_k y_k z_k

    Parameters
    ----------
    n_outputs : int
        Number of classes.
    """

    n_outputs: int
    shift_invariant = True
    is_canonical = True
    curvature = SoftmaxLoss.curvature
    curvature_bound = SoftmaxLoss.curvature_bound

    def value_and_gradient(
        self, logits: Array, targets: Array, *, xp: Namespace
    ) -> tuple[Array, Array]:
        """Return the loss and p - y."""
        difference, exponential, others = softmax_terms(logits, -1, xp=xp)
        y = targets[:, None, :]
        value = xp.log1p(others[..., 0]) - xp.sum(y * difference, axis=-1)
        return value, exponential / (1 + others) - y


def _weighted_mean(loss: Array, sample_weight: Array | None, *, xp: Namespace) -> Array:
    """Return the weighted mean over the rows of an array (n,)."""
    if sample_weight is None:
        return xp.mean(loss)
    _check_shape("sample_weight", sample_weight, loss.shape[0])
    weights = _placed_like(loss, sample_weight, xp=xp)
    with arrays.quiet():
        return xp.sum(loss * weights) / xp.sum(weights)


def _placed_like(logits: Array, values: Any, *, xp: Namespace) -> Array:
    """Return values in the library, device and dtype of the logits."""
    place = {"device": arrays.device_of(logits), "dtype": logits.dtype}
    return arrays.move_with_gradient(values, xp=xp, **place)


def _check_shape(name: str, values: Any, n_rows: int) -> None:
    """Raise ValueError unless values have one entry per row."""
    if np.shape(values) != (n_rows,):
        raise ValueError(
            f"{name} has shape {tuple(np.shape(values))}, but these logits need one "
            f"entry per row: {(n_rows,)}."
        )


def _y_log_p(y: Array, log_probability: Array, *, xp: Namespace) -> Array:
    """Return y log(p), which is 0 for y = 0 also where the logarithm is infinite."""
    is_zero = (y == 0) & xp.isinf(log_probability)
    return y * xp.where(is_zero, xp.zeros_like(y), log_probability)


def binary_cross_entropy(
    logits: Array, y: Array, sample_weight: Array | None = None
) -> Array:
    r"""Return the mean binary cross-entropy (log-loss) of logits.

    .. math::
        \frac{1}{\sum_i s_i} \sum_i s_i \left[\log(1 + e^{z_i}) - y_i z_i\right]

    Parameters
    ----------
    logits : array of shape (n,)
        Linear predictors z.
    y : array of shape (n,)
        Targets: 0 or 1, or probabilities between them. They may belong to any library.
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
    logits, xp = real_floating(logits)
    if logits.ndim != 1:
        raise ValueError(f"logits must have shape (n,), got {tuple(logits.shape)}.")
    _check_shape("y", y, logits.shape[0])
    y = _placed_like(logits, y, xp=xp)
    with arrays.quiet():
        loss = -_y_log_p(y, log_sigmoid(logits), xp=xp)
        loss = loss - _y_log_p(1 - y, log_sigmoid(-logits), xp=xp)
    return _weighted_mean(loss, sample_weight, xp=xp)


def cross_entropy(logits: Array, y: Array, sample_weight: Array | None = None) -> Array:
    r"""Return the mean cross-entropy (log-loss) of class codes and logits.

    .. math::
        \frac{1}{\sum_i s_i} \sum_i s_i \left[\log \sum_k e^{z_{ik}} - z_{i y_i}\right]

    Parameters
    ----------
    logits : array of shape (n, n_classes)
        Linear predictors z.
    y : array of shape (n,)
        Class codes 0, ..., n_classes - 1. They may belong to any library. The host
        checks them once, unless JAX traces them.
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
    logits, xp = real_floating(logits)
    if logits.ndim != 2:
        raise ValueError(
            f"logits must have shape (n, n_classes), got {tuple(logits.shape)}."
        )
    n, n_classes = logits.shape
    _check_shape("y", y, n)
    if not arrays.is_traced(y):
        codes = arrays.to_host(y)
        is_code = (codes >= 0) & (codes < n_classes) & (codes % 1 == 0)
        if not is_code.all():
            raise ValueError(
                f"y must hold class codes 0, ..., {n_classes - 1}, one for each column "
                f"of logits; got values from {codes.min()} to {codes.max()}."
            )
    y = _placed_like(logits, y, xp=xp)
    with arrays.quiet():
        loss, _ = SoftmaxLoss(n_classes).value_and_gradient(
            logits[:, None, :], y[:, None], xp=xp
        )
    return _weighted_mean(loss[:, 0], sample_weight, xp=xp)
