"""Conversions of models and parameters to scikit-learn's estimators and back."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from conftest import to_numpy
from optional import on_demand
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import xlr

skl2onnx = on_demand("skl2onnx")
onnxruntime = on_demand("onnxruntime")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
Y = (2 * X + RNG.gumbel(size=(90, 3))).argmax(axis=1)
NAMES = np.asarray(["a", "b", "c"])[Y]
LABELS = np.stack([Y == 0, Y != 1, Y == 2], axis=1) * 1
FITS = {
    "binary": lambda X: xlr.LogisticRegression().fit(X, Y > 0),
    "softmax": lambda X: xlr.LogisticRegression().fit(X, NAMES),
    "ovr": lambda X: xlr.LogisticRegression(multi_class="ovr").fit(X, Y),
    "lasso": lambda X: xlr.LogisticRegression(l1_ratio=0.7).fit(X, Y > 0),
    "cv": lambda X: xlr.LogisticRegressionCV(Cs=[0.1, 1.0], cv=2).fit(X, NAMES),
    "firth": lambda X: xlr.FirthLogisticRegression().fit(X, Y > 0),
    "multi-label": lambda X: xlr.MultiLabelLogisticRegression().fit(X, LABELS),
    "one label": lambda X: xlr.MultiLabelLogisticRegression().fit(X, LABELS[:, :1]),
}


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("kind", list(FITS))
def test_every_estimator_converts_to_sklearn(kind, place, dtype):
    model = FITS[kind](place(X))
    theirs = model.to_sklearn()
    check_is_fitted(theirs)
    assert type(theirs).__module__.startswith("sklearn")
    rtol = 1e-10 if dtype == "float64" else 1e-4
    proba = to_numpy(model.predict_proba(X))
    if kind == "one label":  # scikit-learn fits two classes
        proba = np.concatenate([1 - proba, proba], axis=1)
    np.testing.assert_allclose(theirs.predict_proba(X), proba, rtol=rtol)
    predicted = to_numpy(model.predict(X))
    if kind == "one label":
        predicted = predicted[:, 0]
    np.testing.assert_array_equal(theirs.predict(X), predicted)
    assert theirs.n_features_in_ == 3


@pytest.mark.parametrize("kind", ["lasso", "cv", "softmax"])
def test_converted_model_refits_to_the_same_coefficients(kind):
    model = FITS[kind](X)
    theirs = model.to_sklearn()
    assert getattr(model, "C_", getattr(model, "C", 0)) == theirs.C
    theirs.set_params(tol=1e-9, max_iter=10_000, random_state=0)
    theirs.fit(X, Y > 0 if kind == "lasso" else NAMES)
    np.testing.assert_allclose(theirs.coef_, model.coef_, atol=1e-4)


@pytest.mark.parametrize("kind", ["cv", "firth", "multi-label", "lasso"])
def test_pipeline_with_a_converted_estimator_exports_to_onnx(kind):
    rows = X.astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), FITS[kind](X))
    pipeline[0].fit(X)
    converted = Pipeline([pipeline.steps[0], ("model", pipeline[-1].to_sklearn())])
    expected = converted.predict_proba(rows)
    np.testing.assert_allclose(expected, pipeline.predict_proba(rows), rtol=1e-4)
    graph = skl2onnx.to_onnx(converted, rows[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    _, found = session.run(None, {"X": rows})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_conversion_warns_about_a_lost_offset():
    model = xlr.LogisticRegression().fit(X, Y > 0, offset=np.ones(90))
    with pytest.warns(UserWarning, match="offset, which estimators of scikit-learn"):
        model.to_sklearn()
    firth = xlr.FirthLogisticRegression().fit(X, Y > 0, offset=np.ones(90))
    with pytest.warns(UserWarning, match="FirthLogisticRegression was fitted with an"):
        firth.to_sklearn()


def test_coefficients_set_by_hand_convert_to_sklearn():
    for n_classes, multi_class in ((2, "multinomial"), (3, "multinomial"), (3, "ovr")):
        model = xlr.LogisticRegression(multi_class=multi_class)
        n_rows = 1 if n_classes == 2 else n_classes
        model.coef_ = RNG.normal(size=(n_rows, 3))
        model.intercept_, model.classes_ = np.ones(n_rows), np.arange(n_classes)
        found = model.to_sklearn().predict_proba(X)
        np.testing.assert_allclose(found, model.predict_proba(X), rtol=1e-10)


def fit_without_warnings(model, X, y):
    """Fit an estimator of scikit-learn, whatever it says of its parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)  # for parameters that conflict
        model.fit(X, y)


