"""Transfers from a device to the host: how many, and how large."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import cupy_stand_in
import numpy as np
import pytest
from conftest import PARAMETERS, STAND_IN, make_backend
from make_objective import make_objective

import xlr
from xlr import arrays
from xlr.solvers import SOLVERS, GradientDescent, Start, minimise

# No other array of a fit has N entries along an axis: such an array has rows.
N, P = 211, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P)).astype(np.float32)
LOGITS = X @ RNG.normal(size=(P, 3)) + RNG.gumbel(size=(N, 3))
LABELS = {2: (LOGITS[:, 0] > 0).astype(np.int64), 3: LOGITS.argmax(axis=1)}
WEIGHTS = RNG.uniform(0.5, 2.0, N)
OFFSET = RNG.normal(size=N)

# Methods of CuPy's arrays that copy to the host; tests can replace them.
CUPY_TRANSFERS = ["__bool__", "__float__", "__int__", "get", "item", "tolist"]
# Libraries with detectable transfers; array-api-strict allows only arrays.to_host.
DETECTING = {"torch", "torch-cuda", "cupy", "array_api_strict:device1"}


@pytest.fixture(params=[p for p in PARAMETERS if p.values[0] in DETECTING])
def backend(request: pytest.FixtureRequest) -> Any:
    return make_backend(request.param)


@pytest.fixture
def place(backend: Any) -> Any:
    return lambda values: backend.xp.asarray(values, device=backend.device)


@pytest.fixture
def transferred(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays that :func:`arrays.to_host` copies."""
    shapes = []
    real = arrays.to_host

    def watched(x: Any) -> np.ndarray:
        if not isinstance(x, np.ndarray):
            shapes.append(tuple(x.shape))
        return real(x)

    monkeypatch.setattr(arrays, "to_host", watched)
    # Arrays in host memory would be read in place.
    monkeypatch.setattr(arrays, "in_host_memory", lambda x: False)
    return shapes


