"""``pytest -m gpu`` needs few packages, and names the missing ones."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import conftest
import cupy_stand_in
import pytest

TESTS = Path(__file__).parents[1]
CONFIG = SimpleNamespace(option=SimpleNamespace(markexpr="gpu"))
# pytest, and the direct and indirect dependencies of xlr.
THERE = {
    "array_api_compat",
    "joblib",
    "narwhals",
    "numpy",
    "pytest",
    "scipy",
    "sklearn",
}
THERE |= {"threadpoolctl", "xlr"}


def imported_at_once(path: Path) -> set[str]:
    """Return the top-level names that a module imports before its tests run."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_test_files_import_optional_libraries_on_demand():
    ours = [TESTS, TESTS.parent / "examples" / "benchmarks"]
    names = {module.stem for folder in ours for module in folder.rglob("*.py")}
    allowed = set(sys.stdlib_module_names) | THERE | names
    for path in TESTS.rglob("*.py"):
        assert imported_at_once(path) <= allowed, path


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(conftest, "CHOSEN", [])
    monkeypatch.setattr(conftest, "why_not", lambda name: f"{name} is not here")


def test_gpu_command_without_a_gpu_names_the_missing_libraries(no_gpu, monkeypatch):
    monkeypatch.setattr(conftest, "REQUIRE_GPU", False)
    with pytest.raises(pytest.exit.Exception, match="cupy is not here; ") as caught:
        conftest.pytest_configure(CONFIG)
    assert caught.value.returncode == 0


def test_gpu_command_runs_with_one_library(monkeypatch):
    monkeypatch.setattr(conftest, "CHOSEN", [])
    monkeypatch.setattr(conftest, "REQUIRE_GPU", False)
    here = {"cupy": None, "torch-cuda": "torch is not here"}
    monkeypatch.setattr(conftest, "why_not", here.get)
    conftest.pytest_configure(CONFIG)
    monkeypatch.setattr(conftest, "REQUIRE_GPU", True)
    with pytest.raises(pytest.UsageError, match="torch is not here"):
        conftest.pytest_configure(CONFIG)


def test_cupy_without_a_driver_is_explained(monkeypatch):
    def raises():
        raise RuntimeError("cudaErrorInsufficientDriver: ...")

    for module in cupy_stand_in.MODULES:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cupy_stand_in.cuda, "is_available", raises)
    assert conftest.why_not("cupy") == "cudaErrorInsufficientDriver: ..."
