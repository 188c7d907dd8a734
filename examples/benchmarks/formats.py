"""Numbers as text, and rows of text as Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def number(value: float | None, form: str = ".2g") -> str:
    return "-" if value is None else format(value, form)


def time(seconds: float | None) -> str:
    """Three digits, without an exponent where that can be read."""
    if seconds is None:
        return "-"
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def share(fit: dict, result: dict) -> str:
    extra = fit["extra_bytes"]
    return "-" if extra is None else f"{extra / result['X_bytes']:.2f}"


def error(distance: float) -> str:
    """A distance from the best F; below what float64 resolves it is no number."""
    return "< 1e-15" if distance < 1e-15 else f"{distance:.1e}"


def table(header: str, rows: Iterable[Iterable[str]]) -> str:
    """Markdown; the first column to the left, the others to the right."""
    names = header.split("|")
    lines = ["| " + " | ".join(name.strip() for name in names) + " |"]
    lines.append("|---|" + "--:|" * (len(names) - 1))
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
