"""Time fits and predictions on NumPy, torch and JAX side by side, on the CPU.

    python examples/benchmarks/libraries.py           # all cells: some minutes
    python examples/benchmarks/libraries.py digits    # one; keep the other results

Each library fits each data set in a new process, where nothing is compiled yet. The
table goes to ``libraries.md`` and all numbers to ``libraries.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from data import Data
from formats import table
from formats import time as digits
from generators import load
from machine import machine, versions
from page import machine_lines
from sklearn.datasets import load_breast_cancer, load_digits

import xlr

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "torch", "jax")
COMPARED = ("numpy", "scipy", "torch", "jax", "array-api-compat")
COMPILATION = "/jax/core/compile/backend_compile_duration"
N_LEFT_OUT = 7  # rows, for a fit to another number of rows


def independent(rng: np.random.Generator, n: int, *, p: int, dtype: str) -> Data:
    """Draw independent features, and labels that depend on the first."""
    X = rng.standard_normal((n, p), dtype)
    return Data(X, (X[:, 0] + rng.logistic(size=n) > 0).astype(int))


CELLS: dict[str, Callable[[np.random.Generator], Data]] = {
    "breast_cancer, 569 x 30": partial(load, load_breast_cancer, True, n=569),
    "10,000 x 20": partial(independent, n=10_000, p=20, dtype="float64"),
    "digits, 10 classes": partial(load, load_digits, False, n=1_797),
    "100,000 x 50 float32": partial(independent, n=100_000, p=50, dtype="float32"),
}

INTRODUCTION = """\
# Fits on several libraries, on the CPU

`python examples/benchmarks/libraries.py` writes this page; `libraries.json` has all
numbers.

Times of default fits are in seconds of CPU time with one thread; each library runs in
its own process. *First* is the first fit of the process. *Other rows* is the next fit,
to seven rows fewer. *Warm* is the median of further fits to all rows, and *first proba*
is the first `predict_proba`. The number of programs that XLA compiled is in brackets;
in the first fit, array-api-compat causes two.
"""
HEADER = "data | library | first | other rows | warm | / NumPy | first proba"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options of the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", help="parts of " + "; ".join(CELLS))
    parser.add_argument("--repeats", type=int, default=15, help="warm fits")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for results")
    parser.add_argument("--child", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    wanted = options.cells or list(CELLS)
    options.cells = [name for name in CELLS if any(part in name for part in wanted)]
    if not options.cells:
        parser.error(f"no cell {', '.join(wanted)}; there are {'; '.join(CELLS)}")
    return options


def converter(library: str) -> tuple[Callable[[np.ndarray], Any], list[str]]:
    """Return a function that converts arrays, and a list that records compilations."""
    compilations: list[str] = []
    if library == "jax":
        import jax

        def listen(event: str, seconds: float, **details: Any) -> None:
            if event == COMPILATION:
                compilations.append(event)

        jax.config.update("jax_enable_x64", True)
        jax.monitoring.register_event_duration_secs_listener(listen)
        return jax.device_put, compilations
    if library == "torch":
        import torch

        return torch.from_numpy, compilations
    return np.asarray, compilations


def run_cell(name: str, library: str, repeats: int) -> dict:
    """Measure a cell on a library, in this process."""
    convert, compilations = converter(library)
    X, y = CELLS[name](np.random.default_rng(0))[:2]
    fewer = convert(X[:-N_LEFT_OUT].copy()), convert(y[:-N_LEFT_OUT].copy())
    X, y = convert(X), convert(y)

    def measured(call: Callable[[], Any]) -> dict:
        before, started = len(compilations), process_time()
        call()
        seconds = process_time() - started
        return {"seconds": seconds, "compilations": len(compilations) - before}

    model = xlr.LogisticRegression()
    fits = {
        "first": measured(lambda: model.fit(X, y)),
        "other rows": measured(lambda: xlr.LogisticRegression().fit(*fewer)),
        "first proba": measured(lambda: model.predict_proba(X)),
    }
    warm = [measured(lambda: model.fit(X, y)) for _ in range(repeats)]
    seconds = [fit["seconds"] for fit in warm]
    n_compiled = sum(fit["compilations"] for fit in warm)
    fits["warm"] = {"seconds": median(seconds), "compilations": n_compiled}
    about = {"machine": machine(), "versions": versions(COMPARED)}
    return {"name": name, "fits": fits, "repeats": seconds, **about}


def run_in_child(name: str, library: str, repeats: int) -> dict:
    """Measure a cell on a library in a new process.

    Raises
    ------
    CalledProcessError
        If the process fails.
    """
    command = [sys.executable, __file__, name, "--child", library]
    command += ["--repeats", str(repeats)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def page(results: dict[str, dict[str, dict]]) -> str:
    """Return the page of results."""
    rows = []
    for name, by_library in results.items():
        numpy_seconds = by_library["numpy"]["fits"]["warm"]["seconds"]
        for library, result in by_library.items():
            fits = {}
            for key, found in result["fits"].items():
                compiled = f" ({found['compilations']})" if library == "jax" else ""
                fits[key] = digits(found["seconds"]) + compiled
            ratio = result["fits"]["warm"]["seconds"] / numpy_seconds
            shown = [fits["first"], fits["other rows"], fits["warm"], f"{ratio:.2f}"]
            rows.append([name, library, *shown, fits["first proba"]])
    machines = machine_lines([by_library["numpy"] for by_library in results.values()])
    return "\n".join([INTRODUCTION, *machines, table(HEADER, rows)])


def main() -> None:
    """Measure the chosen cells, and write the page of all results."""
    options = parse()
    if options.child:
        (name,) = options.cells
        print(json.dumps(run_cell(name, options.child, options.repeats)))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "libraries.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for name in options.cells:
        measured = {k: run_in_child(name, k, options.repeats) for k in LIBRARIES}
        known[name] = measured
        results = {cell: known[cell] for cell in CELLS if cell in known}
        path.write_text(json.dumps(results, indent=1) + "\n")
        (options.out / "libraries.md").write_text(page(results))


if __name__ == "__main__":
    main()
