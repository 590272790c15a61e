"""Twenty thousand simulated certifications a case: false claims stay within alpha."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from latentsmooth.certification import clopper_pearson_lower
from latentsmooth.certification.rules import (
    Decide,
    FixedRule,
    Goal,
    More,
    PilotRule,
    Precision,
    Radii,
    RadiusAtLeast,
    Rule,
    SequentialRule,
    Setting,
    SimulationResult,
    TwoSidedRule,
    Verdict,
    parse_rule,
    simulate,
)
from latentsmooth.errors import ConfigurationError, ShapeError
from tests.seeds import shifted

RUNS = 20_000
BUDGET = 500
N_SELECT = 3
SIGMA = 0.5
SETTING = Setting(latent_sigma=SIGMA, lipschitz_bound=1.0, num_classes=2)
PROBABILITIES = [0.5, 0.501, 0.6, 0.9, 0.99, 0.9999, 1.0]
KINDS = [
    "fixed",
    "two-sided",
    "pilot",
    "radius-betting",
    "radius-alpha-spending",
    "radii-betting",
    "precision-betting",
    "precision-alpha-spending",
    "decide-betting",
    "decide-alpha-spending",
]


def make(kind: str, p: float, alpha: float) -> Rule:
    """A rule; the radius asked for lies just above the truth, where every claim is false."""
    name, _, bound = kind.partition("-")
    if kind in ("fixed", "two-sided"):
        return parse_rule(kind, alpha=alpha, n_select=N_SELECT, n_estimate=BUDGET)
    if name == "pilot":
        return PilotRule(tolerance=0.05, alpha=alpha, n_select=20, n_max=BUDGET)
    cap = SIGMA * float(norm.ppf(alpha ** (1 / BUDGET)))
    just_above = SIGMA * float(norm.ppf(p)) * (1 + 1e-9) + 1e-12
    goals: dict[str, Goal] = {
        "radius": RadiusAtLeast(just_above if just_above < 0.9 * cap else cap / 2),
        "radii": Radii((0.0, just_above if just_above < 0.9 * cap else cap / 2)),
        "precision": Precision(0.1),
        "decide": Decide(),
    }
    return SequentialRule(
        goal=goals[name],
        n_select=N_SELECT,
        n_max=BUDGET,
        alpha=alpha,
        bound="betting" if bound == "betting" else "alpha-spending",
        miss=1e-12,
    )


def false_claims(result: SimulationResult, p: float) -> int:
    """Another class than the top one (a tie has none), or a radius larger than the true one."""
    wrong = (result.candidate != 0) | (p == 0.5)
    too_large = result.claimed_radius > SIGMA * float(norm.ppf(p))
    return int((~result.abstained & (wrong | too_large)).sum())


@pytest.mark.parametrize("alpha", [0.001, 0.05])
@pytest.mark.parametrize("kind", KINDS)
def test_false_claims_stay_within_alpha(kind: str, alpha: float) -> None:
    most = 0.0
    for p in PROBABILITIES:
        rule = make(kind, p, alpha)
        rng = np.random.default_rng([KINDS.index(kind), int(1e4 * p), int(1e3 * alpha), shifted(0)])
        result = simulate(rule, SETTING, np.array([p, 1 - p]), RUNS, rng)
        false = false_claims(result, p)
        assert binomtest(false, RUNS, alpha, alternative="greater").pvalue > 1e-4, (p, false)
        assert result.claimed_radius.max() <= SIGMA * float(norm.ppf(alpha ** (1 / BUDGET)))
        assert result.n_used.max() <= rule.n_select + rule.n_max
        assert not result.claimed_radius[result.abstained].any()
        most = max(most, false / RUNS)
    # A rule that claims nothing would pass; these err, seldom.
    if alpha == 0.05:
        assert most > alpha / 20


@pytest.mark.parametrize("kind", ["two-sided", "decide-betting", "decide-alpha-spending"])
def test_ties_of_three_classes_are_decided_at_most_alpha_often(kind: str) -> None:
    setting = Setting(latent_sigma=SIGMA, lipschitz_bound=1.0, num_classes=4)
    shares = np.array([0.3, 0.3, 0.3, 0.1])
    rule = make(kind, 0.5, 0.05)
    result = simulate(rule, setting, shares, 4000, np.random.default_rng(shifted(1)))
    claims = int((~result.abstained).sum())
    assert binomtest(claims, 4000, 0.05, alternative="greater").pvalue > 1e-4


def test_fixed_rule_abstains_as_often_as_the_binomial_says() -> None:
    rule = FixedRule(n_select=1000, n_estimate=500, alpha=0.01)
    result = simulate(
        rule, SETTING, np.array([0.55, 0.45]), RUNS, np.random.default_rng(shifted(3))
    )
    enough = next(k for k in range(501) if clopper_pearson_lower(k, 500, 0.01) > 0.5)
    right = result.candidate == 0
    chance = float(binom.cdf(enough - 1, 500, 0.55))
    observed = int(result.abstained[right].sum())
    assert binomtest(observed, int(right.sum()), chance).pvalue > 1e-3
    assert (result.n_used == 1500).all()


def test_simulation_is_the_rule_followed_vote_by_vote() -> None:
    """The same distribution of draws as a plain loop over single certifications."""
    rule = SequentialRule(goal=RadiusAtLeast(0.5), n_select=20, n_max=BUDGET)
    shares = np.array([0.87, 0.13])
    result = simulate(rule, SETTING, shares, RUNS, np.random.default_rng(shifted(5)))
    rng, prepared = np.random.default_rng(shifted(6)), rule.prepare(SETTING)
    used, claims = [], 0
    for _ in range(1000):
        select, estimate = np.zeros(2, dtype=int), np.zeros(2, dtype=int)
        answer = prepared.step(select.tolist(), estimate.tolist())
        while isinstance(answer, More):
            select += rng.multinomial(answer.select, shares)
            estimate += rng.multinomial(answer.estimate, shares)
            answer = prepared.step(select.tolist(), estimate.tolist())
        used.append(int(select.sum() + estimate.sum()))
        claims += isinstance(answer, Verdict) and answer.prediction is not None
    share = float((~result.abstained).mean())
    assert 0.01 < share < 0.99
    assert binomtest(claims, 1000, share).pvalue > 1e-3
    spread = math.hypot(np.std(used) / math.sqrt(1000), result.n_used.std() / math.sqrt(RUNS))
    assert abs(np.mean(used) - result.n_used.mean()) < 4 * spread


@pytest.mark.parametrize("bound", ["betting", "alpha-spending"])
def test_giving_up_early_saves_draws_and_loses_few_images(bound: str) -> None:
    """Images over a whole range of probabilities, against the fixed rule of the same budget."""
    rng = np.random.default_rng(shifted(7))
    p = 1 - rng.beta(0.4, 0.6, size=RUNS) / 2
    shares = np.stack([p, 1 - p], axis=1)
    rule = parse_rule("sequential", goal="radius>=0.5", bound=bound)
    result = simulate(rule, SETTING, shares, RUNS, np.random.default_rng(shifted(8)))
    fixed = simulate(FixedRule(), SETTING, shares, RUNS, np.random.default_rng(shifted(8)))
    reached = float((fixed.claimed_radius >= 0.5).mean())
    assert 0.3 < reached < 0.9
    assert reached - float((result.claimed_radius >= 0.5).mean()) <= 0.003
    assert result.n_used.mean() < 4000
    assert fixed.n_used.mean() == 100_100


def test_two_sided_and_pilot_are_worth_their_name() -> None:
    setting = Setting(latent_sigma=SIGMA, lipschitz_bound=1.0, num_classes=10)
    shares = np.array([0.48, *[0.52 / 9] * 9])
    rng = np.random.default_rng(shifted(9))
    assert not simulate(TwoSidedRule(), setting, shares, 50, rng).abstained.any()
    assert simulate(FixedRule(), setting, shares, 50, rng).abstained.all()
    pilot = simulate(PilotRule(tolerance=0.02), SETTING, np.array([0.8, 0.2]), 2000, rng)
    fixed = simulate(FixedRule(), SETTING, np.array([0.8, 0.2]), 2000, rng)
    assert pilot.n_used.mean() < 10_000
    assert float(fixed.claimed_radius.mean() - pilot.claimed_radius.mean()) < 0.02


def test_unusable_probabilities_are_refused() -> None:
    rng = np.random.default_rng(shifted(0))
    with pytest.raises(ShapeError, match=r"\(2,\) or \(5, 2\)"):
        simulate(FixedRule(), SETTING, np.ones(3) / 3, 5, rng)
    with pytest.raises(ConfigurationError, match="add up to 1"):
        simulate(FixedRule(), SETTING, np.array([0.5, 0.6]), 5, rng)