@contextmanager
def only_through_to_host(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Refuse all transfers that the library can detect, except by arrays.to_host.

    Another exception is the sort of labels into classes, whose number must be known.
    """
    with ExitStack() as stack, monkeypatch.context() as patch:
        if backend.name == "cupy":
            _refuse_transfers_of_cupy(backend.xp.ndarray, patch)
        if backend.name.startswith("torch"):
            stack.enter_context(_refuse_transfers_of_torch())
        yield


def _refuse_transfers_of_cupy(ndarray: type, patch: pytest.MonkeyPatch) -> None:
    allowed_calls: list[str] = []  # now running

    def allowed(function: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            allowed_calls.append(function.__name__)
            try:
                return function(*arguments, **options)
            finally:
                allowed_calls.pop()

        return run

    def guarded(transfer: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            assert allowed_calls, "this waits for the device outside arrays.to_host"
            return transfer(*arguments, **options)

        return run

    patch.setattr(arrays, "to_host", allowed(arrays.to_host))
    labels = xlr.inputs.labels
    patch.setattr(labels, "_classes_and_codes", allowed(labels._classes_and_codes))
    if STAND_IN:
        patch.setattr(cupy_stand_in, "wait", guarded(cupy_stand_in.wait))
        return
    for name in CUPY_TRANSFERS:
        patch.setattr(ndarray, name, guarded(getattr(ndarray, name)))


def _refuse_transfers_of_torch() -> Any:
    """Return a mode that refuses operations which read values, also to find a shape."""
    torch = pytest.importorskip("torch")
    from torch.utils._python_dispatch import TorchDispatchMode

    waits = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}

    class Refusing(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if waits & set(function.tags) and "unique" not in str(function):
                raise AssertionError(f"{function} waits for the device")
            return function(*args, **(kwargs or {}))

    return Refusing()


def with_rows(shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return the shapes that have an entry for each row, or for half of the rows."""
    return [shape for shape in shapes if max(shape, default=0) >= N // 2]


@pytest.mark.parametrize(
    ("solver", "n_classes"),
    [("newton-cholesky", 2), *((solver, 3) for solver in SOLVERS)],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_brings_no_rows_to_the_host(
    solver, n_classes, place, backend, transferred, monkeypatch
):
    l1_ratio = 0.5 if solver in ("proximal-newton", "active-set") else 0.0
    model = xlr.LogisticRegression(solver=solver, l1_ratio=l1_ratio, tol=1e-4)
    data = place(X), place(LABELS[n_classes]), place(WEIGHTS)
    with only_through_to_host(backend, monkeypatch):
        model.fit(*data)
    assert len(transferred) >= model.n_iter_[0]
    assert with_rows(transferred) == []
    # The largest of classes, column statistics, diagnostics and Hessians is a Hessian.
    assert max(map(np.prod, transferred), default=0) <= (3 * (P + 1)) ** 2


@pytest.mark.parametrize(
    "options",
    [
        {"C": np.inf},
        {"class_weight": "balanced"},
        {"multi_class": "ovr"},
        {"upper": 0.1},
    ],
    ids=str,
)
def test_fit_with_options_brings_no_rows_to_the_host(
    options, place, backend, transferred, monkeypatch
):
    data = place(X), place(LABELS[3])
    with only_through_to_host(backend, monkeypatch):
        xlr.LogisticRegression(tol=1e-4, **options).fit(*data)
    assert with_rows(transferred) == []


def test_fit_with_an_offset_brings_no_rows_to_the_host(
    place, backend, transferred, monkeypatch
):
    data, offset = (place(X), place(LABELS[2])), place(OFFSET)
    with only_through_to_host(backend, monkeypatch):
        xlr.LogisticRegression(tol=1e-4).fit(*data, offset=offset)
    assert with_rows(transferred) == []


def test_predictions_stay_on_the_device(place, backend, transferred, monkeypatch):
    rows = place(X)
    model = xlr.LogisticRegression(tol=1e-4).fit(rows, place(LABELS[3]))
    transferred.clear()
    with only_through_to_host(backend, monkeypatch):
        for method in ("predict", "predict_proba", "predict_log_proba"):
            getattr(model, method)(rows)
    assert with_rows(transferred) == []


def test_cross_validation_brings_the_labels_to_the_splitter(
    place, backend, transferred, monkeypatch
):
    """scikit-learn's splitters read labels on the host."""
    data = place(X), place(LABELS[2])
    with only_through_to_host(backend, monkeypatch):
        xlr.LogisticRegressionCV(Cs=3, tol=1e-4).fit(*data)
    assert with_rows(transferred) == [(N,)]


def test_inference_brings_no_rows_to_the_host(place, backend, transferred, monkeypatch):
    rows, labels = place(X), place(LABELS[2])
    model = xlr.LogisticRegression(C=np.inf, tol=1e-4).fit(rows, labels)
    with only_through_to_host(backend, monkeypatch):
        results = xlr.infer(model, rows, labels, cov_type="HC0", keep_data=True)
        results.summary()
        results.get_margeff()
        results.get_influence()
        results.predict_interval(rows)
    assert with_rows(transferred) == []


def test_other_estimators_bring_no_rows_to_the_host(
    place, backend, transferred, monkeypatch
):
    rows, labels = place(X), place(LABELS[2])
    both = backend.xp.stack([labels, 1 - labels], axis=1)
    with only_through_to_host(backend, monkeypatch):
        xlr.logistic_path(rows, labels, n_Cs=3)
        xlr.FirthLogisticRegression(tol=1e-4).fit(rows, labels)
        xlr.MultiLabelLogisticRegression(tol=1e-4).fit(rows, both)
        xlr.bootstrap(xlr.LogisticRegression(tol=1e-4), rows, labels, n_resamples=5)
    assert with_rows(transferred) == []


# -- iterations ------------------------------------------------------------------------

SMOOTH = ["newton-cholesky", "newton-cg", "lbfgs", "gradient-descent"]


def solver_named(name: str) -> Any:
    return GradientDescent(0.1) if name == "gradient-descent" else SOLVERS[name]()


def count_transfers(
    objective: Any, transferred: list[tuple[int, ...]], **options: Any
) -> int:
    """Return the number of arrays that a fit brings to the host after its start."""
    solver = options.pop("solver")
    start = Start(objective.zeros(), objective.value_and_gradient(objective.zeros()))
    transferred.clear()
    solution = minimise(solver, objective, start, **options)
    assert solution.n_iter[0] == options["max_iter"]
    assert set(transferred) <= {(n, 1) for n in range(3, 8)} | {(1,)}
    return len(transferred)


@pytest.mark.parametrize("name", SMOOTH)
def test_iteration_has_one_transfer_or_two_within_tol(
    name, place, backend, transferred, monkeypatch
):
    """While the gradient is within tol, the predicted decrease is a second transfer.

    So is a second trial, in the first steps of newton-cholesky.
    """
    objective = make_objective(
        X,
        LABELS[2],
        ridge=1e-3,
        place=lambda values: place(np.asarray(values, dtype=np.float32)),
        place_sums=place,
    )
    with only_through_to_host(backend, monkeypatch):
        for tol, decrease_share, expected in ((1e-30, 1.0, 1), (1.0, 0.0, 2)):
            options = {"tol": tol, "decrease_share": decrease_share}
            options["solver"] = solver_named(name)
            of_one, of_three = (
                count_transfers(objective, transferred, max_iter=n, **options)
                for n in (1, 3)
            )
            second_trials = of_three - of_one - 2 * expected
            assert 0 <= second_trials <= 2 * (name == "newton-cholesky")


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", SMOOTH)
def test_steps_run_on_the_meta_device(name, n_classes, monkeypatch):
    """torch's meta tensors have no values: reading one raises."""
    monkeypatch.setattr(arrays, "in_host_memory", lambda x: False)
    torch = pytest.importorskip("torch")
    meta, transferred = torch.device("meta"), []

    def to_host(x: Any) -> np.ndarray:
        """Return the diagnostics of an accepted step."""
        if isinstance(x, np.ndarray):
            return x
        transferred.append(x.shape)
        return np.linspace(1.0, -1.0, x.shape[0])[:, None] / len(transferred)

    monkeypatch.setattr(arrays, "to_host", to_host)

    def place(values: Any) -> Any:
        return torch.empty(np.shape(values), dtype=torch.float32, device=meta)

    def place_sums(values: Any) -> Any:
        return torch.empty(np.shape(values), dtype=torch.float64, device=meta)

    objective = make_objective(
        X,
        LABELS[n_classes],
        n_classes=n_classes,
        ridge=1.0,
        place=place,
        place_sums=place_sums,
    )
    solver, zeros = solver_named(name), objective.zeros()
    state = solver.init(objective, Start(zeros, objective.value_and_gradient(zeros)))
    assert len(transferred) == 1
    for n in (2, 3):
        with arrays.quiet():
            state = solver.step(objective, state)
        assert len(transferred) == n
        assert state.parameters.device == state.at.value.device == meta
