"""Time fits on the CPU: xlr and other libraries, at the same accuracy.

    python examples/benchmarks/cpu.py                   # all cells: about an hour
    python examples/benchmarks/cpu.py tiny "bad scales" # two; keep the other results

Each cell runs in a new process, whose memory is clean. The tables go to ``cpu.md`` and
all numbers to ``cpu.json``, in ``examples/benchmarks/results`` unless ``--out`` names a
folder. There, cells that do not run again keep their results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from cell_run import run_cell
from cells import CELLS
from page import cell_section, page
from sweep import say

RESULTS = Path(__file__).parent / "results"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", help=", ".join(CELLS))
    parser.add_argument("--repeats", type=int, default=5, help="timed fits of each row")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="most seconds for a peer's fit"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for results")
    parser.add_argument(
        "--rows", type=int, help="use so many rows at most: for a trial, with --out"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.cells) - set(CELLS):
        parser.error(f"no cell {', '.join(unknown)}; there are {', '.join(CELLS)}")
    if options.rows is not None and options.out == RESULTS:
        parser.error("--rows is for a trial: name another folder with --out")
    options.cells = options.cells or list(CELLS)
    return options


def child(options: argparse.Namespace) -> None:
    """Run one cell in this process and write its result."""
    (name,) = options.cells
    result = run_cell(
        CELLS[name], repeats=options.repeats, patience=options.patience, n=options.rows
    )
    options.child.write_text(json.dumps(result))


def run_in_child(name: str, options: argparse.Namespace) -> dict | None:
    """Run one cell in a new process; return None if it fails, which it reports."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.json"
        command = [sys.executable, __file__, name, "--child", str(path)]
        command += ["--repeats", str(options.repeats)]
        command += ["--patience", str(options.patience)]
        if options.rows is not None:
            command += ["--rows", str(options.rows), "--out", folder]
        done = subprocess.run(command, check=False)
        return json.loads(path.read_text()) if done.returncode == 0 else None


def save(folder: Path, results: dict[str, dict]) -> None:
    """Write the numbers and the tables, in the order of the cells."""
    ordered = {name: results[name] for name in CELLS if name in results}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"cells": ordered}, indent=1, ensure_ascii=False)
    (folder / "cpu.json").write_text(text + "\n", encoding="utf-8")
    (folder / "cpu.md").write_text(page(list(ordered.values())), encoding="utf-8")


def main() -> int:
    options = parse()
    if options.child:
        child(options)
        return 0
    path = options.out / "cpu.json"
    results = json.loads(path.read_text("utf-8"))["cells"] if path.exists() else {}
    failed = []
    for name in options.cells:
        result = run_in_child(name, options)
        if result is None:
            failed.append(name)
            continue
        results[name] = result
        save(options.out, results)  # after each, so that a long run can be cut short
        print(cell_section(result), flush=True)
    if failed:
        say(f"These cells failed: {', '.join(failed)}.")
    say(f"Tables: {options.out / 'cpu.md'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
