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

# Why a goal is missed, by cell: timed with one thread, in other runs.
LIMITS = {
    "cv": """\
- **cv**: of 97 ms with one thread, four passes for fifty models take 50, Hessians of
  ten models 13 and three passes for ten models 9.
""",
    "large cv": """\
- **large cv**: of 1.46 s with one thread, three passes for 200 models take 0.83,
  Hessians of twenty models 0.28 and three passes for twenty models 0.11.
""",
    "digits cv": """\
- **digits cv**: of 0.90 s with one thread, 361 products with the Hessians of five
  models take 0.33, 69 passes for value and gradient 0.19 and Gram matrices for
  preconditioning 0.15.
""",
    "one-vs-rest": """\
- **one-vs-rest**: of 0.26 s with one thread, Hessians, one for each class and more for
  the rare ones, take 0.14, and nine passes for value and gradient 0.07.
""",
}

MANY = Comparison("many", INTRODUCTION, MANY_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(MANY))
