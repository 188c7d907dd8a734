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

# Libraries that tests import. In each child, their import would take seconds.
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

# Seconds of the tests for one mutant, by their times without it.
MAX_SECONDS = 30.0
# With a mutant, a test may take SLOWDOWN times as long, plus EXTRA_SECONDS.
EXTRA_SECONDS = 10.0
SLOWDOWN = 4


# -- the tests, and the lines that they reach -----------------------------------------


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
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", phases=phases)
    hypothesis.settings.load_profile("mutants")


def start_child(task: Callable[[], int]) -> int:
    """Run a task in a child process without output; return the process id."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    status = 3
    try:
        status = int(task())
    finally:
        os._exit(status)
    return 0


def test_files() -> list[str]:
    """Return the paths of the files whose tests the mutants run."""
    return [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if not {path.name, path.parent.name} & set(EXCLUDED)
    ]


def run_pytest(files: list[str], plugin: Any) -> int:
    """Run pytest on files with one more plugin; return its exit status."""
    plugins = ["-p", "no:cacheprovider", "-p", "no:faulthandler"]
    return int(pytest.main(["-qqs", "--assert=plain", *plugins, *files], [plugin]))


class LineRecorder:
    """Plugin that records the lines that each test reaches, and its time."""

    def __init__(self, coverage: Any) -> None:
        self._coverage = coverage
        self.seconds: dict[str, float] = {}  # infinite for a test that fails

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        so_far = self.seconds.get(report.nodeid, 0.0)
        self.seconds[report.nodeid] = so_far + report.duration
        if report.failed:
            self.seconds[report.nodeid] = float("inf")


def map_lines(files: list[str], out: Path) -> int:
    """Run test files, and write the tests that reach each line of the layers."""
    import coverage

    paths = [str(ROOT / glob) for globs in LAYERS.values() for glob in globs]
    measurement = coverage.Coverage(include=paths, data_file=None)
    measurement.start()
    recorder = LineRecorder(measurement)
    status = run_pytest(files, recorder)
    measurement.stop()
    data, lines = measurement.get_data(), {}
    number = {test: k for k, test in enumerate(recorder.seconds)}
    for path in data.measured_files():
        by_line = data.contexts_by_lineno(path)
        module = str(Path(path).relative_to(ROOT))
        lines[module] = {
            line: [number[test] for test in tests if test]
            for line, tests in by_line.items()
        }
    out.write_text(json.dumps([lines, recorder.seconds]))
    return status


class LineMap:
    """The tests that reach each line, with their seconds."""

    def __init__(self, parts: list[Path]) -> None:
        self._tests_of_line: dict[tuple[str, int], list[str]] = {}
        self.seconds: dict[str, float] = {}
        for part in parts:
            lines, seconds = json.loads(part.read_text())
            self.seconds |= seconds
            names = list(seconds)
            for path, by_line in lines.items():
                for line, tests in by_line.items():
                    of_line = self._tests_of_line.setdefault((path, int(line)), [])
                    of_line += [names[test] for test in tests]

    def tests(self, mutant: Mutant, max_seconds: float) -> list[str]:
        """Return tests that reach and pass, the fastest first, within a time limit.

        There is at least one test, if any test reaches the mutant and passes.
        """
        reaching = set()
        for line in mutant.lines:
            reaching |= set(self._tests_of_line.get((mutant.path, line), []))
        passing = {test for test in reaching if self.seconds[test] < float("inf")}
        chosen, total = [], 0.0
        for test in sorted(passing, key=lambda test: (self.seconds[test], test)):
            total += self.seconds[test]
            if total > max_seconds and chosen:
                break
            chosen.append(test)
        return chosen


def make_map(files: list[str], folder: Path, n_processes: int) -> LineMap:
    """Return the map of a folder; if there is none, run the tests and make it."""
    folder.mkdir(parents=True, exist_ok=True)
    if known := sorted(folder.glob("map*.json")):
        return LineMap(known)
    files = files.copy()
    random.Random(0).shuffle(files)
    parts = [folder / f"map{k}.json" for k in range(min(n_processes, len(files)))]
    children = [
        start_child(lambda k=k, part=part: map_lines(files[k :: len(parts)], part))
        for k, part in enumerate(parts)
    ]
    for child in children:
        os.waitpid(child, 0)
    return LineMap(parts)


# -- the mutants ----------------------------------------------------------------------


def all_functions() -> list[FunctionType]:
    """Import the layers; return all living functions, methods and nested ones too."""
    for globs in LAYERS.values():
        for path in [path for glob in globs for path in ROOT.glob(glob)]:
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            importlib.import_module(name.removesuffix(".__init__"))
    # isinstance would load the modules behind proxies; type does not.
    return [each for each in gc.get_objects() if type(each) is FunctionType]


def apply_mutant(mutant: Mutant, functions: list[FunctionType]) -> None:
    """Give the functions of the mutant's module their code in the mutant."""
    path = str(ROOT / mutant.path)
    mutated: dict[tuple[str, int], CodeType] = {}
    codes = [compile(mutant.tree(), path, "exec")]
    while codes:
        code = codes.pop()
        mutated[code.co_qualname, code.co_firstlineno] = code
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
    for function in functions:
        code = function.__code__
        if code.co_filename == path:
            changed = mutated.get((code.co_qualname, code.co_firstlineno), code)
            if not changed.co_freevars:  # a mutant may no longer call super()
                changed = changed.replace(co_freevars=code.co_freevars)
            function.__code__ = changed


