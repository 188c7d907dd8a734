"""The sigmoid, the softmax and their logarithms.

The functions are correct to a few units in the last place (ulp) for every finite input.
Nothing overflows or cancels, and they raise no warning.
"""

from __future__ import annotations

from xlr import arrays
from xlr.arrays import Array, Namespace


def real_floating(z: Array) -> tuple[Array, Namespace]:
    """Convert real numbers to an array of a floating dtype; return it and ``xp``."""
    xp = arrays.namespace(z)
    if not arrays.is_foreign(z):
        z = xp.asarray(z)
    if xp.isdtype(z.dtype, "complex floating"):
        raise TypeError(
            f"Expected real numbers, got an array of {z.dtype}. Pass the real part if "
            "the imaginary part is zero."
        )
    return xp.astype(z, arrays.floating_dtype(z, xp=xp), copy=False), xp


def sigmoid(z: Array) -> Array:
    r"""Return the logistic sigmoid, the inverse of the logit.

    .. math:: \sigma(z) = \frac{1}{1 + e^{-z}} = \frac{e^z}{1 + e^z}

    Computed as :math:`e^{\min(z, 0)} / (1 + e^{-|z|})`, which is the first form for
    :math:`z \ge 0` and the second for :math:`z < 0`: nothing overflows.

    Parameters
    ----------
    z : array of any shape
        Logits. Integers and booleans are converted to the library's widest
        floating dtype.

    Returns
    -------
    array
        Values in [0, 1], with the shape, library, device and dtype of ``z``.

    Raises
    ------
    TypeError
        If ``z`` is complex.

    References
    ----------
    Bishop (2006), *Pattern Recognition and Machine Learning*, eq. 4.59.

    Examples
    --------
    >>> import numpy as np, xlr
    >>> xlr.sigmoid(np.asarray([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    z, xp = real_floating(z)
    with arrays.quiet():
        return sigmoid_pair(z, xp=xp)[0]


def sigmoid_pair(z: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return sigmoid(z) and sigmoid(-z), to a few ulp.

    On a CPU, a second exponential takes less time than ``where`` with random signs.
    """
    zero = xp.zeros((), dtype=z.dtype, device=arrays.device_of(z))
    rise, fall = xp.exp(xp.minimum(z, zero)), xp.exp(xp.minimum(-z, zero))
    total = 1 + rise * fall
    return rise / total, fall / total


def log_sigmoid(z: Array) -> Array:
    r"""Return the logarithm of the sigmoid.

    .. math:: \log \sigma(z) = \min(z, 0) - \log(1 + e^{-|z|})

    Both terms have the same sign, so nothing cancels.  ``-log_sigmoid(-z)`` is
    the softplus function.

    Parameters
    ----------
    z : array of any shape
        Logits.

    Returns
    -------
    array
        Values at most 0, with the shape, library, device and dtype of ``z``.

    Raises
    ------
    TypeError
        If ``z`` is complex.

    References
    ----------
    Mächler (2012), *Accurately Computing log(1 - exp(-|a|))*, eq. 10.

    Examples
    --------
    >>> import numpy as np, xlr
    >>> xlr.log_sigmoid(np.asarray([-1000.0, 0.0]))
    array([-1.00000000e+03, -6.93147181e-01])
    """
    z, xp = real_floating(z)
    with arrays.quiet():
        # min(z, -z) is -abs(z), whose derivative at 0 differs between libraries.
        return xp.minimum(z, xp.zeros_like(z)) - xp.log1p(xp.exp(xp.minimum(z, -z)))


