"""LogisticRegressionCV has scikit-learn's folds, scores and choice of C."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.linear_model
from problems import load, objective
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold

import xlr

DATA = {name: load(name, True) for name in ("breast_cancer", "wine")}
CS = [1e-3, 0.1, 1.0, 10.0]
RNG = np.random.default_rng(0)
WEIGHTS = {name: RNG.uniform(0.5, 2, len(y)) for name, (_, y) in DATA.items()}


def sklearn_fit(X, y, sample_weight=None, **parameters):
    parameters = {
        "Cs": CS,
        "solver": "newton-cholesky",
        "tol": 1e-10,
        "max_iter": 1000,
        "scoring": "neg_log_loss",
        "l1_ratios": (0.0,),
        "use_legacy_attributes": False,
        **parameters,
    }
    model = sklearn.linear_model.LogisticRegressionCV(**parameters)
    return model.fit(X, y, sample_weight)


@pytest.fixture
def needs_the_new_attributes():
    """Skip if scikit-learn's attributes lack the shapes of version 1.8."""
    parameters = sklearn.linear_model.LogisticRegressionCV().get_params()
    if "use_legacy_attributes" not in parameters:
        pytest.skip("this scikit-learn has the legacy attributes only")


@pytest.mark.usefixtures("needs_the_new_attributes")
def test_cv_scores_of_float32_data_agree_with_sklearn():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(48, 4)).astype(np.float32)
    y = (2 * X @ rng.normal(size=(4, 3)) + rng.gumbel(size=(48, 3))).argmax(axis=1)
    expected = sklearn_fit(X.astype(float), y, Cs=[1e3], cv=3)
    model = xlr.LogisticRegressionCV(Cs=[1e3], cv=3).fit(X, y)
    # float32's eps as a bound on the probabilities would give a fold -2.17.
    assert expected.scores_.min() < -4
    np.testing.assert_allclose(model.scores_, expected.scores_, rtol=1e-3)


@pytest.mark.usefixtures("needs_the_new_attributes")
@pytest.mark.parametrize(
    ("name", "weighted"), [("breast_cancer", True), ("wine", False)]
)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"fit_intercept": False, "cv": 3},
        {"class_weight": "balanced", "refit": False},
        {"scoring": "accuracy", "cv": KFold(4, shuffle=True, random_state=0)},
        {"scoring": "roc_auc_ovr", "cv": ShuffleSplit(3, random_state=1)},
    ],
    ids=["default", "no intercept", "balanced", "accuracy", "roc auc"],
)
def test_cv_scores_and_choice_agree_with_sklearn(name, parameters, weighted):
    X, y = DATA[name]
    weights = WEIGHTS[name] if weighted else None
    expected = sklearn_fit(X, y, weights, **parameters)
    model = xlr.LogisticRegressionCV(Cs=CS, tol=1e-10, **parameters)
    model.fit(X, y, weights)
    assert model.converged_
    assert model.C_ == expected.C_
    assert model.l1_ratio_ == expected.l1_ratio_
    np.testing.assert_allclose(model.scores_, expected.scores_, atol=1e-7)
    for attribute in ("coef_", "intercept_", "coefs_paths_"):
        ours, theirs = getattr(model, attribute), getattr(expected, attribute)
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert model.n_iter_.shape == expected.n_iter_.shape
    np.testing.assert_array_equal(model.Cs_, expected.Cs_)
    np.testing.assert_array_equal(model.classes_, expected.classes_)
    options = {"sample_weight": weights} if weighted else {}
    ours, theirs = model.score(X, y, **options), expected.score(X, y, **options)
    assert ours == pytest.approx(theirs, abs=1e-6)


def assert_reaches_minima_of_single_fits(model, X, y, folds):
    """Compare F of each fold and C with the fit of one model."""
    for fold, (train, _) in enumerate(folds):
        for i, C in enumerate(model.Cs):
            path = model.coefs_paths_[fold, 0, i]
            one = xlr.LogisticRegression(C=C, tol=1e-10).fit(X[train], y[train])
            best = objective(one.coef_, one.intercept_, X[train], y[train], C)
            ours = objective(path[:, :-1], path[:, -1], X[train], y[train], C)
            assert ours <= best * (1 + 1e-8)


