"""Tutorials and other examples: published figures, output and pictures."""

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
# The tutorials, and the pictures that each of them draws.
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


@pytest.fixture
def run_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function that runs an example in this process and returns its output."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def run_example(example: str, *options: str) -> str:
        path = str(EXAMPLES / f"{example}.py")
        monkeypatch.setattr(sys, "argv", [path, *options])
        runpy.run_path(path, run_name="__main__")
        return capsys.readouterr().out

    return run_example


@pytest.mark.parametrize("tutorial", TUTORIALS)
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_tutorial_reproduces_its_figures(
    tutorial: str, backend: str, run_example: Callable[..., str], tmp_path: Path
) -> None:
    if CHOSEN and backend not in CHOSEN:
        pytest.skip(f"{backend} is not among XLR_TEST_BACKENDS")
    if backend != "numpy":
        if not CHOSEN:  # such a run takes half a minute
            pytest.skip(f'nox -s "tests({backend})" runs it')
        pytest.importorskip(backend)
    output = run_example(tutorial, "--backend", backend, "--out", str(tmp_path))
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
    run_example: Callable[..., str],
    tmp_path: Path,
) -> None:
    if CHOSEN and "numpy" not in CHOSEN:
        pytest.skip("sparse matrices and tables are NumPy's")
    output = run_example(script, "--out", str(tmp_path))
    assert expected in output
    assert max(map(len, output.splitlines())) <= 100
    drawn = {path.stem: path.stat().st_size for path in tmp_path.glob("*.png")}
    assert drawn.keys() == pictures
    assert min(drawn.values()) > 5_000


def test_linear_probe_prints_its_choice_and_accuracies(
    run_example: Callable[..., str],
) -> None:
    if CHOSEN and "numpy" not in CHOSEN:
        pytest.skip("other libraries take minutes where they share the processor")
    options = "--rows 3000 --test-rows 1000 --dimensions 32 --classes 20"
    output = run_example("linear_probe", *options.split(), "--choose-on", "1000")
    assert "X: 3,000 x 32, 20 classes, 0 MB in float32" in output
    assert output.count("log-loss") == 5
    assert output.count("<- chosen") == 1
    assert "] iteration    1" in output
    assert "converged: True" in output
    one, five = re.findall(r"top-\d ([\d.]+)", output)
    assert 0.9 < float(one) < float(five) <= 1
    assert max(map(len, output.splitlines())) <= 100


def test_on_a_cluster_prints_its_passes_and_choice(
    run_example: Callable[..., str], tmp_path: Path
) -> None:
    if CHOSEN and "numpy" not in CHOSEN:
        pytest.skip("the chunks are NumPy's")
    distributed = pytest.importorskip("distributed")
    threads = {"processes": False, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(n_workers=2, **threads) as cluster:
        options = ("--scheduler", cluster.scheduler_address, "--folder", str(tmp_path))
        output = run_example("on_a_cluster", "--rows", "20000", *options)
    progress, others = [], []
    for line in output.splitlines():
        (progress if line.startswith("[newton-cholesky]") else others).append(line)
    assert f"all of X was read {1 + len(progress)} times" in output
    assert max(map(len, others)) <= 100
    assert "<- chosen" in output
    assert len(list(tmp_path.glob("X/*.npy"))) == 10


MISSED_FIGURE = """
from common import Tutorial
tutorial = Tutorial.start(__file__, "A figure that is missed.")
tutorial.compare("accuracy", [0.9, 0.8], [0.9, 0.7], 0.05)
tutorial.finish()
"""


def test_tutorial_reports_missed_figures_and_a_missing_library(
    run_example: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    script = tmp_path / "missed_figure.py"
    script.write_text(MISSED_FIGURE, encoding="utf-8")
    options = ("--backend", "cupy", "--out", str(tmp_path))
    with pytest.raises(SystemExit, match="1 of 2 published figures were missed"):
        run_example(script.with_suffix(""), *options)
    output = capsys.readouterr().out
    assert "cupy cannot be used here" in output
    assert "going on with numpy." in output
    assert output.count("MISSED") == 1


def test_all_examples_are_run_by_nox() -> None:
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    for script in EXAMPLES.glob("*.py"):
        assert script.stem in ("common", "backends") or f'"{script.stem}"' in noxfile
