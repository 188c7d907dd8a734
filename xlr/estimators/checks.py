"""The beginning and the end of a fit: checks, and the fitted attributes."""

from __future__ import annotations

from typing import Any

from xlr import arrays
from xlr.inputs.features import Features, read_features
from xlr.inputs.parameters import check_parameters
from xlr.text import warn

__all__ = ["begin_fit", "set_fitted"]


def begin_fit(estimator: Any, X: Any, *others: Any, chunked: bool = True) -> Features:
    """Check the parameters of an estimator, and validate X.

    Parameters
    ----------
    estimator : estimator
    X : array, sparse matrix or table
    *others : arrays
        What else the fit is given.
    chunked : bool, default=True
        As for :func:`read_features`.

    Raises
    ------
    TypeError, ValueError
        If a parameter or X is not as described, or an array is traced by JAX.

    Warns
    -----
    UserWarning
        If the solver is one of scikit-learn's that fits another model.
    """
    check_parameters(vars(estimator))
    if arrays.is_traced(X, *others):
        raise TypeError(
            "Fits are not traced: jax.jit, jax.vmap and jax.grad hand over arrays "
            "without values, and a fit stops by values. Fit outside of them; "
            "decision_function and predict_proba of the fitted model can be traced."
        )
    if getattr(estimator, "solver", None) == "liblinear" and estimator.fit_intercept:
        warn(
            "scikit-learn's solver 'liblinear' penalises the intercept; here it is not "
            "penalised, as with its other solvers. Leave solver out."
        )
    return read_features(estimator, X, reset=True, chunked=chunked)


def set_fitted(estimator: Any, attributes: dict[str, Any]) -> None:
    """Set all fitted attributes at once, the last step of a fit.

    Predictions in other threads see all of them or none, and a fit that fails or is
    interrupted leaves the estimator as it was.
    """
    others = {k: v for k, v in vars(estimator).items() if k != "feature_names_in_"}
    estimator.__dict__ = others | attributes
