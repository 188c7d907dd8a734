"""Bad input raises the same error on every library, and changes no attribute."""

from __future__ import annotations

import copy
import datetime
from decimal import Decimal

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import to_numpy
from optional import on_demand
from problems import load
from sklearn.exceptions import NotFittedError

import xlr

pd = on_demand("pandas")
pl = on_demand("polars")
X, Y = load("breast_cancer", True)
X, Y = X[:80, :5], Y[:80]


def altered(values, index, value):
    values = np.array(values, dtype=float)
    values[index] = value
    return values


BAD_DATA = [
    # name, arguments of fit, words of the message
    ("nan", {"X": altered(X, (3, 1), np.nan)}, "X contains NaN"),
    ("inf", {"X": altered(X, (3, 1), np.inf)}, "X contains infinity"),
    (
        "nan and inf",
        {"X": altered(altered(X, 0, np.inf), 1, np.nan)},
        "NaN and infinity",
    ),
    ("one dimension", {"X": X[:, 0]}, "Expected 2D array"),
    ("three dimensions", {"X": X[None]}, "2D|dim 3|<= 2 expected"),
    ("no rows", {"X": X[:0], "y": Y[:0]}, "0 sample"),
    ("no columns", {"X": X[:, :0]}, "0 feature"),
    ("complex", {"X": X + 0j}, "Complex data not supported"),
    ("short y", {"y": Y[:-1]}, "inconsistent numbers of samples: 80 .* 79"),
    ("one class", {"y": np.zeros(80, dtype=int)}, "only one class, 0;"),
    ("continuous y", {"y": X[:, 0]}, "Unknown label type: continuous"),
    ("y with nan", {"y": altered(Y, 2, np.nan)}, "y contains NaN"),
    ("matrix y", {"y": np.stack([Y, Y], axis=1)}, "1d array"),
    ("no y", {"y": None}, "requires y to be passed"),
    (
        "short weights",
        {"sample_weight": np.ones(79)},
        r"shape \(79,\), expected \(80,\)",
    ),
    ("nan weight", {"sample_weight": altered(np.ones(80), 0, np.nan)}, "contains NaN"),
    ("inf weight", {"sample_weight": altered(np.ones(80), 0, np.inf)}, "or infinity"),
    (
        "negative weight",
        {"sample_weight": altered(np.ones(80), 0, -1)},
        "negative values",
    ),
    ("zero weights", {"sample_weight": np.zeros(80)}, "weights are zero"),
    ("shape of coef_init", {"coef_init": np.zeros((2, 5))}, r"expected \(1, 5\)"),
    ("nan start", {"coef_init": altered(np.zeros((1, 5)), 0, np.nan)}, "contains NaN"),
    ("shape of intercept_init", {"intercept_init": np.zeros(3)}, r"shape \(3,\)"),
]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [case[1:] for case in BAD_DATA],
    ids=[case[0] for case in BAD_DATA],
)
def test_bad_data_is_refused_with_a_clear_error_and_changes_nothing(
    backend, arguments, words
):
    def place(values):
        if not isinstance(values, np.ndarray):
            return values
        if values.dtype.kind == "f" and not backend.supports("float64"):
            values = values.astype(np.float32)
        if values.dtype.kind == "c" and not backend.supports("float64"):
            values = values.astype(np.complex64)
        return backend.xp.asarray(np.ascontiguousarray(values), device=backend.device)

    model = xlr.LogisticRegression().fit(X, Y)
    before = {k: copy.deepcopy(v) for k, v in vars(model).items()}
    given = {name: place(v) for name, v in ({"X": X, "y": Y} | arguments).items()}
    with pytest.raises(ValueError, match=words):
        model.fit(**given)
    assert vars(model).keys() == before.keys()
    for name, value in before.items():
        np.testing.assert_equal(vars(model)[name], value)


