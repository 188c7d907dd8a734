"""Groups of rows for clustered standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from optional import on_demand
from scipy.special import softmax

import xlr

pd = on_demand("pandas")
pl = on_demand("polars")
pa = on_demand("pyarrow")
da = on_demand("dask.array")
sm = on_demand("statsmodels.api")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 2)), RNG.integers(0, 2, 60)
GROUPS = np.arange(60) % 12
NAMES = [f"school {k}" for k in GROUPS]


def errors(groups, features=X, y=Y, weights=None):
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(features, y, weights)
    options = {"cov_type": "cluster", "groups": groups}
    return xlr.infer(model, features, y, weights, **options).bse


def test_clusters_without_weight_do_not_count():
    weights = np.where(GROUPS < 4, 0.0, 1.0)
    left = weights > 0
    alone = errors(GROUPS[left], X[left], Y[left])
    np.testing.assert_allclose(errors(GROUPS, weights=weights), alone, rtol=1e-10)


def test_single_cluster_with_weight_is_refused():
    halves = np.arange(60) // 30
    with pytest.raises(ValueError, match="only one cluster"):
        errors(halves, weights=1.0 - halves)


def without(value, values=GROUPS, at=(7,)):
    """Return a list of groups, some of them replaced by a value."""
    found = list(values)
    for row in at:
        found[row] = value
    return found


DATES = [f"2020-01-{1 + k:02d}" for k in GROUPS]
# Kinds of groups, made from a list that may contain None.
KINDS = {
    "list": lambda v: v,
    "tuple": tuple,
    "objects": lambda v: np.asarray(v, dtype=object),
    "pandas": lambda v: pd.Series(v),
    "pandas category": lambda v: pd.Series(v, dtype="category"),
    "pandas nullable": lambda v: pd.Series(v).convert_dtypes(),
    "pandas arrow": lambda v: pd.Series(v).convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda v: pl.Series(v),
    "pyarrow": lambda v: pa.array(v),
    "pyarrow chunked": lambda v: pa.chunked_array([v]),
    "pyarrow codes": lambda v: pa.array(v).dictionary_encode(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", [[int(k) for k in GROUPS], NAMES], ids=type)
def test_groups_of_every_kind_have_the_same_errors(kind, values):
    make = KINDS[kind]
    np.testing.assert_allclose(errors(make(values)), errors(GROUPS), rtol=1e-12)
    with pytest.raises(ValueError, match="groups holds missing values, 2 of 60"):
        errors(make(without(None, values, at=(7, 8))))


@pytest.mark.parametrize(
    "make",
    [
        lambda: without(np.nan, NAMES),
        lambda: without(np.nan, GROUPS * 1.0),
        lambda: np.asarray(without(np.nan, GROUPS * 1.0), dtype="float32"),
        lambda: np.asarray(without(np.float32("nan"), NAMES), dtype=object),
        lambda: np.asarray(without("NaT", DATES), dtype="datetime64[D]"),
        lambda: np.asarray(without("NaT", GROUPS), dtype="timedelta64[s]"),
        lambda: pd.Series(pd.to_datetime(without(None, DATES))),
        lambda: pd.Series(without(pd.NaT, NAMES), dtype=object),
        lambda: pd.Series(without(pd.NA, NAMES), dtype="string"),
        lambda: pd.Series(without(pd.NA), dtype="Int64"),
        lambda: pl.Series(without(None, DATES)).str.to_date(),
        lambda: pl.Series(without(float("nan"), GROUPS * 1.0)),
    ],
)
def test_missing_groups_are_refused(make):
    with pytest.raises(ValueError, match="groups holds missing values, 1 of 60"):
        errors(make())


def test_masked_groups_are_refused():
    with pytest.raises(ValueError, match="groups has 12 masked entries"):
        errors(np.ma.masked_less(np.arange(60), 12))


def test_missing_groups_are_refused_on_every_backend(place):
    groups = place(np.asarray(without(np.nan, GROUPS * 1.0)))
    with pytest.raises(ValueError, match="groups holds missing values, 1 of 60"):
        errors(groups)


def test_missing_groups_of_chunks_are_refused():
    features, y = da.from_array(X, chunks=(20, 2)), da.from_array(Y, chunks=20)
    expected = errors(GROUPS)
    for values, missing in ((GROUPS, np.nan), (NAMES, None)):
        given = np.asarray(without(missing, values), dtype=object)
        for whole, part in (
            (list(values), list(given)),
            (da.from_array(np.asarray(values), chunks=20), da.from_array(given, 20)),
        ):
            np.testing.assert_allclose(errors(whole, features, y), expected, rtol=1e-9)
            with pytest.raises(ValueError, match="groups holds missing values, 1 of"):
                errors(part, features, y)


SCHOOLS, YEARS = np.arange(60) // 2, np.arange(60) // 3 % 10 + np.arange(60) % 2 * 10
THREE = np.random.default_rng(3).integers(0, 3, 60)


def covariance_by_hand(results, ways, n_classes):
    """Return the covariance of two ways by inclusion and exclusion over scores."""
    Z = np.insert(X, 0, 1, axis=1)
    y = Y if n_classes == 2 else THREE
    eta = Z @ results.params.reshape(3, -1)
    p = softmax(np.insert(eta, 0, 0, axis=1), axis=1)[:, 1:]
    r = np.eye(n_classes)[y][:, 1:] - p
    scores = (r[:, :, None] * Z[:, None, :]).reshape(60, -1)
    H = np.eye(n_classes - 1) * p[:, None, :] - p[:, :, None] * p[:, None, :]
    bread = np.einsum("ikl,ij,im->kjlm", H, Z, Z).reshape(scores.shape[1], -1)
    bread, middle = np.linalg.inv(bread), 0.0
    both = ways[:, 0] * 1000 + ways[:, 1]
    for sign, groups in ((1, ways[:, 0]), (1, ways[:, 1]), (-1, both)):
        sums = np.stack([scores[groups == g].sum(axis=0) for g in np.unique(groups)])
        G = len(sums)
        middle = middle + sign * G / (G - 1) * sums.T @ sums
    return 59 / (60 - scores.shape[1]) * bread @ middle @ bread


@pytest.mark.parametrize("n_classes", [2, 3])
def test_two_way_clusters_by_inclusion_and_exclusion(n_classes):
    y = Y if n_classes == 2 else THREE
    ways = np.column_stack([SCHOOLS, YEARS])
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y, cov_type="cluster", groups=ways)
    expected = covariance_by_hand(results, ways, n_classes)
    np.testing.assert_allclose(results.cov_params(), expected, rtol=1e-6, atol=1e-10)
    named = pd.DataFrame({"school": [f"school {k:02}" for k in SCHOOLS], "year": YEARS})
    lazily = da.from_array(ways, chunks=(20, 2))
    for groups in (named, lazily, ways.tolist()):
        again = xlr.infer(model, X, y, cov_type="cluster", groups=groups)
        np.testing.assert_allclose(again.bse, results.bse)
    chunked = errors(ways, da.from_array(X, chunks=(20, 2)), da.from_array(y, 20))
    np.testing.assert_allclose(chunked, results.bse, rtol=1e-7)


def test_two_way_clusters_have_the_errors_of_statsmodels():
    ways = np.column_stack([SCHOOLS, YEARS])
    fit = sm.GLM(Y, sm.add_constant(X), sm.families.Binomial())
    fit = fit.fit(tol=1e-14, cov_type="cluster", cov_kwds={"groups": ways})
    np.testing.assert_allclose(errors(ways), fit.bse, rtol=1e-7)


def test_clusters_nested_in_others_are_those_alone():
    """The last two ways are equal and nested in the first, so their terms cancel."""
    halves = np.column_stack([SCHOOLS // 2, SCHOOLS, SCHOOLS])
    np.testing.assert_allclose(errors(halves), errors(SCHOOLS // 2), rtol=1e-9)


def test_indefinite_covariance_of_clusters_is_repaired_and_noted():
    rng = np.random.default_rng(1)
    for _ in range(50):
        ways = rng.integers(0, 3, (60, 2))
        model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, Y)
        results = xlr.infer(model, X, Y, cov_type="cluster", groups=ways)
        plain = covariance_by_hand(results, ways, 2)
        indefinite = np.linalg.eigvalsh(plain).min() < 0
        assert indefinite == any("negative eigenvalues" in n for n in results.notes)
        if indefinite:
            break
    values = np.linalg.eigvalsh(results.cov_params())
    assert indefinite
    assert values.min() > -1e-12
    # The repair adds a positive semi-definite matrix.
    added = np.linalg.eigvalsh(results.cov_params() - plain)
    assert added.min() > -1e-10


def test_groups_of_other_rows_are_refused():
    for groups in (GROUPS[:5], np.stack([GROUPS, GROUPS]), np.zeros((60, 0))):
        with pytest.raises(ValueError, match=r"groups has shape .*\(60, m\)"):
            errors(groups)


def test_probability_weights_have_a_cluster_for_each_row():
    """R's survey and statsmodels with ``var_weights`` have the same sandwich."""
    weights = RNG.uniform(0.2, 5, 60)
    weights *= 60 / weights.sum()
    binomial = sm.families.Binomial()
    glm = sm.GLM(Y, sm.add_constant(X), binomial, var_weights=weights)
    expected = glm.fit(tol=1e-14, cov_type="HC0").bse * np.sqrt(60 / 57)
    np.testing.assert_allclose(errors(range(60), weights=weights), expected, rtol=1e-6)


def test_counts_in_clusters_are_repeated_rows():
    counts = np.arange(60) % 3 + 1
    many = np.repeat(np.arange(60), counts)
    repeated = errors(GROUPS[many], X[many], Y[many])
    np.testing.assert_allclose(errors(GROUPS, weights=counts), repeated, rtol=1e-6)
