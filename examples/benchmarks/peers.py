"""Peers: ways to fit, their tolerances, and the data that they cannot fit."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from data import Data
from fits import (
    Fit,
    fit_glum,
    fit_sklearn,
    fit_sklearnex,
    fit_statsmodels,
    fit_torch,
    fit_xlr,
)
from reference import LARGEST_HESSIAN

import xlr

DECADES = tuple(10.0**-k for k in range(3, 13))
MAX_ITER = (100, 1_000, 10_000, 100_000)
_DEFAULTS = inspect.signature(xlr.LogisticRegression).parameters
XLR_TOL, XLR_MAX_ITER = _DEFAULTS["tol"].default, _DEFAULTS["max_iter"].default
XLR = "xlr"
SKLEARN_DEFAULT = "scikit-learn lbfgs"


@dataclass(frozen=True)
class Peer:
    """One way to fit.

    ``tolerances`` go from loose to tight. A fit that runs out of iterations runs again
    with the next ``max_iter``. ``distribution`` is the package that has its version.
    ``squares`` says that it stores a matrix of parameters x parameters.
    """

    name: str
    module: str
    distribution: str
    fit: Callable[..., Fit]
    tolerances: tuple[float, ...] = DECADES
    max_iter: tuple[int, ...] = MAX_ITER
    squares: bool = False
    multinomial: bool = True
    weights: bool = True
    float32: bool = True

    def why_not(self, data: Data) -> str | None:
        """Return why the peer has no row for the data, or None."""
        if find_spec(self.module) is None:
            return "not installed"
        if data.n_outputs > 1 and not self.multinomial:
            return "fits two classes only"
        weighted = data.sample_weight is not None or data.class_weight is not None
        if weighted and not self.weights:
            return "falls back to scikit-learn for weights"
        if data.X.dtype == np.float32 and not self.float32:
            return "converts float32 to float64"
        n_parameters = (data.X.shape[1] + 1) * data.n_outputs
        if self.squares and n_parameters > LARGEST_HESSIAN:
            return f"holds a matrix of {n_parameters:,} x {n_parameters:,}"
        return None


def _sklearn(solver: str, **properties: Any) -> Peer:
    return Peer(
        f"scikit-learn {solver}",
        "sklearn",
        "scikit-learn",
        partial(fit_sklearn, solver=solver),
        **properties,
    )


def _sklearnex(name: str, solver: str) -> Peer:
    return Peer(
        name,
        "sklearnex",
        "scikit-learn-intelex",
        partial(fit_sklearnex, solver=solver),
        weights=False,
    )


PEERS = {
    peer.name: peer
    for peer in [
        Peer(
            XLR,
            "xlr",
            "xlr",
            fit_xlr,
            # The tighter tolerances run only if the default is not enough.
            (XLR_TOL, *(tol for tol in DECADES if tol < 0.99 * XLR_TOL)),
            (XLR_MAX_ITER,),
        ),
        _sklearn("newton-cholesky", squares=True),
        _sklearn("newton-cg"),
        _sklearn("lbfgs"),
        _sklearnex("sklearnex lbfgs", "lbfgs"),
        _sklearnex("sklearnex newton-cg (preview)", "newton-cg"),
        Peer("glum irls", "glum", "glum", fit_glum, squares=True, multinomial=False),
        Peer("torch LBFGS", "torch", "torch", fit_torch),
        Peer(
            "statsmodels GLM",
            "statsmodels",
            "statsmodels",
            fit_statsmodels,
            squares=True,
            multinomial=False,
            float32=False,
        ),
    ]
}