@pytest.mark.parametrize(
    ("solver", "n_classes"), [("newton-cholesky", 2), ("newton-cg", 2), ("lbfgs", 3)]
)
def test_cv_models_of_many_rows_reach_the_minima_of_single_fits(solver, n_classes):
    """Folds start at the fit to all rows, which starts on a sample."""
    rng = np.random.default_rng(n_classes)
    X = rng.normal(size=(6_000, 8)) * [1, 1, 1, 1, 1, 1, 1, 100] + 3
    scores = (X - 3)[:, :n_classes] + rng.gumbel(size=(6_000, n_classes))
    y = scores.argmax(axis=1)
    folds = list(StratifiedKFold(3).split(X, y))
    Cs = [1e-3, 1.0, np.inf]
    model = xlr.LogisticRegressionCV(Cs=Cs, cv=folds, solver=solver).fit(X, y)
    assert model.converged_
    assert_reaches_minima_of_single_fits(model, X, y, folds)


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_cv_models_of_few_rows_reach_the_minima_of_single_fits(solver):
    """Fits follow the order of the penalties, which differs from that of Cs."""
    X, y = DATA["wine"]
    folds = list(StratifiedKFold(3).split(X, y))
    Cs = [10.0, 1e-3, 1.0, 1.0, 0.1, 1e3]
    model = xlr.LogisticRegressionCV(Cs=Cs, cv=folds, solver=solver, tol=1e-8)
    model.fit(X, y)
    assert model.converged_
    assert_reaches_minima_of_single_fits(model, X, y, folds)


@pytest.mark.usefixtures("needs_the_new_attributes")
@pytest.mark.filterwarnings("ignore:The max_iter was reached:UserWarning")
@pytest.mark.parametrize("refit", [True, False])
def test_cv_over_l1_ratios_agrees_with_sklearn(refit):
    X, y = DATA["breast_cancer"]
    X = X[:, :8]  # saga takes ten times as long on all 30
    parameters = {
        "Cs": [0.01, 0.1],
        "cv": 3,
        "l1_ratios": np.asarray([0.0, 0.5, 1.0]),
    }
    model = xlr.LogisticRegressionCV(**parameters, refit=refit, tol=1e-8).fit(X, y)
    expected = sklearn_fit(
        X, y, **parameters, refit=refit, solver="saga", tol=1e-7, max_iter=20_000
    )
    np.testing.assert_allclose(model.scores_, expected.scores_, rtol=1e-4)
    np.testing.assert_allclose(model.C_, expected.C_, rtol=1e-12)
    assert model.l1_ratio_ == pytest.approx(expected.l1_ratio_, rel=1e-12)
    assert model.coefs_paths_.shape == expected.coefs_paths_.shape
    np.testing.assert_allclose(model.coefs_paths_, expected.coefs_paths_, atol=5e-3)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=5e-3)
    assert model.n_iter_.shape == (3, 3, 2)


@pytest.mark.shared_arithmetic
def test_cv_with_sklearn_scorers_takes_every_library(place, dtype):
    X, y = DATA["wine"]
    parameters = {"Cs": CS, "cv": 3, "scoring": "f1_macro"}
    expected = xlr.LogisticRegressionCV(**parameters).fit(X, y)
    model = xlr.LogisticRegressionCV(**parameters).fit(place(X), y)
    np.testing.assert_allclose(model.scores_, expected.scores_, atol=0.02)


def test_cv_with_a_scoring_function_equals_cv_with_the_name_of_the_score():
    X, y = DATA["breast_cancer"]

    def brier(estimator, X, y):
        return -brier_score_loss(y, estimator.predict_proba(X)[:, 1])

    model = xlr.LogisticRegressionCV(Cs=CS, scoring=brier).fit(X, y)
    named = xlr.LogisticRegressionCV(Cs=CS, scoring="neg_brier_score").fit(X, y)
    np.testing.assert_allclose(model.scores_, named.scores_, rtol=1e-12)
    assert model.score(X, y) == pytest.approx(named.score(X, y), rel=1e-12)


