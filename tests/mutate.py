"""Mutation tests: does some test fail for each small change of the mathematics?

    python tests/mutate.py                          # the sample, and the share killed
    python tests/mutate.py --room solvers --sample 20 --seed 1

Those of a seeded sample are made in memory, one in each child process, which runs the
tests that reach the line, the fastest first, on NumPy.  A test that fails kills the
mutant, and so does one that hangs.  ``tests/equivalent_mutants.txt`` names mutants that
no test can kill, with the reason.

Nothing is written to the working tree.  It needs ``coverage``, for what tests reach.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mutants import ROOT, Mutant, mutants_of

ROOMS = {
    "functions": ["xlr/functions.py"],
    "losses": ["xlr/losses.py"],
    "penalties": ["xlr/penalties.py"],
    "objective": ["xlr/objective/*.py"],
    "solvers": ["xlr/solvers/*.py"],
}
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.txt"

# Tests of other things, or that take processes and minutes.
NOT_HERE = [
    "plotting",
    "test_architecture.py",
    "test_benchmarks.py",
    "test_benchmarks_cluster.py",
    "test_cluster.py",
    "test_contributing.py",
    "test_dask_collections.py",
    "test_datasets.py",
    "test_examples.py",
    "test_readme.py",
    "test_sklearn_checks.py",
]

# What tests import, which would take each child seconds.
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

# Seconds of tests for a mutant, as long as they took when the map was made; and by how
# much longer they may take with it.
MOST_SECONDS = 30.0
SLOWER = 4

ENOUGH = 0.95


# -- processes ---------------------------------------------------------------------


class Replaced(importlib.abc.MetaPathFinder):
    """Has a module imported as a mutant of it."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = mutant.path.removesuffix(".py").replace("/", ".")
        self._name = self._name.removesuffix(".__init__")
        self._code = compile(mutant.tree(), str(ROOT / mutant.path), "exec")

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != self._name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.get_code = lambda name: self._code  # type: ignore[attr-defined]
        return spec


def prepare() -> None:
    """Import, before children are forked, all that is not xlr."""
    os.environ["XLR_TEST_BACKENDS"] = "numpy"
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MPLBACKEND"] = "agg"
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for name in LIBRARIES:
        importlib.import_module(name)
    import hypothesis

    # A failure need not be made small, nor explained.
    found = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", phases=found)
    hypothesis.settings.load_profile("mutants")


def start(task: Callable[[], int]) -> int:
    """Run a task in a child, without its output; the number of the process."""
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


def run_tests(arguments: list[str], *plugins: Any) -> int:
    import pytest

    # Plugins, and assertions that explain themselves, would take each child seconds.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    quiet = ["-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
    return int(pytest.main([*quiet, *arguments], plugins=list(plugins)))


class Reached:
    """Which lines of xlr each test reaches, and how long it takes."""

    def __init__(self, coverage: Any) -> None:
        self._coverage = coverage
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        before = self.seconds.get(report.nodeid, 0.0)
        self.seconds[report.nodeid] = before + report.duration
        if report.failed:
            self.seconds[report.nodeid] = float("inf")


def map_lines(files: list[str], place: Path) -> int:
    """Run test files, and write which tests reach which lines."""
    import coverage

    watch = coverage.Coverage(source=[str(ROOT / "xlr")], data_file=None)
    watch.start()
    plugin = Reached(watch)
    status = run_tests(files, plugin)
    watch.stop()
    data, lines = watch.get_data(), {}
    for path in data.measured_files():
        by_line = data.contexts_by_lineno(path)
        here = str(Path(path).relative_to(ROOT))
        lines[here] = {line: [t for t in by_line[line] if t] for line in by_line}
    place.write_text(json.dumps([lines, plugin.seconds]))
    return status


