"""Replay published certifications with the sequential rule: how few draws answer one radius?

    python benchmarks/sequential_replay.py LOGS --output benchmarks/results/sequential-replay.json

LOGS is a folder of tab-separated logs (`idx label predict radius correct time`) of n = 100,000
draws at alpha = 0.001, each with sigma in its name, like `...sigma0.25.tsv`.

An image's probability is recovered from its radius: the votes k whose Clopper-Pearson bound gives
it, then (k + 1/2) / (n + 1). Wrong predictions are treated the same: the rule does not know labels
and pays for them too. An abstention tells only that p was about one half or less; 1/2 is assumed,
which costs the most draws. All other classes are pooled into one. On votes simulated with these
probabilities, the sequential rule (both bounds), a staged Clopper-Pearson test with the same right
to give up, and fixed n each answer "is the input radius at least R".
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from peers.provenance import provenance
from scipy.special import bdtr, betaincinv, ndtr

from latentsmooth.certification.bounds import clopper_pearson_lower, input_radius, latent_radius
from latentsmooth.certification.rules import (
    FixedRule,
    More,
    PreparedRule,
    RadiusAtLeast,
    Rule,
    SequentialRule,
    Setting,
    Verdict,
    simulate,
)

PUBLISHED_DRAWS = 100_000
PUBLISHED_ALPHA = 1e-3
RADII = {0.25: (0.25, 0.5), 0.5: (0.5, 1.0, 1.5)}
STAGES = (1_000, 10_000, 100_000)


@dataclass(frozen=True, kw_only=True)
class StagedRule(Rule):
    """Clopper-Pearson at a third of alpha after each of three stages, draws kept in between."""

    name: ClassVar[str] = "staged"
    radius: float
    miss: float
    n_select: int = 100
    n_max: int = STAGES[-1]
    alpha: float = PUBLISHED_ALPHA

    def prepare(self, setting: Setting) -> PreparedRule:
        return PreparedStaged(self, setting)

    def settings(self) -> dict[str, str | int | float]:
        return {"rule": self.name, "radius": self.radius, "miss": self.miss, "alpha": self.alpha}


class PreparedStaged(PreparedRule):
    def __init__(self, rule: StagedRule, setting: Setting) -> None:
        super().__init__(setting)
        self.rule = rule
        low, high = 0, STAGES[-1]
        while high - low > 1:
            middle = (low + high) // 2
            if self.radius(middle, STAGES[-1]) >= rule.radius:
                high = middle
            else:
                low = middle
        self.edge = high / STAGES[-1]

    def radius(self, votes: int, draws: int) -> float:
        p_lower = clopper_pearson_lower(votes, draws, self.rule.alpha / len(STAGES))
        in_latent = latent_radius(p_lower, self.setting.latent_sigma)
        return input_radius(in_latent, self.setting.lipschitz_bound) if in_latent > 0 else 0.0

    def step(self, select: Sequence[int], estimate: Sequence[int]) -> More | Verdict:
        draws = sum(estimate)
        if not draws:
            return More(select=self.rule.n_select, estimate=STAGES[0])
        candidate = int(np.argmax(select))
        votes = estimate[candidate]
        reached = self.radius(votes, draws) >= self.rule.radius
        gone = float(bdtr(votes, draws, self.edge)) < self.rule.miss
        if reached or gone or draws == STAGES[-1]:
            p_lower = clopper_pearson_lower(votes, draws, self.rule.alpha / len(STAGES))
            return self.one_sided(candidate, p_lower if reached else 0.0, "stage")
        return More(estimate=STAGES[STAGES.index(draws) + 1] - draws)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", type=Path, help="folder of published logs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=1, help="simulations of each image")
    parser.add_argument("--n-max", type=int, default=100_000, help="of the sequential rule")
    parser.add_argument("--miss", type=float, help="default: the rule's own")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for log in sorted(arguments.logs.glob("*.tsv")):
        sigma = float(re.findall(r"sigma([0-9.]+)\.tsv$", log.name)[0])
        for radius in RADII[sigma]:
            rows.append(replay(log, sigma, radius, arguments))
            print(*(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    if arguments.output:
        result = {"rows": rows, **provenance()}
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


def replay(log: Path, sigma: float, radius: float, arguments: argparse.Namespace) -> dict[str, Any]:
    """One log at one radius: mean draws and certified accuracy of every rule."""
    once, correct = recover(log, sigma)
    chances, right = np.tile(once, arguments.repeats), np.tile(correct, arguments.repeats)
    setting = Setting(latent_sigma=sigma, lipschitz_bound=1.0, num_classes=2)
    row: dict[str, Any] = {"log": log.name, "input_radius": radius, "images": len(chances)}
    miss = SequentialRule.miss if arguments.miss is None else arguments.miss
    bounds: tuple[Literal["betting", "alpha-spending"], ...] = ("betting", "alpha-spending")
    rules: dict[str, Rule] = {
        bound: SequentialRule(
            goal=RadiusAtLeast(radius), n_max=arguments.n_max, bound=bound, miss=miss
        )
        for bound in bounds
    }
    rules["staged"] = StagedRule(radius=radius, miss=miss)
    rules["fixed"] = FixedRule(n_estimate=PUBLISHED_DRAWS, alpha=PUBLISHED_ALPHA)
    for name, rule in rules.items():
        start = time.perf_counter()
        pair: NDArray[np.float64] = np.stack([chances, 1 - chances], axis=1)
        # The same seed for every rule: selection draws, made first, are the same votes.
        result = simulate(rule, setting, pair, len(pair), np.random.default_rng(arguments.seed))
        good = right & (result.candidate == 0) & ~result.abstained
        row[f"{name} draws"] = round(float(result.n_used.mean()), 1)
        row[f"{name} certified"] = round(
            100 * float((good & (result.claimed_radius >= radius)).mean()), 3
        )
        row[f"{name} seconds"] = round(time.perf_counter() - start, 1)
    row["published certified"] = round(100 * published(log, radius), 3)
    return row


def recover(log: Path, sigma: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each image's probability of the class predicted, and whether that class is right."""
    table = np.loadtxt(log, skiprows=1, usecols=(1, 2, 3), delimiter="\t")
    label, predicted, radius = table.T
    votes = np.arange(PUBLISHED_DRAWS // 2, PUBLISHED_DRAWS + 1)
    bound = betaincinv(votes, PUBLISHED_DRAWS - votes + 1, PUBLISHED_ALPHA)
    # Published radii are rounded to three digits: the nearest bound.
    target = ndtr(radius / sigma)
    after = np.clip(np.searchsorted(bound, target), 1, len(bound) - 1)
    nearest = np.where(target - bound[after - 1] < bound[after] - target, after - 1, after)
    chances = (votes[nearest] + 0.5) / (PUBLISHED_DRAWS + 1)
    return np.where(predicted < 0, 0.5, chances), predicted == label


def published(log: Path, radius: float) -> float:
    """Certified accuracy of the log as published."""
    table = np.loadtxt(log, skiprows=1, usecols=(1, 2, 3), delimiter="\t")
    return float(((table[:, 0] == table[:, 1]) & (table[:, 2] >= radius)).mean())


if __name__ == "__main__":
    main()
