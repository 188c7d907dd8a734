"""Floor 3: the objective, and the only place where a pass over the rows happens."""

from xlr.objective.duality import class_shares, duality_gap
from xlr.objective.firth import FirthObjective
from xlr.objective.hessian import BlockHessian, DiagonalHessian, Hessian
from xlr.objective.information import Information, cluster_scores, information
from xlr.objective.objective import Evaluation, Objective
from xlr.objective.passes import linear_map
from xlr.objective.responses import Responses
from xlr.objective.row_space import row_space
from xlr.penalties import Kinks

__all__ = [
    "BlockHessian",
    "DiagonalHessian",
    "Evaluation",
    "FirthObjective",
    "Hessian",
    "Information",
    "Kinks",
    "Objective",
    "Responses",
    "class_shares",
    "cluster_scores",
    "duality_gap",
    "information",
    "linear_map",
    "row_space",
]
