"""Results are stored, copied, and read on any machine."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import subprocess
import sys
import weakref

import joblib
import numpy as np
import pytest
from in_chunks import in_chunks
from studies import anes96, endometrial, fair, spector

import xlr


def by_joblib(results):
    file = io.BytesIO()
    joblib.dump(results, file)
    file.seek(0)
    return joblib.load(file)


COPIERS = {
    "pickle": lambda results: pickle.loads(pickle.dumps(results)),
    "joblib": by_joblib,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
KINDS = {
    "two classes": (spector, xlr.LogisticRegression(C=np.inf)),
    "penalised": (fair, xlr.LogisticRegression(C=0.01, l1_ratio=1)),
    "many classes": (anes96, xlr.LogisticRegression()),
    "cross-validation": (spector, xlr.LogisticRegressionCV(Cs=2, cv=3)),
    "Firth": (endometrial, xlr.FirthLogisticRegression()),
}


def assert_same_results(found, expected, rows):
    for name in ("params", "bse", "pvalues", "llf", "llnull", "bic", "df_resid"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.cov_params(), expected.cov_params())
    assert str(found.summary()) == str(expected.summary())
    assert str(found.odds_ratios()) == str(expected.odds_ratios())
    for ours, theirs in zip(
        found.predict_interval(rows), expected.predict_interval(rows)
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("kind", "copier", "keep_data"),
    [
        ("two classes", "pickle", True),
        ("two classes", "copy", False),
        ("penalised", "joblib", False),
        ("many classes", "pickle", False),
        ("many classes", "deepcopy", True),
        ("cross-validation", "deepcopy", False),
        ("Firth", "joblib", True),
    ],
)
def test_results_survive_copies(kind, copier, keep_data):
    data, model = KINDS[kind]
    X, y = data()
    X = X[:, :3]
    expected = xlr.infer(model.fit(X, y), X, y, keep_data=keep_data)
    stored = COPIERS[copier](expected)
    assert_same_results(stored, expected, X[:5])
    with pytest.raises(ValueError, match=r"get_margeff needs .* data.*keep_data=True"):
        stored.get_margeff()


def test_results_of_chunks_survive_pickling():
    X, y = spector()
    given = in_chunks(X, (12, 20)), in_chunks(y, (12, 20))
    expected = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(*given), *given)
    assert_same_results(pickle.loads(pickle.dumps(expected)), expected, X)


def test_results_on_every_backend_survive_copies(place, dtype):
    X, y = spector()
    given = place(X), place(y, "int64")
    tol = 1e-6 if dtype == "float64" else 1e-4
    model = xlr.LogisticRegression(C=np.inf, tol=tol).fit(*given)
    expected = xlr.infer(model, *given, cov_type="HC1")
    stored = pickle.loads(pickle.dumps(expected))
    assert_same_results(stored, expected, X)
    assert_same_results(copy.deepcopy(stored), expected, X)


READER = """
import pickle, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
results = pickle.load(sys.stdin.buffer)
print(results.summary())
print(results.predict_interval([[3.0, 20.0, 1.0]]).proba.tolist())
"""


def test_results_are_read_without_the_array_library():
    torch = pytest.importorskip("torch")
    X, y = spector()
    given = torch.asarray(X), torch.asarray(y)
    results = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(*given), *given)
    read = subprocess.run(
        [sys.executable, "-c", READER],
        input=pickle.dumps(results),
        capture_output=True,
        check=True,
        timeout=120,
    )
    proba = results.predict_interval([[3.0, 20.0, 1.0]]).proba
    assert read.stdout.decode() == f"{results.summary()}\n{proba.tolist()}\n"


def test_results_are_small_and_release_the_rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20_000, 50)), rng.integers(0, 2, 20_000)
    alive = weakref.ref(X)
    model = xlr.LogisticRegression(C=np.inf).fit(X, y)
    results = xlr.infer(model, X, y)
    assert len(pickle.dumps(results)) < 200_000
    del X
    gc.collect()
    assert alive() is None
    assert np.isfinite(results.bse).all()


def test_methods_without_the_training_data_are_refused():
    X, y = spector()
    results = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(X, y), X, y)
    names = ["fittedvalues", "pearson_chi2", "resid_pearson"]
    names += ["get_margeff", "profile_conf_int", "get_influence", "pred_table"]
    for name in names:
        with pytest.raises(ValueError, match=f"{name} needs the training data"):
            getattr(results, name)()
    with pytest.raises(ValueError, match="get_influence needs the training data"):
        xlr.plotting.InfluenceDisplay.from_results(results)


def test_stored_results_check_column_names():
    pd = pytest.importorskip("pandas")
    X, y = spector()
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    results = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(table, y), table, y)
    stored = pickle.loads(pickle.dumps(results))
    expected = results.predict_interval(table).se
    np.testing.assert_array_equal(stored.predict_interval(table).se, expected)
    with pytest.raises(ValueError, match="feature names"):
        stored.predict_interval(table[["b", "a", "c"]])
