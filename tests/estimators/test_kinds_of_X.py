"""Every estimator gives the same model for every kind of X.

Each fit is compared with a fit to a NumPy array of the same values. Other files compare
NumPy fits with scikit-learn, statsmodels and published figures.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat
import numpy as np
import pytest
from conftest import CHOSEN, make_backend, namespace_of, to_numpy
from optional import on_demand
from sklearn.base import clone

import xlr

pd = on_demand("pandas")
pl = on_demand("polars")
pa = on_demand("pyarrow")
sp = on_demand("scipy.sparse")
dd = on_demand("dask.dataframe")
da = on_demand("dask.array")
torch = on_demand("torch")

pytestmark = pytest.mark.usefixtures("in_this_thread")

N = 150
RNG = np.random.default_rng(0)
CODES = RNG.integers(3, size=N) - 1  # no level, or one of two
NUMBERS = np.round(64 * (RNG.normal(size=(N, 3)) * [1, 2, 0.5] + [0, 1, 0])) / 64
X = np.column_stack([NUMBERS, CODES == 0, CODES == 1]).astype(float)
LOGITS = X @ [[1, 0], [0.2, -0.1], [-1, 1], [0.5, 1], [1, -1]] - [1, -0.5]
THREE = np.argmax(np.c_[np.zeros(N), LOGITS] + RNG.gumbel(size=(N, 3)), axis=1)
TWO = (LOGITS[:, 0] + RNG.logistic(size=N) > 0.1).astype(int)
LABELS = np.column_stack([TWO, THREE == 1]).astype(float)
LABELS[::7, 0] = np.nan  # unknown
WEIGHTS = RNG.integers(3, size=N).astype(float)
OFFSET = RNG.normal(size=N)
GROUPS = np.arange(N) % 25
TWO_WAYS = np.column_stack([GROUPS, np.arange(N) // 12])
NAMES = [f"x{j}" for j in range(X.shape[1])]
CHUNKS = (60, 1, 0, 89)

LOW_PRECISION: dict[str, Any] = {"tol": 1e-5, "atol": 5e-3}


class Kind(NamedTuple):
    """Functions that convert X and its labels, weights and offsets to a kind."""

    features: Callable[[np.ndarray], Any]
    rows: Callable[[np.ndarray], Any] = lambda values: values
    columns: slice = slice(None)  # columns of X that the kind can hold
    tol: float = 1e-9  # tolerance of a fit
    atol: float = 2e-7


def mapped(values: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryFile() as file:
        made = np.memmap(file, dtype=values.dtype, shape=values.shape, mode="w+")
    made[:] = values
    made.flags.writeable = False
    return made


def in_dask(values: np.ndarray) -> Any:
    return da.from_array(values, chunks=(CHUNKS, *values.shape[1:]))


def in_dask_table(values: np.ndarray) -> Any:
    """Return a table with partitions of unknown lengths."""
    table = pd.DataFrame(values, columns=NAMES[: values.shape[1]])
    return dd.from_pandas(table, npartitions=3)


def in_dask_rows(values: np.ndarray) -> Any:
    if values.ndim == 1:
        return in_dask_table(values[:, None])[NAMES[0]]
    return in_dask_table(values).to_dask_array()


def in_library(backend: str, dtype: str = "") -> Kind:
    """Return the kind of a library's arrays."""

    def place(values: np.ndarray) -> Any:
        made = make_backend(backend)
        if values.dtype.kind == "f":
            widest = "float64" if made.supports("float64") else "float32"
            values = values.astype(dtype or widest, order="C")
        return made.xp.asarray(values, device=made.device)

    is_float32 = dtype == "float32" or backend.endswith("no_float64")
    return Kind(place, place, **LOW_PRECISION if is_float32 else {})


def in_dask_of_torch(values: np.ndarray) -> Any:
    """Return chunks that are torch tensors, which replace CuPy's arrays."""
    concatenate = da.dispatch.concatenate_lookup  # Dask knows CuPy's, but not torch's
    concatenate.register(torch.Tensor, lambda parts, axis: torch.cat([*parts], axis))
    pieces = torch.tensor(values).split([size for size in CHUNKS if size])
    others = (0,) * (values.ndim - 1)
    name = f"tensors-{values.ndim}-{id(values)}"
    graph = {(name, i, *others): piece for i, piece in enumerate(pieces)}
    chunks = (tuple(map(len, pieces)), *((n,) for n in values.shape[1:]))
    return da.Array(graph, name, chunks=chunks, meta=pieces[0][:0])


