"""Imports run downwards, and the public names are as listed."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import xlr

PACKAGE = Path(xlr.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
LAYERS = {
    "dask_graph": -1,
    "arrays": 0,
    "numpy_namespace": -1,
    "precision": 0,
    "text": 0,
    "threads": 1,
    "functions": 1,
    "losses": 2,
    "penalties": 2,
    "data": 2,
    "objective": 3,
    "solvers": 4,
    "inputs": 5,
    "plotting": 5,
    "datasets": 5,
    "estimators": 6,
    "inference": 7,
    "__init__": 8,
}


def package(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the full names of all imports of a module, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_run_downwards():
    for path in MODULES:
        here = package(path)
        for name in imported(path):
            root, *parts = name.split(".")
            if root == "xlr" and parts[0] != here:
                assert LAYERS[parts[0]] < LAYERS[here], f"{path} imports {name}"


def test_array_libraries_are_imported_by_arrays_alone():
    known = {"array_api_compat", "cupy", "torch", "jax", "array_api_strict"}
    for path in MODULES:
        used = {name.split(".")[0] for name in imported(path)}
        assert path.name in ("arrays.py", "precision.py") or not used & known, path


def test_dask_is_named_by_dask_graph_alone():
    """Other modules neither import Dask nor hold its name in a string."""
    for path in MODULES:
        nodes = ast.walk(ast.parse(path.read_text()))
        strings = (n.value for n in nodes if isinstance(n, ast.Constant))
        words = {s for s in strings if isinstance(s, str) and " " not in s}
        used = {name.split(".")[0] for name in imported(path) | words}
        assert path.name == "dask_graph.py" or not used & {"dask", "distributed"}, path


def test_solvers_import_no_loss():
    known = {"arrays", "objective", "solvers", "penalties"}
    for path in (PACKAGE / "solvers").glob("*.py"):
        used = {n.split(".")[1] for n in imported(path) if n.startswith("xlr.")}
        assert used <= known, path


def test_public_names_are_listed():
    assert sorted(xlr.__all__) == [
        "BootstrapResult",
        "CategoricalMatrix",
        "FirthLogisticRegression",
        "FormulaTransformer",
        "InferenceResults",
        "LikelihoodRatioTest",
        "LogisticPath",
        "LogisticRegression",
        "LogisticRegressionCV",
        "MultiLabelLogisticRegression",
        "SeparationWarning",
        "SplitMatrix",
        "binary_cross_entropy",
        "bootstrap",
        "cross_entropy",
        "datasets",
        "infer",
        "likelihood_ratio_test",
        "log_sigmoid",
        "log_softmax",
        "logistic_path",
        "logit",
        "plotting",
        "sigmoid",
        "soft_labels",
        "softmax",
        "summary_col",
    ]
    assert all(getattr(xlr, name).__doc__ for name in xlr.__all__)
    assert (PACKAGE / "py.typed").exists()


def test_version_is_in_one_place():
    try:
        installed = metadata.version("xlr")
    except metadata.PackageNotFoundError:
        pytest.skip("xlr runs from a checkout, not installed")
    assert installed == xlr.__version__


LISTED = """
import sys
import sklearn.linear_model
theirs = set(sys.modules)
import xlr
print(len(theirs), *(set(sys.modules) - theirs))
"""


def test_import_of_xlr_loads_few_modules_besides_sklearn():
    """No array library, and at most 0.3 times the modules of sklearn.linear_model.

    Modules are counted because a time on a busy machine is no measurement.
    """
    ran = subprocess.run(
        [sys.executable, "-c", LISTED],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    n_theirs, *ours = ran.stdout.split()
    packages = {name.partition(".")[0] for name in ours}
    assert packages <= sys.stdlib_module_names | {"xlr", "array_api_compat", "narwhals"}
    assert len(ours) <= 0.3 * int(n_theirs)
