"""Checks of an estimator's parameters, each ending in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from xlr.solvers import SOLVERS

__all__ = [
    "OF_SKLEARN",
    "check_parameter",
    "check_parameters",
    "check_solver_for",
    "random_seed",
]

# The solvers for an L1 penalty and bounds.
NOT_SMOOTH = frozenset({"proximal-newton", "active-set"})

# Solvers of scikit-learn's, for which 'auto' chooses one.
OF_SKLEARN = "liblinear", "sag", "saga"

# Solvers that take any penalty.
FOR_BOTH = frozenset({"newton-cg"})


def _positive_number(name: str, value: Any, expected: str) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be {expected}; got {value!r}.")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(
            f"{name} must be {expected}; got one beyond float64."
        ) from error
    if not number > 0:  # also refuses NaN
        raise ValueError(f"{name} must be {expected}; got {value!r}.")
    return number


def _one_of(name: str, value: Any, options: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in options:
        names = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {names}; got {value!r}.")


def _check_strength(name: str, value: Any) -> None:
    _positive_number(name, value, "a number above 0 (inf for no penalty)")


def _check_tol(name: str, value: Any) -> None:
    if math.isinf(_positive_number(name, value, "a finite number above 0")):
        raise ValueError(f"{name} must be a finite number above 0; got inf.")


def _check_learning_rate(name: str, value: Any) -> None:
    if value is None:
        return
    expected = "None or a finite number above 0"
    if math.isinf(_positive_number(name, value, expected)):
        raise ValueError(f"{name} must be {expected}; got inf.")


def _check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {value!r}.")


def _check_verbose(name: str, value: Any) -> None:
    if not isinstance(value, Integral) or value < 0:
        raise ValueError(
            f"{name} must be 0 (silent) or a whole number above it; got {value!r}."
        )


def _check_n_jobs(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, Integral) or value == 0):
        raise ValueError(
            f"{name} must be None (as many threads as BLAS may use), a number of "
            f"threads or -1 (all processors); got {value!r}."
        )


def _check_count(name: str, value: Any, least: int = 1) -> None:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or int(value) < least:
        raise ValueError(
            f"{name} must be a whole number from {least} up; got {value!r}."
        )


def _check_max_iter(name: str, value: Any) -> None:
    _check_count(name, value, least=0)


def _check_l1_ratio(name: str, value: Any) -> None:
    if not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1; got {value!r}.")


def _check_share(name: str, value: Any) -> None:
    if not isinstance(value, Real) or not 0 < float(value) < 1:
        raise ValueError(f"{name} must be between 0 and 1; got {value!r}.")


def _check_list(name: str, values: Any, check: Callable[[str, Any], None]) -> None:
    values = np.asarray(values)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(
            f"{name} must be a list of at least one number; got {values!r}."
        )
    for value in values.tolist():
        check(f"each of {name}", value)


def _check_strengths(name: str, value: Any) -> None:
    if isinstance(value, Integral) and not isinstance(value, bool):
        _check_count(name, value)
    else:
        _check_list(name, value, _check_strength)


def _check_l1_ratios(name: str, value: Any) -> None:
    _check_list(name, value, _check_l1_ratio)


def _check_solver(name: str, value: Any) -> None:
    _one_of(name, value, ("auto", *SOLVERS, *OF_SKLEARN))


def _check_multi_class(name: str, value: Any) -> None:
    _one_of(name, value, ("multinomial", "ovr"))


def _check_class_weight(name: str, value: Any) -> None:
    if value is None or isinstance(value, dict):
        return
    if not isinstance(value, str):
        raise TypeError(
            f"{name} must be None, 'balanced' or a dict from classes to weights; got "
            f"{type(value).__name__}. Pass dict({name}) if it has the classes as keys."
        )
    _one_of(name, value, ("balanced",))


CHECKS: dict[str, Callable[[str, Any], None]] = {
    "C": _check_strength,
    "Cs": _check_strengths,
    "n_Cs": _check_count,
    "n_resamples": _check_count,
    "level": _check_share,
    "alpha": _check_share,
    "tol": _check_tol,
    "learning_rate": _check_learning_rate,
    "fit_intercept": _check_flag,
    "warm_start": _check_flag,
    "refit": _check_flag,
    "verbose": _check_verbose,
    "n_jobs": _check_n_jobs,
    "max_iter": _check_max_iter,
    "l1_ratio": _check_l1_ratio,
    "l1_ratios": _check_l1_ratios,
    "solver": _check_solver,
    "multi_class": _check_multi_class,
    "class_weight": _check_class_weight,
}


def check_solver_for(solver: str, *, smooth: bool) -> None:
    """Refuse a solver that is not made for the kind of penalty.

    Raises
    ------
    ValueError
    """
    if solver in FOR_BOTH or smooth == (solver not in NOT_SMOOTH):
        return
    if smooth:
        needs, others = "an L1 penalty or bounds", sorted(set(SOLVERS) - NOT_SMOOTH)
    else:
        needs = "l1_ratio=0, no bounds and no infinite penalty_factor"
        others = sorted(NOT_SMOOTH | FOR_BOTH)
    raise ValueError(
        f"solver={solver!r} needs {needs}. Use solver='auto', or one of "
        f"{', '.join(map(repr, others))}."
    )


def check_parameters(estimator: Any) -> None:
    """Refuse parameters of an estimator that make no sense.

    Raises
    ------
    TypeError, ValueError
        Naming the parameter, what it may be and what it was.
    """
    for name, value in estimator.get_params(deep=False).items():
        if name in CHECKS:
            CHECKS[name](name, value)


def check_parameter(name: str, value: Any) -> None:
    """Refuse a parameter that makes no sense, as :func:`check_parameters` does."""
    CHECKS[name](name, value)


def random_seed(estimator: Any) -> int:
    """A seed from the ``random_state`` of an estimator: 0 for None."""
    if estimator.random_state is None:
        return 0
    return check_random_state(estimator.random_state).randint(2**31)
