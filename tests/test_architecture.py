"""Imports run downwards; the public names are what they are said to be."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import xlr

PACKAGE = Path(xlr.__file__).parent
LAYERS = {
    "dask_graph": -1,
    "arrays": 0,
    "cached": 0,
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
    """Full names of everything a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_run_downwards(path):
    here = package(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "xlr":
            continue
        there = parts[1]
        assert LAYERS[there] < LAYERS[here] or there == here, f"{path} imports {name}"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_array_libraries_are_imported_by_arrays_alone(path):
    known = {"array_api_compat", "cupy", "torch", "jax", "array_api_strict"}
    used = {name.split(".")[0] for name in imported(path)}
    assert path.name in ("arrays.py", "precision.py") or not used & known


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_dask_is_imported_by_dask_graph_alone(path):
    """Neither by an import nor by the name of a module, as for ``sys.modules``."""
    nodes = ast.walk(ast.parse(path.read_text()))
    strings = {n.value for n in nodes if isinstance(n, ast.Constant)} - {None}
    names = imported(path) | {s for s in strings if isinstance(s, str) and " " not in s}
    used = {name.split(".")[0] for name in names}
    assert path.name == "dask_graph.py" or not used & {"dask", "distributed"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "solvers").glob("*.py")), ids=str)
def test_solvers_see_no_loss(path):
    """The row space is a problem of its own, with rows and a penalty."""
    used = {n.split(".")[1] for n in imported(path) if n.startswith("xlr.")}
    known = {"arrays", "objective", "solvers", "penalties"}
    assert used <= known | ({"data"} if path.name == "row_space.py" else set())


def test_constants_have_one_name_each():
    """A name with two values in two modules is read as one of them."""
    names = [
        target.id
        for path in PACKAGE.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    ]
    assert sorted(names) == sorted(set(names))


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


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    return done.stdout


def test_import_brings_little_more_than_sklearn():
    """No array library, and at most 1.3 times the modules of sklearn.linear_model.

    Modules are counted because a time on a busy machine is no measurement.
    """
    listed = "import {}, sys; print(*sys.modules)"
    ours, theirs = (
        set(run(listed.format(name)).split())
        for name in ("xlr", "sklearn.linear_model")
    )
    packages = {name.partition(".")[0] for name in ours - theirs}
    assert packages <= sys.stdlib_module_names | {"xlr", "array_api_compat", "narwhals"}
    assert len(ours) <= 1.3 * len(theirs)
