"""Separation is found wherever linear programming finds it, and described."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from in_chunks import in_chunks
from scipy.optimize import linprog
from sklearn.datasets import load_digits, load_iris, load_wine
from studies import anes96, endometrial, fair, sex2, spector

import xlr

UNPENALISED = {"C": np.inf, "tol": 1e-8}


def warning_of(X, y, weights=None, *, chunks=None, **options):
    """Return the separation warning of a fit, or None."""
    if chunks is not None:
        pytest.importorskip("dask.array")
        X, y = in_chunks(X, chunks), in_chunks(y, chunks)
        if weights is not None:
            weights = in_chunks(weights, chunks)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        xlr.LogisticRegression(**options).fit(X, y, weights)
    sentences = [str(w.message) for w in caught if w.category is xlr.SeparationWarning]
    assert len(sentences) <= 1
    return sentences[0] if sentences else None


def kind_of(sentence):
    """Return the kind of separation that a warning names, or None without one."""
    if sentence is None:
        return None
    return "quasi-complete" if "quasi-complete" in sentence else "complete"


# -- the definition --------------------------------------------------------------------


def standardized(X):
    """Return centred and scaled columns; constant ones are centred."""
    X = np.asarray(X, dtype=float)
    return (X - X.mean(axis=0)) / np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 1.0)


def separation_constraints(Z, y, weights=None):
    """Return (e_y - e_k) x (z, 1) for rows with weight and each other class k.

    A direction separates if its products with all of these are non-negative, and some
    are positive. Two classes have the parameters of the second only.
    """
    n_classes = int(np.max(y)) + 1
    Z, unit = np.column_stack([Z, np.ones(len(Z))]), np.eye(n_classes)
    signs = unit[y][:, None, :] - unit[None, :, :]
    if n_classes == 2:
        signs = signs[:, :, 1:]
    each = (signs[:, :, :, None] * Z[:, None, None, :]).reshape(len(Z), n_classes, -1)
    is_constraint = np.asarray(y)[:, None] != np.arange(n_classes)
    if weights is not None:
        is_constraint &= (np.asarray(weights) > 0)[:, None]
    return each[is_constraint]


def by_definition(A, least=-np.inf, most=np.inf):
    """Return the kind of separation, by a linear program with all constraints.

    It finds a direction d between ``least`` and ``most`` with A d >= 0 that makes as
    many entries of A d as possible positive (Albert and Anderson 1984).
    """
    n, q = A.shape
    # The variables are d, and slacks from 0 to 1 that A d must reach.
    lower = np.append(least + np.zeros(q), np.zeros(n))
    upper = np.append(most + np.zeros(q), np.ones(n))
    solved = linprog(
        [0.0] * q + [-1.0] * n,
        np.hstack([-A, np.eye(n)]),
        np.zeros(n),
        bounds=np.column_stack([lower, upper]),
        method="highs",
    )
    n_positive = -solved.fun
    if n_positive < 1e-6:
        return None
    return "complete" if n_positive > n - 1e-6 else "quasi-complete"


@pytest.mark.parametrize("chunks", [False, True], ids=["in memory", "chunks"])
@pytest.mark.parametrize("seed", range(12))
def test_separation_in_small_tables_meets_the_definition(seed, chunks):
    """The definition ignores rows without weight."""
    if chunks and seed % 4:
        pytest.skip("every fourth seed is enough in chunks")
    rng = np.random.default_rng(seed)
    n, p, n_classes = rng.integers(8, 24), rng.integers(1, 4), rng.integers(2, 4)
    X = rng.integers(0, 3, (n, p)).astype(float)
    y = (X[:, 0] + 1.2 * rng.normal(size=n)).round().clip(0, n_classes - 1).astype(int)
    y[:n_classes] = np.arange(n_classes)
    weights = np.where(rng.random(n) < 0.8, 1.0, 0.0)
    weights[:n_classes] = 1
    sizes = (n // 2, n - n // 2) if chunks else None
    for given in (None, weights):
        expected = by_definition(separation_constraints(X, y, given))
        assert kind_of(warning_of(X, y, given, chunks=sizes, **UNPENALISED)) == expected


# Kinds of features: RISES and FALLS have one bound, BOXED has two.
FREE, RISES, FALLS, BOXED, PENALISED = range(5)


@pytest.mark.parametrize("seed", range(8))
def test_separation_within_penalties_and_bounds_meets_the_definition(seed):
    """No direction moves a penalised feature, or leaves the bounds."""
    rng = np.random.default_rng(seed)
    n, p, n_classes = rng.integers(5, 12), rng.integers(2, 5), rng.integers(2, 4)
    X = rng.integers(0, 3, (n, p)).astype(float)
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, n - n_classes))
    feature = rng.choice(5, p, p=[0.3, 0.3, 0.3, 0.05, 0.05])
    free = feature != PENALISED
    lower = np.select([feature == RISES, feature == BOXED], [0.0, -1.0], -np.inf)
    upper = np.select([feature == FALLS, feature == BOXED], [0.0, 1.0], np.inf)
    A = separation_constraints(standardized(X), y)
    # Limits of the coefficients and the intercept of each output.
    least = np.append(np.where(free & np.isinf(lower), -np.inf, 0), -np.inf)
    most = np.append(np.where(free & np.isinf(upper), np.inf, 0), np.inf)
    n_outputs = A.shape[1] // (p + 1)
    expected = by_definition(A, np.tile(least, n_outputs), np.tile(most, n_outputs))
    # F falls without bound, by less in each iteration.
    options = {"penalty_factor": 1.0 - free, "lower": lower, "upper": upper}
    options["max_iter"] = 100
    found = kind_of(warning_of(X, y, l1_ratio=0.5 * (seed % 2), **options))
    assert found == expected


@pytest.mark.parametrize("seed", range(4))
def test_separation_by_collinear_columns_meets_the_definition(seed):
    """Some of the one-hot columns are penalised or bounded."""
    rng = np.random.default_rng(seed)
    n, n_classes, levels = int(rng.integers(12, 40)), 2 + seed % 2, 4
    group = rng.integers(0, levels, (n, 2))
    X = np.hstack([np.eye(levels)[group[:, 0]], np.eye(levels)[group[:, 1]]])
    X[:, 1:] *= rng.uniform(0.5, 2.0, size=7)
    X = X.astype(["float32", "float64"][seed // 2])
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, n - n_classes))
    A = separation_constraints(standardized(X), y)

    def expected(least, most):
        limits = np.append(least, -np.inf), np.append(most, np.inf)
        return by_definition(A, *(np.resize(limit, A.shape[1]) for limit in limits))

    free = np.full(8, np.inf)
    limited = np.where(rng.random(8) < 0.4, 0.0, np.inf)
    factor = (limited == 0).astype(float)
    for options, limits in (
        ({"C": np.inf}, (-free, free)),
        ({"penalty_factor": factor}, (-limited, limited)),
        ({"C": np.inf, "lower": -limited}, (-limited, free)),
    ):
        assert kind_of(warning_of(X, y, **options)) == expected(*limits)


# -- real and large tables -------------------------------------------------------------


@pytest.mark.parametrize("data", [spector, anes96, fair])
def test_overlapping_classes_have_no_separation(data):
    assert warning_of(*data(), **UNPENALISED) is None


def test_separation_warning_names_the_feature():
    X, y = endometrial()
    sentence = warning_of(X, y, **UNPENALISED)
    assert "the feature 'x0' separates" in sentence
    assert kind_of(sentence) == "quasi-complete"
    X, y, _ = sex2()
    twice = np.repeat(X, 2, axis=0), np.repeat(y, 2)
    assert "the feature 'x5' separates" in warning_of(*twice, **UNPENALISED)


@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_separation_of_many_classes_is_found(load):
    X, y = load(return_X_y=True)
    expected = "quasi-complete" if load is load_iris else "complete"
    assert kind_of(warning_of(X, y, **UNPENALISED)) == expected


def test_separation_of_sparse_x_with_more_columns_than_rows_is_found():
    rng = np.random.default_rng(0)
    X = sp.random(60, 200, density=0.2, random_state=0, format="csr")
    y = rng.integers(0, 2, 60)
    assert kind_of(warning_of(X, y, **UNPENALISED)) == "complete"


@pytest.mark.parametrize(
    "chunks", [None, (10_000, 20_000)], ids=["in memory", "chunks"]
)
def test_separation_by_three_of_many_rows_is_found(chunks):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30_000, 4))
    y = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    X[:, 3] = 0
    X[[3, 9_000, 29_000], 3], y[[3, 9_000, 29_000]] = 1, 1
    options = {**UNPENALISED, "chunks": chunks}
    assert "the feature 'x3' separates" in warning_of(X, y, **options)
    y[3] = 0
    assert warning_of(X, y, **options) is None


@pytest.mark.parametrize(
    ("solver", "tol"),
    [("newton-cholesky", 1e-12), ("newton-cg", 1e-8), ("lbfgs", 1e-4)],
)
def test_separation_is_found_wherever_the_fit_stops(solver, tol):
    """Far from zero, rounding hides all curvature along the direction."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(3_000, 4))
    y = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    X[:, 3] = 0
    X[:2, 3], y[:2] = 1, 1
    options = {"C": np.inf, "solver": solver, "tol": tol}
    assert "the feature 'x3' separates" in warning_of(X, y, **options)


