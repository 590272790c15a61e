"""Confidence bounds, stopping rules, radii, certify and predict."""

from latentsmooth.certification.api import certify, choose_rule, predict
from latentsmooth.certification.bounds import (
    clopper_pearson_lower,
    input_radius,
    latent_radius,
    two_sided_p_value,
)
from latentsmooth.certification.certificate import Certificate, Prediction
from latentsmooth.certification.deductions import NOTHING_DEDUCTED, Deductions
from latentsmooth.certification.encoding import EncoderPrecision
from latentsmooth.certification.engine import Certifier, EngineOptions
from latentsmooth.certification.jobs import LabelledTensor
from latentsmooth.certification.preparation import (
    PreparedClassifier,
    SmoothedClassifier,
    prepare_classifier,
)
from latentsmooth.certification.rules import (
    FixedRule,
    PilotRule,
    Rule,
    SequentialRule,
    TwoSidedRule,
    parse_rule,
)

__all__ = [
    "NOTHING_DEDUCTED",
    "Certificate",
    "Certifier",
    "Deductions",
    "EncoderPrecision",
    "EngineOptions",
    "FixedRule",
    "LabelledTensor",
    "PilotRule",
    "Prediction",
    "PreparedClassifier",
    "Rule",
    "SequentialRule",
    "SmoothedClassifier",
    "TwoSidedRule",
    "certify",
    "choose_rule",
    "clopper_pearson_lower",
    "input_radius",
    "latent_radius",
    "parse_rule",
    "predict",
    "prepare_classifier",
    "two_sided_p_value",
]
