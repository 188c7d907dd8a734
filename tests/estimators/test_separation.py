"""Separation: found where linear programming finds it, and said in words."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits, load_iris, load_wine
from studies import anes96, endometrial, fair, sex2, spector
from unpenalised import dense_conditions, kind_by_definition

import xlr
from xlr.objective import Separation

UNPENALISED = {"C": np.inf, "tol": 1e-8}


def warning_of(X, y, **options):
    """The sentence that a fit without a penalty warns with, or None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        xlr.LogisticRegression(**UNPENALISED | options).fit(X, y)
    sentences = [str(w.message) for w in caught if w.category is xlr.SeparationWarning]
    assert len(sentences) <= 1
    return sentences[0] if sentences else None


def kind(sentence):
    if sentence is None:
        return None
    return "quasi-complete" if "quasi-complete" in sentence else "complete"


@pytest.mark.parametrize("seed", range(40))
def test_small_tables_as_by_definition(seed):
    rng = np.random.default_rng(seed)
    n, p, n_classes = rng.integers(8, 24), rng.integers(1, 4), rng.integers(2, 4)
    X = rng.integers(0, 3, (n, p)).astype(float)
    y = (X[:, 0] + 1.2 * rng.normal(size=n)).round().clip(0, n_classes - 1)
    if np.unique(y).size < 2:
        y[0] = 1 - y[0]
    codes = np.unique(y, return_inverse=True)[1]
    conditions = dense_conditions(X, codes, codes.max() + 1)
    counted = codes[:, None] != np.arange(codes.max() + 1)
    assert kind(warning_of(X, y)) == kind_by_definition(conditions[counted])


@pytest.mark.parametrize("data", [spector, anes96, fair])
def test_no_false_alarm(data):
    assert warning_of(*data()) is None


def test_names_the_feature():
    X, y = endometrial()
    sentence = warning_of(X, y)
    assert "the feature x0 tells" in sentence
    assert kind(sentence) == "quasi-complete"
    X, y, _ = sex2()
    assert "the feature x5 tells" in warning_of(
        np.repeat(X, 2, axis=0), np.repeat(y, 2)
    )


@pytest.mark.parametrize("load", [load_iris, load_wine, load_digits])
def test_many_classes(load):
    X, y = load(return_X_y=True)
    expected = "quasi-complete" if load is load_iris else "complete"
    assert kind(warning_of(X, y)) == expected


def test_sparse_and_wide():
    rng = np.random.default_rng(0)
    X = sp.random(60, 200, density=0.2, random_state=0, format="csr")
    y = rng.integers(0, 2, 60)
    assert kind(warning_of(X, y)) == "complete"


def test_rare_category_among_many_rows():
    """A hundred thousand rows, of which three decide."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100_000, 4))
    y = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    X[:, 3] = 0
    X[:3, 3], y[:3] = 1, 1
    assert "the feature x3 tells" in warning_of(X, y)
    y[0] = 0
    assert warning_of(X, y) is None


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
@pytest.mark.parametrize("tol", [1e-4, 1e-8, 1e-12])
def test_found_wherever_the_fit_stops(solver, tol):
    """Far out, all curvature along the direction is lost to rounding."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(3_000, 4))
    y = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    X[:, 3] = 0
    X[:2, 3], y[:2] = 1, 1
    assert "the feature x3 tells" in warning_of(X, y, solver=solver, tol=tol)


def test_rows_without_weight_do_not_count():
    X, y = endometrial()
    overlap = np.vstack([X, [1.0, 20.0, 1.0]]), np.append(y, 0)
    weights = np.append(np.ones(len(y)), 0.0)
    with pytest.warns(xlr.SeparationWarning, match="the feature x0"):
        xlr.LogisticRegression(**UNPENALISED).fit(*overlap, weights)
    assert warning_of(*overlap) is None


def test_nor_do_they_where_all_rows_are_in_one_programme():
    X, y = np.asarray([[1.0], [0], [0], [1], [2]]), np.asarray([0, 0, 1, 1, 1])
    with pytest.warns(xlr.SeparationWarning, match="the feature x0"):
        xlr.LogisticRegression(**UNPENALISED).fit(X, y, [0, 1, 1, 1, 1])


def test_a_penalty_needs_no_warning():
    X, y = load_wine(return_X_y=True)
    assert warning_of(X, y, C=1e6) is None


def test_columns_without_variation_and_twice():
    X, y = spector()
    twice = np.column_stack([X, X[:, :1], np.ones(len(X))])
    assert warning_of(twice, y) is None


def test_inference_refuses(place):
    X, y = endometrial()
    at, labels = place(X), place(y, "int64")
    with pytest.warns(xlr.SeparationWarning, match="the feature x0"):
        model = xlr.LogisticRegression(C=np.inf).fit(at, labels)
    with pytest.raises(ValueError, match="the feature x0 tells the classes apart"):
        xlr.infer(model, at, labels)


@pytest.mark.parametrize(
    ("size", "listed"),
    [
        (1, "the feature x0 tells"),
        (5, "a combination of x0, x1, x2, x3, x4 tells"),
        (6, "a combination of x0, x1, x2, x3, x4 and 1 more tells"),
        (8, "a combination of x0, x1, x2, x3, x4 and 3 more tells"),
    ],
)
def test_the_largest_five_are_named(size, listed):
    """The larger of the two classes counts, and what is rounding does not."""
    direction = np.zeros((2, 9))
    direction[np.arange(size) % 2, np.arange(size)] = (-0.5) ** np.arange(size)
    direction[0, 8] = 1e-7
    names = [f"x{j}" for j in range(9)]
    for complete, rows in (
        (True, "all rows (complete"),
        (False, "some of the rows (q"),
    ):
        sentence = Separation(complete, direction).describe(names)
        assert listed in sentence
        assert rows in sentence


def test_a_millionth_of_the_largest_is_not_named():
    direction = np.asarray([[1.0, 0.9e-6, -1.5e-6]])
    sentence = Separation(True, direction).describe(["a", "b", "c"])
    assert "a combination of a, c tells" in sentence
