"""Groups of rows for clustered standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from optional import on_demand

import xlr

pd = on_demand("pandas")
pl = on_demand("polars")
pa = on_demand("pyarrow")
da = on_demand("dask.array")

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


def test_one_cluster_with_weight_is_refused():
    halves = np.arange(60) // 30
    with pytest.raises(ValueError, match="of one cluster"):
        errors(halves, weights=1.0 - halves)


def without(value, values=GROUPS, at=(7,)):
    """Return a list in which a value takes the place of some groups."""
    found = list(values)
    for row in at:
        found[row] = value
    return found


DATES = [f"2020-01-{1 + k:02d}" for k in GROUPS]
# Groups of each kind, from a list that may hold None.
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


@pytest.mark.parametrize("missing", [np.nan, None])
def test_missing_groups_of_chunks_are_refused(missing):
    features, y = da.from_array(X, chunks=(20, 2)), da.from_array(Y, chunks=20)
    expected = errors(GROUPS)
    for values in (GROUPS, NAMES):
        given = np.asarray(without(missing, values), dtype=object)
        for whole, part in (
            (list(values), list(given)),
            (da.from_array(np.asarray(values), chunks=20), da.from_array(given, 20)),
        ):
            np.testing.assert_allclose(errors(whole, features, y), expected, rtol=1e-9)
            with pytest.raises(ValueError, match="groups holds missing values, 1 of"):
                errors(part, features, y)
