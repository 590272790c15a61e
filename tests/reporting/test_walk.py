"""From votes to radius, step by step: each figure follows from the ones before it."""

from __future__ import annotations

import re

import pytest
from scipy.special import ndtri

from latentsmooth.certification import NOTHING_DEDUCTED, Deductions
from latentsmooth.records import LogView
from latentsmooth.reporting.page import html_page
from latentsmooth.reporting.summary import summarize
from latentsmooth.reporting.walk import deducted, typical, walk
from tests.records.makers import abstention, certificate, manifest

TAKEN = Deductions(encoder_rounding=1e-3, lattice_rounding=2e-3, total_variation=1e-2)


def test_the_steps_lead_to_the_radius() -> None:
    made = manifest(deductions=TAKEN)
    in_latent = made.latent_sigma * float(ndtri(0.9 - 1e-2))
    radius = (in_latent - 4e-3) / made.lipschitz_bound
    steps = walk(certificate(0, latent_radius=in_latent, input_radius=radius), made)
    values = [float(text.replace(",", "").split(" of ")[0]) for _, text in steps]
    votes, p_lower, distance, latent, encoder, lattice, bound, last = values
    assert votes == 9500
    assert latent == pytest.approx(0.25 * float(ndtri(p_lower - distance)), abs=2e-6)
    assert last == pytest.approx((latent - encoder - lattice) / bound, abs=2e-6)
    assert latent <= in_latent
    assert last <= radius


def test_two_sided_certificates_show_the_rival() -> None:
    made = certificate(0, rival_upper=0.05)
    assert any("every other class" in what for what, _ in walk(made, manifest()))


def test_the_typical_certificate_has_the_median_radius() -> None:
    rows = [certificate(n, input_radius=0.05 * n) for n in range(1, 6)] + [abstention(9)]
    view = LogView(name="a", manifest=manifest(), certificates=tuple(rows))
    assert typical(view) == rows[2]
    empty = LogView(name="a", manifest=manifest(), certificates=(abstention(1),))
    assert typical(empty) is None


def test_one_line_says_what_is_deducted() -> None:
    assert "made before" in deducted(manifest(deductions=NOTHING_DEDUCTED))
    line = deducted(manifest(deductions=TAKEN, rounding_assumed=("stem.0",)))
    assert re.search(r"0\.00400\d from every latent radius", line)
    assert "0.01 from every probability" in line
    assert "stem.0" in line


def test_the_page_shows_the_steps() -> None:
    view = LogView(name="a", manifest=manifest(), certificates=(certificate(17),))
    page = html_page([summarize(view)], [view], title="t", intro="i")
    assert "From votes to radius: image 17" in page
    assert "divided by the Lipschitz bound" in page
