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


def clustered_errors(groups, features=X, y=Y, weights=None):
    """Return the standard errors of an unpenalised fit."""
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(features, y, weights)
    options = {"cov_type": "cluster", "groups": groups}
    return xlr.infer(model, features, y, weights, **options).bse


def test_clusters_without_weight_are_ignored():
    weights = np.where(GROUPS < 4, 0.0, 1.0)
    kept = weights > 0
    expected = clustered_errors(GROUPS[kept], X[kept], Y[kept])
    np.testing.assert_allclose(
        clustered_errors(GROUPS, weights=weights), expected, rtol=1e-10
    )


def test_single_cluster_with_weight_is_refused():
    halves = np.arange(60) // 30
    with pytest.raises(ValueError, match="only one cluster"):
        clustered_errors(halves, weights=1.0 - halves)


def with_missing(missing, values=GROUPS, at=(7,)):
    """Return a list of groups, with a missing value at some rows."""
    groups = list(values)
    for row in at:
        groups[row] = missing
    return groups


DATES = [f"2020-01-{1 + k:02d}" for k in GROUPS]
# Containers of groups; the list may contain None.
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
@pytest.mark.parametrize(
    "values", [[int(k) for k in GROUPS], NAMES], ids=["integers", "strings"]
)
def test_groups_of_every_kind_give_the_same_standard_errors(kind, values):
    make = KINDS[kind]
    np.testing.assert_allclose(
        clustered_errors(make(values)), clustered_errors(GROUPS), rtol=1e-12
    )
    with pytest.raises(ValueError, match="groups holds missing values, 2 of 60"):
        clustered_errors(make(with_missing(None, values, at=(7, 8))))


MISSING = {
    "NaN in list of strings": lambda: with_missing(np.nan, NAMES),
    "NaN in list of floats": lambda: with_missing(np.nan, GROUPS * 1.0),
    "NaN in float32": lambda: np.asarray(
        with_missing(np.nan, GROUPS * 1.0), dtype="float32"
    ),
    "NaN in objects": lambda: np.asarray(
        with_missing(np.float32("nan"), NAMES), dtype=object
    ),
    "NaT in dates": lambda: np.asarray(
        with_missing("NaT", DATES), dtype="datetime64[D]"
    ),
    "NaT in durations": lambda: np.asarray(
        with_missing("NaT", GROUPS), dtype="timedelta64[s]"
    ),
    "NaT in pandas dates": lambda: pd.Series(pd.to_datetime(with_missing(None, DATES))),
    "NaT in pandas objects": lambda: pd.Series(
        with_missing(pd.NaT, NAMES), dtype=object
    ),
    "NA in pandas strings": lambda: pd.Series(
        with_missing(pd.NA, NAMES), dtype="string"
    ),
    "NA in pandas integers": lambda: pd.Series(with_missing(pd.NA), dtype="Int64"),
    "null in polars dates": lambda: pl.Series(with_missing(None, DATES)).str.to_date(),
    "NaN in polars floats": lambda: pl.Series(with_missing(float("nan"), GROUPS * 1.0)),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_groups_are_refused(kind):
    groups = MISSING[kind]()
    with pytest.raises(ValueError, match="groups holds missing values, 1 of 60"):
        clustered_errors(groups)


def test_masked_groups_are_refused():
    with pytest.raises(ValueError, match="groups has 12 masked entries"):
        clustered_errors(np.ma.masked_less(np.arange(60), 12))


def test_missing_groups_are_refused_on_every_backend(place):
    groups = place(np.asarray(with_missing(np.nan, GROUPS * 1.0)))
    with pytest.raises(ValueError, match="groups holds missing values, 1 of 60"):
        clustered_errors(groups)


def test_missing_groups_of_chunks_are_refused():
    features, y = da.from_array(X, chunks=(20, 2)), da.from_array(Y, chunks=20)
    expected = clustered_errors(GROUPS)
    for values, missing in ((GROUPS, np.nan), (NAMES, None)):
        incomplete = np.asarray(with_missing(missing, values), dtype=object)
        for form in (list, lambda v: da.from_array(np.asarray(v), chunks=20)):
            found = clustered_errors(form(values), features, y)
            np.testing.assert_allclose(found, expected, rtol=1e-9)
            with pytest.raises(ValueError, match="groups holds missing values, 1 of"):
                clustered_errors(form(incomplete), features, y)


SCHOOLS, YEARS = np.arange(60) // 2, np.arange(60) // 3 % 10 + np.arange(60) % 2 * 10
LABELS = {2: Y, 3: np.random.default_rng(3).integers(0, 3, 60)}


def covariance_by_hand(results, ways, n_classes):
    """Return the two-way clustered covariance by inclusion-exclusion over scores."""
    Z = np.insert(X, 0, 1, axis=1)
    y = LABELS[n_classes]
    eta = Z @ results.params.reshape(3, -1)
    p = softmax(np.insert(eta, 0, 0, axis=1), axis=1)[:, 1:]
    r = np.eye(n_classes)[y][:, 1:] - p
    scores = (r[:, :, None] * Z[:, None, :]).reshape(60, -1)
    H = np.eye(n_classes - 1) * p[:, None, :] - p[:, :, None] * p[:, None, :]
    bread = np.einsum("ikl,ij,im->kjlm", H, Z, Z).reshape(scores.shape[1], -1)
    bread, meat = np.linalg.inv(bread), 0.0
    intersections = ways[:, 0] * 1000 + ways[:, 1]
    for sign, groups in ((1, ways[:, 0]), (1, ways[:, 1]), (-1, intersections)):
        sums = np.stack([scores[groups == g].sum(axis=0) for g in np.unique(groups)])
        G = len(sums)
        meat = meat + sign * G / (G - 1) * sums.T @ sums
    return 59 / (60 - scores.shape[1]) * bread @ meat @ bread


@pytest.mark.parametrize("n_classes", [2, 3])
def test_two_way_clustered_covariance_is_inclusion_exclusion(n_classes):
    y = LABELS[n_classes]
    ways = np.column_stack([SCHOOLS, YEARS])
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y, cov_type="cluster", groups=ways)
    expected = covariance_by_hand(results, ways, n_classes)
    np.testing.assert_allclose(results.cov_params(), expected, rtol=1e-6, atol=1e-10)
    frame = pd.DataFrame({"school": [f"school {k:02}" for k in SCHOOLS], "year": YEARS})
    lazy = da.from_array(ways, chunks=(20, 2))
    for groups in (frame, lazy, ways.tolist()):
        again = xlr.infer(model, X, y, cov_type="cluster", groups=groups)
        np.testing.assert_allclose(again.bse, results.bse)
    chunked = clustered_errors(
        ways, da.from_array(X, chunks=(20, 2)), da.from_array(y, 20)
    )
    np.testing.assert_allclose(chunked, results.bse, rtol=1e-7)


