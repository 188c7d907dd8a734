"""The command ``pytest -m gpu``: its few packages, and messages on missing ones."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import conftest
import cupy_stand_in
import pytest

TESTS = Path(__file__).parents[1]
GPU_COMMAND = SimpleNamespace(option=SimpleNamespace(markexpr="gpu"))
# pytest, and the direct and indirect dependencies of xlr.
DEPENDENCIES = {
    "array_api_compat",
    "joblib",
    "narwhals",
    "numpy",
    "pytest",
    "scipy",
    "sklearn",
    "threadpoolctl",
    "xlr",
}


def imported_at_collection(path: Path) -> set[str]:
    """Return the top-level names that a module imports before its tests run."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_test_files_import_optional_libraries_on_demand():
    folders = [TESTS, TESTS.parent / "examples" / "benchmarks"]
    ours = {module.stem for folder in folders for module in folder.rglob("*.py")}
    allowed = set(sys.stdlib_module_names) | DEPENDENCIES | ours
    for path in TESTS.rglob("*.py"):
        assert imported_at_collection(path) <= allowed, path


@pytest.fixture(autouse=True)
def default_libraries(monkeypatch):
    """Let the GPU command try its default libraries, and require no GPU."""
    monkeypatch.setattr(conftest, "CHOSEN", [])
    monkeypatch.setattr(conftest, "REQUIRE_GPU", False)


def test_gpu_command_without_a_gpu_names_the_missing_libraries(monkeypatch):
    monkeypatch.setattr(conftest, "why_not", lambda name: f"{name} is not here")
    with pytest.raises(pytest.exit.Exception, match="cupy is not here; ") as raised:
        conftest.pytest_configure(GPU_COMMAND)
    assert raised.value.returncode == 0


def test_gpu_command_runs_with_one_library_unless_gpus_are_required(monkeypatch):
    reasons = {"cupy": None, "torch-cuda": "torch is not here"}
    monkeypatch.setattr(conftest, "why_not", reasons.get)
    conftest.pytest_configure(GPU_COMMAND)
    monkeypatch.setattr(conftest, "REQUIRE_GPU", True)
    with pytest.raises(pytest.UsageError, match="torch is not here"):
        conftest.pytest_configure(GPU_COMMAND)


def test_error_of_cupy_without_a_driver_is_the_reason(monkeypatch):
    def is_available():
        raise RuntimeError("cudaErrorInsufficientDriver: ...")

    for module in cupy_stand_in.MODULES:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cupy_stand_in.cuda, "is_available", is_available)
    assert conftest.why_not("cupy") == "cudaErrorInsufficientDriver: ..."
