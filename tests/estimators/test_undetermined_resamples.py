"""Resamples whose rows leave coefficients undetermined, against fits to these rows."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
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
    X, (train, test) = DESIGNS["levels"], FOLDS[2]
    flipped = Y.copy()
    flipped[test] = 1 - Y[test]
    coefs = []
    for y in (Y, flipped):
        model = xlr.LogisticRegressionCV(Cs=[1.0, np.inf], cv=FOLDS, solver=solver)
        coefs.append(np.asarray(model.fit(X, y).coefs_paths_)[2])
    np.testing.assert_allclose(*coefs, atol=1e-4)
    assert len(train) + len(test) == N


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_unpenalised_features_of_folds_are_determined_by_their_rows(kind):
    X, factor = DESIGNS["levels"], np.asarray([1.0, 1.0, 1.0, 0.0, 0.0])
    model = xlr.LogisticRegressionCV(Cs=[0.1], cv=FOLDS, penalty_factor=factor)
    model.fit(kind(X), Y)
    train, test = FOLDS[2]
    one = xlr.LogisticRegression(C=0.1, penalty_factor=factor).fit(X[train], Y[train])
    expected = -log_loss(one, X[test], Y[test])
    assert model.scores_[2, 0, 0] == pytest.approx(expected, abs=1e-6)


def test_resamples_without_a_rare_level_leave_its_coefficient_at_zero():
    rare = np.zeros(N)
    rare[:2] = 1.0
    y = Y.copy()
    y[:2] = 0, 1
    X = np.column_stack([NOISE, rare])
    estimator = xlr.LogisticRegression(C=np.inf)
    with pytest.warns(xlr.SeparationWarning):
        found = xlr.bootstrap(estimator, X, y, n_resamples=30, random_state=0)
    draw = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    drawn = [draw.integers(N, size=N, dtype=np.int32) for _ in range(30)]
    lacks_level = np.asarray([not rare[rows].any() for rows in drawn])
    assert 1 <= lacks_level.sum() < 30
    np.testing.assert_allclose(found.coef[lacks_level, 0, 3], 0, atol=1e-9)
    assert (np.abs(found.coef[~lacks_level, 0, 3]) > 1e-3).all()


def log_loss(model, X, y):
    probabilities = model.predict_proba(X)
    return -np.log(probabilities[np.arange(len(y)), y]).mean()
