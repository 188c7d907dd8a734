"""Time fits with standard errors: xlr and statsmodels, with the same answer.

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

`python examples/benchmarks/inference.py` writes this page; `inference.json` has all
numbers.

`xlr.LogisticRegression(C=inf).fit` and `xlr.infer` run with their defaults. The other
times are those of statsmodels' fit by Newton's method, which includes the standard
errors. statsmodels runs at the loosest tolerance that gives the right answer: all
estimates within {EQUAL:.0e} standard errors, and all standard errors within a relative
{EQUAL:.0e}, of those of statsmodels at its tightest. *Off by* is the largest of these
differences. Times are medians of runs in turns, or of one run if it takes more than ten
seconds. *Ratio* is the other time divided by xlr's.

Times of marginal effects include the fit, and so does xlr's time of score tests.
statsmodels tests one feature at a time: its time is that of 20 tests without the fit,
times 500. The square roots of the 20 statistics are compared.
"""

# Why a goal is missed, by cell.
LIMITS = {
    "two classes": """\
- **two classes**: in another run, with one thread, the fit takes 0.20 s and two passes
  for the information matrix 0.39 s. The second pass moves the errors to the optimum.
""",
    "many classes": """\
- **many classes**: statsmodels needs few Newton steps, on data that fit in the cache.
  Of xlr's 0.36 s with one thread, in another run, three passes for the information
  matrix, which has 155 columns, take 0.20 s and five passes for value and gradient 0.12
  s.
""",
}

INFERENCE = Comparison("inference", INTRODUCTION, INFERENCE_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(INFERENCE))
