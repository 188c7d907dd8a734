"""Layer 4: solvers, mathematics on quantities of the size of the parameters.

A solver calls the methods of the objective. It reads no entry of X or y.
"""

from __future__ import annotations

from xlr.solvers.active_set import ActiveSet
from xlr.solvers.choose import choose_solver
from xlr.solvers.gradient_descent import GradientDescent
from xlr.solvers.lbfgs import LBFGS
from xlr.solvers.loop import Record, Solution, Solver, Start, minimise
from xlr.solvers.many_models import minimise_models
from xlr.solvers.newton_cg import NewtonCG
from xlr.solvers.newton_cholesky import NewtonCholesky
from xlr.solvers.proximal_newton import ProximalNewton
from xlr.solvers.steps import Diagnostics
from xlr.solvers.stopping import Status
from xlr.solvers.working_set import PathPoint, follow_path

SOLVERS = {
    "newton-cholesky": NewtonCholesky,
    "newton-cg": NewtonCG,
    "lbfgs": LBFGS,
    "gradient-descent": GradientDescent,
    "proximal-newton": ProximalNewton,
    "active-set": ActiveSet,
}
