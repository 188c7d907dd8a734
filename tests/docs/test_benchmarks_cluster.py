"""Parts of the benchmark on Dask: rows, passes, formula, peers and page."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import read

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "benchmarks"))

import cluster
import cluster_cells
import measure
from cluster_cells import fit_ours
from cluster_data import Rows
from cluster_page import goals, page
from cluster_passes import GRADIENT, KINDS, START, fit_in_passes, summarised
from cluster_scaling import Constants
from cluster_workers import moved_bytes

SMALL = {"n": 3_000, "p": 4, "n_parts": 3}
ROWS = Rows.share_of(1.0, **SMALL)


@pytest.fixture(autouse=True)
def dask_is_here() -> None:
    pytest.importorskip("dask.array")
    pytest.importorskip("distributed")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SETTLE", 0.0)
    # With all objects of a test run in memory, a collection takes longer than a fit.
    monkeypatch.setattr(measure.gc, "collect", lambda: 0)


def in_chunks(rows: Rows) -> tuple[Any, Any]:
    import dask.array as da

    X, y, *_ = rows.whole()
    chunk = rows.part_rows
    return da.from_array(X, chunks=(chunk, rows.p)), da.from_array(y, chunks=chunk)


# -- rows ------------------------------------------------------------------------------


def test_part_of_the_cluster_rows_is_reproducible(tmp_path: Path) -> None:
    whole = ROWS.whole()
    assert whole.X.shape == (ROWS.n, ROWS.p) == (3_000, 4)
    assert ROWS.X_bytes == whole.X.nbytes
    for here, part in ROWS.parts():
        assert np.array_equal(whole.X[here], part.X)
        assert np.array_equal(whole.y[here], part.y)
    assert not np.array_equal(ROWS.part(0).X, ROWS.part(1).X)
    assert Rows.share_of(0.001, **SMALL).n >= 50 * 4
    coef = np.ones((1, 4))
    model = {"coef": coef, "intercept": np.zeros(1)}
    F = measure.objective(coef, np.zeros(1), whole, np.inf)
    assert ROWS.objectives([model, model]) == [pytest.approx(F, rel=1e-14)] * 2
    if find_spec("zarr"):
        import dask.array as da

        ROWS.write_zarr(tmp_path)
        assert np.array_equal(da.from_zarr(str(tmp_path / "X")).compute(), whole.X)
        assert np.array_equal(da.from_zarr(str(tmp_path / "y")).compute(), whole.y)


# -- passes and their formula ----------------------------------------------------------


def test_passes_of_a_fit_are_counted_and_timed() -> None:
    X, y = in_chunks(ROWS)
    passes, found = fit_in_passes(lambda: fit_ours(X, y, 1e-6))
    assert passes[0].name == START
    names = [done.name for done in passes]
    assert names.count(GRADIENT) >= 2
    # n_passes_ includes the pass of the start.
    assert found["n_passes"] == len(names)
    assert all(done.seconds > 0 for done in passes)
    table = summarised([passes, passes])
    assert set(table) <= set(KINDS)
    assert table[GRADIENT]["count"] == names.count(GRADIENT)
    assert (table[GRADIENT]["moved"] is None) == (moved_bytes() is None)


# -- peers -----------------------------------------------------------------------------


# -- cells and their page --------------------------------------------------------------


def test_committed_page_shows_its_numbers() -> None:
    path = cluster.RESULTS / "cluster.json"
    results = json.loads(path.read_text("utf-8"))["cells"]
    assert list(results) == list(cluster_cells.CLUSTER_CELLS)
    assert all(result["whole"] for result in results.values())
    text = page(cluster.INTRODUCTION, cluster.LIMITS, results)
    assert path.with_suffix(".md").read_text("utf-8") == text
    for goal in goals(results):
        assert goal.met or goal.key in cluster.LIMITS


def test_dask_guide_quotes_the_committed_numbers() -> None:
    path = cluster.RESULTS / "cluster.json"
    results = json.loads(path.read_text("utf-8"))["cells"]
    guide = read("examples/guides/dask.md")
    in_memory, threads, disk, scaling = results.values()

    fits = in_memory["fits"]
    ours = fits["xlr"]["seconds"]
    for name, fit in fits.items():
        seconds = fit["seconds"]
        assert f"| {name} | {seconds:.3g} | {seconds / ours:.1f} |" in guide
    assert f"makes {fits['xlr']['n_passes']} passes" in guide

    one, chunks = (fit["seconds"] for fit in threads["fits"].values())
    assert f"{chunks / one:.2f} times as long on Dask's threads" in guide

    peak = max(disk["peaks"]) / 1e9
    assert f"on a disk in {disk['seconds']:.0f} s" in guide
    assert f"may use 1.5 GB, and uses at most {peak:.2f} GB" in guide
    assert disk["memory_limit"] == "1.5GB"

    for name, kind in (("first", "start"), ("gradient", "gradient")):
        found = Constants(**scaling["constants"][kind])
        rate = f"{found.rate:.3g}"
        overhead, fixed = f"{1000 * found.overhead:.2g}", f"{1000 * found.fixed:.2g}"
        assert f"| {name} | {rate} | {overhead} | {float(fixed):g} |" in guide
    for what in scaling["foretold"].values():
        assert f"| 1 + 5 | {sum(what['seconds'].values()):.3g} |" in guide
