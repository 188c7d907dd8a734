"""Numbers as text, and rows of text as Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def number(value: float | None, form: str = ".2g") -> str:
    return "-" if value is None else format(value, form)


def time(seconds: float | None) -> str:
    """Return three digits, without an exponent where the number is readable."""
    if seconds is None:
        return "-"
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def share(fit: dict, result: dict) -> str:
    extra = fit["extra_bytes"]
    return "-" if extra is None else f"{extra / result['X_bytes']:.2f}"


def error(distance: float) -> str:
    """Return a distance from the best F as text, or "<" the resolution of float64."""
    return "< 1e-15" if distance < 1e-15 else f"{distance:.1e}"


def table(header: str, rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; the first column is aligned left, the others right."""
    names = header.split("|")
    lines = ["| " + " | ".join(name.strip() for name in names) + " |"]
    lines.append("|---|" + "--:|" * (len(names) - 1))
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
