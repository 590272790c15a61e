"""Confidence bounds, radii, certify and predict."""

from latentsmooth.certification.bounds import (
    clopper_pearson_lower,
    input_radius,
    latent_radius,
    two_sided_p_value,
)
from latentsmooth.certification.certificate import Certificate, Prediction
from latentsmooth.certification.engine import Certifier, SmoothedClassifier, certify, predict

__all__ = [
    "Certificate",
    "Certifier",
    "Prediction",
    "SmoothedClassifier",
    "certify",
    "clopper_pearson_lower",
    "input_radius",
    "latent_radius",
    "predict",
    "two_sided_p_value",
]