BAD_PARAMETERS = [
    ({"C": 0}, ValueError, "C must be a number above 0 .* got 0"),
    ({"C": -1.0}, ValueError, "C must be"),
    ({"C": float("nan")}, ValueError, "C must be"),
    ({"C": "1"}, TypeError, "C must be .* got '1'"),
    ({"C": 10**400}, ValueError, "C must be .* got a number beyond float64"),
    ({"solver": np.asarray(["lbfgs", "auto"])}, ValueError, "solver must be one of"),
    ({"multi_class": ["ovr"]}, ValueError, "multi_class must be one of"),
    ({"tol": 0.0}, ValueError, "tol must be a finite number above 0"),
    ({"tol": float("inf")}, ValueError, "tol must be"),
    ({"max_iter": -1}, ValueError, "max_iter must be a whole number"),
    ({"max_iter": 1.5}, ValueError, "max_iter must be"),
    ({"max_iter": True}, ValueError, "max_iter must be"),
    ({"l1_ratio": "all"}, ValueError, "from 0 to 1"),
    ({"l1_ratio": 2}, ValueError, "from 0 to 1"),
    ({"solver": "adam"}, ValueError, "'newton-cholesky'.*got 'adam'"),
    ({"multi_class": "auto"}, ValueError, "'multinomial', 'ovr'; got 'auto'"),
    ({"class_weight": "equal"}, ValueError, "'balanced'"),
    ({"class_weight": {0: -1.0}}, ValueError, "zero or positive"),
    (
        {"class_weight": [1.0, 2.0]},
        TypeError,
        r"got \[1\.0, 2\.0\]",
    ),
    ({"learning_rate": 0}, ValueError, "learning_rate must be"),
    ({"learning_rate": float("inf")}, ValueError, "learning_rate must be"),
    ({"fit_intercept": "no"}, TypeError, "fit_intercept must be True or False"),
    ({"warm_start": None}, TypeError, "warm_start must be True or False"),
    ({"verbose": "a"}, ValueError, "verbose must be 0"),
    ({"verbose": -1}, ValueError, "verbose must be 0"),
    ({"n_jobs": 0}, ValueError, "n_jobs must be"),
    ({"n_jobs": "two"}, ValueError, "n_jobs must be"),
]


def test_parameters_in_float32_cause_no_warning():
    numbers = np.asarray([2.0, 1e-4, 0.5], dtype=np.float32)
    parameters = dict(zip(("C", "tol", "l1_ratio"), numbers))
    xlr.LogisticRegression(**parameters).fit(X, Y)
    with pytest.raises(ValueError, match="C must be a number above 0"):
        xlr.LogisticRegression(C=np.float32(0)).fit(X, Y)


@pytest.mark.parametrize(("parameters", "error", "words"), BAD_PARAMETERS)
def test_bad_parameters_are_refused_with_a_clear_error(parameters, error, words):
    model = xlr.LogisticRegression(**parameters)
    with pytest.raises(error, match=words):
        model.fit(X, Y)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0.5, 1.5], dtype=object),
        np.array([0, 1], dtype=object),
        np.array([Decimal("0.1"), Decimal("0.2")]),
        np.array([datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)]),
        np.array([b"no", b"yes"]),
    ],
    ids=["fractions", "integers", "decimals", "dates", "bytes"],
)
def test_labels_that_are_objects_are_refused(labels):
    """scikit-learn refuses them too, and its scores do not take them."""
    with pytest.raises(ValueError, match=r"label type: unknown\. y holds objects"):
        xlr.LogisticRegression().fit(X, np.asarray(labels)[Y])


def test_class_weights_in_a_series_are_refused():
    weights = pd.Series({0: 1.0, 1: 2.0})
    with pytest.raises(TypeError, match=r"dict\(series\); got 0 +1\.0"):
        xlr.LogisticRegression(class_weight=weights).fit(X, Y)


@pytest.mark.parametrize("kind", ["None", "nan", "NA"])
def test_missing_labels_are_counted(kind):
    missing = {"None": None, "nan": np.nan, "NA": pd.NA}[kind]
    names = np.array(["no", "yes"], dtype=object)[Y]
    names[:3] = missing
    for y in (names, pd.Series(names, dtype="string"), pd.Series(names)):
        with pytest.raises(ValueError, match=r"labels, 3 of 80\. Drop the rows"):
            xlr.LogisticRegression().fit(X, y)


