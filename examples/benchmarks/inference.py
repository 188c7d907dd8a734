"""Time fits with standard errors: xlr and statsmodels, at the same answer.

    python examples/benchmarks/inference.py                # all cells
    python examples/benchmarks/inference.py "two classes"  # one; keep the others

The table goes to ``inference.md`` and all numbers to ``inference.json``.
"""

from __future__ import annotations

import sys

from comparison import Comparison, main
from inference_cells import EQUAL, INFERENCE_CELLS

INTRODUCTION = f"""\
# Fits with standard errors, on the CPU

Written by `python examples/benchmarks/inference.py`; all numbers are in
`inference.json`.

`xlr.LogisticRegression(C=inf).fit` and `xlr.infer`, with xlr's defaults, against the
fit of statsmodels by Newton's method, which includes the standard errors. Each is at
the loosest tolerance with which all estimates, in standard errors, and all standard
errors, relative, are within {EQUAL:.0e} of those of statsmodels at its tightest;
medians of runs in turns, or one run where it takes more than ten seconds. Marginal
effects and score tests come after the fit, which is part of their time; statsmodels
tests one feature at a time: its first 20 statistics are compared, as normal deviates,
and its time is 500 times that of those, without the fit.
"""

# Why a goal is missed, by cell.
LIMITS = {
    "two classes": """\
- **two classes**: in another run the fit takes 0.20 s, and two passes for the
  information 0.39 s with one thread. The second pass makes the errors those of the
  optimum.
""",
    "many classes": """\
- **many classes**: statsmodels takes few Newton steps over data that fit the cache. Of
  0.36 s with one thread, in another run, three passes for the information, whose Gram
  matrix has 155 columns, take 0.20 and five passes for value and gradient 0.12.
""",
}

INFERENCE = Comparison("inference", INTRODUCTION, INFERENCE_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(INFERENCE))