KINDS = {
    "float32": Kind(lambda X: X.astype(np.float32), **LOW_PRECISION),
    "fortran": Kind(np.asfortranarray),
    "strided": Kind(lambda X: np.repeat(X, 2, axis=1)[:, ::2]),
    "memory-mapped": Kind(mapped),
    "list": Kind(np.ndarray.tolist),
    "csr": Kind(lambda X: sp.csr_array(X)),
    "csc": Kind(lambda X: sp.csc_array(X)),
    "coo": Kind(lambda X: sp.coo_matrix(X)),
    "pandas": Kind(lambda X: pd.DataFrame(X, columns=NAMES), lambda v: pd.Series(v)),
    "pandas sparse": Kind(
        lambda X: pd.DataFrame(X, columns=NAMES).astype(pd.SparseDtype(float, 0.0))
    ),
    "polars": Kind(lambda X: pl.DataFrame(X, schema=NAMES), lambda v: pl.Series(v)),
    "pyarrow": Kind(lambda X: pa.table(dict(zip(NAMES, X.T))), lambda v: pa.array(v)),
    "dask": Kind(in_dask, in_dask),
    "dask table": Kind(in_dask_table, in_dask_rows),
    "categorical": Kind(
        lambda X: xlr.CategoricalMatrix(X.argmax(axis=1) - (X.sum(axis=1) == 0), 2),
        columns=slice(3, None),
    ),
    "split": Kind(
        lambda X: xlr.SplitMatrix([X[:, :3], KINDS["categorical"].features(X[:, 3:])])
    ),
    "split sparse": Kind(lambda X: xlr.SplitMatrix([X[:, :2], sp.csc_array(X[:, 2:])])),
    "dask of torch": Kind(in_dask_of_torch, in_dask_of_torch),
}
LIBRARIES = {
    name: in_library(*name.split())
    for name in (
        "array_api_strict:device1",
        "array_api_strict:no_float64",
        "torch",
        "torch float32",
        "jax",
        "dpnp",
        "cupy",
        "cupy float32",
        "torch-cuda",
        "torch-cuda float32",
    )
}


def fitted(estimator: Any, X: Any, y: Any, **rows: Any) -> dict[str, Any]:
    """Return the attributes of a fit and its predictions."""
    model = estimator.fit(X, y, **rows)
    assert model.converged_
    found = {n: getattr(model, n) for n in ("coef_", "intercept_", "classes_")}
    offset = {k: v for k, v in rows.items() if k == "offset"}
    for name in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
        found[name] = getattr(model, name)(X, **offset)
    found["score"] = model.score(X, y, **rows)
    found["n_features_in_"] = model.n_features_in_
    return found


# -- functions that fit to X in a kind, or infer from it -------------------------------


def regression(y: np.ndarray = TWO, rows: tuple[str, ...] = (), **options: Any):
    """Return a function that fits LogisticRegression to X in a kind."""

    def fit(features: Any, kind: Kind) -> dict[str, Any]:
        given = {"sample_weight": WEIGHTS, "offset": OFFSET}
        given = {name: kind.rows(given[name]) for name in rows}
        model = xlr.LogisticRegression(**{"tol": kind.tol} | options)
        return fitted(model, features, kind.rows(y), **given)

    return fit


def cross_validation(y: np.ndarray, **options: Any):
    def fit(features: Any, kind: Kind) -> dict[str, Any]:
        model = xlr.LogisticRegressionCV(Cs=[0.1, 10.0], cv=2, tol=kind.tol, **options)
        found = fitted(model, features, kind.rows(y))
        return found | {name: getattr(model, name) for name in ("scores_", "C_")}

    return fit


def firth(C: float, y: np.ndarray = TWO):
    def fit(features: Any, kind: Kind) -> dict[str, Any]:
        model = xlr.FirthLogisticRegression(C=C, tol=kind.tol)
        return fitted(model, features, kind.rows(y))

    return fit


