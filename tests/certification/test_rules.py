"""Rules step by step, against exact distributions and numerical integrals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import beta, binom, norm

from latentsmooth.certification import clopper_pearson_lower, input_radius
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
    Verdict,
    parse_goal,
    parse_rule,
    rule_from_settings,
)
from latentsmooth.certification.rules.evidence import (
    BettingBound,
    SpendingBound,
    TimeUniformBound,
    geometric_looks,
)
from latentsmooth.errors import ConfigurationError, ShapeError

SETTING = Setting(latent_sigma=0.5, lipschitz_bound=1.25, num_classes=3)
PAIR = Setting(latent_sigma=0.5, lipschitz_bound=1.0, num_classes=2)
LOOKS = geometric_looks(8, 240, 1.2)
RULES: list[Rule] = [
    FixedRule(n_select=7, n_estimate=500, alpha=0.01),
    TwoSidedRule(n_select=7, n_estimate=500, alpha=0.01, rival_share=0.25),
    PilotRule(tolerance=0.03, n_select=50, n_max=800, alpha=0.01),
    SequentialRule(goal=RadiusAtLeast(0.1), n_max=900, alpha=0.01),
    SequentialRule(goal=Radii((0, 0.1, 0.3)), n_max=900, alpha=0.01),
    SequentialRule(goal=Precision(0.1), n_max=900, bound="alpha-spending"),
    SequentialRule(goal=Decide(), n_select=3, n_max=900, miss=0.2),
]


def verdict_of(rule: Rule, setting: Setting, shares: Sequence[float]) -> tuple[Verdict, int]:
    """Follow a rule with votes that come exactly in these shares; the verdict and draws used."""
    prepared = rule.prepare(setting)
    select, estimate = [0] * len(shares), [0] * len(shares)
    while True:
        answer = prepared.step(select, estimate)
        if isinstance(answer, Verdict):
            return answer, sum(select) + sum(estimate)
        select = split(sum(select) + answer.select, shares)
        estimate = split(sum(estimate) + answer.estimate, shares)


def is_look(answer: More | Verdict) -> bool:
    """Without a single vote a sequential rule gives up wherever it looks."""
    return isinstance(answer, Verdict)


def split(total: int, shares: Sequence[float]) -> list[int]:
    rest = [math.floor(total * share) for share in shares[1:]]
    return [total - sum(rest), *rest]


def chance_of_ever(looks: Sequence[int], p: float, happens: Callable[[int, int], bool]) -> float:
    """Exact probability that ``happens(votes, look)`` at some look, by summing over all paths."""
    alive: NDArray[np.float64] = np.ones(1)
    total, before = 0.0, 0
    for look, draws in enumerate(looks):
        fresh = draws - before
        alive = np.convolve(alive, binom.pmf(np.arange(fresh + 1), fresh, p))
        hit = np.array([happens(votes, look) for votes in range(draws + 1)])
        total += float(alive[hit].sum())
        alive[hit] = 0.0
        before = draws
    return total


def bounds(alpha: float) -> list[TimeUniformBound]:
    return [
        BettingBound(LOOKS, alpha),
        BettingBound(LOOKS, alpha, floor=0.9),
        SpendingBound(LOOKS, alpha),
    ]


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("p", [0.3, 0.5, 0.6, 0.9, 0.97])
def test_bounds_hold_at_all_looks_together(which: int, p: float) -> None:
    """Exactly: over every path of votes, the bound ever passes the truth at most alpha often."""
    alpha = 0.05
    bound = bounds(alpha)[which]
    below = chance_of_ever(LOOKS, p, lambda votes, look: bound.lower(votes, look) > p)
    above = chance_of_ever(LOOKS, p, lambda votes, look: bound.upper(votes, look) < p)
    assert below <= alpha
    assert above <= alpha
    # Bounds that never fail would pass too: these use a good part of alpha.
    assert above >= alpha / 10
    if p >= 0.5:
        assert below >= alpha / 10


@pytest.mark.parametrize("which", range(3))
def test_bounds_grow_with_the_votes_and_no_votes_prove_nothing(which: int) -> None:
    bound = bounds(0.01)[which]
    for look in (0, 5, len(LOOKS) - 1):
        draws = LOOKS[look]
        lower = [bound.lower(votes, look) for votes in range(draws + 1)]
        upper = [bound.upper(votes, look) for votes in range(draws + 1)]
        assert lower == sorted(lower)
        assert upper == sorted(upper)
        assert (lower[0], upper[-1]) == (0.0, 1.0)
        assert lower[-1] <= 0.01 ** (1 / draws)
        for votes in range(draws + 1):
            assert lower[votes] <= votes / draws <= upper[votes]


@pytest.mark.parametrize(("votes", "look"), [(8, 0), (20, 6), (30, 8), (55, 11), (90, 14)])
@pytest.mark.parametrize("floor", [0.5, 0.8])
def test_the_bet_against_the_lower_bound_has_just_reached_its_level(
    votes: int, look: int, floor: float
) -> None:
    """The wealth, integrated numerically, is 2 / alpha: half of alpha is kept for the end."""
    alpha = 0.05
    draws = LOOKS[look]
    votes = min(votes, draws)
    p = BettingBound(LOOKS, alpha, floor=floor).lower(votes, look)
    prior = beta(0.5, 0.5)

    def stake(angle: float) -> float:
        # q = sin^2(angle) takes the arcsine density to a constant.
        q = math.sin(angle) ** 2
        return (q / p) ** votes * ((1 - q) / (1 - p)) ** (draws - votes) * 2 / math.pi

    start = math.asin(math.sqrt(floor))
    wealth = quad(stake, start, math.pi / 2, epsabs=0, epsrel=1e-10, limit=200)[0]
    assert wealth / float(prior.sf(floor)) == pytest.approx(2 / alpha, rel=1e-6)


def test_spending_costs_alpha_and_no_more() -> None:
    bound = SpendingBound(LOOKS, 0.01)
    last = len(LOOKS) - 1
    assert bound.lower(200, last) == clopper_pearson_lower(200, LOOKS[last], 0.005)
    early = 0.005 / last
    assert bound.lower(30, 8) == pytest.approx(clopper_pearson_lower(30, LOOKS[8], early))


@pytest.mark.parametrize("bound", ["betting", "alpha-spending"])
@pytest.mark.parametrize("p", [0.55, 0.75, 0.9, 0.97, 0.999])
def test_radii_are_settled_as_each_would_be_alone(bound: str, p: float) -> None:
    """With votes exactly in their shares; the draws are those of the hardest question left."""
    radii = (0.0, 0.2, 0.4, 0.8)

    def follow(goal: str) -> tuple[Verdict, int]:
        rule = parse_rule("sequential", goal=goal, n_estimate=20_000, bound=bound)
        return verdict_of(rule, PAIR, (p, 1 - p))

    together, draws = follow("radii=" + ",".join(map(str, radii)))
    alone = [follow(f"radius>={radius}") for radius in radii]
    for radius, (verdict, _) in zip(radii, alone, strict=True):
        proven = verdict.prediction is not None and verdict.latent_radius >= radius
        claimed = together.prediction is not None and together.latent_radius >= radius
        assert claimed == proven == (0.5 * float(norm.ppf(p)) > radius)
    assert draws <= 1.3 * max(count for _, count in alone)


@pytest.mark.parametrize("bound", ["betting", "alpha-spending"])
@pytest.mark.parametrize("p", [0.6, 0.9])
@pytest.mark.parametrize("goal", ["radius>={0}", "radii=0,{0},{1}"])
def test_a_radius_just_above_the_truth_is_claimed_at_most_alpha_often(
    bound: str, p: float, goal: str
) -> None:
    """Exactly, through the rule's own steps: every path of votes is followed."""
    alpha = 0.05
    radius = 0.5 * float(norm.ppf(p)) * (1 + 1e-9)
    asked = parse_goal(goal.format(radius, radius * 1.2))
    rule = rule_from_settings(
        {
            **SequentialRule(goal=asked, n_max=400, alpha=alpha).settings(),
            "bound": bound,
            "miss": 1e-12,
        }
    )
    prepared = rule.prepare(PAIR)
    looks = [draws for draws in range(1, 401) if is_look(prepared.step([100, 0], [0, draws]))]

    def claims(votes: int, look: int) -> bool:
        answer = prepared.step([100, 0], [votes, looks[look] - votes])
        return isinstance(answer, Verdict) and answer.latent_radius >= radius * (1 - 1e-12)

    chance = chance_of_ever(looks, p, claims)
    assert alpha / 10 <= chance <= alpha

    def too_large(votes: int, look: int) -> bool:
        answer = prepared.step([100, 0], [votes, looks[look] - votes])
        return isinstance(answer, Verdict) and answer.latent_radius > radius / (1 + 1e-9)

    # What falls short of the goal counts too: never is more claimed than is true, but for alpha.
    assert chance_of_ever(looks, p, too_large) <= alpha


