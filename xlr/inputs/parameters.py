"""Checks of parameters against one table of types and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from sys import float_info
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import InvalidParameterError

from xlr.solvers import SOLVERS
from xlr.text import listed, quoted

# Solvers only for an L1 penalty or bounds.
NOT_SMOOTH = frozenset({"proximal-newton", "active-set"})

# Solvers of scikit-learn that mean 'auto' here.
OF_SKLEARN = "liblinear", "sag", "saga"

# Ends of closed intervals.
MIN_POSITIVE, MAX_FLOAT, INF = 5e-324, float_info.max, float("inf")
POSITIVE_FINITE = MIN_POSITIVE, MAX_FLOAT


class Rule(NamedTuple):
    """Valid values of a parameter.

    Attributes
    ----------
    expected : str
        Description of the values, for errors.
    types : tuple of types
        Accepted types. A ``bool`` is accepted only if ``bool`` is one of them.
    low, high : float
        Ends of the closed interval of a number.
    options : tuple of str
        Accepted strings.
    """

    expected: str
    types: tuple[type, ...]
    low: float = -INF
    high: float = INF
    options: tuple[str, ...] = ()


def _one_of(*options: str) -> Rule:
    return Rule(f"one of {', '.join(map(repr, options))}", (str,), options=options)


# Exact types come first: a test against an abstract class runs Python code.
WHOLE_TYPES, NUMBER_TYPES = (int, Integral), (float, int, Real)
COUNT = Rule("a whole number from 1 up", WHOLE_TYPES, 1)
FLAG = Rule("True or False", (bool, np.bool_))
SHARE = Rule("between 0 and 1", NUMBER_TYPES, MIN_POSITIVE, 1 - float_info.epsilon / 2)
STRENGTH = Rule("a number above 0 (inf for no penalty)", NUMBER_TYPES, MIN_POSITIVE)
L1_SHARE = Rule("a number from 0 to 1", (*NUMBER_TYPES, bool), 0, 1)
THREADS = (
    "None (as many threads as BLAS may use), a number of threads or -1 (all processors)"
)
RULES = {
    **dict.fromkeys(("Cs", "n_Cs", "n_resamples"), COUNT),
    **dict.fromkeys(("level", "alpha", "threshold"), SHARE),
    **dict.fromkeys(("fit_intercept", "warm_start", "refit"), FLAG),
    **dict.fromkeys(("C", "each of Cs"), STRENGTH),
    **dict.fromkeys(("l1_ratio", "each of l1_ratios"), L1_SHARE),
    "max_iter": Rule("a whole number from 0 up", WHOLE_TYPES, 0),
    "n_groups": Rule("a whole number from 3 up", WHOLE_TYPES, 3),
    "tol": Rule("a finite number above 0", NUMBER_TYPES, *POSITIVE_FINITE),
    "learning_rate": Rule(
        "None or a finite number above 0", (*NUMBER_TYPES, NoneType), *POSITIVE_FINITE
    ),
    "verbose": Rule("0 (silent) or a whole number above it", (*WHOLE_TYPES, bool), 0),
    "n_jobs": Rule(THREADS, (*WHOLE_TYPES, NoneType, bool)),
    "solver": _one_of("auto", *SOLVERS, *OF_SKLEARN),
    "multi_class": _one_of("multinomial", "ovr"),
    "categorical": Rule(
        "None, 'auto' or a list of column names",
        (NoneType, str, list, tuple),
        options=("auto",),
    ),
    "drop": Rule("'auto', 'first' or None", (NoneType, str), options=("auto", "first")),
    "handle_unknown": _one_of("error", "ignore"),
    "handle_missing": _one_of("error", "level"),
    "class_weight": Rule(
        "None, 'balanced' or a dict from classes to weights, such as dict(series)",
        (NoneType, str, dict),
        options=("balanced",),
    ),
}
# Parameters that are lists of numbers.
LISTS = "Cs", "l1_ratios"


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise InvalidParameterError for an invalid value of a parameter.

    It is a ValueError and a TypeError, as for scikit-learn's estimators. Parameters
    without a rule are valid.
    """
    for name, value in parameters.items():
        rule = RULES.get(name)
        if name in LISTS and not (rule and isinstance(value, Integral)):
            _check_list(name, value)
        elif rule is not None:
            valid = isinstance(value, rule.types)
            if isinstance(value, bool):
                valid = bool in rule.types
            elif valid and isinstance(value, str):
                valid = value in rule.options
            elif valid and isinstance(value, NUMBER_TYPES):
                number: Any = value.item() if isinstance(value, np.generic) else value
                is_float = number <= MAX_FLOAT or number == INF  # else a huge integer
                is_allowed = number != 0 or name != "n_jobs"
                valid = is_allowed and is_float and rule.low <= number <= rule.high
            if not valid:
                raise InvalidParameterError(
                    f"{name} must be {rule.expected}; got {quoted(value)}."
                )


def _check_list(name: str, values: Any) -> None:
    numbers = np.asarray(values)
    if numbers.ndim != 1 or numbers.size == 0:
        raise InvalidParameterError(
            f"{name} must be a list of at least one number; got {quoted(values)}."
        )
    for number in numbers.tolist():
        check_parameters({f"each of {name}": number})


def check_option(name: str, value: Any, options: Iterable[str]) -> None:
    """Raise ValueError unless the value of an argument is one of its options."""
    rule = _one_of(*options)
    if not (isinstance(value, str) and value in rule.options):
        raise ValueError(f"{name} must be {rule.expected}; got {quoted(value)}.")


def check_solver_for(solver: str, *, smooth: bool) -> None:
    """Raise ValueError for a solver that does not take the kind of penalty."""
    if solver == "newton-cg" or smooth == (solver not in NOT_SMOOTH):
        return
    if smooth:
        needs, others = "an L1 penalty or bounds", sorted(set(SOLVERS) - NOT_SMOOTH)
    else:
        needs = "l1_ratio=0, no bounds and no infinite penalty_factor"
        others = ["active-set", "newton-cg", "proximal-newton"]
    raise ValueError(
        f"solver={solver!r} needs {needs}. Use solver='auto', or one of "
        f"{listed(others)}."
    )


def random_seed(estimator: Any) -> int:
    """Return a seed from the ``random_state`` of an estimator: 0 for None."""
    state = getattr(estimator, "random_state", None)
    return 0 if state is None else check_random_state(state).randint(2**31)