@pytest.mark.parametrize("rows", [slice(5), slice(None, None, -1)])
def test_scorer_may_predict_other_rows(rows):
    X, y = DATA["wine"]

    def of_rows(estimator, X, y):
        return estimator.predict_proba(X[rows])[:, 0] @ np.arange(len(y[rows]))

    options = {"Cs": CS, "cv": 3, "scoring": of_rows}
    model = xlr.LogisticRegressionCV(**options, tol=1e-9).fit(X, y)
    for fold, (_, test) in enumerate(StratifiedKFold(3).split(X, y)):
        for k in range(len(CS)):
            w, b = (
                model.coefs_paths_[fold, 0, k, :, :-1],
                model.coefs_paths_[fold, 0, k, :, -1],
            )
            proba = xlr.softmax(X[test][rows] @ w.T + b)[:, 0]
            expected = proba @ np.arange(len(proba))
            assert model.scores_[fold, 0, k] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("refit", [True, False])
def test_cv_choice_ignores_nan_scores(refit):
    X, y = DATA["breast_cancer"]

    def nan_for_small_coefficients(estimator, X, y):
        is_large = np.linalg.norm(estimator.coef_) > 1
        return estimator.score(X, y) if is_large else np.nan

    scoring = nan_for_small_coefficients
    model = xlr.LogisticRegressionCV(Cs=CS, scoring=scoring, refit=refit)
    model.fit(X, y)
    known = ~np.isnan(model.scores_[:, 0])
    assert 0 < known.sum() < known.size
    if refit:
        best = np.nanargmax(np.nanmean(model.scores_[:, 0, known[0]], axis=0))
        assert np.asarray(CS)[known[0]][best] == model.C_
    with pytest.raises(ValueError, match=r"All scores( of a fold)? are NaN"):
        model.set_params(scoring=lambda *_: np.nan).fit(X, y)


def test_cv_fold_without_rows_does_not_affect_others():
    X, y = DATA["breast_cancer"]
    folds = list(StratifiedKFold(3).split(X, y))
    broken = [folds[0], ([], folds[1][1]), *folds[1:]]
    expected = xlr.LogisticRegressionCV(Cs=CS, cv=folds).fit(X, y)
    model = xlr.LogisticRegressionCV(Cs=CS, cv=broken)
    with pytest.warns(UserWarning, match=r"Folds 1 \(of 4\) .* no model"):
        model.fit(X, y)
    assert np.isnan(model.scores_[1]).all()
    assert np.isnan(model.coefs_paths_[1]).all()
    others = [0, 2, 3]
    np.testing.assert_allclose(model.scores_[others], expected.scores_, atol=1e-6)
    assert model.C_ == expected.C_
    with pytest.raises(ValueError, match="No fold has rows of positive weight in two"):
        xlr.LogisticRegressionCV(cv=[(np.nonzero(y == 0)[0], [1])]).fit(X, y)


def test_cv_fold_that_is_separable_does_not_affect_others():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = (X[:, 0] + 0.3 * rng.normal(size=400) > 0).astype(int)
    separable = np.nonzero((X[:, 0] > 0) == y)[0]
    folds = [(np.arange(300), np.arange(300, 400)), (separable, np.arange(100))]
    model = xlr.LogisticRegressionCV(Cs=[1.0, np.inf], cv=folds, refit=False)
    model.fit(X, y)
    one = xlr.LogisticRegression(C=np.inf, tol=1e-9).fit(X[:300], y[:300])
    path = model.coefs_paths_[0, 0, 1]
    np.testing.assert_allclose(path[:, :-1], one.coef_, rtol=1e-4)
    assert np.abs(model.coefs_paths_[1, 0, 1]).max() > 100


def test_cv_without_a_penalty_warns_of_separation():
    rows = np.random.default_rng(0).normal(size=(90, 2))
    model = xlr.LogisticRegressionCV(Cs=[np.inf], cv=3, refit=False)
    with pytest.warns(xlr.SeparationWarning, match="of 3 models have no finite"):
        model.fit(rows, rows[:, 0] > 0)


