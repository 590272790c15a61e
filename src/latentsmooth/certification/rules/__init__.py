"""Stopping rules: when enough votes are drawn, and what they then prove."""

from latentsmooth.certification.rules.base import More, PreparedRule, Rule, Setting, Verdict
from latentsmooth.certification.rules.fixed import FixedRule, TwoSidedRule
from latentsmooth.certification.rules.goals import (
    Decide,
    Goal,
    Precision,
    Radii,
    RadiusAtLeast,
    parse_goal,
)
from latentsmooth.certification.rules.pilot import PilotRule
from latentsmooth.certification.rules.reach import (
    check_predictions,
    check_rule_certifies,
    check_rule_certifies_anything,
    largest_input_radius,
    reach_warning,
    say_reach,
)
from latentsmooth.certification.rules.registry import RULE_NAMES, parse_rule, rule_from_settings
from latentsmooth.certification.rules.sequential import SequentialRule
from latentsmooth.certification.rules.simulate import SimulationResult, simulate

__all__ = [
    "RULE_NAMES",
    "Decide",
    "FixedRule",
    "Goal",
    "More",
    "PilotRule",
    "Precision",
    "PreparedRule",
    "Radii",
    "RadiusAtLeast",
    "Rule",
    "SequentialRule",
    "Setting",
    "SimulationResult",
    "TwoSidedRule",
    "Verdict",
    "check_predictions",
    "check_rule_certifies",
    "check_rule_certifies_anything",
    "largest_input_radius",
    "parse_goal",
    "parse_rule",
    "reach_warning",
    "rule_from_settings",
    "say_reach",
    "simulate",
]
