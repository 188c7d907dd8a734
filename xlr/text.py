"""Users' names and values as text, and warnings at the line that called xlr."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from sys import float_info
from typing import Any

MAX_LENGTH = 100  # characters of a name or a value in a message

# Beginnings of the names of modules between a warning and the user's line.
INTERNAL = ("xlr.", "sklearn.callback.", "contextlib")


def printable(name: Any, max_length: int = MAX_LENGTH) -> str:
    """Return a name as text, with escapes, and shortened in the middle."""
    text = str(name)
    if len(text) > max_length:
        half = max_length // 2 - 2
        text = f"{text[:half]}...{text[-half:]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def quoted(value: Any) -> str:
    """Return the ``repr`` of a value, shortened in the middle."""
    if isinstance(value, int) and abs(value) > float_info.max:
        return "a number beyond float64"  # Python refuses to print long integers
    return printable(repr(value))


def listed(values: list[Any], show: Callable[[Any], str] = quoted) -> str:
    """Join the first five values, quoted by default, and the number of further ones."""
    shown = ", ".join(map(show, values[:5]))
    return f"{shown} and {len(values) - 5} more" if len(values) > 5 else shown


def warn(sentence: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the user's line that called xlr."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(INTERNAL):
        frame, level = frame.f_back, level + 1
    warnings.warn(sentence, category, stacklevel=level)


def term_of(name: str) -> str:
    """Return the term of a coefficient, without levels: race for race[black]."""
    term, _, level = name.partition("[")
    _, bracket, remainder = level.partition("]")
    return term + term_of(remainder) if bracket else name
