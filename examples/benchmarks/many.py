"""Time many models at once: xlr and scikit-learn, at the same answer.

    python examples/benchmarks/many.py               # all cells: about a quarter hour
    python examples/benchmarks/many.py cv bootstrap  # two; keep the other results

Each of scikit-learn's solvers runs at tolerances from loose to tight. The loosest one
with the same answer is timed, in turns with xlr, and the table shows medians. The table
goes to ``many.md`` and all numbers to ``many.json``.
"""

from __future__ import annotations

import sys

from comparison import Comparison, main
from many_cells import EQUAL_F, EQUAL_SCORES, MANY_CELLS

INTRODUCTION = f"""\
# Many models at once, on the CPU

Written by `python examples/benchmarks/many.py`; all numbers are in `many.json`.

xlr with its defaults against scikit-learn's fastest solver for the cell, with
`n_jobs=2` where it has that, else in a loop. An answer is the same if, for
cross-validation, the same C is chosen and the mean score at each C is within
{EQUAL_SCORES:.0e}, relative, of that of scikit-learn's tightest fits; else, if F of
each model is within {EQUAL_F:.0e}, relative, of the best known. Each solver runs at the
loosest tolerance that gives the same answer; medians of runs in turns, or one run where
it takes more than ten seconds.
"""

# Why a goal is missed, by cell.
LIMITS = {
    "cv": """\
- **cv**: of 0.11 s, the ten fits to all rows that the folds begin at take 32 ms, the
  first pass for the folds 12 ms, the ten Hessians 12 ms and the three passes for fifty
  models 36 ms. A tenth of scikit-learn's time is that of four such passes.
""",
    "one-vs-rest": """\
- **one-vs-rest**: of 0.23 s, passes for up to 26 models take 68 ms, and Hessians, one
  for each class and more for the rare ones, 95 ms; on a sample of the rows, where these
  are nearly separated, the start takes 32 ms. A tenth of scikit-learn's time would be
  that of these passes alone.
""",
}

MANY = Comparison("many", INTRODUCTION, MANY_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(MANY))
