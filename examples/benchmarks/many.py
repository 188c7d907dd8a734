"""Time many models at once: xlr and scikit-learn, with the same answer.

    python examples/benchmarks/many.py               # all cells: a quarter of an hour
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

`python examples/benchmarks/many.py` writes this page; `many.json` has all numbers.

xlr runs with its defaults. The other times are those of scikit-learn's fastest solver,
which uses `n_jobs=2` where it has that option, and otherwise runs in a loop. Each
solver runs at the loosest tolerance that gives the right answer. In cross-validation,
the right answer has the same C as scikit-learn's tightest fits, and mean scores that
differ from theirs by at most a relative {EQUAL_SCORES:.0e}. In the other rows, F of
each model is within a relative {EQUAL_F:.0e} of the lowest known. *Off by* is the
largest of these differences. Times are medians of runs in turns, or of one run if it
takes more than ten seconds. *Ratio* is the other time divided by xlr's.
"""

# Why a goal is missed, by cell: timed with one thread, in other runs.
LIMITS = {
    "cv": """\
- **cv**: of 97 ms with one thread, four passes for fifty models take 50 ms, Hessians of
  ten models 13 ms and three passes for ten models 9 ms.
""",
    "large cv": """\
- **large cv**: of 1.46 s with one thread, three passes for 200 models take 0.83 s,
  Hessians of twenty models 0.28 s and three passes for twenty models 0.11 s.
""",
    "digits cv": """\
- **digits cv**: of 0.90 s with one thread, 361 products with the Hessians of five
  models take 0.33 s, 69 passes for value and gradient 0.19 s and Gram matrices for
  preconditioning 0.15 s.
""",
    "one-vs-rest": """\
- **one-vs-rest**: of 0.26 s with one thread, Hessians (one per class, and more for rare
  classes) take 0.14 s, and nine passes for value and gradient 0.07 s.
""",
}

MANY = Comparison("many", INTRODUCTION, MANY_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(MANY))
