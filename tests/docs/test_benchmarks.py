"""Parts of the benchmarks on the CPU: F, peers, distances, and committed pages."""

from __future__ import annotations

import json
import math
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import read
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss

pytest.importorskip("statsmodels")  # a peer of one benchmark
sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "benchmarks"))

import cell_run
import comparison
import cpu
import inference
import many
import measure
import middle
import sparse_matrices
import sparse_models
from cells import CELLS
from data import row_weights
from formats import time
from inference_cells import INFERENCE_CELLS
from many_cells import MANY_CELLS
from matrix_cells import MATRIX_CELLS
from page import page, surroundings
from peers import PEERS, XLR, Peer
from reference import bare_newton, best_effort
from sparse_cells import SPARSE_CELLS
from summary import fastest_peer, summary

ROWS = 300


@pytest.fixture
def short_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the measurement of a time."""
    monkeypatch.setattr(measure, "SHORT", 0.002)
    monkeypatch.setattr(measure, "SETTLE", 0.0)
    # With all objects of a test run in memory, a collection takes longer than a fit.
    monkeypatch.setattr(measure.gc, "collect", lambda: 0)


@pytest.mark.parametrize("name", ["medium", "weighted", "digits", "tall float32"])
def test_benchmark_objective_is_log_loss_and_penalty(name: str) -> None:
    data, C = CELLS[name].data(ROWS), 0.3
    X, y, sample_weight, class_weight = data
    model = LogisticRegression(C=C, class_weight=class_weight, tol=0.1)
    model.fit(X, y, sample_weight)
    weights = row_weights(y, sample_weight, class_weight)
    S = ROWS if weights is None else weights.sum()
    model.coef_, model.intercept_ = map(np.float64, (model.coef_, model.intercept_))
    probabilities = model.predict_proba(X.astype("float64"))
    expected = log_loss(y, probabilities, sample_weight=weights)
    expected += (model.coef_**2).sum() / (2 * C * S)
    F = measure.objective(model.coef_, model.intercept_, data, C)
    assert math.isclose(F, expected, rel_tol=1e-12)


@pytest.mark.parametrize("name", ["medium", "bad scales", "weighted", "wide", "digits"])
def test_reference_fit_is_at_the_minimum(name: str) -> None:
    n = 60 if name == "wide" else ROWS
    data = CELLS[name].data(n)
    X = data.X
    coef, intercept = best_effort(data, C=1.0)
    best = measure.objective(coef, intercept, data, 1.0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        direction = rng.standard_normal(coef.shape) / X.std(axis=0).clip(1e-3)
        shift = -direction @ X.mean(axis=0)
        for step in (1e-3, -1e-3):
            near = coef + step * direction, intercept + step * shift
            assert measure.objective(*near, data, 1.0) > best


@pytest.mark.parametrize("name", ["medium", "weighted", "digits", "tall float32"])
@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_peer_reaches_the_lowest_f(peer: Peer, name: str) -> None:
    data = CELLS[name].data(ROWS)
    X = data.X[:, :30]  # few columns on one scale, so that no fit takes long
    data = data._replace(X=np.ascontiguousarray(X / X.std(axis=0).clip(1)))
    if why := peer.why_not(data):
        pytest.skip(why)
    pytest.importorskip(peer.module)
    C = 0.01
    best = measure.objective(*best_effort(data, C), data, C)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # float32 cannot reach so tight a tolerance
        tol = 1e-4 if X.dtype == np.float32 else 1e-7
        coef, intercept, n_iter = peer.fit(*data, C, tol, 5_000)
    n_outputs = data.n_outputs
    assert (coef.shape, intercept.shape) == ((n_outputs, 30), (n_outputs,))
    assert isinstance(n_iter, int)
    F = measure.objective(coef, intercept, data, C)
    assert abs(F - best) < 1e-7 * best


@pytest.fixture
def few_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (XLR, "scikit-learn newton-cholesky", "scikit-learn lbfgs")
    monkeypatch.setattr(cell_run, "PEERS", {name: PEERS[name] for name in names})


def test_benchmark_cell_has_a_row_on_the_page(
    few_peers: None, short_loops: None, tmp_path: Path
) -> None:
    result = cell_run.run_cell(CELLS["tiny"], repeats=2, patience=5.0, n=200)
    fit = result["fits"][XLR]
    assert fit["good"]
    assert len(fit["repeats"]) == 2
    assert fit["counts"]["distance"] < 1e-8
    assert min(r["distance"] for f in result["fits"].values() for r in f["sweep"]) >= 0
    cpu.save(tmp_path, {"tiny": result})
    saved = json.loads((tmp_path / "cpu.json").read_text("utf-8"))["cells"]
    assert saved == {"tiny": result}
    text = (tmp_path / "cpu.md").read_text("utf-8")
    assert text == page([result])
    assert text.count("| tiny |") == 1
    assert "| **xlr** |" in text
    assert "Only 200 rows" in text
    assert "a fit to 2 rows of 1 feature" in text


def test_bare_newton_finds_the_minimum() -> None:
    data = CELLS["tiny"].data()
    coef, intercept = bare_newton(data, 1.0, 1e-10)
    best = measure.objective(*best_effort(data, 1.0), data, 1.0)
    found = measure.objective(coef, np.asarray([intercept]), data, 1.0)
    assert found == pytest.approx(best, rel=1e-12)


# -- committed results -----------------------------------------------------------------

RESULTS = cpu.RESULTS / "cpu.json"


def test_committed_page_of_fits_shows_its_numbers() -> None:
    cells = json.loads(RESULTS.read_text("utf-8"))["cells"]
    assert list(cells) == list(CELLS)
    assert all(result["whole"] for result in cells.values())
    assert RESULTS.with_suffix(".md").read_text("utf-8") == page(list(cells.values()))


def guide_row(result: dict[str, Any]) -> str:
    """Return the line of a cell in the speed guide: both times, and their ratio."""
    ours, peer = result["fits"][XLR]["seconds"], fastest_peer(result)
    start = f"| {result['name']} | {time(ours)} | "
    if peer is None:
        patience = result["patience"]
        return f"{start}none within {patience:g} s | > {patience / ours:.1f} |"
    theirs = result["fits"][peer]["seconds"]
    return f"{start}{time(theirs)} ({peer}) | {theirs / ours:.1f} |"


def test_speed_guide_quotes_the_committed_numbers() -> None:
    cells = json.loads(RESULTS.read_text("utf-8"))["cells"]
    guide = read("examples/guides/speed.md")
    for result in cells.values():
        assert guide_row(result) in guide
        assert surroundings(result).partition(";")[0] in guide
    mean = re.search(r"takes ([\d.]+) times as long", summary(list(cells.values())))
    assert f"{mean[1]} times" in guide


# -- many models at once, and sparse ones ----------------------------------------------

needs_recent_sklearn = pytest.mark.skipif(
    "use_legacy_attributes" not in LogisticRegressionCV().get_params(),
    reason="these benchmarks run on scikit-learn from 1.8 on",
)


@needs_recent_sklearn
@pytest.mark.parametrize("name", ["cv", "one-vs-rest"])
def test_comparison_of_many_models_measures_scores_or_f(name: str) -> None:
    cell = MANY_CELLS[name]
    data = cell.make(0.01)
    best = cell.ours(data, 1e-10)
    assert cell.distance(data, best, best) == 0
    assert cell.distance(data, cell.ours(data, 1e-6), best) <= cell.equal
    tight = cell.theirs(data, 1e-8, "newton-cholesky", min(cell.trial, 50))
    assert cell.distance(data, tight, best) <= cell.equal
    if name == "cv":
        moved = {**best, "scores": best["scores"] * 1.01}
        assert cell.distance(data, moved, best) == pytest.approx(0.01)
        assert math.isinf(cell.distance(data, {**best, "C": 0.0}, best))
    else:
        moved = {**best, "coef": best["coef"] + 0.01}
        assert cell.distance(data, moved, best) > cell.equal


@needs_recent_sklearn
@pytest.mark.parametrize(
    ("name", "share", "peer"),
    [("L1, many rows", 0.02, "saga"), ("text", 0.01, "liblinear")],
)
def test_comparison_of_sparse_models_measures_f(
    name: str, share: float, peer: str
) -> None:
    cell = {**SPARSE_CELLS, **MATRIX_CELLS}[name]
    data = cell.make(share)
    best = cell.best(data)
    assert cell.distance(data, best, best) == 0
    assert cell.distance(data, cell.ours(data, 1e-6), best) <= cell.equal
    moved = {**best, "coef": best["coef"] + 0.01}
    assert cell.distance(data, moved, best) > cell.equal
    tight = cell.theirs({**data, "epochs": 3_000}, 1e-7, peer, 1)
    assert abs(cell.distance(data, tight, best)) <= 1e-5


@pytest.mark.parametrize("name", INFERENCE_CELLS)
def test_comparison_of_inference_measures_estimates_and_errors(name: str) -> None:
    cell = INFERENCE_CELLS[name]
    data = cell.make(0.02)
    best = cell.best(data)
    assert cell.distance(data, cell.ours(data, 1e-9), best) <= cell.equal
    assert cell.distance(data, cell.theirs(data, 1e-8, "newton", 1), best) <= cell.equal
    for part in best:
        moved = {**best, part: best[part] + 1e-3 * best.get("bse", 1)}
        assert cell.distance(data, moved, best) > cell.equal


COMPARISONS = {
    c.name: c
    for c in (
        many.MANY,
        sparse_models.SPARSE,
        sparse_matrices.MATRICES,
        inference.INFERENCE,
        middle.MIDDLE,  # with one thread if the tests have one
    )
}


@pytest.mark.parametrize("name", list(COMPARISONS))
def test_committed_page_of_a_comparison_shows_its_numbers(name: str) -> None:
    table, path = COMPARISONS[name], comparison.RESULTS / f"{name}.json"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    assert list(cells) == list(table.cells)
    assert all(result["whole"] for result in cells.values())
    text = comparison.page(table, list(cells.values()))
    assert path.with_suffix(".md").read_text("utf-8") == text
    for result in cells.values():
        assert result["ours"]["distance"] <= result["equal"]
        if comparison.ratio(result) < result["goal"]:
            assert result["name"] in table.limits


# Guides that quote the numbers of a comparison.
GUIDES = {
    "many": "many_models",
    "sparse_models": "sparse_models",
    "sparse_matrices": "tables_and_sparse_matrices",
    "inference": "inference",
}


@pytest.mark.parametrize("name", list(GUIDES))
def test_guide_quotes_the_committed_numbers_of_a_comparison(name: str) -> None:
    path = comparison.RESULTS / f"{name}.json"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    guide = read(f"examples/guides/{GUIDES[name]}.md")
    for result in cells.values():
        peer = result["peers"][result["fastest"]]
        assert (
            f"| {result['description']} | {time(result['ours']['seconds'])} | "
            f"{time(peer['seconds'])} ({result['fastest']}) | "
            f"{comparison.ratio(result):.1f} |"
        ) in guide