def multi_label(features: Any, kind: Kind) -> dict[str, Any]:
    model = xlr.MultiLabelLogisticRegression(tol=kind.tol)
    model.fit(features, kind.rows(LABELS) if kind in LIBRARIES.values() else LABELS)
    found = {name: getattr(model, name) for name in ("coef_", "intercept_")}
    for name in ("decision_function", "predict_proba", "predict"):
        found[name] = getattr(model, name)(features)
    return found


def path(features: Any, kind: Kind) -> dict[str, Any]:
    made = xlr.logistic_path(
        features,
        kind.rows(THREE),
        sample_weight=kind.rows(WEIGHTS),
        n_Cs=3,
        tol=kind.tol,
    )
    names = ("Cs", "coefs", "intercepts", "df", "deviance_explained", "classes")
    return {name: getattr(made, name) for name in names}


def resamples(features: Any, kind: Kind) -> dict[str, Any]:
    model = xlr.LogisticRegression(tol=kind.tol)
    made = xlr.bootstrap(model, features, kind.rows(TWO), n_resamples=3, random_state=0)
    return {"coef": made.coef, "intercept": made.intercept}


LR, FIRTH = xlr.LogisticRegression(C=np.inf), xlr.FirthLogisticRegression()


def inference(cov_type: str, y: np.ndarray = TWO, estimator: Any = LR, **options: Any):
    """Return a function that infers standard errors from X in a kind."""

    def infer(features: Any, kind: Kind) -> dict[str, Any]:
        model = clone(estimator).set_params(tol=kind.tol)
        labels, weights = kind.rows(y), kind.rows(WEIGHTS)
        model.fit(features, labels, sample_weight=weights)
        groups = {"groups": kind.rows(GROUPS)} if cov_type == "cluster" else {}
        results = xlr.infer(
            model, features, labels, weights, cov_type=cov_type, **groups | options
        )
        names = ("params", "bse", "pvalues", "llf", "llnull", "nobs", "df_resid")
        found = {name: getattr(results, name) for name in names}
        return found | {"conf_int": results.conf_int(), "cov": results.cov_params()}

    return infer


def from_results(query: Callable[..., dict[str, Any]], y: np.ndarray = TWO):
    """Return a function that queries the inference of a fit to X in a kind.

    ``query`` takes the results, X and the kind.
    """

    def infer(features: Any, kind: Kind) -> dict[str, Any]:
        model = clone(LR).set_params(tol=kind.tol)
        labels, weights = kind.rows(y), kind.rows(WEIGHTS)
        model.fit(features, labels, sample_weight=weights)
        results = xlr.infer(model, features, labels, weights, keep_data=True)
        return query(results, features, kind)

    return infer


def effects(results: Any, features: Any, kind: Kind) -> dict[str, Any]:
    found = {}
    for method in ("dydx", "eyex", "dyex", "eydx"):
        dummy = {"dummy": True} if method.endswith("dx") else {}
        for at, options in (("overall", dummy), ("mean", dummy), ("zero", {})):
            columns = results.get_margeff(at, method, **options).columns
            for column in (next(iter(columns)), "std err"):
                found[f"{method} {at} {column}"] = columns[column]
    return found


def effects_at_rows(results: Any, features: Any, kind: Kind) -> dict[str, Any]:
    return {"std err": results.get_margeff(features, "eyex").columns["std err"]}


def fit_measures(results: Any, features: Any, kind: Kind) -> dict[str, Any]:
    names = ["deviance", "null_deviance", "pearson_chi2", "fittedvalues"]
    found = {f"{name} R2": results.pseudo_rsquared(name) for name in ("mcf", "cs")}
    if not results.equations:
        names += [f"resid_{k}" for k in ("response", "pearson", "deviance", "working")]
        found["tjur"] = results.pseudo_rsquared("tjur")
        if len(results.names) > 3:  # otherwise there are too few probabilities
            found["groups"] = results.hosmer_lemeshow(5).statistic
    found |= {name: getattr(results, name) for name in names}
    return found | {
        "table": results.pred_table(0.4),
        "predict": results.predict(features),
    }


def intervals(results: Any, features: Any, kind: Kind) -> dict[str, Any]:
    found = results.predict_interval(features)
    return {name: getattr(found, name) for name in ("proba", "se", "lower", "upper")}


def influence(results: Any, features: Any, kind: Kind) -> dict[str, Any]:
    found = vars(results.get_influence())
    return {name: values for name, values in found.items() if name != "names"}


