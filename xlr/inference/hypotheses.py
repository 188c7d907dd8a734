"""Linear hypotheses about the parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from xlr import arrays

__all__ = ["WaldTest", "contrasts", "wald_test"]


class WaldTest(NamedTuple):
    """Wald test of linear hypotheses.

    Attributes
    ----------
    statistic : float
    df : int
        Number of hypotheses.
    pvalue : float
        Under a chi-squared distribution with so many degrees of freedom.
    """

    statistic: float
    df: int
    pvalue: float


def contrasts(
    r_matrix: Any, q_matrix: Any, params: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return R w, q and the covariance of R w.

    They are NaN where a contrast has a parameter without an estimate or an error.

    Raises
    ------
    ValueError
        If the shapes are not (m, n_reported) and (m,), or a number is not finite.
    """
    R = np.atleast_2d(np.asarray(r_matrix, dtype=np.float64))
    q = np.atleast_1d(np.asarray(q_matrix, dtype=np.float64))
    if R.ndim != 2 or R.shape[1] != params.size or q.shape not in ((1,), R.shape[:1]):
        raise ValueError(
            f"r_matrix has shape {np.shape(r_matrix)} and q_matrix "
            f"{np.shape(q_matrix)}; expected (m, {params.size}), a column for each "
            "parameter of cov_params(), and (m,)."
        )
    if not (np.isfinite(R).all() and np.isfinite(q).all()):
        raise ValueError("r_matrix or q_matrix contains NaN or infinity.")
    used = (R != 0).any(axis=0)
    R, V = R[:, used], covariance[np.ix_(used, used)]
    return R @ params[used], np.broadcast_to(q, R.shape[:1]), R @ V @ R.T


@arrays.quiet()
def wald_test(
    estimates: np.ndarray, values: np.ndarray, covariance: np.ndarray
) -> WaldTest:
    r"""Test contrasts together: :math:`(R w - q)^T (R V R^T)^{-1} (R w - q)`.

    Raises
    ------
    ValueError
        If the hypotheses are not independent, or a parameter has no error.
    """
    df, root = estimates.size, np.sqrt(np.diagonal(covariance))
    scaled = covariance / np.outer(root, root)
    if not np.isfinite(scaled).all() or np.linalg.matrix_rank(scaled) < df:
        raise ValueError(
            "The hypotheses are not independent of each other, or have a parameter "
            "without a standard error: leave some out of r_matrix."
        )
    z = (estimates - values) / root
    statistic = float(z @ np.linalg.solve(scaled, z))
    return WaldTest(statistic, df, float(stats.chi2.sf(statistic, df)))
