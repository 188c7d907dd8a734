"""The benchmark's own parts: its data, its yardsticks, its peers, its tables."""

from __future__ import annotations

import copy
import json
import math
import re
import sys
import threading
import warnings
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest
from documents import read
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss

pytest.importorskip("statsmodels")  # which one of the benchmarks is against
sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "benchmarks"))

import cell_run
import comparison
import cpu
import inference
import libraries
import many
import measure
import small
import small_cells
import sparse_matrices
import sparse_models
from cells import CELLS, Cell
from data import Data, row_weights
from fits import no_fallback
from formats import time
from inference_cells import INFERENCE_CELLS
from many_cells import MANY_CELLS
from matrix_cells import MATRIX_CELLS
from page import limits, page, surroundings
from peers import PEERS, XLR, Peer
from reference import bare_newton, best_effort
from sparse_cells import SPARSE_CELLS
from summary import fastest_peer, misses, summary
from sweep import Best, Run, Sweep, run, sweep_all

ROWS = 300
CLASSES = {"digits": 10, "softmax": 10, "embeddings": 100}
COLUMNS = {
    "tiny": 30,
    "digits": 64,
    "tall": 50,
    "tall float32": 50,
    "many features": 500,
    "wide": 10 * ROWS,
    "softmax": 784,
    "embeddings": 512,
    "nearly separable": 50,
}


@pytest.fixture
def short_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SHORT", 0.002)
    monkeypatch.setattr(measure, "SETTLE", 0.0)
    # Among all that a test run has in memory it takes far longer than a fit.
    monkeypatch.setattr(measure.gc, "collect", lambda: 0)


@pytest.mark.parametrize("name", CELLS)
def test_data_are_as_described_and_the_same_each_time(name: str) -> None:
    X, y, sample_weight, class_weight = data = CELLS[name].data(ROWS)
    assert X.shape == (ROWS, COLUMNS.get(name, 100))
    assert X.dtype == ("float32" if "float32" in name else "float64")
    assert X.flags.c_contiguous
    assert np.isfinite(X).all()
    assert y.dtype == np.int64
    assert set(np.unique(y)) == set(range(CLASSES.get(name, 2)))
    assert data.n_outputs == CLASSES.get(name, 1)
    assert (sample_weight is not None) == (name == "weighted")
    assert (class_weight is not None) == (name == "weighted")
    again = CELLS[name].data(ROWS)
    assert np.array_equal(again.X, X)
    assert np.array_equal(again.y, y)


def test_cells_of_one_family_share_their_data() -> None:
    medium, bad, weighted = (
        CELLS[name].data(ROWS) for name in ("medium", "bad scales", "weighted")
    )
    assert np.array_equal(medium.X, weighted.X)
    assert np.array_equal(medium.y, bad.y)
    deviations = bad.X.std(axis=0)
    assert 3e3 < deviations.max() / deviations.min() < 3e4
    np.testing.assert_allclose(bad.X.mean(axis=0) / deviations, 100, rtol=0.2)
    tall, single = CELLS["tall"].data(ROWS), CELLS["tall float32"].data(ROWS)
    assert np.array_equal(tall.X.astype("float32"), single.X)


def test_images_are_like_images() -> None:
    X, y, *_ = CELLS["softmax"].data(2_000)
    assert X.min() == 0
    assert X.max() <= 1
    assert (X.std(axis=0) < 0.01).sum() > 200
    variances = np.linalg.eigvalsh(np.cov(X.T))[::-1]
    assert variances[:30].sum() > 0.9 * variances.sum()
    assert np.bincount(y).min() > 40


@pytest.mark.parametrize("name", ["medium", "weighted", "digits", "tall float32"])
def test_objective_is_log_loss_and_penalty(name: str) -> None:
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
def test_best_effort_is_at_the_minimum(name: str) -> None:
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


def all_peers() -> list[Any]:
    return [pytest.param(peer, id=name) for name, peer in PEERS.items()]