def test_two_way_clustered_errors_agree_with_statsmodels():
    ways = np.column_stack([SCHOOLS, YEARS])
    fit = sm.GLM(Y, sm.add_constant(X), sm.families.Binomial())
    fit = fit.fit(tol=1e-14, cov_type="cluster", cov_kwds={"groups": ways})
    np.testing.assert_allclose(clustered_errors(ways), fit.bse, rtol=1e-7)


def test_nested_clusters_have_the_errors_of_the_outer_clusters():
    """The last two ways are equal and nested in the first: their terms cancel."""
    ways = np.column_stack([SCHOOLS // 2, SCHOOLS, SCHOOLS])
    np.testing.assert_allclose(
        clustered_errors(ways), clustered_errors(SCHOOLS // 2), rtol=1e-9
    )


def test_indefinite_clustered_covariance_is_repaired_with_a_note():
    rng = np.random.default_rng(1)
    for _ in range(50):
        ways = rng.integers(0, 3, (60, 2))
        model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, Y)
        results = xlr.infer(model, X, Y, cov_type="cluster", groups=ways)
        unrepaired = covariance_by_hand(results, ways, 2)
        indefinite = np.linalg.eigvalsh(unrepaired).min() < 0
        assert indefinite == any(
            "negative eigenvalues" in note for note in results.notes
        )
        if indefinite:
            break
    eigenvalues = np.linalg.eigvalsh(results.cov_params())
    assert indefinite
    assert eigenvalues.min() > -1e-12
    # The repair adds a positive semi-definite matrix.
    added = np.linalg.eigvalsh(results.cov_params() - unrepaired)
    assert added.min() > -1e-10


def test_groups_of_wrong_shape_are_refused():
    for groups in (GROUPS[:5], np.stack([GROUPS, GROUPS]), np.zeros((60, 0))):
        with pytest.raises(ValueError, match=r"groups has shape .*\(60, m\)"):
            clustered_errors(groups)


def test_clusters_of_single_rows_give_the_sandwich_of_probability_weights():
    """R's survey and statsmodels with ``var_weights`` have the same sandwich."""
    weights = RNG.uniform(0.2, 5, 60)
    weights *= 60 / weights.sum()
    binomial = sm.families.Binomial()
    glm = sm.GLM(Y, sm.add_constant(X), binomial, var_weights=weights)
    expected = glm.fit(tol=1e-14, cov_type="HC0").bse * np.sqrt(60 / 57)
    np.testing.assert_allclose(
        clustered_errors(range(60), weights=weights), expected, rtol=1e-6
    )


def test_clustered_errors_with_counts_are_those_of_repeated_rows():
    counts = np.arange(60) % 3 + 1
    many = np.repeat(np.arange(60), counts)
    repeated = clustered_errors(GROUPS[many], X[many], Y[many])
    np.testing.assert_allclose(
        clustered_errors(GROUPS, weights=counts), repeated, rtol=1e-6
    )