@pytest.mark.parametrize("chunks", [None, (40, 40)], ids=["in memory", "chunks"])
def test_separation_ignores_rows_without_weight(chunks):
    X, y = endometrial()
    X, y = np.vstack([X, [1.0, 20.0, 1.0]]), np.append(y, 0)
    weights = np.append(np.ones(len(y) - 1), 0.0)
    options = {**UNPENALISED, "chunks": chunks}
    assert "the feature 'x0'" in warning_of(X, y, weights, **options)
    assert warning_of(X, y, **options) is None


@pytest.mark.parametrize("seed", range(20))
def test_separation_by_rows_of_little_weight_is_found(seed):
    """The gradient along the direction of separation is a rounding error."""
    rng = np.random.default_rng(seed)
    n, rare = 160, np.arange(160) < 2
    levels = rng.integers(4, size=n)[:, None] == [1, 2, 3]
    x, y = rng.normal(size=(n, 1)), rng.integers(0, 2, n) * ~rare
    weights = np.where(rare, [0.4, 0.04] * 80, np.exp(2 * rng.normal(size=n)))
    X = np.column_stack([levels, x, rare, levels * x])
    sentence = warning_of(X, y, weights, C=np.inf)
    assert kind_of(sentence) == "quasi-complete"
    assert "'x4'" in sentence


