"""Floor 3: the objective, and the only place where a pass over the rows happens."""

from xlr.objective.hessian import BlockHessian, Hessian
from xlr.objective.objective import Evaluation, Objective

__all__ = ["BlockHessian", "Evaluation", "Hessian", "Objective"]
