"""Fit logistic regression with xlr and with scikit-learn.

    python examples/quickstart.py

The two data sets come with scikit-learn: benign and malignant tumours (569 rows,
30 features), and images of handwritten digits (1797 rows, 64 features, 10 classes).
With a CUDA GPU and CuPy or torch, the same code also runs on the GPU.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.model_selection import train_test_split

import xlr


def find_gpu():
    """Return a function that moves arrays to a GPU and its library's name, or None."""
    try:
        import cupy

        if cupy.cuda.is_available():
            return cupy.asarray, "CuPy"
    except (ImportError, RuntimeError):  # no CuPy, or no driver
        pass
    try:
        import torch

        if torch.cuda.is_available():
            return lambda values: torch.asarray(values, device="cuda"), "torch"
    except ImportError:
        pass
    return None


def objective(model, X, y, C):
    """Return F, which both libraries minimise: the mean loss plus |w|^2 / (2 C n).

    F is computed from the coefficients alone, in the same way for both libraries.
    """
    coef = np.asarray(model.coef_)
    logits = X @ coef.T + np.asarray(model.intercept_)
    if len(model.classes_) == 2:  # one column of logits, for classes_[1]
        loss = xlr.binary_cross_entropy(logits[:, 0], y)
    else:  # one column for each class
        loss = xlr.cross_entropy(logits, y)
    return float(loss) + float(np.sum(coef**2)) / (2 * C * len(y))


def timed_fit(model, X, y):
    """Return the seconds of a fit, after a small fit that loads code and threads."""
    clone(model).fit(X[:200], y[:200])
    started = perf_counter()
    model.fit(X, y)
    float(model.coef_[0, 0])  # a GPU works in the background: wait for it
    return perf_counter() - started


def compare(data, sklearn_solver, C=1.0):
    """Fit one data set with each library and print the results."""
    X, X_test, y, y_test = train_test_split(
        data.data, data.target, test_size=0.25, random_state=0, stratify=data.target
    )

    # X decides where the fit runs: a NumPy array is fitted on the CPU.
    model = xlr.LogisticRegression(C=C)
    rows = [("xlr on NumPy", model, timed_fit(model, X, y))]

    # This scikit-learn solver is as accurate on these data. scikit-learn's default,
    # lbfgs with tol=1e-4 and max_iter=100, would stop early on both and warn.
    reference = SklearnLogisticRegression(
        C=C, solver=sklearn_solver, tol=1e-6, max_iter=1000
    )
    name = f"scikit-learn {sklearn_solver}"
    rows.append((name, reference, timed_fit(reference, X, y)))

    if GPU is not None:
        # Only the arrays change on the GPU. Labels may stay on the host.
        to_gpu, library = GPU
        X_gpu = to_gpu(X)
        on_gpu = xlr.LogisticRegression(C=C)
        seconds = timed_fit(on_gpu, X_gpu, y)
        # The coefficients are arrays of this library too; to_numpy() converts them.
        rows.append((f"xlr on {library} (GPU)", on_gpu.to_numpy(), seconds))

    print(f"  solver {model.solver_}, {model.n_iter_[0]} iterations, ", end="")
    print(f"converged: {model.converged_} (optimality {model.optimality_:.1e})")
    print()
    header = ("", "objective F", "F - lowest F", "test accuracy", "seconds")
    print("  {:<30}{:>15}{:>14}{:>15}{:>10}".format(*header))
    F = [objective(fitted, X, y, C) for _, fitted, _ in rows]
    for (name, fitted, seconds), value in zip(rows, F):
        accuracy = fitted.score(X_test, y_test)
        excess = value - min(F)
        print(f"  {name:<30}{value:>15.12f}{excess:>14.1e}{accuracy:>15.4f}", end="")
        print(f"{seconds:>10.4f}")
    print()
    return model


GPU = find_gpu()

print("Breast cancer: malignant or benign?")
cancer = load_breast_cancer()
model = compare(cancer, "newton-cholesky")

# For two classes, coef_ has one row: the change in the log-odds of classes_[1] per unit
# of each feature. The units differ, so rank the features by the effect of one standard
# deviation.
effect = model.coef_[0] * cancer.data.std(axis=0)
print(f"  The five largest effects on the log-odds of {cancer.target_names[1]}")
print(f"  {'':<26}{'coefficient':>14}{'times std':>16}")
for j in np.argsort(-np.abs(effect))[:5]:
    name = cancer.feature_names[j]
    print(f"  {name:<26}{model.coef_[0, j]:>14.6f}{effect[j]:>16.4f}")
print(f"  {'intercept':<26}{model.intercept_[0]:>14.6f}")
print()

print("Digits: which of the ten?")
digits = load_digits()
model = compare(digits, "newton-cg")

# With more classes, coef_ has one row per class, and the softmax of the logits is the
# vector of probabilities.
print("  The pixel (row, column) with the largest coefficient for five of the digits")
print(f"  {'digit':<26}{'coefficient':>14}{'pixel':>16}")
for digit in range(5):
    j = int(np.argmax(model.coef_[digit]))
    pixel = f"({j // 8}, {j % 8})"
    print(f"  {digit:<26}{model.coef_[digit, j]:>14.6f}{pixel:>16}")
print()

if GPU is None:
    print("GPU: CuPy and torch found none, so everything above ran on the CPU.")
