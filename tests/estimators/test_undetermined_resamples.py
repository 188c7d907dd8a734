"""Resamples whose rows leave coefficients undetermined, against fits to these rows."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from in_chunks import in_chunks
from sklearn.linear_model import LogisticRegression

import xlr

RNG = np.random.default_rng(0)
N = 300
SITE = RNG.integers(3, size=N)
FOLDS = [(np.flatnonzero(s != SITE), np.flatnonzero(s == SITE)) for s in range(3)]
NOISE = RNG.normal(size=(N, 3))
Y = (NOISE[:, 0] + 1.5 * (SITE == 2) + RNG.logistic(size=N) > 0).astype(int)
ONLY_IN_SITE_2 = np.where(SITE == 2, RNG.normal(size=N), NOISE[:, 0])
DESIGNS = {
    "levels": np.column_stack([NOISE, SITE == 1, SITE == 2]).astype(float),
    "no reference": np.column_stack([NOISE, SITE == 0, SITE == 1]).astype(float),
    "collinear": np.column_stack([NOISE, ONLY_IN_SITE_2]),
}
SOLVERS = ["newton-cholesky", "newton-cg", "lbfgs"]


@pytest.mark.parametrize("C", [1.0, 1e6])
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_folds_have_the_scores_of_fits_to_their_rows(design, solver, C):
    X, options = DESIGNS[design], {"solver": solver, "tol": 1e-9}
    model = xlr.LogisticRegressionCV(Cs=[C], cv=FOLDS, **options).fit(X, Y)
    for score, (train, test) in zip(model.scores_[:, 0, 0], FOLDS):
        one = xlr.LogisticRegression(C=C, **options).fit(X[train], Y[train])
        assert score == pytest.approx(-log_loss(one, X[test], Y[test]), abs=1e-4)


@pytest.mark.parametrize("design", DESIGNS)
def test_folds_have_the_scores_of_sklearn(design):
    X = DESIGNS[design]
    model = xlr.LogisticRegressionCV(Cs=[1e4], cv=FOLDS).fit(X, Y)
    for score, (train, test) in zip(model.scores_[:, 0, 0], FOLDS):
        one = LogisticRegression(C=1e4, tol=1e-10, max_iter=10_000)
        one.fit(X[train], Y[train])
        assert score == pytest.approx(-log_loss(one, X[test], Y[test]), abs=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_labels_of_left_out_rows_do_not_change_the_model_of_a_fold(solver):
    X, (_, test) = DESIGNS["levels"], FOLDS[2]
    flipped = Y.copy()
    flipped[test] = 1 - Y[test]
    coefs = []
    for y in (Y, flipped):
        model = xlr.LogisticRegressionCV(Cs=[1.0, np.inf], cv=FOLDS, solver=solver)
        coefs.append(np.asarray(model.fit(X, y).coefs_paths_)[2])
    np.testing.assert_allclose(*coefs, atol=1e-4)


def float32(X):
    return X.astype(np.float32)


@pytest.mark.parametrize("kind", [np.asarray, float32, sp.csr_array])
def test_unpenalised_features_of_folds_are_determined_by_their_rows(kind):
    X, factor = DESIGNS["levels"], np.asarray([1.0, 1.0, 1.0, 0.0, 0.0])
    model = xlr.LogisticRegressionCV(Cs=[0.1], cv=FOLDS, penalty_factor=factor)
    model.fit(kind(X), Y)
    train, test = FOLDS[2]
    one = xlr.LogisticRegression(C=0.1, penalty_factor=factor).fit(X[train], Y[train])
    expected = -log_loss(one, X[test], Y[test])
    assert model.scores_[2, 0, 0] == pytest.approx(expected, abs=1e-5)


def test_resamples_without_a_rare_level_leave_its_coefficient_at_zero():
    rare = np.zeros(N)
    rare[:2] = 1.0
    y = Y.copy()
    y[:2] = 0, 1
    X = np.column_stack([NOISE, rare])
    estimator = xlr.LogisticRegression(C=np.inf)
    with pytest.warns(xlr.SeparationWarning):
        found = xlr.bootstrap(estimator, X, y, n_resamples=30, random_state=0)
    size = np.abs(found.coef[:, 0, 3])
    lacks_level = size < 1e-9
    assert 1 <= lacks_level.sum() < 15  # exp(-2) of 30 on average
    assert (size[~lacks_level] > 1e-3).all()


@pytest.mark.parametrize("multi_class", ["multinomial", "ovr"])
@pytest.mark.parametrize("l1_ratios", [(0.0,), (0.0, 0.5)])
def test_folds_of_three_classes_have_the_scores_of_fits(multi_class, l1_ratios):
    X, y = DESIGNS["levels"], Y + (NOISE[:, 1] > 1)
    options = {"multi_class": multi_class, "tol": 1e-9}
    model = xlr.LogisticRegressionCV(Cs=[1e6], l1_ratios=l1_ratios, cv=FOLDS, **options)
    model.fit(X, y)
    for j, l1_ratio in enumerate(l1_ratios):
        for score, (train, test) in zip(model.scores_[:, j, 0], FOLDS):
            one = xlr.LogisticRegression(C=1e6, l1_ratio=l1_ratio, **options)
            one.fit(X[train], y[train])
            assert score == pytest.approx(-log_loss(one, X[test], y[test]), abs=1e-3)


@pytest.mark.parametrize(
    "kind", [np.asarray, lambda values: in_chunks(values, [100, 0, 200])]
)
def test_folds_with_an_offset_do_not_depend_on_labels_of_left_out_rows(kind):
    X, (_, test) = DESIGNS["levels"], FOLDS[2]
    offset, flipped = NOISE[:, 2], Y.copy()
    flipped[test] = 1 - Y[test]
    coefs = []
    for y in (Y, flipped):
        model = xlr.LogisticRegressionCV(Cs=[np.inf], cv=FOLDS)
        model.fit(kind(X), kind(y), offset=kind(offset))
        coefs.append(np.asarray(model.coefs_paths_)[2])
    np.testing.assert_allclose(*coefs, atol=1e-4)


def log_loss(model, X, y):
    probabilities = model.predict_proba(X)
    return -np.log(probabilities[np.arange(len(y)), y]).mean()
