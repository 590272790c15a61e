"""Each contender certifies the same classifier: their votes follow the same known law."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest
import torch
from scipy.stats import binomtest, chi2_contingency, norm
from torch import Tensor, nn

from latentsmooth.bench import Contender, Outcome, Subject, Unavailable
from latentsmooth.bench.art import Art
from latentsmooth.bench.contender import best_rate
from latentsmooth.bench.engine import Ceiling, Engine
from latentsmooth.bench.macs import matmul_rates, multiply_accumulates
from latentsmooth.bench.noise_cost import noise_nanoseconds
from latentsmooth.bench.textbook import Textbook
from tests.seeds import shifted

N = 4000
PIXELS = (0.47, 0.5, 0.55)
HAS_ART = all(importlib.util.find_spec(name) for name in ("art", "statsmodels"))


def images() -> Tensor:
    return torch.stack([torch.full((1, 8, 8), level) for level in PIXELS])


def above(outcome: Outcome) -> list[int]:
    return [dict(votes).get(1, 0) for votes in outcome.votes]


def check_law(outcome: Outcome) -> None:
    assert outcome.samples == len(PIXELS) * (N + 100)
    assert outcome.seconds > 0
    for level, votes, count in zip(PIXELS, outcome.votes, above(outcome), strict=True):
        assert sum(number for _, number in votes) == N
        probability = float(norm.cdf(8 * (level - 0.5) / 0.5))
        assert binomtest(count, N, probability).pvalue > 1e-5


def test_textbook_and_engine_draw_votes_of_one_law(half_space: Subject) -> None:
    torch.manual_seed(shifted(0))
    found = []
    for contender in (Textbook(half_space), Engine(half_space)):
        contender.prepare(images())
        outcome = contender.run(images(), N)
        check_law(outcome)
        found.append(above(outcome))
    for ours, theirs in zip(*found, strict=True):
        assert chi2_contingency([[ours, N - ours], [theirs, N - theirs]]).pvalue > 1e-5


def test_textbook_takes_its_fastest_batch(half_space: Subject) -> None:
    contender = Textbook(half_space, batch_size=None, sizes=(3, 50))
    contender.prepare(images())
    rates: Any = contender.settings["rates"]
    assert sorted(rates) == [3, 50]
    assert contender.settings["batch_size"] == max(rates, key=lambda size: rates[size]) == 50
    check_law(contender.run(images(), N))  # 4000 is no multiple of 3 or 50 and 100 together


@pytest.mark.skipif(not HAS_ART, reason="adversarial-robustness-toolbox or statsmodels is absent")
@pytest.mark.parametrize("batch_size", [32, None])
def test_art_draws_votes_of_the_same_law(half_space: Subject, batch_size: int | None) -> None:
    contender = Art(half_space, batch_size=batch_size, sizes=(64, 512))
    contender.prepare(images())
    assert contender.settings["batch_size"] in ((batch_size,) if batch_size else (64, 512))
    for _ in range(2):  # a turn reports its own votes alone
        check_law(contender.run(images(), N))


def test_art_is_unavailable_where_it_is_absent(
    half_space: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "art", None)
    monkeypatch.setitem(sys.modules, "art.estimators.certification.randomized_smoothing", None)
    with pytest.raises(Unavailable, match="adversarial-robustness-toolbox does not import") as seen:
        Art(half_space).prepare(images())
    assert "\n" not in str(seen.value)


def test_importing_bench_and_the_verifier_imports_no_peer() -> None:
    code = (
        "import sys, latentsmooth.bench, latentsmooth.lipschitz;"
        "sys.exit(bool({'art', 'orthogonium', 'deel'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_goal_draws_fewer_samples(half_space: Subject) -> None:
    fixed = Engine(half_space)
    sure = Engine(half_space, goal="radius>=0.1", sibling=fixed)
    assert sure.name == "isrs half-space radius>=0.1"
    assert sure.certifier is fixed.certifier
    clear = torch.full((1, 1, 8, 8), 0.9)
    sure.prepare(clear)
    assert sure.run(clear, N).samples < fixed.run(clear, N).samples / 4


def test_breakdown_leaves_out_no_time(half_space: Subject) -> None:
    engine = Engine(half_space)
    engine.prepare(images())
    before = dict(engine.certifier.scheduler.stopwatch.stages)
    stages = engine.breakdown(images(), N)
    padded, wall = stages.pop("padded"), stages.pop("wall")
    assert set(stages) == {"encode", "noise", "head", "count", "statistics", "idle"}
    assert sum(stages.values()) == pytest.approx(wall)
    rows, size = len(PIXELS) * (N + 100), engine.certifier.batch_size
    assert padded == pytest.approx(1 - rows / (-(-rows // size) * size))
    assert min(stages["encode"], stages["noise"], stages["head"]) > 0
    assert engine.certifier.scheduler.stopwatch.stages == before


def test_ceiling_classifies_as_many_as_the_engine_in_whole_batches(haar: Subject) -> None:
    engine = Engine(haar, options={"batch_size": 40})
    ceiling: Contender = Ceiling(engine, haar, sizes=(16,))
    ceiling.prepare(images())
    rates: Any = ceiling.settings["rates"]
    assert sorted(rates) == [16, 40]
    best = int(str(ceiling.settings["batch_size"]))
    outcome = ceiling.run(images(), 500)
    assert outcome.samples % best == 0
    assert 0 <= outcome.samples - 3 * 600 < best
    assert outcome.votes == ()
    engine.prepare(images())
    assert engine.macs == ceiling.macs > 0


def test_noise_costs_between_a_tenth_and_thousands_of_nanoseconds(half_space: Subject) -> None:
    assert 0.05 < noise_nanoseconds(Engine(half_space), seconds=0.0) < 5000


def test_multiply_accumulates_of_a_convolution() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(80, 2))
    assert multiply_accumulates(network, (3, 8, 8)) == 3 * 5 * 9 * 16 + 80 * 2


def test_rates_count_the_batch() -> None:
    ticks: list[int] = []
    rates = best_rate([2, 8], lambda size: lambda: ticks.append(size), torch.device("cpu"))
    assert list(rates) == [2, 8]
    assert ticks.count(2) >= 3
    assert set(matmul_rates(torch.device("cpu"), side=32, seconds=0.0)) == {"float32", "bfloat16"}
