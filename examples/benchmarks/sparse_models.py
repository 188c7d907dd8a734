"""Time sparse models: xlr and other libraries, at the same F.

    python examples/benchmarks/sparse_models.py        # all cells
    python examples/benchmarks/sparse_models.py path   # one; keep the other results

The table goes to ``sparse_models.md`` and all numbers to ``sparse_models.json``.
"""

from __future__ import annotations

import sys

from comparison import Comparison, main
from sparse_cells import EQUAL_F, SPARSE_CELLS

INTRODUCTION = f"""\
# Sparse models on the CPU

`python examples/benchmarks/sparse_models.py` writes this page; `sparse_models.json` has
all numbers.

xlr runs with its defaults. The other times are those of the fastest of scikit-learn's
saga and liblinear, glum and skglm. Each runs at the loosest tolerance that brings F
within a relative {EQUAL_F:.0e} of the lowest known. *Off by* is the relative distance
of F above the lowest known. Times are medians of runs in turns, or of one run if it
takes more than ten seconds. *Ratio* is the other time divided by xlr's. liblinear
penalises the intercept, here 10,000 times less than a coefficient of the same size.
celer is left out: it has no intercept, and so solves another problem.
"""

# Why a goal is missed, by cell.
LIMITS = {
    "L1, many columns": """\
- **L1, many columns**: of 0.13 s, the five passes over all columns of X take 71 ms, at
  11 GB/s, and standardising them takes 10 ms. These alone are a third of skglm's time.
""",
    "L1, ten classes": """\
- **L1, ten classes**: of 2.7 s, the three Hessians of up to 2,010 parameters take 1.3
  s, mostly in matrix products, and 22 quadratic problems take 0.9 s.
""",
}

SPARSE = Comparison("sparse_models", INTRODUCTION, SPARSE_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(SPARSE))
