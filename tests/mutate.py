"""Report lines of the mathematics that no test checks.

    python tests/mutate.py                          # all layers
    python tests/mutate.py --layer solvers --sample 100 --seed 1
    python tests/mutate.py --only _mixing_share tests/objective/test_duality.py

Each mutant is a child process in which one function of xlr has a small change. The
process runs the tests that reach the line on NumPy, the fastest first. The script
prints a line if no test fails: no public behaviour needs the line, or a test is
missing. It writes nothing to the working tree, and needs ``coverage``.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

import pytest
from mutants import ROOT, Mutant, mutants_of

LAYERS = {
    "functions": ["xlr/functions.py"],
    "losses": ["xlr/losses.py"],
    "data": ["xlr/data/*.py"],
    "penalties": ["xlr/penalties.py"],
    "objective": ["xlr/objective/*.py"],
    "solvers": ["xlr/solvers/*.py"],
}

# Tests of other subjects, or tests that start processes or take minutes.
EXCLUDED = [
    "docs",
    "plotting",
    "test_architecture.py",
    "test_dask_cluster.py",
    "test_dask_collections.py",
    "test_datasets.py",
    "test_sklearn_checks.py",
]

# Imports of tests, which would take seconds in each child.
LIBRARIES = [
    "dask.array",
    "distributed",
    "mpmath",
    "pandas",
    "scipy.sparse",
    "sklearn.datasets",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "statsmodels.api",
]

# Seconds of tests for a mutant, as measured for the map. A test may take PATIENCE
# seconds plus SLOWER times as long with the mutant.
MOST_SECONDS = 30.0
PATIENCE = 10.0
SLOWER = 4


# -- the tests, and what they reach ------------------------------------------------


def prepare() -> None:
    """Import everything except xlr, before forking children."""
    os.environ["XLR_TEST_BACKENDS"] = "numpy"
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MPLBACKEND"] = "agg"
    # Plugins would slow down each child.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for name in LIBRARIES:
        importlib.import_module(name)
    import hypothesis

    # hypothesis need not shrink or explain a failure.
    found = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", phases=found)
    hypothesis.settings.load_profile("mutants")


def start(task: Callable[[], int]) -> int:
    """Run a task in a child without output; return the process id."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    status = 3
    try:
        status = int(task())
    finally:
        os._exit(status)
    return 0


def test_files() -> list[str]:
    return [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if not {path.name, path.parent.name} & set(EXCLUDED)
    ]


def run_pytest(files: list[str], plugin: Any) -> int:
    plugins = ["-p", "no:cacheprovider", "-p", "no:faulthandler"]
    return int(pytest.main(["-qqs", "--assert=plain", *plugins, *files], [plugin]))


class Reached:
    """Plugin that records the lines that each test reaches, and its time."""

    def __init__(self, watch: Any) -> None:
        self._watch = watch
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._watch.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        before = self.seconds.get(report.nodeid, 0.0)
        self.seconds[report.nodeid] = before + report.duration
        if report.failed:
            self.seconds[report.nodeid] = float("inf")


def map_lines(files: list[str], place: Path) -> int:
    """Run test files, and write which tests reach which lines."""
    import coverage

    paths = [str(ROOT / glob) for globs in LAYERS.values() for glob in globs]
    watch = coverage.Coverage(include=paths, data_file=None)
    watch.start()
    plugin = Reached(watch)
    status = run_pytest(files, plugin)
    watch.stop()
    data, lines = watch.get_data(), {}
    number = {test: k for k, test in enumerate(plugin.seconds)}
    for path in data.measured_files():
        by_line = data.contexts_by_lineno(path)
        here = str(Path(path).relative_to(ROOT))
        lines[here] = {
            line: [number[test] for test in tests if test]
            for line, tests in by_line.items()
        }
    place.write_text(json.dumps([lines, plugin.seconds]))
    return status


class Map:
    """The tests that reach a line, the fastest first, with their seconds."""

    def __init__(self, parts: list[Path]) -> None:
        self._reach: dict[tuple[str, int], list[str]] = {}
        self.seconds: dict[str, float] = {}
        for part in parts:
            lines, seconds = json.loads(part.read_text())
            self.seconds |= seconds
            names = list(seconds)
            for path, by_line in lines.items():
                for line, tests in by_line.items():
                    reached = self._reach.setdefault((path, int(line)), [])
                    reached += [names[test] for test in tests]

    def tests(self, mutant: Mutant, most: float) -> list[str]:
        """Return tests that pass and together take at most some seconds."""
        every = set()
        for line in mutant.lines:
            every |= set(self._reach.get((mutant.path, line), []))
        every = {test for test in every if self.seconds[test] < float("inf")}
        chosen, total = [], 0.0
        for test in sorted(every, key=lambda test: (self.seconds[test], test)):
            total += self.seconds[test]
            if total > most and chosen:
                break
            chosen.append(test)
        return chosen


