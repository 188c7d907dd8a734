"""Checks of a fit before it begins."""

from __future__ import annotations

import warnings
from typing import Any

from xlr import arrays
from xlr.inputs.dask_input import level_of_caller

__all__ = ["check_fit"]


def check_fit(estimator: Any, *data: Any) -> None:
    """Refuse data to be traced, and warn of a solver that means another model.

    Raises
    ------
    TypeError
        If an array is one of JAX's tracers.
    """
    if arrays.is_traced(*data):
        raise TypeError(
            "Fits are not traced: jax.jit, jax.vmap and jax.grad hand over arrays "
            "without values, and a fit stops by values. Fit outside of them; "
            "decision_function and predict_proba of the fitted model can be traced."
        )
    if getattr(estimator, "solver", None) == "liblinear" and estimator.fit_intercept:
        warnings.warn(
            "scikit-learn's solver 'liblinear' penalises the intercept; here it is not "
            "penalised, as with its other solvers. Leave solver out.",
            UserWarning,
            stacklevel=level_of_caller(),
        )
