"""The tutorials run, reproduce their figures, and draw what they say."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CHOSEN
from documents import ROOT
from sklearn.datasets import load_digits
from sklearn.metrics import top_k_accuracy_score

from xlr import LogisticRegression

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

# The others where XLR_TEST_BACKENDS names the library: they take half a minute each.
IN_ALL_RUNS = {("numpy", tutorial) for tutorial in TUTORIALS}


def run(example: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run an example in a process of its own."""
    command = [sys.executable, "-W", "error", EXAMPLES / f"{example}.py", *options]
    env = {"PYTHONPATH": str(ROOT), **os.environ}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run an example here, where its libraries are imported; what it prints."""
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
    ("script", "pictures", "said"),
    [
        ("docstrings", {"words", "path"}, "words, test accuracy 0.9"),
        ("election", {"coefficients"}, "Columns 'party', 'education' of X hold no"),
    ],
)
def test_docstrings_and_election_run(
    script: str,
    pictures: set[str],
    said: str,
    printed: Callable[..., str],
    tmp_path: Path,
) -> None:
    if CHOSEN and "numpy" not in CHOSEN:
        pytest.skip("sparse matrices and tables are NumPy's")
    output = printed(script, "--out", str(tmp_path))
    assert said in output
    assert max(map(len, output.splitlines())) <= 100
    drawn = {path.stem: path.stat().st_size for path in tmp_path.glob("*.png")}
    assert drawn.keys() == pictures
    assert min(drawn.values()) > 5_000


def test_linear_probe_runs() -> None:
    if CHOSEN and "numpy" not in CHOSEN:
        pytest.skip("other libraries take minutes where they share the processor")
    options = "--rows 3000 --test-rows 1000 --dimensions 32 --classes 20"
    ran = run("linear_probe", *options.split(), "--choose-on", "1000")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "X: 3,000 x 32, 20 classes, 0 MB in float32" in ran.stdout
    assert ran.stdout.count("log-loss") == 5
    assert ran.stdout.count("<- chosen") == 1
    assert "] iteration    1" in ran.stdout
    assert "converged: True" in ran.stdout
    one, five = re.findall(r"top-\d ([\d.]+)", ran.stdout)
    assert 0.9 < float(one) < float(five) <= 1
    assert max(map(len, ran.stdout.splitlines())) <= 100


def test_ranks_of_the_probe_are_those_of_sklearn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import linear_probe

    monkeypatch.setattr(linear_probe, "ROWS_AT_A_TIME", 60)
    X, y = load_digits(return_X_y=True)
    model = LogisticRegression(C=1e-6).fit(X[:500], y[:500])
    ours = linear_probe.top_k_accuracy(model, X, y, ks=(1, 2, 5))
    scores = model.predict_proba(X)
    theirs = [top_k_accuracy_score(y, scores, k=k) for k in (1, 2, 5)]
    assert ours == theirs


def test_on_a_cluster_runs(tmp_path: Path) -> None:
    if CHOSEN and "numpy" not in CHOSEN:
        pytest.skip("the chunks are NumPy's")
    pytest.importorskip("distributed")
    ran = run("on_a_cluster", "--folder", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not ran.stderr
    progress, said = [], []
    for line in ran.stdout.splitlines():
        (progress if line.startswith("[newton-cholesky]") else said).append(line)
    assert f"all of X was read {1 + len(progress)} times" in ran.stdout
    assert max(map(len, said)) <= 100
    assert "0.1                  -0.37" in ran.stdout
    assert "<- chosen" in ran.stdout
    there, here = (float(line.split()[-4]) for line in said[-3:-1])
    assert there < 0.5 * here
    assert len(list(tmp_path.glob("X/*.npy"))) == 10


def test_a_missed_figure_and_a_missing_library_are_said(tmp_path: Path) -> None:
    """CuPy is made unusable: the fit goes on with NumPy."""
    script = (EXAMPLES / "exam_marks.py").read_text(encoding="utf-8")
    assert 'tutorial.compare("accuracy", 0.89,' in script
    changed = tmp_path / "exam_marks.py"
    changed.write_text(script.replace('"accuracy", 0.89,', '"accuracy", 0.9,'))
    for shared in ("backends.py", "common.py"):
        (tmp_path / shared).write_bytes((EXAMPLES / shared).read_bytes())
    (tmp_path / "cupy.py").write_text("raise ImportError('not here')")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, changed, "--backend", "cupy"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 1
    assert "cupy cannot be used here (not here): going on with numpy." in ran.stdout
    assert "MISSED" in ran.stdout
    assert "1 of 13 published figures were missed" in ran.stderr


def test_all_examples_are_run_by_nox() -> None:
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    for script in EXAMPLES.glob("*.py"):
        assert script.stem in ("common", "backends") or f'"{script.stem}"' in noxfile
