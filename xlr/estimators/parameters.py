"""Checks of an estimator's parameters, each ending in a sentence."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np

from xlr.solvers import SOLVERS

__all__ = ["check_parameters"]


def _positive_number(name: str, value: Any, expected: str) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be {expected}; got {value!r}.")
    number = float(value)
    if not number > 0:  # also refuses NaN
        raise ValueError(f"{name} must be {expected}; got {value!r}.")
    return number


def _one_of(name: str, value: Any, options: tuple[str, ...]) -> None:
    if value not in options:
        names = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {names}; got {value!r}.")


def check_parameters(estimator: Any) -> None:
    """Refuse parameters of a LogisticRegression that make no sense.

    Raises
    ------
    TypeError, ValueError
        Naming the parameter, what it may be and what it was.
    """
    _positive_number("C", estimator.C, "a number above 0 (inf for no penalty)")
    if math.isinf(_positive_number("tol", estimator.tol, "a finite number above 0")):
        raise ValueError("tol must be a finite number above 0; got inf.")
    if estimator.learning_rate is not None:
        expected = "None or a finite number above 0"
        rate = _positive_number("learning_rate", estimator.learning_rate, expected)
        if math.isinf(rate):
            raise ValueError(f"learning_rate must be {expected}; got inf.")
    for name in ("fit_intercept", "warm_start"):
        if not isinstance(getattr(estimator, name), bool | np.bool_):
            raise TypeError(
                f"{name} must be True or False; got {getattr(estimator, name)!r}."
            )
    if not isinstance(estimator.verbose, Integral):
        raise TypeError(f"verbose must be a whole number; got {estimator.verbose!r}.")
    n_jobs = estimator.n_jobs
    if n_jobs is not None and (not isinstance(n_jobs, Integral) or n_jobs == 0):
        raise ValueError(
            "n_jobs must be None (as many threads as BLAS may use), a number of "
            f"threads or -1 (all processors); got {n_jobs!r}."
        )
    max_iter = estimator.max_iter
    whole = isinstance(max_iter, Integral) and not isinstance(max_iter, bool)
    if not whole or int(max_iter) < 1:
        raise ValueError(
            f"max_iter must be a whole number from 1 up; got {max_iter!r}."
        )
    l1_ratio = estimator.l1_ratio
    if not isinstance(l1_ratio, Real) or not 0 <= float(l1_ratio) <= 1:
        raise ValueError(f"l1_ratio must be a number from 0 to 1; got {l1_ratio!r}.")
    if float(l1_ratio) > 0:
        raise ValueError(
            f"l1_ratio={l1_ratio!r} asks for an L1 penalty, which is not "
            "available yet: use l1_ratio=0 (L2), or scikit-learn's solver='saga'."
        )
    _one_of("solver", estimator.solver, ("auto", *SOLVERS))
    _one_of("multi_class", estimator.multi_class, ("multinomial", "ovr"))
    class_weight = estimator.class_weight
    if class_weight is not None and not isinstance(class_weight, dict):
        _one_of("class_weight", class_weight, ("balanced",))
