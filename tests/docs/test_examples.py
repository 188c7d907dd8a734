"""The tutorials run, reproduce published figures and draw their pictures."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CHOSEN
from documents import ROOT

EXAMPLES = ROOT / "examples"
TUTORIALS = {
    "two_gaussians": ["data", "right_and_wrong", "log_likelihood", "newton"],
    "exam_marks": ["sigmoid", "losses", "hours", "loss_curves", "marks"],
    "breast_cancer": ["confusion", "loss_curves", "penalty", "digits"],
    "from_binary_to_softmax": [
        "sigmoid",
        "data",
        "loss_curve",
        "boundary",
        "threshold",
        "moons",
    ],
}

# Runs on other libraries take half a minute each, and need XLR_TEST_BACKENDS.
IN_ALL_RUNS = {("numpy", tutorial) for tutorial in TUTORIALS}


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function that runs an example in this process and returns its output."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def run_here(example: str, *options: str) -> str:
        path = str(EXAMPLES / f"{example}.py")
        monkeypatch.setattr(sys, "argv", [path, *options])
        runpy.run_path(path, run_name="__main__")
        return capsys.readouterr().out

    return run_here


@pytest.mark.parametrize("tutorial", TUTORIALS)
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_tutorial_reproduces_its_figures(
    tutorial: str, backend: str, printed: Callable[..., str], tmp_path: Path
) -> None:
    if CHOSEN and backend not in CHOSEN:
        pytest.skip(f"{backend} is not among XLR_TEST_BACKENDS")
    if not CHOSEN and (backend, tutorial) not in IN_ALL_RUNS:
        pytest.skip(f'nox -s "tests({backend})" runs it')
    if backend != "numpy":
        pytest.importorskip(backend)
    output = printed(tutorial, "--backend", backend, "--out", str(tmp_path))
    assert f"Arrays: {backend} on " in output
    assert "Published figures" in output
    assert "MISSED" not in output
    assert str(tmp_path) in output
    assert max(map(len, output.splitlines())) <= 100
    drawn = {path.stem: path.stat().st_size for path in tmp_path.glob("*.png")}
    assert drawn.keys() == set(TUTORIALS[tutorial])
    assert min(drawn.values()) > 5_000


@pytest.mark.parametrize(
    ("script", "pictures", "expected"),
    [
        ("docstrings", {"words", "path"}, "words, test accuracy 0.9"),
        ("election", {"coefficients"}, "Columns 'party', 'education' of X hold no"),
    ],
)
def test_docstrings_and_election_print_results_and_draw_pictures(
    script: str,
    pictures: set[str],
    expected: str,
    printed: Callable[..., str],
    tmp_path: Path,
) -> None:
    if CHOSEN and "numpy" not in CHOSEN:
        pytest.skip("sparse matrices and tables are NumPy's")
    output = printed(script, "--out", str(tmp_path))
    assert expected in output
    assert max(map(len, output.splitlines())) <= 100
    drawn = {path.stem: path.stat().st_size for path in tmp_path.glob("*.png")}
    assert drawn.keys() == pictures
    assert min(drawn.values()) > 5_000


def test_linear_probe_runs(printed: Callable[..., str]) -> None:
    if CHOSEN and "numpy" not in CHOSEN:
        pytest.skip("other libraries take minutes where they share the processor")
    options = "--rows 3000 --test-rows 1000 --dimensions 32 --classes 20"
    output = printed("linear_probe", *options.split(), "--choose-on", "1000")
    assert "X: 3,000 x 32, 20 classes, 0 MB in float32" in output
    assert output.count("log-loss") == 5
    assert output.count("<- chosen") == 1
    assert "] iteration    1" in output
    assert "converged: True" in output
    one, five = re.findall(r"top-\d ([\d.]+)", output)
    assert 0.9 < float(one) < float(five) <= 1
    assert max(map(len, output.splitlines())) <= 100


def test_on_a_cluster_runs(printed: Callable[..., str], tmp_path: Path) -> None:
    if CHOSEN and "numpy" not in CHOSEN:
        pytest.skip("the chunks are NumPy's")
    distributed = pytest.importorskip("distributed")
    threads = {"processes": False, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(n_workers=2, **threads) as cluster:
        options = ("--scheduler", cluster.scheduler_address, "--folder", str(tmp_path))
        output = printed("on_a_cluster", "--rows", "20000", *options)
    progress, others = [], []
    for line in output.splitlines():
        (progress if line.startswith("[newton-cholesky]") else others).append(line)
    assert f"all of X was read {1 + len(progress)} times" in output
    assert max(map(len, others)) <= 100
    assert "<- chosen" in output
    assert len(list(tmp_path.glob("X/*.npy"))) == 10


MISSING = """
from common import Tutorial
tutorial = Tutorial.start(__file__, "A figure that is missed.")
tutorial.compare("accuracy", [0.9, 0.8], [0.9, 0.7], 0.05)
tutorial.finish()
"""


def test_tutorial_reports_missed_figures_and_a_missing_library(
    printed: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    script = tmp_path / "missing.py"
    script.write_text(MISSING, encoding="utf-8")
    with pytest.raises(SystemExit, match="1 of 2 published figures were missed"):
        printed(script.with_suffix(""), "--backend", "cupy", "--out", str(tmp_path))
    output = capsys.readouterr().out
    assert "cupy cannot be used here" in output
    assert "going on with numpy." in output
    assert output.count("MISSED") == 1


def test_all_examples_are_run_by_nox() -> None:
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    for script in EXAMPLES.glob("*.py"):
        assert script.stem in ("common", "backends") or f'"{script.stem}"' in noxfile
