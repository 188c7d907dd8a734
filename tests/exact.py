"""Arithmetic with 320 digits, by Python's decimal module."""

from __future__ import annotations

import decimal
import functools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

# 320 digits exceed those of the largest float64. Overflow gives infinity, not an error.
DIGITS = decimal.Context(
    prec=320, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[]
)
STEP = Decimal("1e-20")  # of central differences


def exactly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function compute with 320 digits."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        with decimal.localcontext(DIGITS):
            return function(*arguments, **options)

    return run


def log1p(x: Decimal) -> Decimal:
    """Return log(1 + x) for x >= 0, also where 1 + x rounds to 1."""
    return (1 + x).ln() if x > Decimal("1e-40") else x - x * x / 2 + x**3 / 3


def partial_derivative(
    function: Callable[..., Decimal], at: tuple[Decimal, ...], *variables: int
) -> Decimal:
    """Return a derivative in each of some variables, by central differences."""
    if not variables:
        return function(*at)
    first, *others = variables
    ends = []
    for step in (STEP, -STEP):
        moved = tuple(z + step * (k == first) for k, z in enumerate(at))
        ends.append(partial_derivative(function, moved, *others))
    return (ends[0] - ends[1]) / (2 * STEP)