def scores(results: Any, features: Any, kind: Kind) -> dict[str, Any]:
    candidates = np.column_stack([OFFSET, GROUPS % 3 == 0]).astype(float)
    if kind.rows in (in_dask, in_dask_rows, in_dask_of_torch):
        candidates = kind.rows(candidates)
    return {
        hypothesis: results.score_test(candidates, hypothesis).statistic
        for hypothesis in ("joint", "separate")
    }


def hypotheses(results: Any, features: Any, kind: Kind) -> dict[str, Any]:
    R = np.eye(results.params.size)[1:3]
    each = results.t_test(R, [0.5, 0.0]).columns
    terms = results.wald_test_terms(combine_terms=["x"]).columns
    joint = results.wald_test(R)
    return {"joint": joint.statistic, "each": each["z"], "terms": terms["chi2"]}


def profiles(results: Any, features: Any, kind: Kind) -> dict[str, Any]:
    columns = results.profile_conf_int(results.names[:2]).columns
    return {name: columns[name] for name in ("[0.025", "0.975]")}


def soft_labels(features: Any, kind: Kind) -> dict[str, Any]:
    """Return the inference of a fit to class probabilities."""
    P = np.column_stack([THREE == 0, TWO, np.ones(N)]) + 0.5
    rows = np.ndarray.tolist if kind.rows is KINDS["list"].rows else kind.rows
    P = xlr.soft_labels(P if kind in TABLES else rows(P))
    model = clone(LR).set_params(tol=kind.tol).fit(features, P)
    results = xlr.infer(
        model, features, P, cov_type="cluster", groups=range(N), keep_data=True
    )
    names = ("params", "bse", "llf", "deviance", "pearson_chi2", "fittedvalues")
    return {name: getattr(results, name) for name in names}


TABLES = [KINDS[name] for name in ("pandas", "polars", "pyarrow")]
LASSO = {"l1_ratio": 1.0, "C": 0.5}
ESTIMATORS = {
    "default": regression(),
    "three classes": regression(THREE),
    "newton-cholesky": regression(THREE, solver="newton-cholesky"),
    "newton-cg": regression(solver="newton-cg"),
    "lbfgs": regression(solver="lbfgs"),
    "gradient-descent": regression(solver="gradient-descent", C=0.01, tol=1e-5),
    "proximal-newton": regression(THREE, solver="proximal-newton", l1_ratio=0.5),
    "active-set": regression(solver="active-set", l1_ratio=1.0, C=0.3),
    "newton-cg, lasso": regression(THREE, solver="newton-cg", **LASSO),
    "bounds": regression(lower=-0.1, upper=0.2),
    "penalty factors": regression(penalty_factor=2.0),
    "no intercept": regression(THREE, fit_intercept=False),
    "weights": regression(rows=("sample_weight",), class_weight="balanced"),
    "offset": regression(rows=("offset",)),
    "one-vs-rest": regression(THREE, multi_class="ovr"),
    "cross-validation": cross_validation(THREE),
    "cross-validation, accuracy": cross_validation(
        TWO, scoring="accuracy", l1_ratios=[0.0, 1.0]
    ),
    "firth": firth(np.inf),
    "firth, ridge": firth(0.5, THREE),
    "multi-label": multi_label,
    "path": path,
    "bootstrap": resamples,
    "infer nonrobust": inference("nonrobust", THREE),
    "infer HC0": inference("HC0", THREE),
    "infer HC1": inference("HC1"),
    "infer HC2": inference("HC2"),
    "infer HC3": inference("HC3"),
    "infer cluster": inference("cluster"),
    "infer two-way clusters": inference("cluster", groups=TWO_WAYS),
    "infer from a reference": inference("nonrobust", THREE, reference=1),
    "infer firth": inference("nonrobust", TWO, FIRTH, profile=False),
    "infer firth, profiles": inference("nonrobust", TWO, FIRTH),
    "infer firth, three classes": inference("nonrobust", THREE, FIRTH, profile=False),
    "infer soft labels": soft_labels,
    "effects": from_results(effects),
    "effects, three classes": from_results(effects, THREE),
    "effects at rows": from_results(effects_at_rows, THREE),
    "measures of fit": from_results(fit_measures),
    "measures of fit, three classes": from_results(fit_measures, THREE),
    "intervals of probabilities": from_results(intervals, THREE),
    "influence": from_results(influence),
    "score tests": from_results(scores),
    "score tests, three classes": from_results(scores, THREE),
    "Wald tests": from_results(hypotheses, THREE),
    "profiles": from_results(profiles),
}

