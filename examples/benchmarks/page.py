"""Page of results: the machine, a summary, and each cell."""

from __future__ import annotations

from formats import error, share, table, time
from peers import XLR
from summary import misses, other_goals, summary

INTRODUCTION = """\
# Fits on the CPU

Written by `python examples/benchmarks/cpu.py`; all numbers, with each repeat and each
run of the sweeps, are in `cpu.json`.

Every way to fit minimises the same F. Its tolerance is swept from loose to tight, and
the loosest counts whose F is within {good:.0e} of the best F known, relative. xlr runs
with its defaults; a tighter `tol` is tried, and shown, only where the default is not
enough. Fits that count are timed in turns, and the table shows medians. A row marked †
never came so close: it shows its closest run, timed once. *Passes* are seconds in units
of one product `X @ w`. *Memory* is the peak of the fit above the memory before it, as a
share of X.
"""

NOTES = """\
- scikit-learn-intelex runs its own code for `lbfgs`, and for `newton-cg` only if its
  previews are switched on, as they are here. With sample or class weights it hands
  the fit to scikit-learn, and has no row. It compares `tol` to the gradient of the sum
  over the rows; the `tol` shown is divided by their number.
- statsmodels' `Logit` has no ridge penalty; its `GLM` has one that can leave the
  constant free, minimised by SciPy's BFGS.
- Methods that hold a matrix of parameters x parameters have no row beyond 5,000
  parameters.
- A peer's run is stopped after 20 times the time of the fastest that was close enough
  (and over a second), or after {patience} s. scikit-learn's default, lbfgs, always has
  the {patience} s.
"""

# Why a goal is missed, and what was tried, by cell.
LIMITS = {
    "tiny": """\
- tiny: a fit makes some thousands of calls of Python and NumPy on arrays of a few
  kilobytes, and they take its time; the summary shows how far bare NumPy would get.
  Tried: keeping a standardised copy of small X, one expression for both labels, NumPy's
  own namespace in place of array-api-compat's (6 % faster, but NumPy 2.0 lacks part of
  the standard), a fresh Hessian in each step (as fast as holding it).
""",
    "medium": """\
- medium: of 60 ms with one thread, in another run, six passes for value and gradient
  take 34, column statistics 7 and the start on samples of the rows 10.
""",
    "tall": """\
- tall: four passes for value and gradient, each about two products long, because a
  block is multiplied twice and the exponentials of its rows take as long as a product;
  one and a half products for means and deviations; and about twice as much for reading
  labels and weights and for gathering random rows. The Hessian of the sample leaves an
  error of about sqrt(p / rows): each step gains a factor of 20 to 40, and three steps
  are needed. Larger samples, other blocks and a tighter sample were no faster.
""",
    "nearly separable": """\
- nearly separable: residuals that matter are few, so that the Hessian changes with each
  step and has to be computed again; two threads wait for each other's Python between
  short NumPy calls.
""",
}


def limits(results: list[dict]) -> str:
    """Return why goals are missed, for the cells that miss one."""
    missed = [r["name"] for r in results if misses(r) and r["name"] in LIMITS]
    if not missed:
        return ""
    return "## Where goals are missed\n\n" + "".join(LIMITS[name] for name in missed)


def cell_section(result: dict) -> str:
    """Return the section of a cell: its fits, the fastest first, and those missing."""
    fits = result["fits"]
    xlr = fits[XLR]["seconds"]
    ran = [name for name in fits if fits[name]["counts"] is not None]
    ran.sort(key=lambda name: (not fits[name]["good"], fits[name]["seconds"]))
    rows = []
    for name in ran:
        fit, counts = fits[name], fits[name]["counts"]
        shown = f"**{name}**" if name == XLR else name
        rows.append(
            [
                shown if fit["good"] else f"{shown} †",
                time(fit["seconds"]),
                "-" if xlr is None else f"{fit['seconds'] / xlr:.2f}",
                f"{fit['seconds'] / result['matvec_seconds']:.1f}",
                error(counts["distance"]),
                str(counts["n_iter"]),
                f"{counts['tol']:.0e}",
                share(fit, result),
                str(len(fit["repeats"]) or 1),
            ]
        )
    header = (
        "fit | seconds | / xlr | passes | F above best | iterations | tol | memory"
        " | repeats"
    )
    best = result["best"]
    text = (
        f"### {result['name']}\n\n{result['description']}; C={result['C']:g}. "
        f"Best F {best['F']:.15g} ({best['by']}; the reference effort came within "
        f"{error(best['reference_distance'])}); one product "
        f"{time(result['matvec_seconds'])} s; {result['date']}.\n\n"
    )
    if not result["whole"]:
        text += f"**Only {result['rows']:,} rows of it.**\n\n"
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
            f"\nRounded to {result['dtype']}, the best coefficients known give an F "
            f"{error(result['rounding'])} above the best.\n"
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


def places(results: list[dict]) -> list[str]:
    """Return machine and versions, with names of cells if there are several."""
    found: dict[str, list[str]] = {}
    for result in results:
        found.setdefault(surroundings(result), []).append(result["name"])
    return [
        ("" if len(found) == 1 else ", ".join(names) + ": ") + f"{place}\n"
        for place, names in found.items()
    ]


def page(results: list[dict]) -> str:
    """Return the page, with every machine that cells were measured on."""
    places: dict[str, list[dict]] = {}
    for result in results:
        places.setdefault(surroundings(result), []).append(result)
    parts = [INTRODUCTION.format(good=results[0]["good"])]
    for place, there in places.items():
        dates = sorted(result["date"] for result in there)
        span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        names = ""
        if len(places) > 1:
            names = ", ".join(result["name"] for result in there) + ": "
        parts.append(f"{names}{place} {span}.\n")
    parts += ["## Summary\n", summary(results)]
    parts += [text for text in [other_goals(results)] if text]
    parts += [text for text in [limits(results)] if text]
    parts += ["## Cell by cell\n", *map(cell_section, results), "## Notes\n"]
    patience = " or ".join(f"{s:g}" for s in sorted({r["patience"] for r in results}))
    parts.append(NOTES.format(patience=patience))
    return "\n".join(parts)
