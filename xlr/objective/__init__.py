"""Layer 2: the objective, and what a pass over the rows tells of it."""

from xlr.objective.collinearity import Aliased, find_aliased
from xlr.objective.duality import class_shares, duality_gap
from xlr.objective.firth import JeffreysTerm
from xlr.objective.hessian import BlockHessian, DiagonalHessian, Hessian
from xlr.objective.information import Information, cluster_scores, information
from xlr.objective.marginal_effects import mean_derivatives
from xlr.objective.objective import Evaluation, Objective, Term
from xlr.objective.row_statistics import leverages, log_odds
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
    "class_shares",
    "cluster_scores",
    "duality_gap",
    "find_aliased",
    "find_separation",
    "information",
    "leverages",
    "log_odds",
    "mean_derivatives",
]
