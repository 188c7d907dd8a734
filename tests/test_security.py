"""xlr does not unpickle, evaluate, run or download anything."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import xlr

ROOT = Path(xlr.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# Modules that run code from data, start programs or reach other machines.
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "subprocess",
    "socket",
    "ssl",
    "http",
    "urllib",
    "urllib3",
    "requests",
    "ftplib",
    "smtplib",
    "webbrowser",
    "tempfile",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
FORBIDDEN_ATTRIBUTES = {
    ("os", "system"),
    ("os", "popen"),
    ("joblib", "load"),
    ("joblib", "dump"),
    ("torch", "load"),
    ("torch", "compile"),
    ("np", "load"),
    ("numpy", "load"),
    ("pandas", "read_pickle"),
}


def offences(source: str) -> list[str]:
    """Return the forbidden imports, calls and attributes of a module."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in FORBIDDEN_CALLS:
                found.append(node.func.id)
            continue
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in FORBIDDEN_ATTRIBUTES:
                found.append(f"{node.value.id}.{node.attr}")
            continue
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.append("allow_pickle")
            continue
        else:
            continue
        found += [n for n in names if n.partition(".")[0] in FORBIDDEN_MODULES]
    return found


def test_source_unpickles_evaluates_and_fetches_nothing():
    for module in MODULES:
        assert offences(module.read_text(encoding="utf-8")) == [], module


def test_each_kind_of_forbidden_code_is_found():
    for line in (
        "import pickle",
        "from urllib.request import urlopen",
        "eval('1')",
        "import joblib; joblib.load('x')",
        "np.fromfile('x', allow_pickle=True)",
        "os.system('ls')",
    ):
        assert offences(line), line


OFFLINE = """
import socket, subprocess, sys

def refuse(event, arguments):
    network = event.startswith(("socket.connect", "socket.getaddrinfo", "urllib"))
    program = event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")
    if network or program or event == "pickle.find_class":
        raise SystemExit(f"{event} {arguments}")

import numpy, scipy.optimize, scipy.sparse, sklearn.linear_model  # before the hook
from joblib import cpu_count
cpu_count()  # asks the system once

sys.addaudithook(refuse)
import xlr
from xlr.datasets import load_exam_marks

X, y = load_exam_marks(return_X_y=True)
for estimator in (
    xlr.LogisticRegression(C=numpy.inf, n_jobs=2),
    xlr.LogisticRegression(l1_ratio=0.5),
    xlr.LogisticRegressionCV(Cs=2, cv=3),
    xlr.FirthLogisticRegression(),
):
    estimator.fit(X, y).predict_proba(X)
xlr.MultiLabelLogisticRegression().fit(X, numpy.stack([y, 1 - y], axis=1)).predict(X)
xlr.infer(xlr.LogisticRegression(C=numpy.inf).fit(X, y), X, y).summary()
xlr.bootstrap(xlr.LogisticRegression(), X, y, n_resamples=10, random_state=0)
xlr.logistic_path(X, y)
print("fitted")
"""


def test_fits_reach_no_network_and_start_no_program():
    ran = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT.parent,
    )
    assert ran.stdout.strip() == "fitted", ran.stderr[-2000:]
