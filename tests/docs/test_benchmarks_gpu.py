"""Parts of the GPU benchmark, with few rows on the CPU: F, peers and table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from problems import objective

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "benchmarks"))

import gpu
import gpu_data
import gpu_fits
from gpu_libraries import NumPy, Torch, find


@pytest.fixture(params=["numpy", "torch"])
def library(request):
    if request.param == "torch":
        pytest.importorskip("torch")
        return Torch("cpu")
    return NumPy()


@pytest.mark.parametrize("n_classes", [2, 4])
def test_gpu_benchmark_computes_f_and_its_gradient(n_classes, library, monkeypatch):
    rows = gpu_data.correlated(library, 500, 3, n_classes, "float64")
    X, y = library.to_host(rows.X), library.to_host(rows.y)
    n_outputs, C = (1 if n_classes == 2 else n_classes), 0.3
    w = np.random.default_rng(1).normal(size=(n_outputs, 4))

    def value(w):
        return objective(w[:, :3], w[:, 3], X, y, C)

    gradient = np.zeros_like(w)
    for index in np.ndindex(*w.shape):
        step = np.zeros_like(w)
        step[index] = 1e-5
        gradient[index] = (value(w + step) - value(w - step)) / 2e-5
    monkeypatch.setattr(gpu_data, "BLOCK", 8 * 100 * 8)  # several blocks
    placed = library.xp.asarray(w)
    found = gpu_data.value_and_optimality(rows, placed[:, :3], placed[:, 3], C)
    assert found == pytest.approx((value(w), np.abs(gradient).max()), rel=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_gpu_benchmark_fits_reach_the_same_f(n_classes):
    pytest.importorskip("torch")
    rows = gpu_data.correlated(Torch("cpu"), 800, 4, n_classes, "float64")
    reached = [
        gpu_data.value_and_optimality(rows, *fit(rows, 1.0, 1e-7, 60.0), 1.0)
        for fit in (gpu_fits.by_xlr, gpu_fits.by_torch)
    ]
    assert reached[0][0] == pytest.approx(reached[1][0], rel=1e-10)
    assert max(optimality for _, optimality in reached) <= 1.1e-7


def test_gpu_benchmark_runs_dry_on_the_cpu(tmp_path, capsys):
    out = tmp_path / "results.json"
    assert gpu.main(["--dry-run", "--out", str(out), "10M", "569"]) == 0
    results = json.loads(out.read_text())
    assert results["dry_run"]
    assert {"gpu", "driver", "python", "versions", "date"} <= set(results)
    printed = capsys.readouterr().out
    assert printed.startswith("A dry run on the CPU")
    assert len(results["cells"]) == 3
    for cell in results["cells"]:
        assert f"| {cell['name']} |" in printed
        ours = [row for row in cell["rows"] if row["who"].startswith("xlr")]
        assert ours
        for row in ours:
            assert row["seconds"] > 0
            assert row.get("good", True), row


def test_gpu_benchmark_without_a_gpu_prints_one_line(capsys):
    if find(dry_run=False)[0]:
        pytest.skip("there is a GPU")
    assert gpu.main([]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("No GPU to measure: ")
    assert printed.out.count("\n") == 1
    assert printed.err == ""
