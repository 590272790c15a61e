"""What floating point adds to an encoder, bounded before it runs."""

from latentsmooth.lipschitz.roundoff.bound import RoundingBound, rounding_bound
from latentsmooth.lipschitz.roundoff.table import Step, register_rounding_rule

__all__ = ["RoundingBound", "Step", "register_rounding_rule", "rounding_bound"]