class Map:
    """The tests that reach a line, the fastest first, with their seconds."""

    def __init__(self, parts: list[Path]) -> None:
        self._reach: dict[tuple[str, int], list[str]] = {}
        self._seconds: dict[str, float] = {}
        for part in parts:
            lines, seconds = json.loads(part.read_text())
            self._seconds |= seconds
            for path, by_line in lines.items():
                for line, tests in by_line.items():
                    self._reach.setdefault((path, int(line)), []).extend(tests)

    def tests(self, mutant: Mutant, most: float) -> tuple[list[str], float]:
        """As many as take no longer than so many seconds, and how long they take."""
        every = set()
        for line in mutant.lines:
            every |= set(self._reach.get((mutant.path, line), []))
        chosen, total = [], 0.0
        for test in sorted(every, key=lambda test: (self._seconds[test], test)):
            total += self._seconds[test]
            if total > most and chosen:
                break
            chosen.append(test)
        return chosen, total


def make_map(folder: Path, n_processes: int) -> Map:
    """Run the tests once; a map that is in the folder already is taken as it is."""
    if made := sorted(folder.glob("map*.json")):
        return Map(made)
    files = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if not {path.name, path.parent.name} & set(NOT_HERE)
    ]
    random.Random(0).shuffle(files)
    parts = [folder / f"map{k}.json" for k in range(n_processes)]
    children = [
        start(lambda k=k, part=part: map_lines(files[k::n_processes], part))
        for k, part in enumerate(parts)
    ]
    for child in children:
        os.waitpid(child, 0)
    return Map(parts)


def outcomes(
    mutants: list[Mutant], reach: Map, n_processes: int, most: float
) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with what became of it, as they end."""
    waiting, running = list(reversed(mutants)), {}
    while waiting or running:
        while waiting and len(running) < n_processes:
            mutant = waiting.pop()
            tests, seconds = reach.tests(mutant, most)
            if not tests:
                yield mutant, "is reached by no test"
                continue

            def attempt(mutant: Mutant = mutant, tests: list[str] = tests) -> int:
                sys.meta_path.insert(0, Replaced(mutant))
                return run_tests(["-x", *tests])

            limit = 60 + SLOWER * min(seconds, most)
            running[start(attempt)] = mutant, time.monotonic() + limit
        time.sleep(0.02)
        for child, (mutant, end) in list(running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                yield mutant, "survives" if code == 0 else "is killed"
                del running[child]
            elif time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                yield mutant, "is killed: it hangs"
                del running[child]


# -- the figures -------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--room", choices=[*ROOMS], action="append")
    parser.add_argument("--sample", type=int, default=60, help="mutants of a room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS)
    parser.add_argument("--map", type=Path, help="folder to keep or to take it from")
    parser.add_argument("--only", help="those whose name contains this")
    options = parser.parse_args()
    prepare()
    with TemporaryDirectory() as folder:
        reach = make_map(options.map or Path(folder), options.processes)
    known = EQUIVALENT.read_text().splitlines() if EQUIVALENT.exists() else []
    in_all = [0, 0]
    for room in options.room or ROOMS:
        paths = [path for glob in ROOMS[room] for path in sorted(ROOT.glob(glob))]
        every = [mutant for path in paths for mutant in mutants_of(path)]
        chosen = [m for m in every if not options.only or options.only in m.name]
        random.Random(options.seed).shuffle(chosen)
        chosen = chosen[: options.sample]
        tried = [mutant for mutant in chosen if mutant.name not in known]
        killed = 0
        for mutant, what in outcomes(tried, reach, options.processes, options.seconds):
            if what.startswith("is killed"):
                killed += 1
            else:
                print(f"{mutant.name}  [line {mutant.lines[0]}] {what}", flush=True)
        print(
            f"{room}: {killed} of {len(chosen)} killed, "
            f"{len(chosen) - len(tried)} equivalent, of {len(every)} that there are",
            flush=True,
        )
        in_all = [in_all[0] + killed, in_all[1] + len(tried)]
    share = in_all[0] / max(1, in_all[1])
    print(f"together {share:.1%} of those that are not equivalent")
    return int(share < ENOUGH)


if __name__ == "__main__":
    sys.exit(main())
