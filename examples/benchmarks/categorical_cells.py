"""Cells of tables with categories: data, and fits by xlr and its peers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
import tabmat
from comparison import Cell
from glum import GeneralizedLinearRegressor
from matrix_cells import labels, with_small_indices, zipf
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import xlr

EQUAL_F = 1e-8  # relative
# Peers, as the page shows them.
ONE_HOT, TABMAT, ENCODER = "xlr on one-hot CSR", "glum with tabmat", "newton-cg"


def codes_and_numbers(
    share: float, *, n: int, levels: tuple[int, ...], n_numeric: int = 0
) -> dict[str, Any]:
    """Return codes of categories with few frequent levels, numbers, and y."""
    rng = np.random.default_rng(1)
    n = max(1_000, int(n * share))
    codes = np.stack([zipf(rng, k, n) for k in levels], axis=1).astype(np.int32)
    numbers = rng.standard_normal((n, n_numeric))
    starts = np.cumsum([0, *levels[:-1]])
    ends = np.arange(0, codes.size + 1, len(levels))
    shape = n, sum(levels)
    one_hot = sp.csr_array((np.ones(codes.size), (codes + starts).ravel(), ends), shape)
    X = sp.csr_array(sp.hstack([numbers, one_hot])) if n_numeric else one_hot
    y = labels(rng, X, 0.4 * rng.standard_normal(X.shape[1]))
    one_hot = with_small_indices(X)
    return {
        "codes": codes,
        "levels": levels,
        "numbers": numbers,
        "one_hot": one_hot,
        "y": y,
    }


def table(share: float, *, kind: str, **options: Any) -> dict[str, Any]:
    """Return a table of numbers and of categories as strings, the numbers first."""
    data = codes_and_numbers(share, **options)
    columns = {f"x{j}": column for j, column in enumerate(data["numbers"].T)}
    for j, (codes, n_levels) in enumerate(zip(data["codes"].T, data["levels"])):
        levels = [f"{k:05}" for k in range(n_levels)]
        columns[f"c{j:02}"] = pd.Categorical.from_codes(codes, levels)
    frame = pd.DataFrame(columns)
    if kind == "polars":
        frame = pl.from_pandas(frame)
    return data | {"table": frame}


def xlr_matrix(data: dict[str, Any]) -> Any:
    """Return codes and numbers as a matrix of xlr."""
    codes = xlr.CategoricalMatrix(data["codes"], data["levels"])
    if not data["numbers"].size:
        return codes
    return xlr.SplitMatrix([data["numbers"], codes])


def ours(data: dict[str, Any], tol: float) -> dict[str, Any]:
    """Fit xlr to category codes."""
    return parameters(xlr.LogisticRegression(tol=tol).fit(xlr_matrix(data), data["y"]))


def ours_from_table(data: dict[str, Any], tol: float) -> dict[str, Any]:
    """Fit xlr to a table; return a coefficient for each one-hot column."""
    model = xlr.LogisticRegression(tol=tol, categorical="auto")
    model.fit(data["table"], data["y"])
    coef = dict(zip(model.coef_names_, model.coef_[0]))
    # Peers also have columns for levels without rows.
    names = [f"x{j}" for j in range(data["numbers"].shape[1])]
    names += [
        f"c{j:02}[{k:05}]" for j, n in enumerate(data["levels"]) for k in range(n)
    ]
    all_coef = np.asarray([coef.get(name, 0.0) for name in names])
    return {"coef": all_coef, "intercept": model.intercept_}


def parameters(model: Any) -> dict[str, Any]:
    """Return coefficients and intercept of a fitted model."""
    return {"coef": np.ravel(model.coef_), "intercept": np.ravel(model.intercept_)}


def theirs(data: dict[str, Any], tol: float, peer: str, part: int) -> dict[str, Any]:
    """Fit a peer."""
    y = data["y"]
    if peer == ONE_HOT:
        return parameters(xlr.LogisticRegression(tol=tol).fit(data["one_hot"], y))
    if peer == ENCODER and "table" in data:
        return fit_pipeline(data, tol)
    if peer == ENCODER:
        model = LogisticRegression(solver=peer, tol=tol, max_iter=1000)
        return parameters(model.fit(data["one_hot"], y))
    model = GeneralizedLinearRegressor(
        family="binomial", alpha=1 / len(y), gradient_tol=tol, max_iter=1000
    )
    return parameters(model.fit(tabmat_matrix(data), y.astype(float)))


def tabmat_matrix(data: dict[str, Any]) -> Any:
    """Return the table, or codes and numbers, as a matrix of tabmat."""
    if "table" in data:
        return tabmat.from_pandas(data["table"])
    parts = [
        tabmat.CategoricalMatrix(codes, categories=np.arange(n_levels))
        for codes, n_levels in zip(data["codes"].T, data["levels"])
    ]
    if data["numbers"].size:
        parts.insert(0, tabmat.DenseMatrix(data["numbers"]))
    return tabmat.SplitMatrix(parts)


def fit_pipeline(data: dict[str, Any], tol: float) -> dict[str, Any]:
    """Fit scikit-learn's usual pipeline with an encoder; numbers come first."""
    names = [name for name in data["table"].columns if name.startswith("c")]
    levels = [[f"{k:05}" for k in range(n)] for n in data["levels"]]
    encoder = make_column_transformer(
        ("passthrough", [name for name in data["table"].columns if name[0] == "x"]),
        (OneHotEncoder(categories=levels), names),
    )
    model = LogisticRegression(solver=ENCODER, tol=tol, max_iter=1000)
    pipeline = make_pipeline(encoder, model).fit(data["table"], data["y"])
    return parameters(pipeline[-1])