@pytest.mark.parametrize("bound", ["betting", "alpha-spending"])
def test_the_goal_is_reached_or_what_falls_short_of_it_is_proven(bound: str) -> None:
    rule = parse_rule("sequential", goal="radius>=0.3", bound=bound, n_estimate=2000)
    verdict, used = verdict_of(rule, SETTING, [0.95, 0.04, 0.01])
    assert verdict.prediction == verdict.candidate == 0
    assert used < 500
    assert input_radius(verdict.latent_radius, SETTING.lipschitz_bound) >= 0.3
    assert verdict.latent_radius <= SETTING.latent_sigma * float(norm.ppf(verdict.p_lower))
    assert verdict.p_lower < 0.95
    # The Lipschitz bound counts: 0.79 would do without it.
    needed = float(ndtr(0.3 * SETTING.lipschitz_bound / SETTING.latent_sigma))
    short = verdict_of(rule, SETTING, [needed - 0.01, 0.9 - needed, 0.11])[0]
    assert short.prediction == 0
    assert 0 < input_radius(short.latent_radius, SETTING.lipschitz_bound) < 0.3
    assert short.reason in ("radius out of reach", "budget spent")
    assert short.p_lower < needed - 0.01


def test_a_minority_is_given_up_early() -> None:
    for goal in ("radius>=0", "radius>=0.3", "precision=0.1"):
        rule = parse_rule("sequential", goal=goal, n_estimate=100_000)
        verdict, used = verdict_of(rule, SETTING, [0.4, 0.35, 0.25])
        assert verdict.prediction is None
        assert verdict.latent_radius == 0
        assert used < 2500, goal


