"""What no votes could prove is refused before any is drawn."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.certification import Certifier, Deductions, predict, two_sided_p_value
from latentsmooth.certification.rules import (
    Decide,
    FixedRule,
    More,
    PilotRule,
    Precision,
    Radii,
    RadiusAtLeast,
    Rule,
    SequentialRule,
    Setting,
    TwoSidedRule,
    check_rule_certifies,
    check_rule_certifies_anything,
    largest_input_radius,
    reach_warning,
)
from latentsmooth.certification.rules.reach import unanimous_verdict
from latentsmooth.errors import ConfigurationError
from tests.certification.half_space import HalfSpaceClassifier

SETTING = Setting(latent_sigma=0.25, lipschitz_bound=1.0, num_classes=10)
RULES: dict[str, Rule] = {
    "fixed": FixedRule(),
    "two-sided": TwoSidedRule(),
    "pilot": PilotRule(tolerance=0.05),
    "decide": SequentialRule(goal=Decide()),
    "precision": SequentialRule(goal=Precision(0.05)),
    "radius": SequentialRule(goal=RadiusAtLeast(0.25)),
    "radii": SequentialRule(goal=Radii((0.0, 0.25))),
    "spending": SequentialRule(goal=Decide(), bound="alpha-spending"),
}


def drawing(rule: Rule, draws: int, alpha: float) -> Rule:
    count = "n_estimate" if hasattr(rule, "n_estimate") else "n_max"
    return replace(rule, **{count: draws}, alpha=alpha)  # type: ignore[type-var]


def least(rule: Rule) -> int:
    with pytest.raises(ConfigurationError) as caught:
        check_rule_certifies(rule, SETTING)
    return int(str(caught.value).replace(" are needed", "").split("at least ")[-1])


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-9])
def test_the_least_number_that_is_named_is_the_least(name: str, alpha: float) -> None:
    needed = least(drawing(RULES[name], 1, alpha))
    check_rule_certifies(drawing(RULES[name], needed, alpha), SETTING)
    assert unanimous_verdict(drawing(RULES[name], needed, alpha), SETTING).prediction == 0
    # One fewer is too few, and names the same.
    assert least(drawing(RULES[name], needed - 1, alpha)) == needed


@pytest.mark.parametrize(("alpha", "needed"), [(0.001, 10), (0.01, 7), (0.05, 5), (1e-6, 20)])
def test_of_the_fixed_rule_it_is_the_binomial_tail(alpha: float, needed: int) -> None:
    assert alpha ** (1 / needed) > 0.5 >= alpha ** (1 / (needed - 1))
    assert least(FixedRule(n_estimate=1, alpha=alpha)) == needed


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(RULES)),
    draws=st.integers(64, 5000),
    votes=st.data(),
)
def test_no_votes_prove_more_than_the_largest_radius(
    name: str, draws: int, votes: st.DataObject
) -> None:
    rule = drawing(RULES[name], draws, 0.001)
    most = largest_input_radius(rule, SETTING)
    prepared = rule.prepare(SETTING)
    select, estimate = [0] * 10, [0] * 10
    while isinstance(step := prepared.step(select, estimate), More):
        select[0] += step.select
        lost = votes.draw(st.integers(0, step.estimate // 8)) if step.estimate else 0
        estimate[0] += step.estimate - lost
        estimate[1] += lost
    assert SETTING.input_radius(step.latent_radius) <= most


def test_a_radius_out_of_reach_names_what_is_in_reach_and_what_it_takes() -> None:
    rule = SequentialRule(goal=RadiusAtLeast(0.5), n_max=100)
    with pytest.raises(
        ConfigurationError, match=r"at most 0\.36.*, got radius>=0\.5; .* at least (\d+)"
    ) as caught:
        check_rule_certifies(rule, SETTING)
    needed = int(str(caught.value).split()[-1])
    check_rule_certifies(replace(rule, n_max=needed), SETTING)
    with pytest.raises(ConfigurationError):
        check_rule_certifies(replace(rule, n_max=needed - 1), SETTING)
    with pytest.raises(ConfigurationError, match="no number does"):
        check_rule_certifies(replace(rule, goal=RadiusAtLeast(9.0)), SETTING)
    check_rule_certifies_anything(rule)  # some classifier's noise may be larger


def test_certification_refuses_before_it_draws() -> None:
    certifier = Certifier(HalfSpaceClassifier(threshold=0.5))
    for rule in (FixedRule(n_estimate=9), SequentialRule(goal=Decide(), n_max=8)):
        with pytest.raises(ConfigurationError, match=r"too few for any certificate at alpha 0.001"):
            certifier.certify_image(torch.full((1, 4, 4), 0.9), index=0, rule=rule)


def test_columns_out_of_reach_are_said_and_cost_no_draws(caplog: pytest.LogCaptureFixture) -> None:
    rule = SequentialRule(goal=Radii((0.0, 0.25, 1.5, 9.0)), n_max=1000)
    said = "no image can be certified at 1.5, 9: 1,000 samples prove a radius of at most 0.6072"
    assert reach_warning(rule, SETTING) == said
    check_rule_certifies(rule, SETTING)
    within = replace(rule, goal=Radii((0.0, 0.25)))
    assert reach_warning(within, SETTING) == ""
    for place in range(0, 1001, 50):
        shown = [follow(each, place / 1000) for each in (rule, within)]
        assert shown[0] == shown[1]
    with pytest.raises(ConfigurationError, match=r"got radii=1\.5,9\.0; it takes .* at least \d+"):
        check_rule_certifies(replace(rule, goal=Radii((1.5, 9.0))), SETTING)
    caplog.set_level(logging.WARNING, "latentsmooth.certification")
    certifier = Certifier(HalfSpaceClassifier(threshold=0.5))
    certifier.certify_image(torch.full((1, 2, 2), 0.9), index=0, rule=rule)
    assert "no image can be certified at 1.5, 9: 1,000 samples" in caplog.text


def follow(rule: Rule, share: float) -> tuple[float, int, str]:
    """What a rule makes of an image with this share of votes at every look: radius, draws, why."""
    prepared = rule.prepare(SETTING)
    select, estimate = [0] * 10, [0] * 10
    while isinstance(step := prepared.step(select, estimate), More):
        select[0] += step.select
        drawn = sum(estimate) + step.estimate
        estimate[0] = round(share * drawn)
        estimate[1] = drawn - estimate[0]
    return step.latent_radius, sum(estimate), step.reason


def test_a_tolerance_that_leaves_nothing_is_named() -> None:
    rule = PilotRule(tolerance=1.0)
    with pytest.raises(ConfigurationError, match=r"tolerance 1 is too large .* at most 0\.9"):
        check_rule_certifies(rule, SETTING)
    check_rule_certifies(rule, replace(SETTING, latent_sigma=1.0))
    check_rule_certifies_anything(replace(rule, tolerance=1e6))  # some noise may be as large


def test_what_is_deducted_counts() -> None:
    apart = replace(SETTING, deductions=Deductions(total_variation=0.6))
    with pytest.raises(ConfigurationError, match=r"no number .* total variation of 0\.6 deducted"):
        check_rule_certifies(FixedRule(), apart)
    rounded = replace(SETTING, deductions=Deductions(encoder_rounding=9.0))
    check_rule_certifies(FixedRule(), rounded)
    assert "no image can have a radius" in reach_warning(FixedRule(), rounded)
    assert largest_input_radius(SequentialRule(goal=Decide()), SETTING) == 0
    assert reach_warning(SequentialRule(goal=Decide()), rounded) == ""


@pytest.mark.parametrize("alpha", [0.05, 0.001, 1e-9])
def test_predictions_that_must_abstain_are_refused(alpha: float) -> None:
    classifier, images = HalfSpaceClassifier(threshold=-9.0), torch.full((1, 1, 2, 2), 0.9)
    with pytest.raises(ConfigurationError, match="too few for any prediction") as caught:
        predict(classifier, images, n_samples=1, alpha=alpha)
    needed = int(str(caught.value).split()[-3])
    assert two_sided_p_value(needed, 0) <= alpha < two_sided_p_value(needed - 1, 0)
    [made] = predict(classifier, images, n_samples=needed, alpha=alpha)
    assert not made.abstained
