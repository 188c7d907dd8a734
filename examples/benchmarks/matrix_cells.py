"""Cells of sparse matrices: data, and fits by xlr and its peers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfTransformer
from sparse_cells import fit_cell


def zipf(rng: np.random.Generator, n_values: int, size: int) -> np.ndarray:
    """Draw numbers 0, 1, ... with probabilities in proportion to 1 / (k + 1)."""
    weights = np.cumsum(1 / np.arange(1, n_values + 1))
    return np.searchsorted(weights / weights[-1], rng.random(size))


def labels(rng: np.random.Generator, X: Any, coef: np.ndarray) -> np.ndarray:
    """Draw labels from the model with these coefficients; half of them are 1."""
    logits = X @ coef
    return (rng.random(len(logits)) < expit(logits - np.median(logits))).astype(int)


def text(share: float, *, n: int, p: int, length: int) -> dict[str, Any]:
    """Draw texts with word frequencies as in a language, and weight rare words more."""
    rng = np.random.default_rng(0)
    n = max(300, int(n * share))
    words = rng.permutation(p)[zipf(rng, p, n * length)]
    texts = np.repeat(np.arange(n), length)
    counts = sp.coo_array((np.ones(n * length), (texts, words)), shape=(n, p)).tocsr()
    X = sp.csr_array(TfidfTransformer(sublinear_tf=True).fit_transform(counts))
    coef = 8 * rng.standard_normal(p) * (rng.random(p) < 0.1)
    return {"X": with_small_indices(X), "y": labels(rng, X, coef)}


def one_hot(share: float, *, n: int, groups: int, levels: int) -> dict[str, Any]:
    """Draw categories with few frequent levels each."""
    rng = np.random.default_rng(1)
    n = max(1_000, int(n * share))
    columns = np.stack([zipf(rng, levels, n) + g * levels for g in range(groups)], 1)
    ends = np.arange(0, n * groups + 1, groups)
    X = sp.csr_array((np.ones(n * groups), columns.ravel(), ends))
    X.resize(n, groups * levels)
    coef = 0.4 * rng.standard_normal(groups * levels)
    return {"X": with_small_indices(X), "y": labels(rng, X, coef)}


def with_small_indices(X: sp.csr_array) -> sp.csr_array:
    """Return X with int32 indices, which scikit-learn's solvers need."""
    places = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return sp.csr_array((X.data, *places), shape=X.shape)


TEXT = partial(text, n=20_000, p=100_000, length=62)
SOLVERS = ("lbfgs", "newton-cg", "liblinear")

MATRIX_CELLS = {
    cell.name: cell
    for cell in [
        fit_cell(
            "text",
            "20k x 100k, 50 words per text",
            3,
            SOLVERS,
            TEXT,
            C=1.0,
            l1_ratio=0.0,
        ),
        fit_cell(
            "text, weak penalty",
            "20k x 100k, 50 words per text",
            3,
            SOLVERS,
            TEXT,
            C=100.0,
            l1_ratio=0.0,
        ),
        fit_cell(
            "one-hot",
            "500k x 2k, 30 categories",
            3,
            (*SOLVERS, "glum"),
            partial(one_hot, n=500_000, groups=30, levels=67),
            C=1.0,
            l1_ratio=0.0,
        ),
        fit_cell(
            "text, L1",
            "20k x 100k, 50 words per text, L1",
            2,
            ("liblinear", "skglm"),
            TEXT,
            C=1.0,
        ),
    ]
}
