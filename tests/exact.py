"""Logarithms and exponentials to 320 digits, by Python's decimal module."""

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
STEP = Decimal("1e-20")


def exactly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function run in these digits."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        with decimal.localcontext(DIGITS):
            return function(*arguments, **options)

    return run


def log1p(x: Decimal) -> Decimal:
    """Return log(1 + x) for x >= 0, also where 1 + x rounds to 1."""
    return (1 + x).ln() if x > Decimal("1e-40") else x - x * x / 2 + x**3 / 3


def difference(
    function: Callable[..., Decimal], at: tuple[Decimal, ...], *along: int
) -> Decimal:
    """Return a derivative in some variables, by central differences of 1e-20."""
    if not along:
        return function(*at)
    first, *others = along
    ends = []
    for side in (STEP, -STEP):
        moved = tuple(z + side * (k == first) for k, z in enumerate(at))
        ends.append(difference(function, moved, *others))
    return (ends[0] - ends[1]) / (2 * STEP)
