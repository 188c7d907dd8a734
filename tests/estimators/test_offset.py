"""An offset of the logits acts as a feature with a coefficient of one."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy
from problems import load
from scipy.special import logsumexp, softmax

import xlr

X, Y = load("breast_cancer", True)
RNG = np.random.default_rng(0)
OFFSET = RNG.normal(size=len(Y)) + 2 * Y
PENALTIES = {
    "ridge": {"C": 0.3},
    "lasso": {"C": 0.3, "l1_ratio": 1.0},
    "bounded": {"C": 0.3, "lower": -0.1},
}


def with_offset_as_feature(parameters):
    """Return the model with the offset as a column whose coefficient is one."""
    bounds = {
        "lower": np.r_[np.full(30, parameters.get("lower", -np.inf)), 1.0],
        "upper": np.r_[np.full(30, np.inf), 1.0],
        "penalty_factor": np.r_[np.ones(30), 0.0],
    }
    model = xlr.LogisticRegression(**{**parameters, **bounds}, tol=1e-10)
    return model.fit(np.c_[X, OFFSET], Y)


@pytest.mark.parametrize("kind", list(PENALTIES))
def test_offset_equals_a_feature_with_a_coefficient_of_one(kind):
    expected = with_offset_as_feature(PENALTIES[kind])
    model = xlr.LogisticRegression(**PENALTIES[kind], tol=1e-10)
    model.fit(X, Y, offset=OFFSET)
    np.testing.assert_allclose(model.coef_, expected.coef_[:, :30], atol=1e-6)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, atol=1e-6)
    assert model.history_["objective"][-1] == pytest.approx(
        expected.history_["objective"][-1], rel=1e-10
    )


@pytest.mark.parametrize(
    "solver", ["newton-cholesky", "newton-cg", "lbfgs", "gradient-descent"]
)
def test_offset_gives_the_same_model_with_every_solver(solver):
    expected = with_offset_as_feature({"C": 1e-3})
    model = xlr.LogisticRegression(C=1e-3, solver=solver, tol=1e-8, max_iter=20_000)
    model.fit(X, Y, offset=OFFSET)
    np.testing.assert_allclose(model.coef_, expected.coef_[:, :30], atol=1e-6)


def test_model_with_an_offset_agrees_with_statsmodels():
    statsmodels = pytest.importorskip("statsmodels.api")
    few = X[:, :3]
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(few, Y, offset=OFFSET)
    family = statsmodels.families.Binomial()
    design = statsmodels.add_constant(few)
    expected = statsmodels.GLM(Y, design, family=family, offset=OFFSET).fit(tol=1e-12)
    found = np.r_[model.intercept_, model.coef_[0]]
    np.testing.assert_allclose(found, expected.params, rtol=1e-6)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_offset_of_many_classes_is_added_to_their_logits(l1_ratio):
    features, y = load("wine", True)
    offset = RNG.normal(size=(len(y), 3))
    model = xlr.LogisticRegression(C=0.3, l1_ratio=l1_ratio, tol=1e-9)
    model.fit(features, y, offset=offset)
    logits = features @ model.coef_.T + model.intercept_ + offset
    loss = logsumexp(logits, axis=1) - logits[np.arange(len(y)), y]
    w = model.coef_
    penalty = l1_ratio * np.abs(w) + (1 - l1_ratio) / 2 * w**2
    F = (loss.sum() + penalty.sum() / 0.3) / len(y)
    assert model.history_["objective"][-1] == pytest.approx(F, rel=1e-12)
    residual = softmax(logits, axis=1) - np.eye(3)[y]
    # The KKT conditions of coefficients that are not zero, and of the others.
    smooth = residual.T @ features / len(y) + (1 - l1_ratio) * w / (0.3 * len(y))
    gradient = smooth + l1_ratio * np.sign(w) / (0.3 * len(y))
    assert np.abs(gradient[w != 0]).max() < 1e-8
    assert np.abs(smooth[w == 0]).max(initial=0) <= 1 / (0.3 * len(y)) + 1e-9
    np.testing.assert_allclose(
        model.predict_proba(features, offset=offset),
        softmax(logits, axis=1),
        atol=1e-12,
    )


def test_offset_of_many_rows_or_columns_gives_the_model_of_lbfgs():
    rng = np.random.default_rng(0)
    for n, p, C in ((30_000, 8, 1.0), (300, 3_000, 0.01)):
        features = rng.normal(size=(n, p))
        offset = 2 * rng.normal(size=n)
        y = features[:, 0] + offset + rng.logistic(size=n) > 0
        model = xlr.LogisticRegression(C=C, tol=1e-9).fit(features, y, offset=offset)
        other = xlr.LogisticRegression(C=C, solver="lbfgs", tol=1e-8)
        other.fit(features, y, offset=offset)
        np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-5)


@pytest.mark.shared_arithmetic
def test_offset_is_added_to_predictions(place, assert_close):
    model = xlr.LogisticRegression().fit(place(X), Y, offset=place(OFFSET))
    zeros = np.zeros(len(Y))
    without = to_numpy(model.decision_function(place(X), offset=zeros))
    logits = model.decision_function(place(X), offset=OFFSET)
    assert_close(logits, without + OFFSET, atol=1e-4, rtol=1e-5)
    p = to_numpy(model.predict_proba(place(X), offset=OFFSET))
    log_p = to_numpy(model.predict_log_proba(place(X), offset=OFFSET))
    np.testing.assert_allclose(np.log(p[:, 1]), log_p[:, 1], atol=1e-3)
    labels = to_numpy(model.predict(place(X), offset=OFFSET))
    np.testing.assert_array_equal(labels, to_numpy(logits) > 0)
    accuracy = (labels == Y).mean()
    assert model.score(place(X), Y, offset=OFFSET) == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (OFFSET[:5], r"offset has shape \(5,\), expected \(569,\)"),
        (np.full(569, np.nan), "offset contains NaN"),
        (np.zeros((569, 2)), "2 columns, expected 1"),
    ],
)
def test_wrong_offsets_are_refused(offset, message):
    with pytest.raises(ValueError, match=message):
        xlr.LogisticRegression().fit(X, Y, offset=offset)


def test_one_vs_rest_refuses_an_offset():
    features, y = load("wine", True)
    model = xlr.LogisticRegression(multi_class="ovr")
    with pytest.raises(ValueError, match="Use multi_class='multinomial'"):
        model.fit(features, y, offset=np.zeros((len(y), 3)))


# -- predictions without the offset ----------------------------------------------------

METHODS = [
    "decision_function",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "score",
]
FITTED = {
    "binary": lambda: xlr.LogisticRegression().fit(X, Y, offset=OFFSET),
    "multinomial": lambda: xlr.LogisticRegression().fit(
        X, np.arange(569) % 3, offset=np.c_[OFFSET, OFFSET, -OFFSET]
    ),
    "firth": lambda: xlr.FirthLogisticRegression(tol=1e-2).fit(
        X[:, :2], Y, offset=OFFSET
    ),
}


def call(model, method, rows, **offset):
    """Call a method on the columns of the model, and score arbitrary labels."""
    rows = rows[:, : model.n_features_in_]
    if method == "score":
        return model.score(rows, np.resize(model.classes_, 569), **offset)
    return getattr(model, method)(rows, **offset)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", list(FITTED))
def test_prediction_without_the_offset_warns_once(kind, method, recwarn):
    model = FITTED[kind]()
    shape = (569, 3) if kind == "multinomial" else 569
    call(model, method, X, offset=np.zeros(shape))
    assert not recwarn.list
    for _ in range(2):
        call(model, method, X)
    (warning,) = recwarn.list
    assert "was fitted with an offset" in str(warning.message)
    assert warning.filename == __file__


@pytest.mark.usefixtures("in_this_thread")
@pytest.mark.parametrize("method", METHODS)
def test_prediction_of_chunks_without_the_offset_warns_once(method, recwarn):
    array = pytest.importorskip("dask.array")
    answer = call(FITTED["binary"](), method, array.from_array(X, chunks=(100, 30)))
    np.asarray(answer)
    assert len(recwarn.list) == 1


def test_prediction_after_a_refit_needs_no_offset(recwarn):
    model = FITTED["binary"]()
    model.fit(X, Y).predict(X)
    assert not recwarn.list


def test_torch_differentiates_predictions_in_their_offset():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    X, offset = rng.normal(size=(40, 3)), rng.normal(size=40)
    y = (X[:, 0] + rng.logistic(size=40) > 0).astype(int)
    model = xlr.LogisticRegression().fit(X, y, offset=offset)
    p = model.predict_proba(X, offset)[:, 1]
    known = torch.tensor(offset, requires_grad=True)
    model.predict_proba(torch.tensor(X), known)[:, 1].sum().backward()
    np.testing.assert_allclose(known.grad, p * (1 - p), rtol=1e-9)
    rows = torch.tensor(X, requires_grad=True)
    model.decision_function(rows, 2 * rows[:, 0]).sum().backward()
    np.testing.assert_allclose(rows.grad[0], model.coef_[0] + [2, 0, 0], rtol=1e-9)