def test_separation_warning_names_five_of_many_features():
    X = np.random.default_rng(0).normal(size=(60, 7))
    sentence = warning_of(X, X.sum(axis=1) > 0, **UNPENALISED)
    five = r"the features ('x\d', ){4}'x\d' and 2 more together separate the classes"
    assert re.search(five, sentence)


def test_constant_and_duplicate_columns_do_not_separate():
    X, y = spector()
    twice = np.column_stack([X, X[:, :1], np.ones(len(X))])
    assert warning_of(twice, y, **UNPENALISED) is None


@pytest.mark.shared_arithmetic
def test_inference_refuses_separated_classes(place):
    X, y = endometrial()
    at, labels = place(X), place(y, "int64")
    with pytest.warns(xlr.SeparationWarning, match="the feature 'x0'"):
        model = xlr.LogisticRegression(C=np.inf).fit(at, labels)
    with pytest.raises(ValueError, match="the feature 'x0' separates some rows"):
        xlr.infer(model, at, labels)


# -- penalties and bounds --------------------------------------------------------------

X = np.asarray([[1.0, 0], [2, 1], [3, 0], [4, 1], [2, 0], [3, 1]])
Y = np.asarray([0, 0, 1, 1, 0, 1])


def test_penalised_fit_does_not_warn_of_separation():
    assert warning_of(*load_wine(return_X_y=True), C=1e6) is None


@pytest.mark.parametrize(
    ("l1_ratio", "chunks"), [(0.0, (4, 2)), (0.5, None), (1.0, None)]
)
def test_penalised_features_do_not_separate(l1_ratio, chunks):
    options = {"l1_ratio": l1_ratio, "chunks": chunks}
    sentence = warning_of(X, Y, penalty_factor=[0, 1], **options)
    assert kind_of(sentence) == "complete"
    assert "the feature 'x0' separates" in sentence
    assert sentence.endswith("Use a penalty_factor above 0 for all features.")
    assert warning_of(X, Y, penalty_factor=[1, 0], **options) is None
    assert warning_of(X, Y, **options) is None


@pytest.mark.parametrize("chunks", [None, (4, 2)], ids=["in memory", "chunks"])
@pytest.mark.parametrize(("name", "sign"), [("lower", 1), ("upper", -1)])
def test_separation_respects_bounds(name, sign, chunks):
    options = {"C": np.inf, "chunks": chunks, name: 0.0}
    assert kind_of(warning_of(sign * X, Y, **options)) == "complete"
    assert warning_of(-sign * X[:, :1], Y, **options) is None


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_features_with_two_bounds_do_not_separate(fit_intercept):
    options = {"C": np.inf, "lower": -1.0, "upper": 1.0}
    assert warning_of(X, Y, fit_intercept=fit_intercept, **options) is None


