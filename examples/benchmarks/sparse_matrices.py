"""Time fits on sparse matrices: xlr and its peers, at the same F.

    python examples/benchmarks/sparse_matrices.py        # all cells
    python examples/benchmarks/sparse_matrices.py text   # one; keep the other results

Each peer runs at tolerances from loose to tight. The loosest one within 1e-8 of the
best F is timed, in turns with xlr, and the table shows medians. The table goes to
``sparse_matrices.md`` and all numbers to ``sparse_matrices.json``.
"""

from __future__ import annotations

import sys

from comparison import Comparison, main
from matrix_cells import MATRIX_CELLS
from sparse_cells import EQUAL_F

INTRODUCTION = f"""\
# Sparse matrices on the CPU

Written by `python examples/benchmarks/sparse_matrices.py`; all numbers are in
`sparse_matrices.json`.

xlr with its defaults against the fastest of scikit-learn's lbfgs, newton-cg and
liblinear, glum and skglm, each at the loosest tolerance with which F comes within
{EQUAL_F:.0e}, relative, of the best known; medians of runs in turns, or one run where
it takes more than ten seconds. liblinear penalises the intercept, here a 10,000th as
much as a coefficient of the same size. celer has no intercept, and solves another
problem.
"""

# Why a goal is missed, by cell.
LIMITS = {
    "text": """\
- **text**: of 95 ms, timed function by function in another run, nine products with the
  Hessian take 30 ms, five passes 18, two diagonals for preconditioning 13,
  standardising 7, curvatures 7 and reading X 6. A block of the Hessian for up to 2,000
  of the most frequent words as a preconditioner saved no product at all.
""",
    "text, weak penalty": """\
- **text, weak penalty**: of 0.36 s, timed in the same way, 64 products with the Hessian
  take 0.23. scikit-learn's newton-cg is bound by the same products.
""",
}

MATRICES = Comparison("sparse_matrices", INTRODUCTION, MATRIX_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(MATRICES))
