"""Time sparse models: xlr and its peers, at the same F.

    python examples/benchmarks/sparse_models.py        # all cells
    python examples/benchmarks/sparse_models.py path   # one; keep the other results

Each peer runs at tolerances from loose to tight. The loosest one within 1e-8 of the
best F is timed, in turns with xlr, and the table shows medians. The table goes to
``sparse_models.md`` and all numbers to ``sparse_models.json``.
"""

from __future__ import annotations

import sys

from comparison import Comparison, main
from sparse_cells import EQUAL_F, SPARSE_CELLS

INTRODUCTION = f"""\
# Sparse models on the CPU

Written by `python examples/benchmarks/sparse_models.py`; all numbers are in
`sparse_models.json`.

xlr with its defaults against the fastest of scikit-learn's saga and liblinear, glum and
skglm, each at the loosest tolerance with which F comes within {EQUAL_F:.0e}, relative,
of the best known; medians of runs in turns, or one run where it takes more than ten
seconds. liblinear penalises the intercept, here a 10,000th as much as a coefficient of
the same size. celer has no intercept, and solves another problem.
"""

# Why a goal is missed, by cell.
LIMITS = {
    "L1, many columns": """\
- **L1, many columns**: of 0.13 s, the five passes over X that ask all columns take
  71 ms, at 11 GB/s, and standardising them 10 ms: these alone are a third of skglm's
  time.
""",
    "L1, ten classes": """\
- **L1, ten classes**: of 2.7 s, the three Hessians that it takes of up to 2,010
  parameters are 1.3 s, at the speed of the products of matrices in them, and 22
  quadratic problems in them 0.9 s.
""",
    "path": """\
- **path**: of 10.3 s in another run, 649 Cholesky factors of the Hessian of the
  coefficients that are not zero take 3.9 s, and 150 Hessians 2.4 s.
""",
}

SPARSE = Comparison("sparse_models", INTRODUCTION, SPARSE_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(SPARSE))
