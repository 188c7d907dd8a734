"""What has no penalty, nor a bound in its way, tells the classes apart."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from in_chunks import in_chunks
from unpenalised import dense_conditions, kind_by_definition, standardised

import xlr

X = np.asarray([[1.0, 0], [2, 1], [3, 0], [4, 1], [2, 0], [3, 1]])
Y = np.asarray([0, 0, 1, 1, 0, 1])


def warning_of(features, y, weights=None, chunks=None, **options):
    """The sentence that a fit warns of separation with, or None."""
    if chunks:
        pytest.importorskip("dask.array")
        features, y = in_chunks(features, chunks), in_chunks(y, chunks)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        xlr.LogisticRegression(**options).fit(features, y, weights)
    sentences = [str(w.message) for w in caught if w.category is xlr.SeparationWarning]
    assert len(sentences) <= 1
    return sentences[0] if sentences else None


def kind(sentence):
    if sentence is None:
        return None
    return "quasi-complete" if "quasi-complete" in sentence else "complete"


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_a_fit_ends_where_f_is_negligible(solver):
    """Not where it leaves the range of float64, as a share of itself ever lower."""
    model = xlr.LogisticRegression(penalty_factor=[0, 1], solver=solver)
    with pytest.warns(xlr.SeparationWarning, match="the feature x0"):
        model.fit(X, Y)
    assert model.n_iter_[0] < 100
    np.testing.assert_array_equal(model.predict(X), Y)


@pytest.mark.parametrize("solver", ["proximal-newton", "newton-cg"])
def test_so_does_one_with_bounds_and_no_penalty(solver):
    features, y = [[0.0, 1], [1, 1], [2, 0]], [0, 0, 1]
    model = xlr.LogisticRegression(C=np.inf, lower=[0, -np.inf], solver=solver)
    with pytest.warns(xlr.SeparationWarning, match="complete separation"):
        model.fit(features, y)
    assert model.n_iter_[0] < 100
    np.testing.assert_array_equal(model.predict(features), y)


@pytest.mark.parametrize("chunks", [None, (4, 2)])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_only_what_is_free_can_separate(l1_ratio, chunks):
    options = {"l1_ratio": l1_ratio, "chunks": chunks}
    sentence = warning_of(X, Y, penalty_factor=[0, 1], **options)
    assert kind(sentence) == "complete"
    assert "the feature x0 tells" in sentence
    assert sentence.endswith("Use a penalty_factor above 0 for all features.")
    assert warning_of(X, Y, penalty_factor=[1, 0], **options) is None
    assert warning_of(X, Y, **options) is None


@pytest.mark.parametrize("chunks", [None, (4, 2)])
@pytest.mark.parametrize("name", ["lower", "upper"])
def test_a_bound_is_in_the_way_on_its_side(name, chunks):
    at, up = {"C": np.inf, "chunks": chunks, name: 0.0}, name == "lower"
    assert kind(warning_of(X if up else -X, Y, **at)) == "complete"
    assert warning_of(X[:, :1] if not up else -X[:, :1], Y, **at) is None


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_where_all_is_held_there_is_nothing_to_look_for(fit_intercept):
    options = {"C": np.inf, "lower": -1.0, "upper": 1.0}
    assert warning_of(X, Y, fit_intercept=fit_intercept, **options) is None


def test_a_class_without_weight():
    """Its intercept falls for ever."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    features, weights = rng.normal(size=(60, 2)), (y < 2).astype(float)
    assert "the intercept tells" in warning_of(features, y, weights, C=np.inf)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(12))
def test_columns_that_depend_on_each_other_as_by_definition(seed, dtype):
    """One-hot columns, some of them free, some with a bound, in either precision."""
    rng = np.random.default_rng(seed)
    n, n_classes, levels = int(rng.integers(12, 40)), 2 + seed % 2, 4
    group = rng.integers(0, levels, (n, 2))
    features = np.hstack([np.eye(levels)[group[:, 0]], np.eye(levels)[group[:, 1]]])
    features[:, 1:] *= rng.uniform(0.5, 2.0, size=7)
    features = features.astype(dtype)
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, n - n_classes))
    counted = y[:, None] != np.arange(n_classes)
    conditions = dense_conditions(standardised(features), y, n_classes)[counted]

    def expected(least, most):
        sides = (
            np.append(side, end) for side, end in ((least, -np.inf), (most, np.inf))
        )
        return kind_by_definition(
            conditions, *(np.resize(side, conditions.shape[1]) for side in sides)
        )

    far, some = np.full(8, np.inf), np.where(rng.random(8) < 0.4, 0.0, np.inf)
    factor = (some == 0).astype(float)
    for options, sides in (
        ({"C": np.inf}, (-far, far)),
        ({"penalty_factor": factor}, (-some, some)),
        ({"C": np.inf, "lower": -some}, (-some, far)),
    ):
        assert kind(warning_of(features, y, **options)) == expected(*sides)
