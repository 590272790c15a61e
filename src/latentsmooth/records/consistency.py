"""Whether a certificate claims no more than its votes and its manifest allow."""

from __future__ import annotations

from scipy.special import ndtri

from latentsmooth.certification import Certificate
from latentsmooth.certification.bounds import clopper_pearson_lower, clopper_pearson_upper
from latentsmooth.records.fields import LineFields
from latentsmooth.records.manifest import Manifest
from latentsmooth.smoothing import NOISE_DEFINITIONS

__all__ = ["check_certificate", "check_deductions"]

_SLACK = 1 + 1e-9
_EXACT = ("fixed", "two-sided")
"""Rules that draw all they may."""


def check_deductions(manifest: Manifest, line: LineFields) -> None:
    """Refuse a manifest whose noise and lattice take more off a radius than it says.

    Raises:
        LogError: naming the field.
    """
    step, taken = manifest.lattice_step, manifest.deductions
    if manifest.noise in NOISE_DEFINITIONS.values() and step == 0:
        line.fail("lattice_step", f"above 0 for the noise {manifest.noise!r}")
    if taken.lattice_rounding < step:
        line.fail("deductions", f"a lattice_rounding of at least the lattice's step {step!r}")
    if manifest.noise == NOISE_DEFINITIONS["exact"] and taken.total_variation == 0:
        line.fail("deductions", f"a total_variation above 0 for the noise {manifest.noise!r}")


def check_certificate(certificate: Certificate, manifest: Manifest, line: LineFields) -> None:
    """Refuse a certificate that contradicts itself or its manifest.

    Raises:
        LogError: naming the field.
    """
    if certificate.prediction not in (None, certificate.candidate):
        line.fail("prediction", f"the candidate {certificate.candidate} or null")
    if certificate.abstained and certificate.latent_radius:
        line.fail("latent_radius", "0 where the prediction is null")
    if certificate.abstained and certificate.input_radius:
        line.fail("input_radius", "0 where the prediction is null")
    slack = manifest.deductions.latent_slack
    most = max(0.0, certificate.latent_radius * _SLACK - slack) / manifest.lipschitz_bound
    if certificate.input_radius > most * _SLACK:
        formula = "(latent_radius - latent_slack) / lipschitz_bound"
        line.fail("input_radius", f"at most {formula} = {most!r}")
    if certificate.alpha != manifest.alpha:
        line.fail("alpha", f"the manifest's {manifest.alpha!r}")
    if certificate.n_select != manifest.n_select:
        line.fail("n_select", f"the manifest's {manifest.n_select}")
    budget = manifest.n_select + manifest.n_estimate
    rule = str(manifest.rule["rule"])
    if rule in _EXACT and certificate.n_used != budget:
        line.fail("n_used", f"the rule's {budget}")
    if not certificate.n_select <= certificate.n_used <= budget:
        line.fail("n_used", f"at least n_select = {certificate.n_select}, at most {budget}")
    if certificate.rival_upper is not None and rule != "two-sided":
        line.fail("rival_upper", f"null under the rule {rule!r}")
    _check_radius(certificate, manifest, line)
    estimated = certificate.n_used - certificate.n_select
    if sum(count for _, count in certificate.votes) > estimated:
        line.fail("votes", f"counts of {estimated} estimation samples")
    if not certificate.abstained:
        _check_votes(certificate, manifest, estimated, line)


def _check_votes(
    certificate: Certificate, manifest: Manifest, estimated: int, line: LineFields
) -> None:
    """No bound of level alpha that grows with the votes is above Clopper and Pearson's.

    For such a bound to be above p means to have at least so many votes, which under p may have
    probability alpha at most; the largest p of which that is true is theirs.
    """
    if estimated < 1:
        line.fail("n_used", "more than n_select where there is a prediction")
    votes = dict(certificate.votes)
    count = votes.pop(certificate.candidate, 0)
    if manifest.rule.get("goal") == "decide":
        share = count / estimated
        if certificate.p_lower > share:
            line.fail("p_lower", f"at most the candidate's share of the votes, {share:g}")
        return
    most = clopper_pearson_lower(count, estimated, certificate.alpha)
    if certificate.p_lower > most * _SLACK:
        line.fail("p_lower", f"at most what {count} votes of {estimated} prove, {most!r}")
    if certificate.rival_upper is not None:
        rival = max(votes.values(), default=0)
        least = clopper_pearson_upper(rival, estimated, certificate.alpha)
        if certificate.rival_upper * _SLACK < least:
            line.fail("rival_upper", f"at least what {rival} votes of {estimated} leave, {least!r}")


def _check_radius(certificate: Certificate, manifest: Manifest, line: LineFields) -> None:
    if certificate.abstained:
        return
    if manifest.rule.get("goal") == "decide":
        if certificate.latent_radius:
            line.fail("latent_radius", "0 under the goal 'decide'")
        return  # a class without a radius
    apart = manifest.deductions.total_variation
    lower, rival = certificate.p_lower - apart, certificate.rival_upper
    if rival is None:
        if lower <= 0.5:
            line.fail("p_lower", "above one half where there is a radius")
        most, formula = manifest.latent_sigma * float(ndtri(lower)), "sigma * Phi^-1(p_lower)"
    else:
        rival += apart
        if lower <= rival:
            line.fail("p_lower", f"above rival_upper = {rival!r} where there is a radius")
        spread = float(ndtri(lower)) - float(ndtri(rival))
        most = manifest.latent_sigma / 2 * spread
        formula = "sigma/2 * (Phi^-1(p_lower) - Phi^-1(rival_upper))"
    if certificate.latent_radius > most * _SLACK:
        line.fail("latent_radius", f"at most {formula} = {most!r}")