# Kinds that reading converts to one of the others, and fits that are enough for them.
READ_AS_OTHERS = ("fortran", "strided", "memory-mapped", "list", "csc", "coo")
READ_AS_OTHERS += ("pandas", "polars", "pyarrow", "split sparse")
READ_ALIKE = ("default", "weights", "cross-validation", "firth", "infer cluster")
COMBINATIONS = [
    (kind, name)
    for kind in KINDS
    for name in (READ_ALIKE if kind in READ_AS_OTHERS else ESTIMATORS)
]

# Estimators that need all rows in memory, and their errors for Dask.
COMPUTE = r"Dask .* pass (X|at)\.compute\(\)"
DASK_ERRORS = {
    "firth": COMPUTE,
    "firth, ridge": COMPUTE,
    "multi-label": COMPUTE,
    "bootstrap": COMPUTE,
    "infer firth": COMPUTE,
    "infer firth, profiles": COMPUTE,
    "infer firth, three classes": COMPUTE,
    "effects at rows": COMPUTE,
    "intervals of probabilities": COMPUTE,
    "influence": r"of Dask are not in memory\. .* X\.compute\(\)",
}
# Results that stay in the library of X, on its device, in its dtype.
PLACED = ("coef", "intercept", "coefs", "coef_", "intercept_", "decision_function")
PLACED += ("predict_proba", "predict_log_proba", "coefs_paths_")


@functools.cache
def numpy_results(name: str, first: int | None) -> dict[str, Any]:
    """Return the results of an estimator on the NumPy array of the same values."""
    return ESTIMATORS[name](X[:, first:], Kind(np.asarray))


def on_host(value: Any) -> np.ndarray:
    """Return an array of any library on the host, computed if it is lazy."""
    value = value.compute() if hasattr(value, "compute") else value
    return np.asarray(value) if np.isscalar(value) else to_numpy(value)


def checked_results(kind: Kind, name: str) -> dict[str, Any]:
    """Return the results of an estimator, after comparison with the NumPy array."""
    features = kind.features(X[:, kind.columns])
    found = ESTIMATORS[name](features, kind)
    for part, values in numpy_results(name, kind.columns.start).items():
        np.testing.assert_allclose(
            on_host(found[part]),
            on_host(values),
            rtol=kind.atol,
            atol=kind.atol,
            err_msg=part,
        )
    return found


@pytest.mark.parametrize(("kind", "name"), COMBINATIONS)
def test_results_of_every_kind_equal_those_of_numpy(kind: str, name: str) -> None:
    if CHOSEN and ("torch" if "torch" in kind else "numpy") not in CHOSEN:
        pytest.skip("XLR_TEST_BACKENDS names another library")
    if kind.startswith("dask") and name in DASK_ERRORS:
        with pytest.raises((TypeError, ValueError), match=DASK_ERRORS[name]):
            checked_results(KINDS[kind], name)
        return
    found = checked_results(KINDS[kind], name)
    if kind == "dask of torch" and "coef_" in found:
        assert isinstance(found["coef_"], torch.Tensor)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(
            name, marks=[pytest.mark.gpu] * name.startswith(("cupy", "torch-"))
        )
        for name in LIBRARIES
    ],
)
def test_results_of_an_array_library_stay_there(backend: str, name: str) -> None:
    made = make_backend(backend.split()[0])
    found = checked_results(LIBRARIES[backend], name)
    for part in set(found) & set(PLACED):
        assert namespace_of(found[part]) is made.xp
        assert array_api_compat.device(found[part]) == made.device
        dtype = found[part].dtype
        is_float32 = LIBRARIES[backend].tol > 1e-9
        assert dtype == (made.xp.float32 if is_float32 else made.xp.float64), part


@pytest.mark.parametrize("name", ESTIMATORS)
def test_sparse_chunks_are_refused(name: str) -> None:
    kind = Kind(lambda X: in_dask(X).map_blocks(sp.csr_array, dtype=float), in_dask)
    with pytest.raises(TypeError, match=r"Dask .* pass X|chunks of X are sparse"):
        checked_results(kind, name)