def best(data: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Fit xlr to the one-hot matrix with a tight tolerance."""
    model = xlr.LogisticRegression(tol=1e-12, **options)
    return parameters(model.fit(data["one_hot"], data["y"]))


def objective(data: dict[str, Any], coef: np.ndarray, intercept: Any) -> float:
    """Return the sum of the losses and the penalty, at C = 1."""
    logits, y = data["one_hot"] @ coef + intercept, data["y"]
    return float(np.sum(np.logaddexp(0, logits) - y * logits) + 0.5 * coef @ coef)


def distance(
    data: dict[str, Any], model: dict[str, Any], best: dict[str, Any]
) -> float:
    """Return the relative distance of F from the lowest known."""
    lowest = objective(data, **best)
    return abs(objective(data, **model) - lowest) / lowest


def fit_path(data: dict[str, Any], tol: float, X: Any = None) -> dict[str, Any]:
    """Fit a path of L1 models with xlr, to category codes or to the given X."""
    X = xlr_matrix(data) if X is None else X
    path = xlr.logistic_path(X, data["y"], Cs=data["Cs"], tol=tol)
    return {"objective": path.objective}


def path_data(share: float, **options: Any) -> dict[str, Any]:
    return codes_and_numbers(share, **options) | {"Cs": np.logspace(-3, 0, 10)}


# Numbers of levels of thirty categories, 2,000 in total, and of five.
THIRTY_CATEGORIES = (67,) * 20 + (66,) * 10
FIVE_CATEGORIES = (5, 50, 500, 1_000, 5_000)


def category_cell(
    name: str, description: str, goal: float, peers: tuple[str, ...], make: Any
) -> Cell:
    is_table = make.func is table
    return Cell(
        name=name,
        description=description,
        goal=goal,
        peers=peers,
        make=make,
        ours=ours_from_table if is_table else ours,
        theirs=theirs,
        best=best,
        distance=distance,
        equal=EQUAL_F,
    )


CATEGORY_CELLS = {
    cell.name: cell
    for cell in [
        category_cell(
            "one-hot",
            "500k x 30 categories, 2,000 levels",
            3,
            (ONE_HOT, ENCODER),
            partial(codes_and_numbers, n=500_000, levels=THIRTY_CATEGORIES),
        ),
        category_cell(
            "tabmat",
            "500k x 30 categories, 2,000 levels",
            4,
            (TABMAT,),
            partial(codes_and_numbers, n=500_000, levels=THIRTY_CATEGORIES),
        ),
        category_cell(
            "mixed",
            "1M x 10 numbers and 5 categories, 6,555 levels",
            3,
            (TABMAT,),
            partial(
                codes_and_numbers, n=1_000_000, levels=FIVE_CATEGORIES, n_numeric=10
            ),
        ),
        category_cell(
            "pandas",
            "500k x 30 categories, from pandas",
            3,
            (TABMAT, ENCODER),
            partial(table, kind="pandas", n=500_000, levels=THIRTY_CATEGORIES),
        ),
        category_cell(
            "polars",
            "500k x 30 categories, from polars",
            3,
            (ENCODER,),
            partial(table, kind="polars", n=500_000, levels=THIRTY_CATEGORIES),
        ),
        category_cell(
            "small",
            "1,000 x 8 numbers and 4 categories, from pandas",
            1,
            (ENCODER,),
            partial(table, kind="pandas", n=1_000, levels=(3, 5, 8, 12), n_numeric=8),
        ),
        Cell(
            name="path",
            description="100k x 30 categories, 10 L1 models",
            goal=1,
            peers=(ONE_HOT,),
            make=partial(path_data, n=100_000, levels=THIRTY_CATEGORIES),
            ours=fit_path,
            theirs=lambda data, tol, peer, part: fit_path(data, tol, data["one_hot"]),
            best=lambda data: fit_path(data, 1e-9),
            distance=lambda data, path, best: float(
                np.max(np.abs(path["objective"] / best["objective"] - 1))
            ),
            equal=EQUAL_F,
        ),
    ]
}
