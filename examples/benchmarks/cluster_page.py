"""Page of results on Dask: the goals, and one section per cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from cluster_cells import EQUAL
from cluster_passes import GRADIENT, KINDS
from cluster_scaling import PREDICTED_WORKERS, Constants, Setting
from formats import error, number, table, time
from page import machine_lines

MAX_PASSES = 8
MAX_OVERHEAD = 1.5  # time in chunks / time of one array


class Goal(NamedTuple):
    """A goal; ``key`` finds the reason in ``LIMITS`` if it is missed."""

    key: str
    what: str
    measured: str
    goal: str
    met: bool


def size_as_text(setting: dict[str, Any]) -> str:
    """Return the size as text, such as "2M x 100 in 20 chunks"."""
    n = setting["n"]
    rows = f"{n / 1e6:g}M" if n >= 1e6 else f"{n / 1e3:g}k"
    return f"{rows} x {setting['p']} in {setting['chunks']} chunks"


def passes_as_text(passes: dict[str, Any]) -> str:
    """Return the passes as text, such as "1 start, 4 gradients, 1 hessian"."""
    counts = {kind: passes[kind]["count"] for kind in KINDS if kind in passes}
    words = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items()]
    return ", ".join(words)


def goals(results: dict[str, Any]) -> Iterator[Goal]:
    """Yield all goals that were measured."""
    if result := results.get("in memory"):
        yield from _goals_in_memory(result)
    if result := results.get("threads"):
        one, chunks = result["fits"]["one array"], result["fits"]["in chunks"]
        what = f"{size_as_text(result['setting'])} on Dask's threads against one array"
        if one["seconds"] is None or chunks["seconds"] is None:
            yield Goal("threads", what, "not within tolerance", "", False)
        else:
            ratio = chunks["seconds"] / one["seconds"]
            yield Goal(
                "threads",
                what,
                f"{ratio:.2f} times as long",
                f"at most {MAX_OVERHEAD:g}",
                ratio <= MAX_OVERHEAD,
            )
    if result := results.get("disk"):
        yield Goal(
            "disk",
            f"{result['X_bytes'] / 1e9:.1f} GB on disk, two workers of "
            f"{result['memory_limit']} each",
            f"{time(result['seconds'])} s, {result['killed']} workers killed",
            "finishes",
            result["killed"] == 0 and result["distance"] <= EQUAL,
        )


def _goals_in_memory(result: dict[str, Any]) -> Iterator[Goal]:
    ours = result["fits"]["xlr"]
    what = f"{size_as_text(result['setting'])} on two workers"
    for name, goal in result["goals"].items():
        fit = result["fits"].get(name)
        wanted = f"at least {goal:g}"
        if fit is None or ours["seconds"] is None:
            yield Goal(name, f"{what}, against {name}", "no figure", wanted, False)
            continue
        # A peer that never came close enough has the time of its tightest run.
        theirs = fit["seconds"] or fit["tried"][-1]["seconds"]
        ratio = theirs / ours["seconds"]
        more = "" if fit["seconds"] else "more than "
        text = f"{more}{ratio:.1f} times as fast"
        yield Goal(name, f"{what}, against {name}", text, wanted, ratio >= goal)
    passes = ours.get("n_passes")
    yield Goal(
        "passes",
        f"{what}: passes over all rows",
        number(passes, "d"),
        f"at most {MAX_PASSES}",
        passes is not None and passes <= MAX_PASSES,
    )


def page(introduction: str, limits: dict[str, str], results: dict[str, Any]) -> str:
    """Return the page."""
    parts = [introduction, *machine_lines(list(results.values()))]
    measured = list(goals(results))
    if measured:
        rows = [
            [goal.what, goal.measured, goal.goal, "yes" if goal.met else "no"]
            for goal in measured
        ]
        parts += ["## Goals\n", table("what | measured | goal | met", rows)]
    missed = [limits[g.key] for g in measured if not g.met and g.key in limits]
    if missed:
        parts.append("## Where goals are missed\n\n" + "".join(missed))
    for name, section in SECTIONS.items():
        if name in results:
            parts += [section(results[name])]
    return "\n".join(parts)


def _fits(fits: dict[str, Any], first: str) -> str:
    """Return a table of fits, with times relative to one of them."""
    rows = []
    for name, fit in fits.items():
        last = fit["tried"][-1]
        seconds = last["seconds"] if fit["seconds"] is None else fit["seconds"]
        unit = fits[first]["seconds"]
        rows.append(
            [
                name if fit["tol"] is not None else f"{name} †",
                time(seconds),
                "-" if unit is None else f"{seconds / unit:.2f}",
                error(max(0.0, fit["distance"])),
                f"{last['tol']:.0e}",
                number(fit.get("n_passes"), "d"),
                str(len(fit.get("repeats", [])) or 1),
            ]
        )
    text = table(
        f"fit | seconds | / {first} | F above lowest | tol | passes | repeats", rows
    )
    if any(fit["tol"] is None for fit in fits.values()):
        text += f"\n†: no tolerance came within {EQUAL:.0e}; this is the tightest.\n"
    return text


def _trial(result: dict[str, Any]) -> str:
    return "" if result["whole"] else "**A trial, with fewer rows.**\n\n"


def in_memory_section(result: dict[str, Any]) -> str:
    text = f"## {size_as_text(result['setting'])}, in memory\n\n" + _trial(result)
    text += (
        "Two worker processes with one thread each; for Spark, `local[2]`. Lowest F "
        f"{result['best']:.15g} (the reference fit came within "
        f"{error(max(0.0, result['reference_distance']))}).\n\n"
    )
    text += _fits(result["fits"], "xlr")
    if result["absent"]:
        reasons = (f"{name}: {why}" for name, why in result["absent"].items())
        text += f"\nNo row: {'; '.join(reasons)}.\n"
    text += "\nThe passes of xlr, with their time and traffic:\n\n"
    return text + _passes(Setting(**result["setting"]), result["passes"])


def _passes(setting: Setting, passes: dict[str, Any]) -> str:
    rows = []
    for kind, found in passes.items():
        rows.append(
            [
                kind,
                str(found["count"]),
                time(found["seconds"]),
                _kilobytes(setting.sent_up(kind)),
                _kilobytes(setting.sent_down(kind)),
                _kilobytes(found["moved"]),
            ]
        )
    return table(
        "pass | number | s each | kB of results | kB of parameters | kB in total", rows
    )


def _kilobytes(count: float | None) -> str:
    return "-" if count is None else f"{count / 1e3:,.0f}"


def threads_section(result: dict[str, Any]) -> str:
    text = f"## {size_as_text(result['setting'])}, on threads\n\n" + _trial(result)
    text += "Two threads: xlr's own for one array, Dask's for the array in chunks.\n\n"
    return text + _fits(result["fits"], "one array")


def disk_section(result: dict[str, Any]) -> str:
    peaks = ", ".join(_megabytes(peak) for peak in result["peaks"])
    idle = ", ".join(_megabytes(peak) for peak in result["idle_peaks"])
    text = f"## {size_as_text(result['setting'])}, on disk\n\n" + _trial(result)
    text += (
        f"{result['X_bytes'] / 1e9:.2f} GB in Zarr. The system was asked to drop the "
        "files from its cache before the fit; during the fit it may cache them in "
        "memory that the workers do not use. Each worker has a limit of "
        f"{result['memory_limit']}. The fit took {time(result['seconds'])} s and "
        f"{result['n_passes']} passes; its F is {error(result['distance'])} above that "
        f"at a tol of 1e-12. Peak memory of the workers: {peaks} MB ({idle} MB before "
        f"the fit). {result['killed']} of them were killed for exceeding the limit.\n\n"
    )
    return text + _passes(Setting(**result["setting"]), result["passes"])


def _megabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:,.0f}"


def scaling_section(result: dict[str, Any]) -> str:
    runs = result["runs"]
    found = {kind: Constants(**values) for kind, values in result["constants"].items()}
    text = "## Scaling\n\n" + _trial(result)
    text += (
        "Measured seconds of each kind of pass and, in brackets, by the formula\n\n"
        "    seconds = work / (rate x workers) + chunks x overhead + fixed\n\n"
        "A start finds the labels and column statistics, and fits a sample of the "
        "rows. The work of a start or of a gradient is rows x columns. The work of a "
        "Hessian, which a fit needs if there are few rows per column, is rows x "
        "columns^2.\n\n"
    )
    text += table(
        "data | workers | start, s | gradient, s | Hessian, s",
        [
            [
                size_as_text(run["setting"]),
                str(run["setting"]["workers"]),
                *(_measured_and_fitted(run, kind, found.get(kind)) for kind in KINDS),
            ]
            for run in runs
        ],
    )
    text += "\nThe constants, by least squares of relative errors:\n\n"
    text += table(
        "pass | rate per worker, 1/s | overhead per chunk, ms | fixed, ms",
        [
            [
                kind,
                number(fitted.rate, ".3g"),
                f"{1e3 * fitted.overhead:.2g}",
                f"{1e3 * fitted.fixed:.2g}",
            ]
            for kind, fitted in found.items()
        ],
    )
    return text + "\n" + _predicted(result)


def _measured_and_fitted(
    run: dict[str, Any], kind: str, fitted: Constants | None
) -> str:
    """Return the measured seconds and, in brackets, those of the formula."""
    if kind not in run["passes"]:
        return "-"
    seconds = run["passes"][kind]["seconds"]
    if fitted is None:
        return time(seconds)
    formula = fitted.seconds(Setting(**run["setting"]), kind)
    return f"{time(seconds)} ({time(formula)})"


def _predicted(result: dict[str, Any]) -> str:
    rows = []
    for name, prediction in result["foretold"].items():
        setting, seconds = Setting(**prediction["setting"]), prediction["seconds"]
        rows.append(
            [
                name,
                f"{setting.chunks:,}",
                *(number(seconds.get(kind), ".3g") for kind in KINDS),
                f"{sum(seconds.values()):.3g}",
                _kilobytes(setting.sent_up(GRADIENT)),
            ]
        )
    counts = passes_as_text(result["runs"][0]["passes"])
    text = (
        f"The formula predicts these times for {PREDICTED_WORKERS} such workers, with "
        "one thread each and the data in memory, as float64 in chunks of 1 GB. The "
        f"number of passes is that of the first fit above ({counts}). A row of the "
        "logs has 13 numbers and 26 categories; here each category is one column with "
        "a number for its level, such as its click rate. The times leave out transfers "
        "between machines; the last column shows what the chunks send for a "
        "gradient.\n\n"
    )
    kinds = " | ".join(f"{kind}, s" for kind in KINDS)
    return text + table(f"data | chunks | {kinds} | total, s | kB per gradient", rows)


SECTIONS = {
    "in memory": in_memory_section,
    "threads": threads_section,
    "disk": disk_section,
    "scaling": scaling_section,
}
