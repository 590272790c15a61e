"""The largest radius that a log's votes could have proven."""

from __future__ import annotations

from latentsmooth.certification.rules import Setting, largest_input_radius, rule_from_settings
from latentsmooth.records.manifest import Manifest

__all__ = ["largest_provable_radius"]


def largest_provable_radius(manifest: Manifest) -> float:
    """Input radius of an image whose every vote, of all draws, is for one class.

    No certificate of the log has a larger one: that none is certified there is no result, but a
    consequence of the number of draws.
    """
    setting = Setting(
        latent_sigma=manifest.latent_sigma,
        lipschitz_bound=manifest.lipschitz_bound,
        num_classes=max(2, len(manifest.class_names)),
        deductions=manifest.deductions,
    )
    return largest_input_radius(rule_from_settings(manifest.rule), setting)