PENALTIES = [
    ({}, 1.0, 0.0),
    ({"C": 0.1}, 0.1, 0.0),
    ({"penalty": "l2", "l1_ratio": 0.5}, 1.0, 0.0),
    ({"penalty": "l1", "solver": "liblinear"}, 1.0, 1.0),
    ({"penalty": "l1", "solver": "saga", "C": 0.2}, 0.2, 1.0),
    ({"penalty": "elasticnet", "solver": "saga", "l1_ratio": 0.3}, 1.0, 0.3),
    ({"penalty": None}, math.inf, 0.0),
    ({"solver": "newton-cholesky", "dual": False}, 1.0, 0.0),
    ({"solver": "sag"}, 1.0, 0.0),
    ({"solver": "liblinear", "dual": True, "intercept_scaling": 9.0}, 1.0, 0.0),
]


@pytest.mark.parametrize(("options", "C", "l1_ratio"), PENALTIES, ids=str)
def test_sklearn_parameters_are_converted(options, C, l1_ratio):
    theirs = LogisticRegression(
        **options,
        fit_intercept="liblinear" not in options.values(),
        class_weight={True: 2.0},
        tol=1e-8,
        max_iter=5_000,
        random_state=0,
    )
    ours = xlr.LogisticRegression.from_sklearn(theirs)
    assert (ours.C, ours.l1_ratio, ours.tol) == (C, l1_ratio, 1e-8)
    assert (ours.class_weight, ours.random_state) == ({True: 2.0}, 0)
    assert not hasattr(ours, "coef_")
    fit_without_warnings(theirs, X, Y > 0)
    ours.fit(X, Y > 0)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=2e-4)
    fitted = xlr.LogisticRegression.from_sklearn(theirs)
    np.testing.assert_array_equal(fitted.coef_, theirs.coef_)
    np.testing.assert_allclose(fitted.predict_proba(X), theirs.predict_proba(X))
    assert fitted.score(X, Y > 0) == theirs.score(X, Y > 0)


def test_sklearn_fit_has_standard_errors():
    theirs = LogisticRegression(C=np.inf, tol=1e-8).fit(X, Y > 0)
    found = xlr.infer(xlr.LogisticRegression.from_sklearn(theirs), X, Y > 0)
    assert found.converged
    expected = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(X, Y > 0), X, Y > 0)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-6)


def test_sklearn_defaults_become_defaults():
    ours = xlr.LogisticRegression.from_sklearn(LogisticRegression())
    assert str(ours) == "LogisticRegression()"


