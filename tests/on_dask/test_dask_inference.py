"""Inference on rows in chunks agrees with inference on the same rows in memory."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from studies import anes96, endometrial, fair, spector

import xlr

da = pytest.importorskip("dask.array")

N = 240
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 0.0]
LOGITS = (X - X.mean(axis=0)) / X.std(axis=0) @ [[1, 0], [-1, 1], [0.5, -1]]
NOISE = RNG.logistic(size=(N, 2))
LABELS = {
    "two": np.where(LOGITS[:, 0] + NOISE[:, 0] > 0, "yes", "no"),
    "three": np.argmax(np.c_[np.zeros(N), LOGITS + NOISE], axis=1),
}
# Chunks of unequal sizes, one of them empty.
SIZES = (120, 1, 0, 119)
UNPENALISED = {"C": np.inf, "tol": 1e-10}


def in_chunks(*values: np.ndarray, chunks: Any = SIZES) -> list[Any]:
    """Return Dask arrays with the same chunks of rows."""
    return [da.from_array(v, chunks=(chunks, *v.shape[1:])) for v in values]


def results_of(features: Any, labels: Any, **options: Any):
    """Return the results of an unpenalised fit."""
    model = xlr.LogisticRegression(**UNPENALISED).fit(features, labels)
    return xlr.infer(model, features, labels, **options)


def assert_same(chunked: Any, expected: Any) -> None:
    """Compare estimates, errors and sums over the rows."""
    for found, known in (
        (chunked.params, expected.params),
        (chunked.bse, expected.bse),
        (chunked.cov_params(), expected.cov_params()),
    ):
        np.testing.assert_allclose(found, known, rtol=1e-6, atol=1e-9)
    for name in ("llf", "llnull", "aic", "bic", "nobs", "effective_df", "df_resid"):
        found = getattr(chunked, name)
        assert found == pytest.approx(getattr(expected, name), rel=1e-9), name
    assert chunked.names == expected.names


def test_inference_reads_chunks_three_or_four_times_and_once_more_for_robust_errors():
    reads: list[int] = []

    def read(block: np.ndarray) -> np.ndarray:
        reads.append(len(block))
        return block

    lazy, y = in_chunks(X, LABELS["two"])
    lazy = da.map_blocks(read, lazy, dtype=X.dtype, meta=np.empty((0, 0)))
    model = xlr.LogisticRegression(C=np.inf).fit(lazy, y)
    counts = []
    for cov_type in ("nonrobust", "HC0"):
        reads.clear()
        xlr.infer(model, lazy, y, cov_type=cov_type)
        counts.append(reads.count(SIZES[0]))
    assert counts[0] in (3, 4)
    assert counts[1] == counts[0] + 1


@pytest.mark.parametrize("classes", LABELS)
def test_inference_on_chunks_is_that_in_memory(classes: str) -> None:
    y = LABELS[classes]
    chunked = results_of(*in_chunks(X, y), keep_data=True)
    expected = results_of(X, y, keep_data=True)
    for method in ("get_margeff", "profile_conf_int", "odds_ratios"):
        found, known = (getattr(each, method)() for each in (chunked, expected))
        assert list(found.columns) == list(known.columns)
        for name, column in known.columns.items():
            np.testing.assert_allclose(
                found.columns[name], column, rtol=1e-5, atol=1e-8
            )
    assert str(chunked.summary()) == str(expected.summary())
    intervals = [each.predict_interval(X[:5]) for each in (chunked, expected)]
    np.testing.assert_allclose(*intervals, rtol=1e-6)


def test_influence_of_chunks_is_refused() -> None:
    results = results_of(*in_chunks(X, LABELS["two"]), keep_data=True)
    with pytest.raises(
        ValueError, match=r"Influence describes single rows.*X\.compute\(\)"
    ):
        results.get_influence()


def test_model_fitted_in_memory_is_inferred_on_chunks_and_vice_versa() -> None:
    y = LABELS["three"]
    model = xlr.LogisticRegression(**UNPENALISED)
    data, expected = in_chunks(X, y), results_of(X, y)
    assert_same(xlr.infer(model.fit(X, y), *data), expected)
    assert_same(xlr.infer(model.fit(*data), X, y), expected)


@pytest.mark.parametrize("chunks", [N, 23])
def test_collinear_columns_of_chunks_are_found(chunks: Any) -> None:
    columns, y = np.c_[X, X[:, 0] + X[:, 1]], LABELS["three"]
    data = in_chunks(columns, y, chunks=chunks)
    chunked, expected = results_of(*data), results_of(columns, y)
    assert np.isnan(expected.bse).sum() == 2  # one column in two equations
    np.testing.assert_allclose(chunked.bse, expected.bse, rtol=1e-6)
    with pytest.raises(ValueError, match="determined: x3"):
        results_of(*data, collinear="raise")


def test_inference_on_other_chunks_is_refused() -> None:
    features, labels = in_chunks(X, LABELS["two"])
    model = xlr.LogisticRegression(**UNPENALISED).fit(features, labels)
    with pytest.raises(ValueError, match="not the optimum on these rows"):
        xlr.infer(model, features[:130], labels[:130])


def quasi_separated() -> tuple[np.ndarray, np.ndarray]:
    """Return X and labels; the last feature implies "yes"."""
    feature = (RNG.uniform(size=N) < 0.1).astype(float)
    return np.c_[X, feature], np.where(feature == 1, "yes", LABELS["two"])


SEPARATED: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "complete": (X, (X[:, 0] > 0).astype(int)),
    "quasi": quasi_separated(),
    "three": (X, np.where(X[:, 0] > 0.5, 2, (X[:, 1] > 5).astype(int))),
    "one of three": (X, np.where(X[:, 0] > 0.5, 3, LABELS["three"])),
    "endometrial": endometrial(),
}


def messages(features: Any, labels: Any) -> list[str]:
    """Return the warnings of the fit and the error of inference."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = xlr.LogisticRegression(C=np.inf).fit(features, labels)
    found = [str(w.message) for w in caught if w.category is xlr.SeparationWarning]
    try:
        xlr.infer(model, features, labels)
    except ValueError as error:
        found.append(str(error))
    return found


@pytest.mark.parametrize(
    ("name", "n_chunks"),
    [("complete", 1), ("quasi", 13), *((name, 4) for name in SEPARATED)],
)
def test_separation_of_chunks_has_the_messages_of_rows_in_memory(
    name: str, n_chunks: int
) -> None:
    features, labels = (np.asarray(values) for values in SEPARATED[name])
    expected = messages(features, labels)
    assert expected
    size = -(-len(labels) // n_chunks)
    assert messages(*in_chunks(features, labels, chunks=size)) == expected


def test_separation_of_chunks_ignores_a_chunk_without_weight() -> None:
    features, labels = SEPARATED["complete"]
    weights = np.where(np.arange(N) // 60 == 1, 0.0, 1.0)
    data = in_chunks(features, labels, weights, chunks=60)
    with pytest.warns(xlr.SeparationWarning, match="complete separation"):
        xlr.LogisticRegression(C=np.inf).fit(*data)


@pytest.mark.parametrize("study", [spector, fair, anes96])
def test_overlapping_classes_of_chunks_have_no_warning(study) -> None:
    features, labels = (np.asarray(values) for values in study())
    size = -(-len(labels) // 5)
    assert messages(features, labels) == []
    assert messages(*in_chunks(features, labels, chunks=size)) == []
