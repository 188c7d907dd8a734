"""Layer 3: the objective, and statistics of its minimum."""

from xlr.objective.collinearity import Aliased, find_aliased
from xlr.objective.duality import duality_gap
from xlr.objective.hessian_matrices import BlockHessian, Hessian
from xlr.objective.jeffreys import jeffreys_term
from xlr.objective.objective import Evaluation, Objective, pays_in_float32
from xlr.objective.row_space import row_space
from xlr.objective.separation import Separation, find_separation