def test_class_without_weight_does_not_separate():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    features, weights = rng.normal(size=(60, 2)), (y < 2).astype(float)
    model = xlr.LogisticRegression(C=np.inf)
    with pytest.warns(UserWarning, match="the class 2 have zero weight") as caught:
        model.fit(features, y, weights)
    assert len(caught) == 1


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_separated_fit_ends_where_f_is_negligible(solver):
    """F decreases towards 0; the fit does not follow it to the limit of float64."""
    model = xlr.LogisticRegression(penalty_factor=[0, 1], solver=solver)
    with pytest.warns(xlr.SeparationWarning, match="the feature 'x0'"):
        model.fit(X, Y)
    assert model.n_iter_[0] < 100
    np.testing.assert_array_equal(model.predict(X), Y)


@pytest.mark.parametrize("solver", ["proximal-newton", "newton-cg"])
def test_separated_fit_within_bounds_converges(solver):
    features, y = [[0.0, 1], [1, 1], [2, 0]], [0, 0, 1]
    model = xlr.LogisticRegression(C=np.inf, lower=[0, -np.inf], solver=solver)
    with pytest.warns(xlr.SeparationWarning, match="complete separation"):
        model.fit(features, y)
    assert model.n_iter_[0] < 100
    np.testing.assert_array_equal(model.predict(features), y)


def test_separated_fit_of_many_classes_predicts_all_rows():
    digits = [part[::4] for part in load_digits(return_X_y=True)]
    with pytest.warns(xlr.SeparationWarning, match="complete separation"):
        model = xlr.LogisticRegression(C=np.inf).fit(*digits)
    assert model.score(*digits) == 1
    assert model.n_iter_ < 150


# -- many models -----------------------------------------------------------------------


def with_a_rare_event():
    """Return rows where the second feature implies the event."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=36), np.arange(36) < 6])
    event = rows[:, 0] + rng.logistic(size=36) > 0
    event[:6] = True
    return rows, event.astype(int)


def fit_one_vs_rest(rows, event, form=np.asarray):
    is_third = (np.arange(36) % 3 == 0) & (rows[:, 1] == 0)
    return xlr.LogisticRegression(C=np.inf, multi_class="ovr").fit(
        form(rows), np.where(is_third, 2, event)
    )


def fit_labels_with_a_rare_level(rows, event):
    """Fit a feature whose coefficient is small in units of its standard deviation."""
    rng = np.random.default_rng(0)
    others = np.column_stack([rng.normal(size=3000), np.zeros(3000)])
    labels = np.r_[event[:6], rng.integers(2, size=3000)]
    return xlr.MultiLabelLogisticRegression(C=np.inf).fit(
        np.r_[rows[:6], others], np.column_stack([labels, labels])
    )


MANY_MODELS = {
    "bootstrap": lambda rows, event: xlr.bootstrap(
        xlr.LogisticRegression(C=np.inf), rows, event, n_resamples=20, random_state=0
    ),
    "one-vs-rest": fit_one_vs_rest,
    "one-vs-rest of chunks": lambda rows, event: fit_one_vs_rest(
        rows, event, lambda X: in_chunks(X, (10, 26))
    ),
    "a rare level": fit_labels_with_a_rare_level,
    "multi-label": lambda rows, event: xlr.MultiLabelLogisticRegression(C=np.inf).fit(
        rows, np.column_stack([event, rows[:, 0] > np.linspace(-2, 2, 36), event])
    ),
    "path": lambda rows, event: xlr.logistic_path(
        rows, event, penalty_factor=[1, 0], n_Cs=5
    ),
}


@pytest.mark.parametrize("kind", list(MANY_MODELS))
def test_quasi_complete_separation_of_many_models_names_the_feature(kind):
    counted = r"^(At least )?\d+ of \d+ models have no finite .* first of them, "
    start = "^There is no finite estimate: " if kind == "path" else counted
    with pytest.warns(
        xlr.SeparationWarning, match=start + "the feature 'x1' separates"
    ):
        MANY_MODELS[kind](*with_a_rare_event())


def test_many_models_with_finite_estimates_do_not_warn():
    rng = np.random.default_rng(0)
    rows, event = 10 * rng.normal(size=(200, 2)), rng.integers(2, size=200)
    xlr.bootstrap(xlr.LogisticRegression(C=np.inf), rows, event, n_resamples=20)
    xlr.logistic_path(rows, event, penalty_factor=[1, 0], n_Cs=5)
