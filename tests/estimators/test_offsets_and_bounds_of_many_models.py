"""Offsets, bounds and penalty factors in cross-validation, paths and resamples."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from optional import on_demand
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold

import xlr

da = on_demand("dask.array")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
OFFSET = RNG.normal(size=120)
Y = (RNG.random(120) < 1 / (1 + np.exp(-X[:, 0] - OFFSET))).astype(int)
CLASSES = RNG.integers(0, 3, size=120)
OFFSETS = RNG.normal(size=(120, 3))
FOLDS = KFold(3)
BOUNDS = {"penalty_factor": [1, 0, 3, 1], "lower": -0.2, "upper": [0.1, 2, 2, 0.3]}
KINDS = {
    "numpy": np.asarray,
    "sparse": sp.csr_array,
    "dask": lambda x: da.from_array(x, chunks=(40, *x.shape[1:])),
}


def as_kind(kind, X, *others):
    """Return X in a kind, and the other arrays on Dask if X is."""
    place = KINDS["dask"] if kind == "dask" else np.asarray
    return KINDS[kind](X), *map(place, others)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scoring", "y", "offset"),
    [(None, CLASSES, OFFSETS), ("neg_log_loss", Y, OFFSET)],
    ids=["default", "scorer"],
)
def test_cv_scores_with_an_offset_equal_those_of_single_fits(kind, scoring, y, offset):
    data = as_kind(kind, X, y, offset)
    options = {"penalty_factor": [1, 0, 3, 1], "tol": 1e-9}
    search = xlr.LogisticRegressionCV(Cs=[0.1, 1.0], cv=FOLDS, scoring=scoring)
    search.set_params(**options).fit(data[0], data[1], offset=data[2])
    for k, (train, test) in enumerate(FOLDS.split(X)):
        for j, C in enumerate(search.Cs_):
            model = xlr.LogisticRegression(C=C, **options)
            model.fit(X[train], y[train], offset=offset[train])
            proba = model.predict_proba(X[test], offset[test])
            expected = -log_loss(y[test], proba, labels=np.unique(y))
            assert search.scores_[k, 0, j] == pytest.approx(expected, abs=1e-6)
    best = xlr.LogisticRegression(C=search.C_, **options).fit(X, y, offset=offset)
    np.testing.assert_allclose(search.coef_, best.coef_, atol=1e-6)
    expected = -log_loss(y, best.predict_proba(X, offset))
    found = search.score(data[0], data[1], offset=data[2])
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["numpy", "sparse"])
def test_cv_keeps_its_bounds(kind):
    data, y = as_kind(kind, X, Y)
    search = xlr.LogisticRegressionCV(Cs=[1.0, 100.0], cv=FOLDS, tol=1e-9, **BOUNDS)
    search.fit(data, y)
    model = xlr.LogisticRegression(C=search.C_, tol=1e-9, **BOUNDS).fit(X, Y)
    np.testing.assert_allclose(search.coef_, model.coef_, atol=1e-6)
    paths = search.coefs_paths_[..., :4]
    assert paths.min() >= -0.2
    assert paths[..., 0].max() <= 0.1


def test_cv_fold_that_lacks_a_class_uses_the_offset_of_the_other_classes():
    y = np.sort(CLASSES)
    with pytest.warns(UserWarning, match="leave it out"):
        search = xlr.LogisticRegressionCV(Cs=[1.0], cv=FOLDS, tol=1e-9).fit(
            X, y, offset=OFFSETS
        )
    trains = [train for train, _ in FOLDS.split(X)]
    fold = next(i for i, train in enumerate(trains) if np.unique(y[train]).size == 2)
    train, kept = trains[fold], np.unique(y[trains[fold]])
    offset = OFFSETS[train][:, kept]
    found = search.coefs_paths_[fold, 0, 0, :, :4][kept]
    # The penalty of a sigmoid is twice that of two logits.
    C, offset = 2.0, offset[:, 1] - offset[:, 0]
    found = found[1:] - found[:1]
    model = xlr.LogisticRegression(C=C, tol=1e-9)
    model.fit(X[train], y[train], offset=offset)
    np.testing.assert_allclose(found, model.coef_, atol=1e-6)


def test_cv_warns_of_a_score_without_the_offset_of_its_fit():
    search = xlr.LogisticRegressionCV(Cs=[1.0], cv=FOLDS).fit(X, Y, offset=OFFSET)
    with pytest.warns(UserWarning, match="fitted with an offset"):
        search.score(X, Y)


@pytest.mark.parametrize("kind", KINDS)
def test_path_with_an_offset_equals_single_fits(kind):
    data, y, offset = as_kind(kind, X, Y, OFFSET)
    path = xlr.logistic_path(data, y, offset=offset, n_Cs=5, tol=1e-9)
    for C, coef in zip(path.Cs, path.coefs):
        model = xlr.LogisticRegression(C=C, l1_ratio=1.0, tol=1e-9)
        model.fit(X, Y, offset=OFFSET)
        np.testing.assert_allclose(coef, model.coef_, atol=1e-5)
    null_model = xlr.LogisticRegression(penalty_factor=np.inf, tol=1e-9)
    null_model.fit(X, Y, offset=OFFSET)
    null = log_loss(Y, null_model.predict_proba(X, OFFSET))
    last = log_loss(Y, model.predict_proba(X, OFFSET))
    explained = path.deviance_explained[[0, -1]]
    np.testing.assert_allclose(explained, [0, 1 - last / null], atol=1e-5)


@pytest.mark.parametrize("kind", ["numpy", "sparse"])
@pytest.mark.parametrize(
    ("y", "offset"), [(Y, OFFSET), (CLASSES, OFFSETS)], ids=["binary", "multinomial"]
)
def test_bootstrap_resamples_the_offset_with_the_rows(kind, y, offset):
    data, y, offset = as_kind(kind, X, y, offset)
    estimator = xlr.LogisticRegression(tol=1e-9)
    found = xlr.bootstrap(
        estimator, data, y, offset=offset, n_resamples=3, random_state=0
    )
    # Draw the rows of each resample as the docstring of bootstrap says.
    draw = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    for coef in found.coef:
        rows = draw.integers(120, size=120, dtype=np.int32)
        model = xlr.LogisticRegression(tol=1e-9)
        model.fit(X[rows], y[rows], offset=offset[rows])
        np.testing.assert_allclose(coef, model.coef_, atol=1e-5)
