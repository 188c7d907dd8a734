"""Cross-validation and paths of chunks equal those of the same rows in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold

import xlr

da = pytest.importorskip("dask.array")

N = 300
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4)) * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, 0.0, -1.0]
LOGITS = (X - X.mean(axis=0)) / X.std(axis=0) @ [[1, 0], [-1, 1], [0.5, -1], [0, 0.5]]
NOISE = RNG.logistic(size=(N, 2))
TWO_CLASSES = np.where(LOGITS[:, 0] + NOISE[:, 0] > 0, "yes", "no")
THREE_CLASSES = np.argmax(np.c_[np.zeros(N), LOGITS + NOISE], axis=1)
WEIGHTS = RNG.uniform(0.5, 2.0, N)
CS = [0.01, 1.0, 100.0]
# Chunks of unequal sizes, one of them empty.
SIZES = (120, 1, 0, 179)


def in_chunks(*values: np.ndarray) -> list[Any]:
    """Return Dask arrays with the same chunks of rows."""
    return [da.from_array(v, chunks=(SIZES, *v.shape[1:])) for v in values]


def cross_validated(features: Any, labels: Any, weights: Any = None, **parameters: Any):
    parameters = {"Cs": CS, "cv": 3, "tol": 1e-10, **parameters}
    model = xlr.LogisticRegressionCV(**parameters)
    return model.fit(features, labels, sample_weight=weights)


def assert_same(chunked: Any, expected: Any) -> None:
    """Compare scores, choice of C and l1_ratio, and model."""
    np.testing.assert_allclose(chunked.scores_, expected.scores_, rtol=0, atol=1e-7)
    assert chunked.C_ == expected.C_
    assert chunked.l1_ratio_ == expected.l1_ratio_
    np.testing.assert_allclose(chunked.coef_, expected.coef_, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        chunked.intercept_, expected.intercept_, rtol=1e-6, atol=1e-7
    )
    assert chunked.coefs_paths_.shape == expected.coefs_paths_.shape
    assert chunked.converged_
    assert chunked.classes_.tolist() == expected.classes_.tolist()


@pytest.mark.parametrize(
    "parameters",
    [
        {"class_weight": "balanced"},
        {"fit_intercept": False, "refit": False},
        {"l1_ratios": [0.0, 1.0], "Cs": [0.1, 1.0]},
        {"scoring": "accuracy", "cv": KFold(4, shuffle=True, random_state=0)},
        {"scoring": "roc_auc_ovr", "cv": StratifiedKFold(3)},
        {"cv": [(np.arange(200), np.arange(200, N)), (np.arange(50, N), [3, 1])]},
        {"cv": [(np.arange(200), [250, 3, 250])], "scoring": "accuracy"},
    ],
    ids=lambda parameters: " ".join(parameters),
)
def test_cross_validation_of_chunks_is_that_in_memory(
    parameters: dict[str, Any],
) -> None:
    y = THREE_CLASSES
    expected = cross_validated(X, y, **parameters)
    chunked = cross_validated(*in_chunks(X, y), **parameters)
    assert_same(chunked, expected)
    score = chunked.score(*in_chunks(X, y))
    assert score == pytest.approx(expected.score(X, y), rel=0, abs=1e-7)


def test_custom_scorers_of_chunks_get_weights_only_if_given() -> None:
    def accuracy(model: Any, rows: Any, labels: Any, sample_weight: Any = None):
        given.append(sample_weight is not None)
        return np.average(model.predict(rows) == labels, weights=sample_weight)

    given: list[bool] = []
    expected = cross_validated(X, TWO_CLASSES, WEIGHTS, scoring=accuracy)
    chunked = cross_validated(*in_chunks(X, TWO_CLASSES, WEIGHTS), scoring=accuracy)
    assert_same(chunked, expected)
    assert all(given)
    given.clear()
    cross_validated(*in_chunks(X, TWO_CLASSES), scoring=accuracy)
    assert not any(given)


def test_cross_validation_of_chunks_takes_labels_in_memory() -> None:
    (features,) = in_chunks(X)
    chunked = cross_validated(features, THREE_CLASSES, WEIGHTS)
    assert_same(chunked, cross_validated(X, THREE_CLASSES, WEIGHTS))


def test_cross_validation_of_chunks_takes_unknown_sizes() -> None:
    features, labels = in_chunks(X, TWO_CLASSES)
    kept = X[:, 0] > 0
    lazily_kept = features[:, 0] > 0
    chunked = cross_validated(features[lazily_kept], labels[lazily_kept])
    assert_same(chunked, cross_validated(X[kept], TWO_CLASSES[kept]))


def test_rare_class_in_chunks_warns_as_in_memory() -> None:
    rare = THREE_CLASSES.copy()
    rare[rare == 2] = 1
    rare[:2] = 2
    warned = []
    for data in ((X, rare), in_chunks(X, rare)):
        with pytest.warns(UserWarning, match="least populated") as caught:
            cross_validated(*data)
        warned.append(sorted(str(warning.message) for warning in caught))
    assert warned[0] == warned[1]


def test_cross_validation_of_chunks_counts_its_reads_of_x() -> None:
    read = []

    def record(chunk: np.ndarray) -> np.ndarray:
        read.append(len(chunk))
        return chunk

    features = da.from_array(X, chunks=(100, 4)).map_blocks(record, meta=X[:0])
    read.clear()
    model = cross_validated(features, da.from_array(TWO_CLASSES, chunks=100))
    assert len(read) == 3 * model.n_passes_
    read.clear()
    model = cross_validated(
        features, da.from_array(TWO_CLASSES, chunks=100), scoring="accuracy"
    )
    assert len(read) == 3 * model.n_passes_
    assert cross_validated(X, TWO_CLASSES).n_passes_ is None