def softmax_terms(z: Array, axis: int, *, xp: Namespace) -> tuple[Array, Array, Array]:
    """Return the terms shared by the softmax and its logarithm, to a few ulp.

    The rounding error of a difference d of size 700 is 700 eps, and exp turns an
    absolute error of d into a relative one. That error is itself a floating-point
    number (Knuth's two-sum, TAOCP vol. 2, 4.2.2, theorem B): exp(d) (1 + error) is
    correct to a few ulp.

    Derivatives are as accurate. The maximum is a single entry of z even with ties, and
    its difference from itself is a constant. The derivative of a nearly certain class
    thus has no difference of numbers near 1.

    Returns
    -------
    shifted : array of the shape of z
        z - m, for the maximum m of z along ``axis``.
    exponential : array of the shape of z
        exp(z - m); exactly 1 at the maximum.
    sum_of_others : array with one entry along the axis
        Sum of ``exponential`` over all classes except one with the maximum.
    """
    zeros, device = xp.zeros_like(z), arrays.device_of(z)
    argmax = xp.argmax(z, axis=axis, keepdims=True)
    index = xp.arange(z.shape[axis], dtype=argmax.dtype, device=device)
    n_axes_after = z.ndim - 1 - axis % z.ndim
    is_other = xp.reshape(index, (-1, *[1] * n_axes_after)) != argmax
    largest = xp.sum(xp.where(is_other, zeros, z), axis=axis, keepdims=True)
    # The shifted maximum is 0, or NaN if the maximum is infinite.
    shifted = xp.where(is_other, z - largest, 0 * largest + 0)
    recovered = shifted - z
    error = (z - (shifted - recovered)) - (largest + recovered)
    # Below -800, exp is 0 in every dtype, and the error may be inf - inf.
    has_error = is_other & (shifted > -800)
    exponential = xp.exp(shifted) * (1 + xp.where(has_error, error, zeros))
    others = xp.where(is_other, exponential, zeros)
    return shifted, exponential, xp.sum(others, axis=axis, keepdims=True)


def _logits_of_classes(z: Array, axis: int) -> tuple[Array, Namespace]:
    """Convert logits along an axis to a floating dtype; return them and ``xp``."""
    z, xp = real_floating(z)
    if z.ndim == 0 or z.shape[axis] == 0:
        raise ValueError(
            f"z must have a logit for each class along axis {axis}; got an array of "
            f"shape {tuple(z.shape)}."
        )
    return z, xp


def softmax(z: Array, axis: int = -1) -> Array:
    r"""Return class probabilities from one logit per class: the softmax.

    .. math:: p_k = \frac{e^{z_k}}{\sum_l e^{z_l}}

    Shifted by the maximum, so that nothing overflows. A class whose logit is an
    infinite maximum gets NaN: infinity less itself has no value.

    Parameters
    ----------
    z : array of shape (..., n_classes, ...)
        Logits.
    axis : int, default=-1
        The axis over which the probabilities sum to one.

    Returns
    -------
    array
        Probabilities, with the shape, library, device and dtype of ``z``.

    Raises
    ------
    TypeError
        If ``z`` is complex.
    ValueError
        If ``z`` has no logits along ``axis``.

    References
    ----------
    Bishop (2006), *Pattern Recognition and Machine Learning*, eq. 4.104.

    Examples
    --------
    >>> import numpy as np, xlr
    >>> xlr.softmax(np.asarray([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    z, xp = _logits_of_classes(z, axis)
    with arrays.quiet():
        _, exponential, sum_of_others = softmax_terms(z, axis, xp=xp)
        return exponential / (1 + sum_of_others)


def log_softmax(z: Array, axis: int = -1) -> Array:
    r"""Return the logarithm of the softmax.

    .. math:: \log p_k = (z_k - m) - \log \sum_l e^{z_l - m}, \quad m = \max_l z_l

    One term of the sum is exactly 1, so the logarithm is taken as log1p of the
    other terms: the log-probability of a nearly certain class keeps its digits.

    Parameters
    ----------
    z : array of shape (..., n_classes, ...)
        Logits.
    axis : int, default=-1
        The axis over which the probabilities sum to one.

    Returns
    -------
    array
        Values at most 0, with the shape, library, device and dtype of ``z``.

    Raises
    ------
    TypeError
        If ``z`` is complex.
    ValueError
        If ``z`` has no logits along ``axis``.

    Examples
    --------
    >>> import numpy as np, xlr
    >>> xlr.log_softmax(np.asarray([100.0, 0.0]))
    array([-3.72007598e-44, -1.00000000e+02])
    """
    z, xp = _logits_of_classes(z, axis)
    with arrays.quiet():
        shifted, _, sum_of_others = softmax_terms(z, axis, xp=xp)
        return shifted - xp.log1p(sum_of_others)
