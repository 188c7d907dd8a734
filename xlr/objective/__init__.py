"""Floor 3: the objective, and the only place where a pass over the rows happens."""

from xlr.objective.chunked import (
    ChunkedCounts,
    ChunkedObjective,
    ChunkedResponses,
)
from xlr.objective.collinearity import Aliased, find_aliased
from xlr.objective.duality import class_shares, duality_gap
from xlr.objective.firth import FirthObjective
from xlr.objective.hessian import BlockHessian, DiagonalHessian, Hessian
from xlr.objective.information import Information, cluster_scores, information
from xlr.objective.margins import mean_slopes
from xlr.objective.objective import Evaluation, Objective
from xlr.objective.pooled_hessian import PooledHessian
from xlr.objective.responses import Responses
from xlr.objective.row_space import row_space
from xlr.objective.rows import leverages, log_odds
from xlr.objective.separation import Separation, find_separation
from xlr.penalties import Kinks

__all__ = [
    "Aliased",
    "BlockHessian",
    "ChunkedCounts",
    "ChunkedObjective",
    "ChunkedResponses",
    "DiagonalHessian",
    "Evaluation",
    "FirthObjective",
    "Hessian",
    "Information",
    "Kinks",
    "Objective",
    "PooledHessian",
    "Responses",
    "Separation",
    "class_shares",
    "cluster_scores",
    "duality_gap",
    "find_aliased",
    "find_separation",
    "information",
    "leverages",
    "log_odds",
    "mean_slopes",
    "row_space",
]