def test_missing_labels_of_polars_and_pyarrow_are_counted():
    pyarrow = pytest.importorskip("pyarrow")
    names = [None, *np.array(["no", "yes"])[Y[1:]].tolist()]
    codes = pyarrow.chunked_array([pyarrow.array(names).dictionary_encode()])
    for y in (pl.Series(names), pyarrow.array(names), codes):
        with pytest.raises(ValueError, match="missing labels, 1 of 80"):
            xlr.LogisticRegression().fit(X, y)


@pytest.mark.parametrize("missing", [None, pd.NA])
def test_missing_labels_of_all_rows_are_counted(missing):
    with pytest.raises(ValueError, match="missing labels, 80 of 80"):
        xlr.LogisticRegression().fit(X, np.full(80, missing, dtype=object))


def test_sparse_labels_are_refused():
    for y in (sp.csr_array(Y[:, None]), sp.coo_array(Y)):
        with pytest.raises(ValueError, match=r"^y must be dense.* y\.toarray\(\)"):
            xlr.LogisticRegression().fit(X, y)


def test_sparse_weights_offsets_and_starts_are_refused():
    for name, values in [
        ("sample_weight", np.ones((80, 1))),
        ("offset", np.ones((80, 1))),
        ("coef_init", np.ones((1, 5))),
    ]:
        with pytest.raises(ValueError, match=rf"{name} must be dense.*\.toarray\(\)"):
            xlr.LogisticRegression().fit(X, Y, **{name: sp.csr_array(values)})


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta:UserWarning")
def test_sparse_tensors_are_refused():
    torch = pytest.importorskip("torch")
    for layout in (torch.sparse_coo, torch.sparse_csr):
        data = torch.asarray(X).to_sparse(layout=layout)
        with pytest.raises(TypeError, match=r"Sparse tensors .* x\.to_dense\(\)"):
            xlr.LogisticRegression().fit(data, Y)
    sparse = pytest.importorskip("jax.experimental.sparse")
    data = sparse.BCOO((np.ones(1), np.zeros((1, 2), dtype=int)), shape=X.shape)
    with pytest.raises(TypeError, match=r"Sparse tensors .* x\.todense\(\)"):
        xlr.LogisticRegression().fit(data, Y)


def test_predictions_need_the_features_of_the_fit(place):
    model = xlr.LogisticRegression()
    with pytest.raises(NotFittedError):
        model.predict(place(X))
    with pytest.raises(NotFittedError):
        model.to_numpy()
    model.fit(X, Y)
    for method in (
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
    ):
        with pytest.raises(ValueError, match=r"3 features, but .* expecting 5"):
            getattr(model, method)(place(X[:, :3]))
    with pytest.raises(ValueError, match="X contains NaN"):
        model.predict(place(altered(X, 0, np.nan)))


def test_weights_and_labels_on_the_host_move_to_the_data(place):
    weights = np.linspace(0.5, 2, 80).astype(np.float32)
    there = xlr.LogisticRegression().fit(place(X), place(Y), place(weights))
    host = xlr.LogisticRegression().fit(place(X), Y.tolist(), weights[::-1][::-1])
    np.testing.assert_array_equal(to_numpy(there.coef_), to_numpy(host.coef_))


def test_scores_refuse_wrong_weights_and_labels():
    model = xlr.LogisticRegression().fit(X, Y)
    with pytest.raises(ValueError, match="negative values"):
        model.score(X, Y, sample_weight=-np.ones(80))
    with pytest.raises(ValueError, match="80 rows of X, 79 of y"):
        model.score(X, Y[:-1])
    with pytest.raises(ValueError, match=r"^y has .* masked entries"):
        model.score(X, np.ma.array(Y, mask=Y == 1))
    weights = np.ma.array(np.ones(80), mask=Y == 1)
    with pytest.raises(ValueError, match=r"^sample_weight has .* masked entries"):
        model.score(X, Y, sample_weight=weights)
