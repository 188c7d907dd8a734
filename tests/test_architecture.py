"""Layers, imports and public names of the package."""

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
    "sklearn_models": 5,
    "datasets": 5,
    "estimators": 6,
    "plotting": 6,
    "inference": 7,
    "__init__": 8,
}


def part_of(path: Path) -> str:
    """Return the module or subpackage of xlr, a key of LAYERS, that holds a file."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


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
        here = part_of(path)
        for name in imported(path):
            root, *parts = name.split(".")
            if root == "xlr" and parts[0] != here:
                assert LAYERS[parts[0]] < LAYERS[here], f"{path} imports {name}"


def test_array_libraries_are_imported_by_arrays_and_precision_alone():
    libraries = {"array_api_compat", "cupy", "torch", "jax", "array_api_strict"}
    for path in MODULES:
        used = {name.split(".")[0] for name in imported(path)}
        assert path.name in ("arrays.py", "precision.py") or not used & libraries, path


def test_dask_is_named_by_dask_graph_alone():
    """Other modules neither import Dask nor hold its name in a string."""
    for path in MODULES:
        nodes = ast.walk(ast.parse(path.read_text()))
        strings = (n.value for n in nodes if isinstance(n, ast.Constant))
        words = {s for s in strings if isinstance(s, str) and " " not in s}
        used = {name.split(".")[0] for name in imported(path) | words}
        assert path.name == "dask_graph.py" or not used & {"dask", "distributed"}, path


def test_layers_above_inputs_know_neither_dask_nor_a_table_library():
    for path in MODULES:
        if part_of(path) in ("estimators", "inference", "plotting"):
            roots = {name.split(".")[0] for name in imported(path)}
            assert not roots & {"narwhals", "pandas"}, path
            nodes = ast.walk(ast.parse(path.read_text()))
            attributes = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
            used = attributes | {name.rpartition(".")[2] for name in imported(path)}
            assert not used & {"is_dask", "ChunkedMatrix", "ChunkedData"}, path


def test_solvers_import_no_loss():
    allowed = {"arrays", "objective", "solvers", "penalties"}
    for path in (PACKAGE / "solvers").glob("*.py"):
        used = {n.split(".")[1] for n in imported(path) if n.startswith("xlr.")}
        assert used <= allowed, path


def test_public_names_are_as_listed_and_have_docstrings():
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


# Prints the number of modules that sklearn loads, and the names that xlr adds.
LIST_MODULES = """
import sys
import sklearn.linear_model
of_sklearn = set(sys.modules)
import xlr
print(len(of_sklearn), *(set(sys.modules) - of_sklearn))
"""


def test_import_of_xlr_loads_few_modules_besides_sklearn():
    """Load no array library, and at most 0.3 times as many modules as sklearn.

    Modules are counted because the time of an import on a busy machine varies.
    """
    ran = subprocess.run(
        [sys.executable, "-c", LIST_MODULES],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    n_of_sklearn, *others = ran.stdout.split()
    packages = {name.partition(".")[0] for name in others}
    assert packages <= sys.stdlib_module_names | {"xlr", "array_api_compat", "narwhals"}
    assert len(others) <= 0.3 * int(n_of_sklearn)
