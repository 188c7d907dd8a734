"""Linear hypotheses about the parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from xlr import arrays
from xlr.text import printable, quoted

__all__ = ["WaldTest", "contrasts", "parsed", "wald_test"]


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


def parsed(constraints: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return R and q of hypotheses in words, such as ``'x1 = x2, 2 * x3 = 1'``.

    The parser is that of formulaic or, where that is missing, of patsy.

    Parameters
    ----------
    constraints : str
    names : list of str
        Of the parameters.

    Raises
    ------
    ImportError
        If neither is installed.
    ValueError
        If the text is no list of linear equations of the parameters.
    """
    in_words = [re.sub("`[^`]*`", "", part) for part in constraints.split(",")]
    if any(part.count("=") > 1 for part in in_words):
        raise ValueError(
            f"A hypothesis has one sign =; got {quoted(constraints)}. Separate "
            "hypotheses by commas: 'x1 = x2, x2 = x3'."
        )
    try:
        if find_spec("formulaic"):
            from formulaic.utils.constraints import LinearConstraints

            found = LinearConstraints.from_spec(constraints, list(names))
            return found.constraint_matrix, found.constraint_values
        from patsy import DesignInfo

        found = DesignInfo(list(names)).linear_constraint(constraints.replace("`", ""))
        return found.coefs, found.constants[:, 0]
    except ImportError as error:
        raise ImportError(
            "Hypotheses in words need formulaic or patsy: pip install formulaic. Or "
            "pass a matrix."
        ) from error
    except Exception as error:  # of the parsers, which have no common class
        raise ValueError(
            f"The hypotheses {quoted(constraints)} are not linear equations of the "
            f"parameters {', '.join(map(printable, names))}: {printable(error, 300)} "
            "Put names that are no words in backticks: '`mean radius` = 0'."
        ) from error


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
