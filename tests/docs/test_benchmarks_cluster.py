"""Parts of the benchmark on Dask: rows, passes, and the committed page."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

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
def dask_is_installed() -> None:
    pytest.importorskip("dask.array")
    pytest.importorskip("distributed")


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SETTLE", 0.0)
    # With all objects of a test run in memory, a collection takes longer than a fit.
    monkeypatch.setattr(measure.gc, "collect", lambda: 0)


def test_rows_are_the_same_in_parts_and_as_a_whole(tmp_path: Path) -> None:
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


def test_passes_of_a_fit_are_counted_and_timed() -> None:
    import dask.array as da

    whole, n_rows = ROWS.whole(), ROWS.part_rows
    X = da.from_array(whole.X, chunks=(n_rows, ROWS.p))
    y = da.from_array(whole.y, chunks=n_rows)
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


def test_committed_page_of_fits_on_dask_shows_its_numbers() -> None:
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
        constants = Constants(**scaling["constants"][kind])
        rate = f"{constants.rate:.3g}"
        overhead = f"{1000 * constants.overhead:.2g}"
        fixed = f"{1000 * constants.fixed:.2g}"
        assert f"| {name} | {rate} | {overhead} | {float(fixed):g} |" in guide
    for prediction in scaling["foretold"].values():
        assert f"| 1 + 5 | {sum(prediction['seconds'].values()):.3g} |" in guide
