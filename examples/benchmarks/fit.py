"""Time fits on the CPU: xlr's solvers and scikit-learn's, to the F they reach.

    python examples/benchmarks/fit.py --repeats 5 --out fit.json

A time means little without where it led, so each row says which F was reached and by
how much it is above the lowest of all rows. Repeats take turns, one fit of each solver
at a time, so that a slow spell of the machine meets all alike; the median is shown. A
fit that takes longer than ``--patience`` seconds is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.preprocessing import StandardScaler

import xlr

# tol is near in meaning here: the largest entry of the gradient of F. But xlr measures
# it for standardised features, so the sets below are standardised to begin with.
TOL = 1e-6
XLR = ("auto", "newton-cholesky", "newton-cg", "lbfgs")
SKLEARN = ("lbfgs", "newton-cholesky", "newton-cg")


def synthetic(n_samples=100_000, n_features=20, seed=0):
    """Normal features, and labels drawn from a logistic model of them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features))
    logits = X @ rng.standard_normal(n_features) / 2
    return X, (rng.random(n_samples) < xlr.sigmoid(logits)).astype(np.int64)


def problems():
    """Name, X and y of each data set."""
    for load in (load_breast_cancer, load_digits):
        X, y = load(return_X_y=True)
        yield load.__name__.removeprefix("load_"), StandardScaler().fit_transform(X), y
    X, y = synthetic()
    yield f"synthetic {X.shape[0]} x {X.shape[1]}", X, y


def estimators(C):
    """Label and unfitted model of each row."""
    for solver in XLR:
        yield f"xlr {solver}", xlr.LogisticRegression(C=C, solver=solver, tol=TOL)
    for solver in SKLEARN:
        yield (
            f"scikit-learn {solver}",
            SklearnLogisticRegression(C=C, solver=solver, tol=TOL, max_iter=1000),
        )


def objective(model, X, y, C):
    """F from the coefficients alone."""
    logits = X @ model.coef_.T + model.intercept_
    if len(model.classes_) == 2:
        loss = xlr.binary_cross_entropy(logits[:, 0], y)
    else:
        loss = xlr.cross_entropy(logits, y)
    return float(loss) + float(np.sum(model.coef_**2)) / (2 * C * len(y))


def measure(X, y, *, C, repeats, patience):
    """A dict for each estimator: its times, F and iterations."""
    models = dict(estimators(C))
    seconds = {name: [] for name in models}
    for _ in range(repeats):
        for name, model in models.items():
            if seconds[name] and seconds[name][0] > patience:
                continue
            with warnings.catch_warnings():  # an early stop shows in F
                warnings.simplefilter("ignore", ConvergenceWarning)
                started = perf_counter()
                model.fit(X, y)
                seconds[name].append(perf_counter() - started)
    F = {name: objective(model, X, y, C) for name, model in models.items()}
    return [
        {
            "name": name,
            "seconds": median(seconds[name]),
            "all_seconds": seconds[name],
            "objective": F[name],
            "above_lowest": F[name] - min(F.values()),
            "iterations": int(np.max(model.n_iter_)),
            "solver": getattr(model, "solver_", model.solver),
        }
        for name, model in models.items()
    ]


def print_table(title, rows):
    """One data set as Markdown."""
    print(f"\n### {title}\n")
    print("| fit | median s | fits | F reached | above the lowest | iterations |")
    print("|---|--:|--:|--:|--:|--:|")
    for row in rows:
        name = row["name"]
        if name == "xlr auto":
            name += f" ({row['solver']})"
        print(
            f"| {name} | {row['seconds']:.4f} | {len(row['all_seconds'])} "
            f"| {row['objective']:.12f} | {row['above_lowest']:.1e} "
            f"| {row['iterations']} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="fits of each row")
    parser.add_argument("--patience", type=float, default=10.0, help="in seconds")
    parser.add_argument("-C", type=float, default=1.0)
    parser.add_argument("--out", type=Path, help="JSON file for all numbers")
    options = parser.parse_args()

    versions = {name: version(name) for name in ("numpy", "scipy", "scikit-learn")}
    machine = {"processor": platform.machine(), "cores": os.cpu_count()}
    machine |= {"python": platform.python_version(), "xlr": xlr.__version__} | versions
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    results = {}
    for title, X, y in problems():
        rows = measure(
            X, y, C=options.C, repeats=options.repeats, patience=options.patience
        )
        results[title] = rows
        print_table(f"{title}, C={options.C:g}", rows)
    if options.out:
        content = {"machine": machine, "C": options.C, "tol": TOL, "results": results}
        options.out.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
