"""Time many models at once: xlr and scikit-learn, brought to the same answer.

    python examples/benchmarks/many.py               # all cells: about a quarter hour
    python examples/benchmarks/many.py cv bootstrap  # these, the others are kept

scikit-learn's solvers are swept from loose to tight; for each the loosest tolerance
that gives the same answer is timed, in turns with xlr, and medians are shown. The table
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

# What stands in the way where a goal has not been reached.
LIMITS: dict[str, str] = {}

MANY = Comparison("many", INTRODUCTION, MANY_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(MANY))