@pytest.mark.parametrize("name", ["medium", "weighted", "digits", "tall float32"])
@pytest.mark.parametrize("peer", all_peers())
def test_peers_reach_the_same_f(peer: Peer, name: str) -> None:
    data = CELLS[name].data(ROWS)
    X = data.X[:, :30]  # few columns and like scales, so that no fit takes long
    data = data._replace(X=np.ascontiguousarray(X / X.std(axis=0).clip(1)))
    if why := peer.why_not(data):
        pytest.skip(why)
    pytest.importorskip(peer.module)
    C = 0.01
    best = measure.objective(*best_effort(data, C), data, C)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tightest float32 allows is wanted
        tol = 1e-4 if X.dtype == np.float32 else 1e-7
        coef, intercept, n_iter = peer.fit(*data, C, tol, 5_000)
    assert (coef.shape, intercept.shape) == ((K := data.n_outputs, 30), (K,))
    assert isinstance(n_iter, int)
    F = measure.objective(coef, intercept, data, C)
    assert abs(F - best) < 1e-7 * best


def test_a_fallback_is_not_passed_for_its_own() -> None:
    linear_model = pytest.importorskip("sklearnex.linear_model")
    X, y, *_ = CELLS["tiny"].data(100)
    model = linear_model.LogisticRegression()
    with no_fallback():
        model.fit(X, y)
    with pytest.raises(RuntimeError, match="own code"), no_fallback():
        model.fit(X, y, np.ones(100))


