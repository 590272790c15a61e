"""From votes to radius: every deduction on the way, for one image of a log."""

from __future__ import annotations

from latentsmooth.certification import Certificate
from latentsmooth.records.manifest import Manifest
from latentsmooth.records.rounding import ceil_text, floor_text
from latentsmooth.records.view import LogView

__all__ = ["deducted", "typical", "walk"]

_PLACES = 6


def typical(view: LogView) -> Certificate | None:
    """The certificate with the median radius among those with one, or ``None``."""
    found = [
        each for each in view.certificates if isinstance(each, Certificate) and each.latent_radius
    ]
    found.sort(key=lambda each: (each.input_radius, each.index))
    return found[len(found) // 2] if found else None


def walk(certificate: Certificate, manifest: Manifest) -> list[tuple[str, str]]:
    """The steps from an image's votes to its radius, each rounded toward safety.

    Returns:
        Pairs of what and how much.
    """
    taken = manifest.deductions
    votes = dict(certificate.votes).get(certificate.candidate, 0)
    drawn = certificate.n_used - certificate.n_select
    steps = [
        (f"votes for class {certificate.candidate}", f"{votes:,} of {drawn:,}"),
        (f"p_lower, at alpha {certificate.alpha:g}", floor_text(certificate.p_lower, 8)),
    ]
    if certificate.rival_upper is not None:
        steps.append(("every other class, at most", ceil_text(certificate.rival_upper, 8)))
    if taken.total_variation:
        steps.append(("less the noise's total variation", f"{taken.total_variation:.3g}"))
    formula = "sigma Φ⁻¹(p)" if certificate.rival_upper is None else "sigma/2 (Φ⁻¹(p) − Φ⁻¹(rival))"
    return [
        *steps,
        (f"latent radius, {formula}", floor_text(certificate.latent_radius, _PLACES)),
        ("less twice the encoder's rounding", f"{2 * taken.encoder_rounding:.3g}"),
        ("less the lattice's rounding", f"{taken.lattice_rounding:.3g}"),
        ("divided by the Lipschitz bound L", repr(manifest.lipschitz_bound)),
        ("input radius", floor_text(certificate.input_radius, _PLACES)),
    ]


def deducted(manifest: Manifest) -> str:
    """One line on what is deducted from every radius of a log."""
    taken = manifest.deductions
    if not (taken.latent_slack or taken.total_variation):
        return "nothing: made before rounding was deducted"
    parts = [
        f"{ceil_text(taken.latent_slack, _PLACES)} from every latent radius (encoder "
        f"{2 * taken.encoder_rounding:.2g}, lattice {taken.lattice_rounding:.2g})"
    ]
    if taken.total_variation:
        parts.append(f"{taken.total_variation:.2g} from every probability (noise)")
    if manifest.rounding_assumed:
        parts.append("the rounding of " + ", ".join(manifest.rounding_assumed) + " is as stated")
    return "; ".join(parts)