def run_until_failure(tests: list[pytest.Item], seconds: list[float]) -> int:
    """Run tests until one fails; return 1 if one does, else 0."""
    failed = []
    plugin = SimpleNamespace(
        pytest_runtest_logreport=lambda report: failed.append(report.failed)
    )
    tests[0].config.pluginmanager.register(plugin)
    for test, duration in zip(tests, seconds):
        # The signal ends the process after these seconds of CPU time.
        signal.setitimer(signal.ITIMER_PROF, EXTRA_SECONDS + SLOWDOWN * duration)
        test.config.hook.pytest_runtest_protocol(item=test, nextitem=None)
        if any(failed):
            return 1
    return 0


OUTCOMES = {0: "survives", 1: "is killed", -signal.SIGPROF: "is killed: it hangs"}


class MutantRunner:
    """Plugin that makes pytest try mutants instead of running the tests."""

    def __init__(
        self,
        mutants: list[Mutant],
        line_map: LineMap,
        n_processes: int,
        max_seconds: float,
    ) -> None:
        self._waiting = list(reversed(mutants))
        self._map = line_map
        self._n_processes = n_processes
        self._max_seconds = max_seconds

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions = all_functions()
        gc.freeze()
        running: dict[int, tuple[Mutant, float]] = {}
        while self._waiting or running:
            while self._waiting and len(running) < self._n_processes:
                mutant = self._waiting.pop()
                names = self._map.tests(mutant, self._max_seconds)
                if not names:
                    self._report(mutant, "is reached by no test")
                    continue
                tests = [items[name] for name in names]
                seconds = [self._map.seconds[name] for name in names]

                def task(
                    mutant: Mutant = mutant,
                    tests: list[pytest.Item] = tests,
                    seconds: list[float] = seconds,
                ) -> int:
                    apply_mutant(mutant, functions)
                    return run_until_failure(tests, seconds)

                child = start_child(task)
                limit = 60 + 2 * SLOWDOWN * sum(seconds)
                running[child] = mutant, time.monotonic() + limit
            time.sleep(0.005)
            for child, (mutant, end) in list(running.items()):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    code = os.waitstatus_to_exitcode(status)
                    outcome = OUTCOMES.get(code, f"ended the process: {code}")
                    self._report(mutant, outcome)
                    del running[child]
                elif time.monotonic() > end:
                    os.killpg(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    self._report(mutant, "is killed: it waits")
                    del running[child]
        return True

    def _report(self, mutant: Mutant, outcome: str) -> None:
        """Print the outcome of a mutant that no test kills."""
        if not outcome.startswith("is killed"):
            line = f"{mutant.name}  [line {mutant.lines[0]}] {outcome}"
            print(line, flush=True)


# -- the command line -----------------------------------------------------------------


def main() -> None:
    """Read the options, map the tests, and try the chosen mutants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layer", choices=[*LAYERS], action="append")
    parser.add_argument(
        "--sample", type=int, help="number of mutants of each layer, drawn at random"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument(
        "--seconds", type=float, default=MAX_SECONDS, help="seconds of tests per mutant"
    )
    parser.add_argument(
        "--map", type=Path, help="folder with the map of tests to lines, or for it"
    )
    parser.add_argument("--only", help="try the mutants whose name contains this text")
    parser.add_argument("tests", nargs="*", help="files of tests, instead of all")
    options = parser.parse_args()
    mutants: list[Mutant] = []
    for layer in options.layer or LAYERS:
        paths = [path for glob in LAYERS[layer] for path in sorted(ROOT.glob(glob))]
        of_layer = [mutant for path in paths for mutant in mutants_of(path)]
        of_layer = [m for m in of_layer if not options.only or options.only in m.name]
        random.Random(options.seed).shuffle(of_layer)
        mutants += of_layer[: options.sample]
    prepare()
    with TemporaryDirectory() as folder:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
        files = options.tests or test_files()
        line_map = make_map(files, options.map or Path(folder), options.processes)
        runner = MutantRunner(mutants, line_map, options.processes, options.seconds)
        run_pytest(files, runner)


if __name__ == "__main__":
    main()