@pytest.mark.parametrize("y", [Y > 0, NAMES], ids=["binary", "softmax"])
@pytest.mark.parametrize("sparse", [True, False])
def test_sklearn_coefficients_are_converted(y, sparse):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("uvw"))
    theirs = LogisticRegression(tol=1e-8).fit(table, y)
    expected = theirs.predict_proba(table)
    ours = xlr.LogisticRegression.from_sklearn(theirs.sparsify() if sparse else theirs)
    np.testing.assert_allclose(ours.predict_proba(table), expected, rtol=1e-10)
    assert ours.feature_names_in_.tolist() == ["u", "v", "w"]
    again = xlr.LogisticRegression.from_sklearn(ours.to_sklearn())
    np.testing.assert_allclose(again.predict_proba(table), expected, rtol=1e-10)
    ours.coef_[:] = 0  # it must be a copy
    np.testing.assert_allclose(theirs.predict_proba(table), expected)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"l1_ratios": (0.0,), "scoring": "neg_log_loss"},
        {"l1_ratios": (0.0, 0.5), "solver": "saga", "scoring": "neg_log_loss"},
        {"l1_ratios": (1.0,), "solver": "liblinear", "fit_intercept": False},
    ],
    ids=str,
)
def test_sklearn_cross_validation_is_converted(options, legacy):
    theirs = LogisticRegressionCV(
        Cs=[0.05, 1.0],
        cv=3,
        tol=1e-6,
        max_iter=5_000,
        use_legacy_attributes=legacy,
        **options,
    )
    ours = xlr.LogisticRegressionCV.from_sklearn(theirs)
    assert (ours.Cs, ours.cv, ours.tol) == ([0.05, 1.0], 3, 1e-6)
    assert ours.scoring == options.get("scoring", "accuracy")
    fit_without_warnings(theirs, X, Y > 0)
    ours.fit(X, Y > 0)
    fitted = xlr.LogisticRegressionCV.from_sklearn(theirs)
    assert ours.C_ == fitted.C_
    assert ours.l1_ratio_ == fitted.l1_ratio_
    np.testing.assert_allclose(fitted.predict_proba(X), theirs.predict_proba(X))
    np.testing.assert_allclose(ours.coef_, fitted.coef_, atol=1e-3)
    if not legacy:
        np.testing.assert_allclose(fitted.scores_, ours.scores_, atol=1e-3)


def test_conversion_of_unknown_estimators_is_refused():
    for cls, given in (
        (xlr.LogisticRegression, LogisticRegressionCV()),
        (xlr.LogisticRegressionCV, LogisticRegression()),
        (xlr.LogisticRegression, StandardScaler()),
    ):
        with pytest.raises(TypeError, match="from_sklearn takes scikit-learn's Logist"):
            cls.from_sklearn(given)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
@pytest.mark.parametrize("solver", ["sag", "saga", "liblinear"])
def test_sklearn_solver_names_run_the_auto_solver(solver, l1_ratio):
    auto = xlr.LogisticRegression(l1_ratio=l1_ratio).fit(X, Y)
    named = xlr.LogisticRegression(l1_ratio=l1_ratio, solver=solver)
    search = xlr.LogisticRegressionCV(Cs=[1.0], l1_ratios=[l1_ratio], solver=solver)
    if solver == "liblinear":
        for model in (named, search):
            with pytest.warns(UserWarning, match="xlr does not, like") as caught:
                model.fit(X, Y)
            assert len(caught) == 1
            assert caught[0].filename == __file__
    named.set_params(fit_intercept=False).fit(X, Y)
    auto.set_params(fit_intercept=False).fit(X, Y)
    np.testing.assert_array_equal(named.coef_, auto.coef_)
    assert named.solver_ == auto.solver_
    assert search.set_params(fit_intercept=False).fit(X, Y).solver_ == auto.solver_


@pytest.mark.parametrize(
    ("y", "class_weight", "message"),
    [
        (Y, {0: 1.0, "1": 2.0}, r"key '1' .* is not a class, .* \[1, 2\] are not in"),
        (NAMES, {"A": 1.0}, r"key 'A' .* is not a class, .* \['a', 'b', 'c'\]"),
        (Y > 0, {"yes": 3.0}, r"key 'yes' .* is not a class"),
    ],
)
def test_class_weight_of_an_unknown_class_is_refused(y, class_weight, message, place):
    for cls in (xlr.LogisticRegression, xlr.LogisticRegressionCV):
        with pytest.raises(ValueError, match=message):
            cls(class_weight=class_weight).fit(place(X), y)
    # If all classes have weights, others are ignored, as in scikit-learn.
    complete = dict.fromkeys(np.unique(y).tolist(), 2.0) | class_weight
    model = xlr.LogisticRegression(class_weight=complete, tol=1e-4).fit(X, y)
    theirs = LogisticRegression(class_weight=complete).fit(X, y)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-2)
