"""What no votes could prove is refused before any is drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.certification import Certifier
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