@pytest.mark.parametrize("bound", ["betting", "alpha-spending"])
@pytest.mark.parametrize("share", [0.6, 0.9, 0.99])
def test_precision_stops_when_the_radius_is_known(bound: str, share: float) -> None:
    rule = parse_rule("sequential", goal="precision=0.1", bound=bound)
    verdict, used = verdict_of(rule, PAIR, [share, 1 - share])
    truth = 0.5 * float(norm.ppf(share))
    assert truth - 0.1 <= verdict.latent_radius <= truth
    assert used < 40_000


def test_decide_needs_no_majority_and_claims_no_radius() -> None:
    rule = parse_rule("sequential", goal="decide")
    verdict, used = verdict_of(rule, SETTING, [0.4, 0.3, 0.3])
    assert (verdict.prediction, verdict.latent_radius, verdict.reason) == (0, 0.0, "decided")
    assert verdict.p_lower == pytest.approx(1 / 3)
    assert verdict.p_lower <= 1 / 3
    assert used < 3000
    tie, used = verdict_of(rule, PAIR, [0.5, 0.5])
    assert tie.prediction is None
    assert used < 60_000
    assert verdict_of(rule, SETTING, [1.0, 0.0, 0.0])[1] == 132


@pytest.mark.parametrize("bound", ["betting", "alpha-spending"])
def test_decide_is_wrong_at_most_alpha_often_exactly(bound: str) -> None:
    """Of two equally likely classes the chosen one is declared the likelier at most so often."""
    alpha = 0.05
    rule = parse_rule("sequential", goal="decide", alpha=alpha, n_estimate=300, bound=bound)
    prepared = rule_from_settings({**rule.settings(), "miss": 1e-12}).prepare(PAIR)
    looks = [draws for draws in range(1, 301) if is_look(prepared.step([100, 0], [0, draws]))]

    def claims(votes: int, look: int) -> bool:
        answer = prepared.step([100, 0], [votes, looks[look] - votes])
        return isinstance(answer, Verdict) and answer.prediction is not None

    assert alpha / 10 <= chance_of_ever(looks, 0.5, claims) <= alpha


