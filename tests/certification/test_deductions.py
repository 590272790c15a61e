"""What is deducted: every radius is that of the formula, and none is longer than without."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from torch import nn

from latentsmooth.certification import (
    NOTHING_DEDUCTED,
    Certifier,
    Deductions,
    FixedRule,
    LabelledTensor,
    PreparedClassifier,
    SequentialRule,
    TwoSidedRule,
)
from latentsmooth.certification.rules import RadiusAtLeast, Setting, Verdict
from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.smoothing.noise import inverse_table
from tests.certification.half_space import HalfSpaceClassifier

SMALL = st.floats(0.0, 0.2)


@given(
    p_lower=st.floats(0.0, 1 - 1e-9),
    encoder=SMALL,
    lattice=SMALL,
    distance=st.floats(0.0, 0.1),
    bound=st.floats(0.5, 4.0),
)
@settings(max_examples=300, deadline=None)
def test_radii_follow_the_formula_and_round_down(
    p_lower: float, encoder: float, lattice: float, distance: float, bound: float
) -> None:
    deductions = Deductions(
        encoder_rounding=encoder, lattice_rounding=lattice, total_variation=distance
    )
    setting = Setting(latent_sigma=0.5, lipschitz_bound=bound, num_classes=3, deductions=deductions)
    in_latent = setting.latent_radius(p_lower)
    exact = 0.5 * float(ndtri(p_lower - distance)) if p_lower > distance else 0.0
    assert in_latent <= max(0.0, exact)
    assert in_latent == pytest.approx(max(0.0, exact), rel=1e-6, abs=1e-9)
    over_pixels = setting.input_radius(in_latent)
    left = max(0.0, in_latent - 2 * encoder - lattice) / bound
    assert over_pixels <= left
    assert over_pixels == pytest.approx(left, rel=1e-6, abs=1e-12)


@given(lower=st.floats(0.01, 0.9), share=st.floats(0.01, 0.99), distance=st.floats(0.0, 0.05))
@settings(max_examples=200, deadline=None)
def test_two_sided_radii_lose_the_distance_on_both_sides(
    lower: float, share: float, distance: float
) -> None:
    rival = share * min(lower, 1 - lower)
    setting = Setting(
        latent_sigma=1.0,
        lipschitz_bound=1.0,
        num_classes=3,
        deductions=Deductions(total_variation=distance),
    )
    found = setting.latent_radius(lower, rival)
    if lower - distance <= rival + distance:
        assert found == 0
    elif rival + distance > 0:
        wanted = (ndtri(lower - distance) - ndtri(rival + distance)) / 2
        assert found <= wanted * (1 + 1e-15)
        assert found == pytest.approx(float(wanted), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("bad", [-1e-9, math.nan, math.inf])
@pytest.mark.parametrize("name", ["encoder_rounding", "lattice_rounding", "total_variation"])
def test_deductions_are_finite_and_not_negative(name: str, bad: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Deductions(**{name: bad})


RULES = [
    FixedRule(n_select=50, n_estimate=4000),
    TwoSidedRule(n_select=50, n_estimate=4000),
    SequentialRule(goal=RadiusAtLeast(0.5), n_select=50, n_max=4000),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_more_deducted_is_never_more_certified(rule: Any) -> None:
    """The same votes under growing deductions; and a rule reaches its goal after them."""
    plain = Setting(latent_sigma=0.5, lipschitz_bound=1.0, num_classes=2)
    before = None
    for amount in (0.0, 1e-3, 1e-2, 0.1):
        setting = replace(
            plain,
            deductions=Deductions(
                encoder_rounding=amount, lattice_rounding=amount, total_variation=amount / 10
            ),
        )
        prepared = rule.prepare(setting)
        verdict = None
        votes = [0, 0]
        while not isinstance(verdict, Verdict):
            verdict = prepared.step([50, 0], votes)
            if not isinstance(verdict, Verdict):
                total = sum(votes) + verdict.estimate
                votes = [round(0.97 * total), total - round(0.97 * total)]
        radius = setting.input_radius(verdict.latent_radius)
        if verdict.reason == "radius reached":
            assert radius >= 0.5
        if rule.name != "sequential":
            assert before is None or radius < before
        before = radius


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("noise", ["fast", "exact"])
def test_an_engine_deducts_what_its_arithmetic_costs(noise: Any, precision: Any) -> None:
    classifier = HalfSpaceClassifier(factor=0.3, threshold=0.1)
    certifier = Certifier(classifier, noise=noise, encoder_precision=precision)
    found = certifier.deductions
    unit = 2.0**-53 if precision == "float64" else 2.0**-24
    assert unit / 4 < found.encoder_rounding < 4000 * unit  # 2**10 are assumed of a user's module
    assert found.lattice_rounding >= certifier.prepared.lattice.step * 2  # four coordinates
    if noise == "fast":
        assert found.total_variation == 0
    else:
        ratio = certifier.latent_sigma / certifier.prepared.lattice.step
        assert found.total_variation >= 4 * inverse_table(ratio).total_variation
    image = torch.full((1, 2, 2), 0.9)
    made = certifier.certify_image(image, index=0, n_estimate=1000)
    shortened = made.latent_radius - found.latent_slack
    assert made.input_radius <= shortened / certifier.lipschitz_bound
    assert made.input_radius == pytest.approx(shortened / 0.3, rel=1e-6)


def test_both_grades_agree_within_their_noise() -> None:
    classifier = HalfSpaceClassifier(threshold=1.0)
    image = torch.full((1, 2, 2), 0.6)
    bounds = [
        Certifier(classifier, noise=noise).certify_image(image, index=0, n_estimate=40_000).p_lower
        for noise in ("fast", "exact")
    ]
    assert bounds[0] != bounds[1]
    assert bounds[0] == pytest.approx(bounds[1], abs=0.012)


def test_unknown_grades_and_precisions_are_named() -> None:
    for options, message in (
        ({"noise": "good"}, "'good'"),
        ({"encoder_precision": "float16"}, "'float16'"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            Certifier(HalfSpaceClassifier(), **options)  # type: ignore[arg-type]


def test_a_latent_near_the_edge_is_predicted_but_not_certified() -> None:
    classifier = HalfSpaceClassifier(threshold=0.0, sigma=2.0**-10)
    certifier = Certifier(classifier)
    lattice = certifier.prepared.lattice
    between = (lattice.certified_limit + lattice.limit) / 2
    certifier.prepared.encoder.factor = between  # type: ignore[assignment]
    ones = torch.ones(1, 2, 2)
    assert certifier.predict_image(ones, index=0, n_samples=100).prediction == 1
    with pytest.raises(DataError, match="can be added to them exactly"):
        list(certifier.certify([LabelledTensor(image=ones, index=0)], FixedRule(n_estimate=10)))


def test_nothing_deducted_is_nothing() -> None:
    assert NOTHING_DEDUCTED.latent_slack == 0
    assert Deductions(encoder_rounding=0.1).latent_slack >= 0.2


def test_an_image_out_of_range_loses_none_of_its_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PreparedClassifier, "burst", 4)
    certifier = Certifier(HalfSpaceClassifier(factor=1.0))
    far = certifier.prepared.lattice.certified_limit
    certifier.prepared.encoder.factor = far * 1.01  # type: ignore[assignment]
    images = [torch.full((1, 2, 2), value) for value in (0.5, 0.9, 1.0, 0.1)]
    items = (LabelledTensor(image=image, index=place) for place, image in enumerate(images))
    made = certifier.certify(items, FixedRule(n_select=10, n_estimate=10))
    assert [next(made).index for _ in range(2)] == [0, 1]
    with pytest.raises(DataError, match="can be added to them exactly"):
        next(made)


def test_threads_that_encode_in_float32_leave_the_process_as_it_was() -> None:
    certifiers = [Certifier(HalfSpaceClassifier(), encoder_precision="float32") for _ in range(4)]
    before = torch.backends.mkldnn.enabled
    seen: list[bool] = []

    class Watch(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(bool(torch.backends.mkldnn.enabled))
            time.sleep(0.002)
            seen.append(bool(torch.backends.mkldnn.enabled))
            return images

    def encode(certifier: Certifier) -> None:
        object.__setattr__(certifier.prepared, "encoder", Watch())
        for _ in range(10):
            certifier.encode(torch.full((1, 2, 2), 0.5))

    threads = [threading.Thread(target=encode, args=(each,)) for each in certifiers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False] * 80
    assert torch.backends.mkldnn.enabled == before
