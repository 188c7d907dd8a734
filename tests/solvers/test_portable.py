"""The same fit on every library, and no hidden traffic with the host."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy
from problems import load, objective, tightest_sklearn

import xlr
from xlr import arrays
from xlr.design import DenseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, Responses
from xlr.penalties import L2Penalty
from xlr.solvers import SOLVERS, GradientDescent

SECOND_ORDER = ["newton-cholesky", "newton-cg", "lbfgs"]


@pytest.mark.parametrize("name", ["breast_cancer", "iris"])
@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_fit_agrees_with_sklearn(place, assert_close, dtype, solver, name):
    X, y = load(name, True)
    expected = tightest_sklearn(name, True, 1.0)
    tol = 1e-8 if dtype == "float64" else 1e-6
    model = xlr.LogisticRegression(solver=solver, tol=tol).fit(place(X), place(y))

    # float32 data are not the float64 data: 1e-7 in X moves the coefficients more.
    atol = 1e-5 if dtype == "float64" else 1e-3
    assert_close(model.coef_, expected.coef_, atol=atol)
    assert_close(model.intercept_, expected.intercept_, atol=atol)
    reached = objective(to_numpy(model.coef_), to_numpy(model.intercept_), X, y, 1.0)
    best = objective(expected.coef_, expected.intercept_, X, y, 1.0)
    assert reached <= best * (1 + (1e-9 if dtype == "float64" else 1e-6))
    assert model.converged_


@pytest.mark.parametrize("name", ["breast_cancer", "iris"])
def test_the_same_bits_again(place, name):
    X, y = load(name, True)
    X, y = (np.concatenate([part] * 40) for part in (X, y))  # it begins on a sample
    X, y = place(X), place(y)
    first, again = (xlr.LogisticRegression(tol=1e-4).fit(X, y) for _ in range(2))
    for attribute in ("coef_", "intercept_"):
        found, wanted = (getattr(model, attribute) for model in (again, first))
        np.testing.assert_array_equal(to_numpy(found), to_numpy(wanted))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_gradient_descent_takes_the_same_path(place, dtype):
    X, y = load("breast_cancer", True)

    def losses(X, y):
        model = xlr.LogisticRegression(
            solver="gradient-descent", learning_rate=0.5, max_iter=30
        )
        return model.fit(X, y).history_["objective"]

    rtol = 1e-12 if dtype == "float64" else 2e-6
    np.testing.assert_allclose(losses(place(X), place(y)), losses(X, y), rtol=rtol)


@pytest.mark.parametrize("solver", [*SECOND_ORDER, "gradient-descent"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_one_host_fetch_an_iteration(backend, monkeypatch, solver):
    """Fits of 3 and of 8 iterations differ by five fetches."""
    X, y = load("iris", True)
    X = backend.xp.asarray(X.astype(np.float32), device=backend.device)
    fetched = []
    real = arrays.to_host

    def counted(x):
        fetched.append(x.shape)
        return real(x)

    monkeypatch.setattr(arrays, "to_host", counted)
    # As on a device: in the memory of the host there is nothing to wait for.
    monkeypatch.setattr(arrays, "in_host_memory", lambda x: False)
    counts = {}
    for max_iter in (3, 8):
        fetched.clear()
        model = xlr.LogisticRegression(
            C=1e4, solver=solver, tol=1e-30, max_iter=max_iter
        ).fit(X, y)
        assert model.n_iter_ == max_iter
        counts[max_iter] = len(fetched)
    assert counts[8] - counts[3] == 5
    # A few numbers each; then whether the coefficients are finite, and the gap.
    n_columns = X.shape[1] + 1
    assert sorted(fetched[-8:]) == sorted([(4, 1)] * 6 + [(n_columns,), (1,)])


@pytest.mark.parametrize("solver", ["proximal-newton", "active-set"])
def test_nothing_of_the_rows_is_fetched_for_sparse_models(backend, monkeypatch, solver):
    """What crosses has the size of the parameters, or of the Hessian of some."""
    X, y = load("iris", True)
    X = backend.xp.asarray(X.astype(np.float32), device=backend.device)
    shapes = set()
    real = arrays.to_host

    def watched(x):
        shapes.add(tuple(x.shape))
        return real(x)

    labels = y == 2
    model = xlr.LogisticRegression(l1_ratio=0.5, solver=solver, tol=1e-4)
    model.fit(X, labels)
    monkeypatch.setattr(arrays, "to_host", watched)
    model.fit(X, y)
    of_rows = {shape for shape in shapes if len(y) in shape}
    assert of_rows <= {(len(y),)}  # the labels, which are read on the host
    assert max(np.prod(shape) for shape in shapes - of_rows) <= 15**2


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", [*SECOND_ORDER, "gradient-descent"])
def test_steps_run_on_the_meta_device(name, n_classes):
    """torch's meta tensors have no values: whatever asks for one raises."""
    torch = pytest.importorskip("torch")
    xp = arrays.namespace(torch.empty(0))
    meta = torch.device("meta")
    loss = LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes)
    X = torch.empty((50, 4), dtype=torch.float32, device=meta)
    column = torch.empty((50, 1), dtype=torch.float32, device=meta)
    strength = torch.empty((1, 1, 4), dtype=torch.float64, device=meta)
    objective = Objective(
        DenseDesign(X, None, xp=xp),
        Responses(1, column, column),
        loss,
        L2Penalty(strength),
        fit_intercept=True,
        units=None,
    )
    solver = GradientDescent(0.1) if name == "gradient-descent" else SOLVERS[name]()
    start = torch.empty((1, objective.n_parameters), dtype=torch.float64, device=meta)
    state = solver.init(objective, start)
    for _ in range(2):
        # What the host would have been told; a step that was kept.
        state = solver.step(objective, state, np.full((4, 1), 0.5))
    assert state.report.device == meta
    assert tuple(state.report.shape) == (4, 1)

    with pytest.raises((RuntimeError, NotImplementedError)):
        float(state.report[0, 0])  # the proof has teeth