def make_map(files: list[str], folder: Path, n_processes: int) -> Map:
    """Run the tests once and map them; reuse a map in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if made := sorted(folder.glob("map*.json")):
        return Map(made)
    files = files.copy()
    random.Random(0).shuffle(files)
    parts = [folder / f"map{k}.json" for k in range(min(n_processes, len(files)))]
    children = [
        start(lambda k=k, part=part: map_lines(files[k :: len(parts)], part))
        for k, part in enumerate(parts)
    ]
    for child in children:
        os.waitpid(child, 0)
    return Map(parts)


# -- the mutants -------------------------------------------------------------------


def functions_of_layers() -> list[FunctionType]:
    """Return all living functions, including methods and nested or wrapped ones."""
    for globs in LAYERS.values():
        for path in [path for glob in globs for path in ROOT.glob(glob)]:
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            importlib.import_module(name.removesuffix(".__init__"))
    # isinstance would load the modules behind proxies; type does not.
    return [each for each in gc.get_objects() if type(each) is FunctionType]


def put_in_place(mutant: Mutant, functions: list[FunctionType]) -> None:
    """Give the functions the code of the mutant."""
    path = str(ROOT / mutant.path)
    new: dict[tuple[str, int], CodeType] = {}
    codes = [compile(mutant.tree(), path, "exec")]
    while codes:
        code = codes.pop()
        new[code.co_qualname, code.co_firstlineno] = code
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
    for function in functions:
        code = function.__code__
        if code.co_filename == path:
            changed = new.get((code.co_qualname, code.co_firstlineno), code)
            if not changed.co_freevars:  # a mutant may no longer call super()
                changed = changed.replace(co_freevars=code.co_freevars)
            function.__code__ = changed


def attempt(tests: list[pytest.Item], seconds: list[float]) -> int:
    """Run tests until one fails; return 1 if one does, else 0."""
    failed = []
    judge = SimpleNamespace(
        pytest_runtest_logreport=lambda report: failed.append(report.failed)
    )
    tests[0].config.pluginmanager.register(judge)
    for test, duration in zip(tests, seconds):
        # The signal ends the process after these seconds of CPU time.
        signal.setitimer(signal.ITIMER_PROF, PATIENCE + SLOWER * duration)
        test.config.hook.pytest_runtest_protocol(item=test, nextitem=None)
        if any(failed):
            return 1
    return 0


OUTCOMES = {0: "survives", 1: "is killed", -signal.SIGPROF: "is killed: it hangs"}


class Trial:
    """Plugin that makes pytest try mutants instead of running the tests."""

    def __init__(
        self, mutants: list[Mutant], reach: Map, n_processes: int, most: float
    ) -> None:
        self._waiting = list(reversed(mutants))
        self._reach = reach
        self._n_processes = n_processes
        self._most = most

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions = functions_of_layers()
        gc.freeze()
        running: dict[int, tuple[Mutant, float]] = {}
        while self._waiting or running:
            while self._waiting and len(running) < self._n_processes:
                mutant = self._waiting.pop()
                names = self._reach.tests(mutant, self._most)
                if not names:
                    self._ends(mutant, "is reached by no test")
                    continue
                tests = [items[name] for name in names]
                seconds = [self._reach.seconds[name] for name in names]

                def task(
                    mutant: Mutant = mutant,
                    tests: list[pytest.Item] = tests,
                    seconds: list[float] = seconds,
                ) -> int:
                    put_in_place(mutant, functions)
                    return attempt(tests, seconds)

                child = start(task)
                limit = 60 + 2 * SLOWER * sum(seconds)
                running[child] = mutant, time.monotonic() + limit
            time.sleep(0.005)
            for child, (mutant, end) in list(running.items()):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    code = os.waitstatus_to_exitcode(status)
                    self._ends(mutant, OUTCOMES.get(code, f"ended the trial: {code}"))
                    del running[child]
                elif time.monotonic() > end:
                    os.killpg(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    self._ends(mutant, "is killed: it waits")
                    del running[child]
        return True

    def _ends(self, mutant: Mutant, what: str) -> None:
        if not what.startswith("is killed"):
            line = f"{mutant.name}  [line {mutant.lines[0]}] {what}"
            print(line, flush=True)


# -- the report --------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layer", choices=[*LAYERS], action="append")
    parser.add_argument("--sample", type=int, help="mutants of a layer, of all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS)
    parser.add_argument("--map", type=Path, help="folder to keep or to take it from")
    parser.add_argument("--only", help="those whose name contains this")
    parser.add_argument("tests", nargs="*", help="files of tests, instead of all")
    options = parser.parse_args()
    mutants: list[Mutant] = []
    for layer in options.layer or LAYERS:
        paths = [path for glob in LAYERS[layer] for path in sorted(ROOT.glob(glob))]
        every = [mutant for path in paths for mutant in mutants_of(path)]
        every = [m for m in every if not options.only or options.only in m.name]
        random.Random(options.seed).shuffle(every)
        mutants += every[: options.sample]
    prepare()
    with TemporaryDirectory() as folder:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
        files = options.tests or test_files()
        reach = make_map(files, options.map or Path(folder), options.processes)
        run_pytest(files, Trial(mutants, reach, options.processes, options.seconds))


if __name__ == "__main__":
    main()