def test_two_sided_bounds_are_clopper_pearsons_at_their_parts_of_alpha() -> None:
    rule = TwoSidedRule(n_select=10, n_estimate=1000, alpha=0.01, rival_share=0.25)
    verdict = rule.prepare(SETTING).step([6, 4, 0], [700, 180, 120])
    assert isinstance(verdict, Verdict)
    assert verdict.rival_upper is not None
    assert float(binom.sf(699, 1000, verdict.p_lower)) == pytest.approx(0.0075, rel=1e-6)
    assert float(binom.cdf(180, 1000, verdict.rival_upper)) == pytest.approx(0.00125, rel=1e-6)
    exact = 0.25 * float(norm.ppf(verdict.p_lower) - norm.ppf(verdict.rival_upper))
    assert verdict.latent_radius == pytest.approx(exact)
    assert verdict.latent_radius <= exact


def test_two_sided_falls_back_on_one_side() -> None:
    verdict = TwoSidedRule(n_select=1, n_estimate=100).prepare(PAIR).step([1, 0], [90, 10])
    assert isinstance(verdict, Verdict)
    assert verdict.rival_upper is None or verdict.rival_upper < 1 - verdict.p_lower
    behind = TwoSidedRule(n_select=1, n_estimate=100).prepare(PAIR).step([1, 0], [10, 90])
    assert isinstance(behind, Verdict)
    assert (behind.prediction, behind.latent_radius) == (None, 0.0)


def test_the_pilots_number_is_the_least_that_keeps_the_radius() -> None:
    rule = PilotRule(tolerance=0.02, n_max=20_000)
    asked = rule.prepare(PAIR).step([90, 10], [0, 0])
    assert isinstance(asked, More)
    share = 90.5 / 101

    def predicted(draws: int) -> float:
        votes = math.floor(share * draws)
        return 0.5 * float(norm.ppf(clopper_pearson_lower(votes, draws, 1e-3)))

    assert predicted(20_000) - predicted(asked.estimate) <= 0.02 + 1e-9
    assert predicted(20_000) - predicted(asked.estimate - 1) > 0.02 - 1e-9
    assert 100 < asked.estimate < 5_000


def test_the_pilots_votes_are_not_counted_again() -> None:
    prepared = PilotRule(tolerance=0.02).prepare(PAIR)
    asked = prepared.step([90, 10], [0, 0])
    assert isinstance(asked, More)
    draws = asked.estimate
    verdict = prepared.step([90, 10], [draws - 5, 5])
    assert isinstance(verdict, Verdict)
    assert verdict.p_lower == clopper_pearson_lower(draws - 5, draws, 1e-3)


def test_a_hopeless_pilot_ends_without_further_draws() -> None:
    verdict = PilotRule(tolerance=0.02).prepare(SETTING).step([34, 33, 33], [0, 0, 0])
    assert isinstance(verdict, Verdict)
    assert (verdict.prediction, verdict.latent_radius) == (None, 0.0)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.settings()))
def test_settings_give_the_rule_back(rule: Rule) -> None:
    assert rule_from_settings(rule.settings()) == rule
    assert all(type(value) in (str, int, float) for value in rule.settings().values())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.settings()))
def test_draws_asked_for_stay_within_the_budget(rule: Rule) -> None:
    for shares in ([0.5, 0.5, 0.0], [0.7, 0.2, 0.1], [0.99, 0.01, 0.0]):
        verdict, used = verdict_of(rule, SETTING, shares)
        assert used <= rule.n_select + rule.n_max
        assert (verdict.prediction is None) <= (verdict.latent_radius == 0)
        cap = SETTING.latent_sigma * float(norm.ppf(rule.alpha ** (1 / rule.n_max)))
        assert verdict.latent_radius <= cap


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.settings()))
def test_steps_refuse_counts_of_another_number_of_classes(rule: Rule) -> None:
    with pytest.raises(ShapeError, match="expected 3 counts"):
        rule.prepare(SETTING).step([0, 0], [0, 0, 0])


