"""Page of results: the machine, a summary, and each cell."""

from __future__ import annotations

from formats import error, share, table, time
from peers import XLR
from summary import misses, other_goals, summary

INTRODUCTION = """\
# Fits on the CPU

`python examples/benchmarks/cpu.py` writes this page; `cpu.json` has all numbers, with
every repeat and every tolerance tried.

A *cell* is a data set with one value of C. All libraries minimise the same F. Each runs
at tolerances from loose to tight; the loosest that brings F within a relative
{good:.0e} of the lowest F known is timed. A reference fit, with more effort than the
timed ones, also looks for the lowest F. xlr runs with its defaults; a tighter `tol` is
tried, and shown, only where the default is not enough. The libraries run in turns, and
the tables show median times. A library marked † never came so close: its row shows the
closest run, timed once. *Passes* are times in units of one product `X @ w`. *Memory* is
the additional peak memory of the fit, in units of X.
"""

NOTES = """\
- scikit-learn-intelex (sklearnex) runs its own code for `lbfgs`, and for `newton-cg`
  only if its previews are switched on, as they are here. With sample or class weights
  it falls back to scikit-learn, and has no row. It compares `tol` with the gradient of
  the sum over the rows; the `tol` shown is divided by the number of rows.
- statsmodels' `Logit` has no ridge penalty. Its `GLM` has one that can exclude the
  constant; SciPy's BFGS minimises it.
- Methods that store a matrix of parameters x parameters have no row above 5,000
  parameters.
- A run of another library is stopped after 20 times the fastest time that was close
  enough (but at least a second), or after {patience} s. scikit-learn's default, lbfgs,
  always has the {patience} s.
"""

# Why a goal is missed, and what was tried, by cell.
LIMITS = {
    "tiny": """\
- tiny: Python and NumPy calls on arrays of a few kilobytes take most of the time; the
  summary shows the time of bare NumPy.
""",
    "medium": """\
- medium: of 60 ms with one thread, in another run, six passes for value and gradient
  take 34 ms, column statistics 7 ms and the start on samples of the rows 10 ms.
""",
    "tall": """\
- tall: each of four passes for value and gradient takes as long as about two products.
  Means and standard deviations take one and a half products, and reading the labels and
  weights and gathering random rows take about three. The Hessian of the sample has an
  error of about sqrt(p / rows), so each step reduces the error by a factor of 20 to 40,
  and three steps are needed. Larger samples, other block sizes and a tighter fit to the
  sample were no faster.
""",
    "many features": """\
- many features: of 1.13 s with one thread, in another run, eleven passes for value and
  gradient take 0.66 s, Hessians of samples of the rows 0.28 s, column statistics 0.09 s
  and gathering the samples 0.06 s.
""",
    "nearly separable": """\
- nearly separable: few residuals matter, so the Hessian changes with each step and has
  to be computed again. Two threads wait for each other's Python code between short
  NumPy calls.
""",
}


def limits(results: list[dict]) -> str:
    """Return why cells miss their goals."""
    missed = [r["name"] for r in results if misses(r) and r["name"] in LIMITS]
    if not missed:
        return ""
    return "## Where goals are missed\n\n" + "".join(LIMITS[name] for name in missed)


def cell_section(result: dict) -> str:
    """Return the section of a cell: its fits, the fastest first, and missing ones."""
    fits = result["fits"]
    xlr_seconds = fits[XLR]["seconds"]
    ended = [name for name in fits if fits[name]["counts"] is not None]
    ended.sort(key=lambda name: (not fits[name]["good"], fits[name]["seconds"]))
    rows = []
    for name in ended:
        fit, counts = fits[name], fits[name]["counts"]
        label = f"**{name}**" if name == XLR else name
        seconds = fit["seconds"]
        rows.append(
            [
                label if fit["good"] else f"{label} †",
                time(seconds),
                "-" if xlr_seconds is None else f"{seconds / xlr_seconds:.2f}",
                f"{seconds / result['matvec_seconds']:.1f}",
                error(counts["distance"]),
                str(counts["n_iter"]),
                f"{counts['tol']:.0e}",
                share(fit, result),
                str(len(fit["repeats"]) or 1),
            ]
        )
    header = (
        "fit | seconds | / xlr | passes | F above lowest | iterations | tol | memory"
        " | repeats"
    )
    best = result["best"]
    text = (
        f"### {result['name']}\n\n{result['description']}; C={result['C']:g}. "
        f"Lowest F {best['F']:.15g} ({best['by']}; the reference fit came within "
        f"{error(best['reference_distance'])}). One product takes "
        f"{time(result['matvec_seconds'])} s. {result['date']}.\n\n"
    )
    if not result["whole"]:
        text += f"**Only {result['rows']:,} rows.**\n\n"
    text += table(header, rows)
    absent = [f"{name}: {why}" for name, why in result["skipped"].items()]
    absent += [
        f"{name}: {fit['sweep'][-1]['problem']}"
        for name, fit in fits.items()
        if fit["counts"] is None
    ]
    if absent:
        text += f"\nNo row: {'; '.join(absent)}.\n"
    if result["dtype"] != "float64":
        text += (
            f"\nWith the best coefficients rounded to {result['dtype']}, F is above "
            f"the lowest by {error(result['rounding'])}.\n"
        )
    return text


def surroundings(result: dict) -> str:
    """Return machine and versions in a line."""
    machine, versions = result["machine"], result["versions"]
    text = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; "
    text += ", ".join(
        machine["threads"] + [f"{k}={v}" for k, v in machine["limits"].items()]
    )
    return text + "; " + ", ".join(f"{k} {v}" for k, v in versions.items()) + "."


def machine_lines(results: list[dict]) -> list[str]:
    """Return lines of machine and versions; several of them name their cells."""
    cells: dict[str, list[str]] = {}
    for result in results:
        cells.setdefault(surroundings(result), []).append(result["name"])
    return [
        ("" if len(cells) == 1 else ", ".join(names) + ": ") + f"{machine}\n"
        for machine, names in cells.items()
    ]


def page(results: list[dict]) -> str:
    """Return the page, with every machine that cells were measured on."""
    by_machine: dict[str, list[dict]] = {}
    for result in results:
        by_machine.setdefault(surroundings(result), []).append(result)
    parts = [INTRODUCTION.format(good=results[0]["good"])]
    for machine, cells in by_machine.items():
        dates = sorted(result["date"] for result in cells)
        span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        names = ""
        if len(by_machine) > 1:
            names = ", ".join(result["name"] for result in cells) + ": "
        parts.append(f"{names}{machine} {span}.\n")
    parts += ["## Summary\n", summary(results)]
    parts += [text for text in [other_goals(results)] if text]
    parts += [text for text in [limits(results)] if text]
    parts += ["## Cell by cell\n", *map(cell_section, results), "## Notes\n"]
    patience = " or ".join(f"{s:g}" for s in sorted({r["patience"] for r in results}))
    parts.append(NOTES.format(patience=patience))
    return "\n".join(parts)