def test_memory_meter_sees_an_allocation() -> None:
    size = 50_000_000
    extra = measure.peak_extra_bytes(lambda: np.ones(size // 8).sum())
    if extra is None:
        pytest.skip("this system does not tell the peak of memory")
    assert abs(extra - size) < 0.1 * size
    assert measure.peak_extra_bytes(lambda: None) < 1_000_000


def test_time_limit_stops_a_call_and_nothing_after_it() -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only the main thread can be stopped")
    with pytest.raises(measure.TimeLimitError), measure.time_limit(0.01):
        sleep(5)
    with measure.time_limit(0.01):
        pass
    sleep(0.02)


def test_short_calls_are_timed_in_loops(short_loops: None) -> None:
    calls = []
    number = measure.loops_for(measure.SHORT / 9.5)
    assert number == 10
    measure.timed_in_loop(lambda: calls.append(1), number)
    assert len(calls) == 10
    assert measure.loops_for(3.0) == 1


def scripted(values: dict[float, float], name: str = "scripted") -> Peer:
    """A peer of one parameter whose F at each tolerance is known."""

    def fit(X, y, sample_weight, class_weight, C, tol, max_iter):
        return np.asarray([[values[tol]]]), np.zeros(1), 1

    return Peer(name, "numpy", "numpy", fit, tuple(values))


def test_a_choice_is_made_anew_when_the_best_falls(
    monkeypatch: pytest.MonkeyPatch, short_loops: None
) -> None:
    monkeypatch.setattr("sweep.objective", lambda coef, *_: float(coef[0, 0]))
    data = Data(np.zeros((2, 1)), np.asarray([0, 1]))
    early = scripted({1e-1: 2.0, 1e-2: 1.0 + 1e-6, 1e-3: 1.0 + 1e-9}, XLR)
    late = scripted({1e-1: 1.0})
    sweeps = [Sweep(peer, data, 1.0, patience=9.0) for peer in (early, late)]
    best = Best()
    sweep_all(sweeps, best)
    assert best.F == 1.0
    assert sweeps[0].chosen(best).tol == 1e-3
    assert [r.tol for r in sweeps[0].runs] == [1e-1, 1e-2, 1e-3]
    assert sweeps[1].chosen(best).tol == 1e-1


def test_a_peer_that_fails_or_is_too_slow_is_a_result(short_loops: None) -> None:
    def raises(*_: Any) -> None:
        raise ValueError("no")

    def sleeps(*_: Any) -> None:
        sleep(5)

    data = Data(np.zeros((2, 1)), np.asarray([0, 1]))
    best = Best()
    failed = run(Peer("a", "numpy", "numpy", raises), data, 1.0, 1e-3, 9, best)
    assert failed.problem == "ValueError: no"
    slow = Peer("b", "numpy", "numpy", sleeps)
    stopped = run(slow, data, 1.0, 1e-3, 9, best, limit=0.01)
    assert stopped == Run(1e-3, 9, 0.01, problem="stopped after 0.01 s")
    assert best.coef is None


@pytest.fixture
def few_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (XLR, "scikit-learn newton-cholesky", "scikit-learn lbfgs")
    monkeypatch.setattr(cell_run, "PEERS", {name: PEERS[name] for name in names})


@pytest.mark.parametrize("name", ["tiny", "weighted"])
def test_a_cell_becomes_a_row(
    name: str, few_peers: None, short_loops: None, tmp_path: Path
) -> None:
    result = cell_run.run_cell(CELLS[name], repeats=2, patience=5.0, n=200)
    fit = result["fits"][XLR]
    assert fit["good"]
    assert len(fit["repeats"]) == 2
    assert fit["counts"]["distance"] < 1e-8
    assert min(r["distance"] for f in result["fits"].values() for r in f["sweep"]) >= 0
    cpu.save(tmp_path, {name: result})
    kept = json.loads((tmp_path / "cpu.json").read_text("utf-8"))["cells"]
    assert kept == {name: result}
    text = (tmp_path / "cpu.md").read_text("utf-8")
    assert text == page([result])
    assert text.count(f"| {name} |") == 1
    assert "| **xlr** |" in text
    assert "Only 200 rows" in text
    assert ("a fit of 2 x 1 rows" in text) == (name == "tiny")


def test_the_command_keeps_trials_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert cpu.parse(["tiny", "wide"]).cells == ["tiny", "wide"]
    assert cpu.parse([]).cells == list(CELLS)
    for wrong in (["huge"], ["tiny", "--rows", "10"]):
        with pytest.raises(SystemExit):
            cpu.parse(wrong)
    assert "no cell huge" in capsys.readouterr().err


def test_cells_are_those_of_the_goals() -> None:
    goals = [cell.goal for cell in CELLS.values()]
    assert goals == [2, 3, 3, 3, 4, 4, 3, 3, 3, 3, 3, 3]
    assert all(isinstance(cell, Cell) for cell in CELLS.values())


# -- libraries -------------------------------------------------------------------------


def test_libraries_become_a_page_that_counts_compilations_of_jax() -> None:
    name = "breast_cancer, 569 x 30"
    assert libraries.parse(["569", "digits"]).cells == [name, "digits, 10 classes"]
    with pytest.raises(SystemExit):
        libraries.parse(["no such cell"])
    found = libraries.run_cell(name, "numpy", 1)
    assert all(found["fits"][key]["seconds"] > 0 for key in ("first", "warm"))
    text = libraries.page({name: {"numpy": found, "jax": found}})
    of_numpy, of_jax = text.splitlines()[-2:]
    assert of_numpy.startswith(f"| {name} | numpy |")
    assert of_jax.startswith(f"| {name} | jax |")
    assert (of_numpy.count("(0)"), of_jax.count("(0)")) == (0, 4)


# -- small fits ------------------------------------------------------------------------


def test_small_cells_have_the_shapes_of_their_names_and_standardised_columns() -> None:
    shapes = {"iris": (150, 4), "wine": (178, 13), "breast_cancer": (569, 30)}
    shapes |= {"digits": (1_797, 64), "1,000 x 10": (1_000, 10)}
    shapes |= {"5,000 x 20": (5_000, 20), "100 x 1": (100, 1), "300 x 30": (300, 30)}
    classes = {"iris": 3, "wine": 3, "digits": 10, "300 x 30": 3}
    assert list(small_cells.SMALL_CELLS) == list(shapes)
    for name, cell in small_cells.SMALL_CELLS.items():
        X, y, *_ = cell.data()
        assert X.shape == shapes[name]
        assert set(y) == set(range(classes.get(name, 2)))
        deviations = X.std(axis=0)
        np.testing.assert_allclose(deviations[deviations > 0], 1, rtol=1e-12)
        np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-12)


def test_small_cells_become_a_page_with_goals(
    monkeypatch: pytest.MonkeyPatch, short_loops: None
) -> None:
    monkeypatch.setattr(measure, "SHORT", 1e-6)  # loops of one call
    cells = {
        "100 x 1": small_cells.run_cell(small_cells.SMALL_CELLS["100 x 1"], repeats=2),
        "loop": small_cells.run_loop(repeats=2, n_fits=3),
    }
    for name, result in cells.items():
        result |= {"name": name, "quick": True}
        for fit in result["fits"].values():
            assert len(fit["repeats"]) == 2
            assert min(fit["repeats"]) <= fit["seconds"] <= max(fit["repeats"])
    fits = cells["100 x 1"]["fits"]
    for fit in [fits[name] for name in small_cells.FITS]:
        assert fit["good"]
        assert 0 <= fit["distance"] <= 1e-8
    # As given here, xlr takes half the time of the fastest, and lbfgs is next.
    for name, seconds in zip(fits, (1e-3, 2e-3, 4e-3, 3e-3, 5e-3)):
        fits[name]["seconds"] = seconds
    text = small.page({small.ONE: json.loads(json.dumps(cells))})
    assert "A trial" in text
    fit, *predictions, loop = [
        line for line in text.splitlines() if line.startswith(("| 100", "| 3 in"))
    ]
    assert fit.startswith("| 100 x 1 | 1 | newton-cholesky, tol ")
    assert "| 2 | 2.00 | 1 | yes | 3 | 3.00 | 2 | yes | 5 | 5.00 | " in fit
    assert [line.split(" | ")[1] for line in predictions] == [
        f"{method}, {rows}"
        for method in ("predict", "predict_proba")
        for rows in ("one row", "all rows")
    ]
    assert loop.startswith("| 3 in a loop, each of 200 x 5 | ")


def test_the_small_command_keeps_trials_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert small.parse(["iris", "loop"]).cells == ["iris", "loop"]
    assert small.parse([]).cells == [*small_cells.SMALL_CELLS, "loop"]
    for wrong in (["huge"], ["iris", "--quick"]):
        with pytest.raises(SystemExit):
            small.parse(wrong)
    assert "no cell huge" in capsys.readouterr().err


# -- what is committed -----------------------------------------------------------------

RESULTS = cpu.RESULTS / "cpu.json"


def test_the_committed_page_is_that_of_the_committed_numbers() -> None:
    cells = json.loads(RESULTS.read_text("utf-8"))["cells"]
    assert list(cells) == list(CELLS)
    assert all(result["whole"] for result in cells.values())
    assert RESULTS.with_suffix(".md").read_text("utf-8") == page(list(cells.values()))


def test_bare_newton_finds_the_minimum() -> None:
    data = CELLS["tiny"].data()
    coef, intercept = bare_newton(data, 1.0, 1e-10)
    best = measure.objective(*best_effort(data, 1.0), data, 1.0)
    found = measure.objective(coef, np.asarray([intercept]), data, 1.0)
    assert found == pytest.approx(best, rel=1e-12)


def test_a_missed_goal_is_explained() -> None:
    cells = json.loads(RESULTS.read_text("utf-8"))["cells"]
    tiny, medium = copy.deepcopy(cells["tiny"]), cells["medium"]
    tiny["fits"][XLR]["seconds"] = 1.0
    assert misses(tiny)
    assert not misses(medium)
    assert limits([tiny, medium]).count("\n- ") == 1
    assert limits([medium]) == ""


def guide_row(result: dict[str, Any]) -> str:
    """A cell in a line: xlr's seconds, the fastest peer and its, and how many times."""
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

needs_a_new_sklearn = pytest.mark.skipif(
    "use_legacy_attributes" not in LogisticRegressionCV().get_params(),
    reason="these benchmarks run on scikit-learn from 1.8 on",
)


@needs_a_new_sklearn
@pytest.mark.parametrize("name", ["cv", "one-vs-rest", "bootstrap"])
def test_many_models_are_compared_by_their_answers(name: str) -> None:
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


@needs_a_new_sklearn
@pytest.mark.parametrize(
    ("name", "share", "peer"),
    [
        ("L1, many rows", 0.02, "saga"),
        ("path", 0.005, None),  # its peers come with the benchmarks only
        ("text", 0.01, "liblinear"),
        ("one-hot", 0.01, "liblinear"),
        ("text, L1", 0.01, "liblinear"),
    ],
)
def test_models_are_compared_by_their_f(
    name: str, share: float, peer: str | None
) -> None:
    cell = {**SPARSE_CELLS, **MATRIX_CELLS}[name]
    data = cell.make(share)
    best = cell.best(data)
    assert cell.distance(data, best, best) == 0
    assert cell.distance(data, cell.ours(data, 1e-6), best) <= cell.equal
    moved = {**best, "coef": best["coef"] + 0.01}
    assert cell.distance(data, moved, best) > cell.equal
    if peer is not None:
        tight = cell.theirs({**data, "epochs": 3_000}, 1e-7, peer, 1)
        assert abs(cell.distance(data, tight, best)) <= 1e-5


@needs_a_new_sklearn
def test_a_trial_of_many_models_makes_a_page() -> None:
    result = comparison.run_cell(
        MANY_CELLS["cv"], repeats=1, patience=20.0, share=0.005
    )
    json.dumps(result)
    page = comparison.page(many.MANY, [result])
    (row,) = [line for line in page.splitlines() if line.startswith("| cv |")]
    assert row.startswith("| cv | 20k x 50, correlated; 10 C x 5 folds | ")
    assert f"| {comparison.ratio(result):.1f} | 10 |" in row


@pytest.mark.parametrize("name", INFERENCE_CELLS)
def test_inference_is_compared_by_estimates_and_errors(name: str) -> None:
    cell = INFERENCE_CELLS[name]
    data = cell.make(0.02)
    best = cell.best(data)
    assert cell.distance(data, cell.ours(data, 1e-9), best) <= cell.equal
    assert cell.distance(data, cell.theirs(data, 1e-8, "newton", 1), best) <= cell.equal
    for part in best:
        moved = {**best, part: best[part] + 1e-3 * best.get("bse", 1)}
        assert cell.distance(data, moved, best) > cell.equal


@needs_a_new_sklearn
def test_peers_that_are_given_no_time_are_said_to_need_it(monkeypatch) -> None:
    monkeypatch.setattr(comparison, "sweep", lambda *given: {"tol": None})
    with pytest.raises(RuntimeError, match=r"No peer came within .*--patience"):
        comparison.run_cell(MANY_CELLS["cv"], repeats=1, patience=1.0, share=0.02)


COMPARISONS = {
    c.name: c
    for c in (
        many.MANY,
        sparse_models.SPARSE,
        sparse_matrices.MATRICES,
        inference.INFERENCE,
    )
}


@pytest.mark.parametrize("name", list(COMPARISONS))
def test_a_committed_page_is_that_of_its_numbers(name: str) -> None:
    table, path = COMPARISONS[name], comparison.RESULTS / f"{name}.json"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    assert list(cells) == list(table.cells)
    assert all(result["whole"] for result in cells.values())
    page = comparison.page(table, list(cells.values()))
    assert path.with_suffix(".md").read_text("utf-8") == page
    for result in cells.values():
        assert result["ours"]["distance"] <= result["equal"]
        if comparison.ratio(result) < result["goal"]:
            assert result["name"] in table.limits


GUIDES = {
    "many": "many_models",
    "sparse_models": "sparse_models",
    "sparse_matrices": "tables_and_sparse_matrices",
    "inference": "inference",
}


@pytest.mark.parametrize("name", list(COMPARISONS))
def test_guide_quotes_the_numbers_of_a_committed_page(name: str) -> None:
    path = comparison.RESULTS / f"{name}.json"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    guide = read(f"examples/guides/{GUIDES[name]}.md")
    for result in cells.values():
        assert guide_row_of_a_cell(result) in guide


def guide_row_of_a_cell(result: dict[str, Any]) -> str:
    """Return the line of a guide that quotes a cell."""
    peer = result["peers"][result["fastest"]]
    return (
        f"| {result['description']} | {time(result['ours']['seconds'])} | "
        f"{time(peer['seconds'])} ({result['fastest']}) | "
        f"{comparison.ratio(result):.1f} |"
    )