def test_an_interrupted_look_is_completed() -> None:
    prepared = SequentialRule(goal=RadiusAtLeast(0.1), n_select=10).prepare(PAIR)
    assert prepared.step([4, 0], [9, 1]) == More(select=6, estimate=22)
    assert prepared.step([10, 0], [9, 1]) == More(estimate=22)
    assert prepared.step([4, 0], [31, 1]) == More(select=6)
    short = SequentialRule(goal=Decide(), n_select=10, n_max=12).prepare(PAIR)
    assert short.step([0, 0], [0, 0]) == More(select=10, estimate=12)
    assert isinstance(short.step([10, 0], [9, 3]), Verdict)
    with pytest.raises(ConfigurationError, match="at most 100000"):
        prepared.step([10, 0], [100_001, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parse_rule("adaptive"), "fixed, two-sided, pilot, sequential"),
        (lambda: parse_rule("fixed", goal="decide"), "'fixed' has no goal"),
        (lambda: parse_rule("sequential", goal="decide", tolerance=0.1), "has no tolerance"),
        (lambda: parse_rule("pilot"), "wants a tolerance"),
        (lambda: parse_rule("pilot", tolerance=0.0), "tolerance above 0"),
        (lambda: parse_rule("sequential"), "wants a goal"),
        (lambda: parse_rule("sequential", goal="radius>0.5"), "radius>0.5"),
        (lambda: parse_rule("sequential", goal="radius>=x"), "radius>=x"),
        (lambda: parse_rule("sequential", goal="radius>=-1"), "radius >= 0"),
        (lambda: parse_rule("sequential", goal="radii=0,-1"), "radius >= 0"),
        (lambda: parse_rule("sequential", goal="radii="), "got 'radii='"),
        (lambda: parse_rule("sequential", goal="radii=0 1"), "got 'radii=0 1'"),
        (lambda: parse_rule("sequential", goal="radius>=0 .5"), "got 'radius>=0 .5'"),
        (lambda: Radii(()), "1 to 100 radii, got 0"),
        (lambda: parse_rule("sequential", goal="precision=0"), "above 0"),
        (lambda: parse_rule("sequential", goal="decide", bound="magic"), "betting"),
        (lambda: parse_rule("fixed", alpha=1.0), "alpha between 0 and 1"),
        (lambda: parse_rule("fixed", n_select=0), "whole number >= 1, got 0"),
        (lambda: parse_rule("fixed", n_estimate=0), "whole number >= 1, got 0"),
        (lambda: SequentialRule(goal=Decide(), miss=0.0), "miss in"),
        (lambda: TwoSidedRule(rival_share=1.0), "rival_share in"),
        (lambda: rule_from_settings({"rule": "fixed", "n": 3}), "settings of a rule"),
        (lambda: rule_from_settings({"n_select": 3}), "wanted a rule among"),
        (lambda: More(), "some more draws"),
        (lambda: Setting(latent_sigma=0.0, lipschitz_bound=1, num_classes=2), "latent_sigma"),
        (lambda: Setting(latent_sigma=1.0, lipschitz_bound=1, num_classes=1), "2 classes"),
        (
            lambda: parse_rule("sequential", goal="radius>=1", n_estimate=100).prepare(PAIR),
            "100 draws can prove",
        ),
    ],
)
def test_what_cannot_be_used_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call()


def test_goals_are_written_as_they_are_read() -> None:
    for goal in (RadiusAtLeast(0.1 + 0.2), Radii((0.5, 0, 0.5, 1e-9)), Precision(1e-3), Decide()):
        assert parse_goal(str(goal)) == goal
    assert parse_goal(" radii = 0 ,\t0.5 ") == Radii((0.0, 0.5))
