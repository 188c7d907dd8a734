"""Cross-validation passes metadata to the fits, the splitter and the scorer."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from conftest import to_numpy
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xlr

RNG = np.random.default_rng(0)
N = 90
X = RNG.normal(size=(N, 2))
Y = (X[:, 0] + RNG.logistic(size=N) > 0).astype(int)
WEIGHTS = RNG.uniform(0.1, 5, size=N)
GROUPS = RNG.integers(6, size=N)
CS = [0.1, 1.0]


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def theirs(**options):
    """Return scikit-learn's estimator."""
    return LogisticRegressionCV(
        Cs=CS,
        solver="newton-cholesky",
        tol=1e-10,
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
        **options,
    )


def accuracy(weights):
    """Return a scorer with a request for weights: a bool, a name, or None for unset."""
    made = make_scorer(accuracy_score)
    return made if weights is None else made.set_score_request(sample_weight=weights)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("is_requested", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_scorer_gets_weights_if_it_requests_them(is_requested, chunked, in_this_thread):
    da = pytest.importorskip("dask.array")
    options = {"cv": 3, "scoring": accuracy(is_requested)}
    model = xlr.LogisticRegressionCV(Cs=CS, **options)
    rows = X, Y, WEIGHTS
    if chunked:
        rows = (da.from_array(v, chunks=(45, *v.shape[1:])) for v in rows)
    model.fit(*rows)
    expected = theirs(**options).fit(X, Y, sample_weight=WEIGHTS)
    np.testing.assert_allclose(model.scores_, expected.scores_, rtol=1e-12)
    weights = WEIGHTS if is_requested else None
    score = accuracy_score(Y, model.predict(X), sample_weight=weights)
    assert model.score(X, Y, sample_weight=WEIGHTS) == pytest.approx(score)


@pytest.mark.usefixtures("routing")
def test_scorer_gets_weights_under_another_name():
    options = {"cv": 3, "scoring": accuracy("weights_of_scores")}
    expected = theirs(**options).fit(X, Y, weights_of_scores=WEIGHTS)
    model = xlr.LogisticRegressionCV(Cs=CS, **options)
    model.fit(X, Y, weights_of_scores=WEIGHTS)
    np.testing.assert_allclose(model.scores_, expected.scores_, rtol=1e-12)
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        model.set_params(scoring=accuracy(None)).fit(X, Y, sample_weight=WEIGHTS)


@pytest.mark.usefixtures("routing")
def test_scorer_gets_other_metadata():
    def correct_amount(y, predicted, amount):
        return float(np.sum(amount * (y == predicted)))

    scorer = make_scorer(correct_amount).set_score_request(amount=True)
    model = xlr.LogisticRegressionCV(Cs=CS, cv=3, scoring=scorer)
    model.fit(X, Y, amount=WEIGHTS)
    expected = theirs(cv=3, scoring=scorer).fit(X, Y, amount=WEIGHTS)
    np.testing.assert_allclose(model.scores_, expected.scores_, rtol=1e-12)


@pytest.mark.usefixtures("routing")
def test_default_score_of_cv_uses_sample_weights():
    model = xlr.LogisticRegressionCV(Cs=CS, cv=3).fit(X, Y, WEIGHTS)
    with sklearn.config_context(enable_metadata_routing=False):
        expected = xlr.LogisticRegressionCV(Cs=CS, cv=3).fit(X, Y, WEIGHTS)
    np.testing.assert_array_equal(model.scores_, expected.scores_)
    assert model.score(X, Y, WEIGHTS) == expected.score(X, Y, WEIGHTS)


@pytest.mark.slow_on_jax
@pytest.mark.usefixtures("routing")
def test_group_splitter_takes_arrays_of_every_library(place):
    model = xlr.LogisticRegressionCV(Cs=[1.0], cv=GroupKFold(3))
    model.fit(place(X), Y, groups=place(GROUPS))
    expected = theirs(cv=GroupKFold(3), scoring="neg_log_loss").set_params(Cs=[1.0])
    expected.fit(X, Y, groups=GROUPS)
    np.testing.assert_allclose(
        to_numpy(model.scores_), expected.scores_, rtol=1e-3, atol=1e-4
    )


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize(
    "cv", [StratifiedGroupKFold(3), GroupShuffleSplit(2, random_state=0)], ids=str
)
def test_pipeline_routes_groups(cv):
    model = xlr.LogisticRegressionCV(Cs=CS, cv=cv)
    pipeline = make_pipeline(StandardScaler(), model)
    pipeline.fit(X, Y, groups=GROUPS)
    rows = StandardScaler().fit_transform(X)
    expected = theirs(cv=cv, scoring="neg_log_loss").fit(rows, Y, groups=GROUPS)
    np.testing.assert_allclose(pipeline[-1].scores_, expected.scores_, atol=1e-6)


@pytest.mark.usefixtures("routing")
def test_routing_names_the_same_requests_as_sklearn():
    options = {"cv": GroupKFold(3), "scoring": accuracy(True)}
    found = xlr.LogisticRegressionCV(**options).get_metadata_routing()
    expected = theirs(**options).get_metadata_routing()
    assert vars(found).keys() == vars(expected).keys()
    for name in ("splitter", "scorer"):
        ours, other = found._serialize()[name], expected._serialize()[name]
        assert ours["router"] == other["router"]
        assert sorted(map(str, ours["mapping"])) == sorted(map(str, other["mapping"]))


@pytest.mark.parametrize("method", ["fit", "score"])
def test_unrequested_metadata_is_refused(method):
    ours, other = xlr.LogisticRegressionCV(Cs=CS, cv=3), theirs(cv=3)
    for model in (ours.fit(X, Y), other.set_params(scoring="accuracy").fit(X, Y)):
        with pytest.raises(ValueError, match="enable_metadata_routing=True"):
            getattr(model, method)(X, Y, groups=GROUPS)
        with (
            sklearn.config_context(enable_metadata_routing=True),
            pytest.raises(TypeError, match="unexpected argument"),
        ):
            getattr(model, method)(X, Y, unknown=GROUPS)
