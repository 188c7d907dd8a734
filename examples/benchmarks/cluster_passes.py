"""Seconds of the passes of a fit over its chunks, and the bytes that they move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple
from unittest.mock import patch

from cluster_workers import moved_bytes

# Labels, column statistics, and the start on a sample: all except the other passes.
START = "start"
GRADIENT = "gradient"
HESSIAN = "hessian"
KINDS = (START, GRADIENT, HESSIAN)
# Kinds of passes by the names of their tasks.
PASSES = {"value-and-gradient": GRADIENT, "gram-sums": HESSIAN}


class Pass(NamedTuple):
    """One pass over all chunks; ``moved`` is None if the bytes were not counted."""

    name: str
    seconds: float
    moved: int | None


@contextmanager
def recorded_passes() -> Iterator[list[Pass]]:
    """Record the passes of the ``with`` block, by the names of their tasks."""
    import dask

    compute = dask.compute
    passes: list[Pass] = []

    def recording(*parts: Any, **options: Any) -> Any:
        before, started = moved_bytes(), perf_counter()
        results = compute(*parts, **options)
        if parts:
            seconds = perf_counter() - started
            passes.append(Pass(_kind(parts[0]), seconds, _moved_since(before)))
        return results

    with patch.object(dask, "compute", recording):
        yield passes


def _kind(part: Any) -> str:
    """Return the kind of a task: "hessian" for ``xlr-gram-sums-sum-...``."""
    key = str(part.key).removeprefix("xlr-").rpartition("-")[0]
    name = key.removesuffix("-sum")
    return PASSES.get(name, name)


def _moved_since(before: int | None) -> int | None:
    after = moved_bytes()
    return None if before is None or after is None else after - before


def fit_in_passes(fit: Callable[[], tuple[float, Any]]) -> tuple[list[Pass], Any]:
    """Return the passes of a fit, which returns its own seconds, and its result.

    The start comes first: all seconds outside gradients and Hessians.
    """
    with recorded_passes() as passes:
        before = moved_bytes()
        seconds, result = fit()
        moved = _moved_since(before)
    known = [done for done in passes if done.name in (GRADIENT, HESSIAN)]
    seconds -= sum(done.seconds for done in known)
    if moved is not None:
        moved -= sum(done.moved for done in known)
    return [Pass(START, seconds, moved), *known], result


def summarised(fits: list[list[Pass]]) -> dict[str, dict[str, Any]]:
    """Return counts of each kind of pass, and medians of seconds and bytes."""
    summaries = {}
    for kind in KINDS:
        of_kind = [done for passes in fits for done in passes if done.name == kind]
        if of_kind:
            moved = [done.moved for done in of_kind if done.moved is not None]
            summaries[kind] = {
                "count": round(len(of_kind) / len(fits)),
                "seconds": median(done.seconds for done in of_kind),
                "moved": median(moved) if moved else None,
            }
    return summaries
