"""Names and values of users as text for messages and tables."""

from __future__ import annotations

from sys import float_info
from typing import Any

__all__ = ["printable", "quoted"]

MAX_LENGTH = 100  # characters of a name or a value


def printable(name: Any, max_length: int = MAX_LENGTH) -> str:
    """Return a name as text: characters that do not print escaped, the middle of a
    long one left out.
    """
    text = str(name)
    if len(text) > max_length:
        half = max_length // 2 - 2
        text = f"{text[:half]}...{text[-half:]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def quoted(value: Any) -> str:
    """Return the ``repr`` of a value, the middle of a long one left out."""
    if isinstance(value, int) and abs(value) > float_info.max:
        return "a number beyond float64"  # Python prints integers of some length only
    return printable(repr(value))
