"""Summary of all cells, and the goals other than ratios."""

from __future__ import annotations

import math

from formats import error, number, share, table, time
from peers import SKLEARN_DEFAULT, XLR

MAX_PASSES = 10  # goal for "tall"


def fastest_peer(result: dict) -> str | None:
    """Return the fastest peer that is accurate enough."""
    fits = result["fits"]
    good = [name for name in fits if name != XLR and fits[name]["good"]]
    return min(good, key=lambda name: fits[name]["seconds"], default=None)


def against_default(result: dict) -> tuple[float, bool] | None:
    """Return the time of scikit-learn's default / xlr's, and whether it is accurate.

    If it is not, the ratio uses its longest run, and is a lower bound.
    """
    fit, xlr = result["fits"].get(SKLEARN_DEFAULT), result["fits"][XLR]
    if fit is None or not xlr["good"]:
        return None
    seconds = fit["seconds"] if fit["good"] else fit["longest"]
    return seconds / xlr["seconds"], fit["good"]


def remarks(fit: dict) -> str:
    """Return the tolerance of xlr if it is not the default, and † if F is too high."""
    tol = fit["counts"]["tol"]
    text = "" if tol == fit["sweep"][0]["tol"] else f" (tol {tol:.0e})"
    return text + ("" if fit["good"] else " †")


def ratio_to_fastest(result: dict) -> float:
    """Return the time of the fastest peer, or its patience, divided by that of xlr."""
    peer = fastest_peer(result)
    theirs = result["fits"][peer]["seconds"] if peer else result["patience"]
    return theirs / result["fits"][XLR]["seconds"]


def passes(result: dict) -> float:
    """Return xlr's seconds in units of one product."""
    return result["fits"][XLR]["seconds"] / result["matvec_seconds"]


def misses(result: dict) -> bool:
    """Return whether xlr misses the goal of the cell."""
    if result["fits"][XLR]["counts"] is None or not result["fits"][XLR]["good"]:
        return True
    if result["name"] == "tall" and passes(result) > MAX_PASSES:
        return True
    return ratio_to_fastest(result) < result["goal"]


def summary(results: list[dict]) -> str:
    """Return one line per cell, and the mean ratio to scikit-learn's default."""
    rows = []
    for result in results:
        fit, peer = result["fits"][XLR], fastest_peer(result)
        counts = fit["counts"]
        if counts is None:
            rows.append([result["name"], fit["sweep"][-1]["problem"], *["-"] * 9])
            continue
        ratio = ratio_to_fastest(result)
        met = fit["good"] and ratio >= result["goal"]
        default = against_default(result)
        rows.append(
            [
                result["name"],
                time(fit["seconds"]) + remarks(fit),
                peer or "none",
                ("" if peer else "> ") + time(ratio * fit["seconds"]),
                ("" if peer else "> ") + number(ratio, ".2f"),
                f"{result['goal']:g}",
                "yes" if met else "no",
                f"{passes(result):.1f}",
                share(fit, result),
                error(counts["distance"]),
                "-"
                if default is None
                else f"{'' if default[1] else '> '}{default[0]:.1f}",
            ]
        )
    header = (
        "cell | xlr, s | fastest other | its time, s | ratio | goal | met | xlr passes"
        " | xlr memory | xlr F above lowest | scikit-learn's default / xlr"
    )
    text = table(header, rows)
    return text + "\n" + default_sentence(results)


def default_sentence(results: list[dict]) -> str:
    """Return a sentence with the geometric mean against scikit-learn's default."""
    ratios, never = [], []
    for result in results:
        if default := against_default(result):
            ratio, reached = default
            ratios.append(ratio)
            if not reached:
                never.append(result["name"])
    if not ratios:
        return ""
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    text = (
        "At the same accuracy, scikit-learn's default solver, lbfgs, takes "
        f"{mean:.1f} times as long as xlr in the geometric mean of {len(ratios)} cells "
        "(goal: 10)."
    )
    if never:
        text += (
            f" It never reached this accuracy in {', '.join(never)}, where its longest "
            "run counts."
        )
    return text + "\n"


def other_goals(results: list[dict]) -> str:
    """Return the measured goals other than ratios."""
    named = {result["name"]: result for result in results}
    lines = []

    def add(text: str, met: bool) -> None:
        lines.append(f"- {text}: {'met' if met else 'not met'}.")

    def seconds(name: str) -> float | None:
        return named[name]["fits"][XLR]["seconds"] if name in named else None

    if (bad := seconds("bad scales")) and (medium := seconds("medium")):
        text = (
            f"bad scales take {bad / medium:.2f} times as long as medium (at most 1.3)"
        )
        add(text, bad <= 1.3 * medium)
    if "tall" in named:
        taken = passes(named["tall"])
        add(
            f"tall takes {taken:.1f} passes (at most {MAX_PASSES})",
            taken <= MAX_PASSES,
        )
    shares = {
        name: result["fits"][XLR]["extra_bytes"] / result["X_bytes"]
        for name, result in named.items()
        if result["rows"] >= 100_000 and result["fits"][XLR]["extra_bytes"] is not None
    }
    if shares:
        most = max(shares, key=shares.get)
        text = (
            "with 100,000 rows or more, memory is at most "
            f"{shares[most]:.2f} of X, in {most} (under 0.25)"
        )
        add(text, shares[most] < 0.25)
    for result in results:
        if result["overhead"]:
            times = ", ".join(
                f"{name} {1e3 * s:.3g} ms" for name, s in result["overhead"].items()
            )
            lines.append(
                f"- a fit to 2 rows of 1 feature, which is only overhead: {times}."
            )
            lines.append(bare_newton_line(result))
    return "\n".join(lines) + "\n" if lines else ""


def bare_newton_line(result: dict) -> str:
    """Return the time of Newton's method in plain NumPy, and its ratio."""
    bare, overhead = result["bare_seconds"], result["overhead"][XLR]
    text = (
        f"- {result['name']} by Newton's method in bare NumPy, without checks, "
        f"standardisation or results: {1e3 * bare:.3g} ms"
    )
    if peer := fastest_peer(result):
        ratio = result["fits"][peer]["seconds"] / (bare + overhead)
        text += (
            f"; with the overhead added, at most {ratio:.1f} times as fast as the "
            "fastest other library"
        )
    return text + "."