def test_cv_counts_repeated_rows_of_a_fold_twice():
    X, y = DATA["breast_cancer"]
    train = np.concatenate([np.arange(300), np.arange(200)])
    folds = [(train, np.arange(300, 569))]
    model = xlr.LogisticRegressionCV(Cs=[1.0], cv=folds, tol=1e-9).fit(X, y)
    one = xlr.LogisticRegression(tol=1e-9).fit(X[train], y[train])
    np.testing.assert_allclose(
        model.coefs_paths_[0, 0, 0, :, :-1], one.coef_, rtol=1e-5
    )


def test_cv_with_little_memory_gives_the_same_models(monkeypatch):
    X, y = DATA["breast_cancer"]
    expected = xlr.LogisticRegressionCV(Cs=CS, tol=1e-9).fit(X, y)
    monkeypatch.setattr("xlr.arrays.free_bytes", lambda x: 300_000)
    model = xlr.LogisticRegressionCV(Cs=CS, tol=1e-9).fit(X, y)
    np.testing.assert_allclose(model.coefs_paths_, expected.coefs_paths_, atol=1e-6)
    np.testing.assert_allclose(model.scores_, expected.scores_, rtol=1e-6)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_cv_score_checks_names_of_columns(library, scoring):
    frame = pytest.importorskip(library).DataFrame
    X, y = DATA["wine"]
    names = [f"x{j}" for j in range(X.shape[1])]
    table = frame(dict(zip(names, X.T)))
    model = xlr.LogisticRegressionCV(Cs=CS, scoring=scoring).fit(table, y)
    with pytest.warns(UserWarning, match="but LogisticRegressionCV was fitted with"):
        expected = model.score(X, y)
    assert model.score(table, y) == expected  # without a warning
    with pytest.raises(ValueError, match="feature names should match"):
        model.score(table[names[::-1]], y)
    with pytest.raises(ValueError, match=r"3 features, but LogisticRegressionCV"):
        xlr.LogisticRegressionCV(Cs=CS).fit(X, y).score(X[:, :3], y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Cs": 0}, "Cs must be a whole number from 1 up"),
        ({"Cs": []}, "Cs must be a list of at least one number"),
        ({"Cs": [1.0, -1.0]}, "each of Cs must be a number above 0"),
        ({"l1_ratios": (0.5, 1.5)}, "each of l1_ratios must be a number from 0 to 1"),
        ({"l1_ratios": (0.0, 0.5), "solver": "lbfgs"}, "needs l1_ratio=0"),
        ({"scoring": "no such score"}, "scoring"),
        ({"solver": "adam"}, "solver must be one of"),
        ({"cv": []}, "cv has no folds"),
        ({"cv": [([0, 100], [])]}, "a fold without rows to test on"),
    ],
)
def test_wrong_cv_parameters_are_refused(parameters, message):
    X, y = DATA["wine"]
    with pytest.raises(ValueError, match=message):
        xlr.LogisticRegressionCV(**parameters).fit(X, y)


def test_cv_reports_models_that_do_not_converge(recwarn):
    X, y = DATA["wine"]
    model = xlr.LogisticRegressionCV(Cs=CS, max_iter=1).fit(X, y)
    assert not model.converged_
    sentences = [str(warning.message) for warning in recwarn]
    assert any("of 20 models: Stopped after max_iter=1" in s for s in sentences)


def test_cv_choice_is_exactly_a_value_of_the_grid():
    X, y = DATA["breast_cancer"]
    model = xlr.LogisticRegressionCV(Cs=20, cv=10).fit(X, y)
    assert model.C_ in np.logspace(-4, 4, 20)


def test_cv_of_lasso_models_is_the_same_for_every_solver():
    """Models start at the fits to all rows, and converge in different iterations."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 20))
    y = (X[:, :5].sum(axis=1) + rng.logistic(size=900) > 0).astype(int)
    fits = [
        xlr.LogisticRegressionCV(
            Cs=[0.01, 0.03, 0.1], l1_ratios=[1.0], cv=4, solver=solver, tol=1e-9
        ).fit(X, y)
        for solver in ("proximal-newton", "active-set", "newton-cg")
    ]
    for other in fits[1:]:
        assert other.converged_
        np.testing.assert_allclose(other.coefs_paths_, fits[0].coefs_paths_, atol=1e-6)
        np.testing.assert_array_equal(
            other.coefs_paths_ == 0, fits[0].coefs_paths_ == 0
        )
