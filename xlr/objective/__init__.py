"""Layer 2: the objective, and what a pass over the rows tells of it."""

from xlr.objective.collinearity import Aliased, find_aliased
from xlr.objective.duality import duality_gap
from xlr.objective.hessian import BlockHessian, DiagonalHessian, Hessian
from xlr.objective.information import (
    Information,
    cluster_scores,
    information,
    outer_products,
)
from xlr.objective.jeffreys import JeffreysTerm
from xlr.objective.objective import Evaluation, Objective, Term, pays_in_float32
from xlr.objective.separation import Separation, find_separation

__all__ = [
    "Aliased",
    "BlockHessian",
    "DiagonalHessian",
    "Evaluation",
    "Hessian",
    "Information",
    "JeffreysTerm",
    "Objective",
    "Separation",
    "Term",
    "cluster_scores",
    "duality_gap",
    "find_aliased",
    "find_separation",
    "information",
    "outer_products",
    "pays_in_float32",
]
