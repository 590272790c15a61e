"""Each loss against its formula, written again in NumPy, float64, draw by draw."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import norm
from torch import Tensor, nn

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.objectives import SmoothAdvObjective, build_objective
from latentsmooth.training.objectives.macer import radius_hinge
from latentsmooth.training.objectives.margin import neighbour_margins
from tests.closeness import assert_near, rounding
from tests.seeds import shifted

# Losses are sums of a few dozen terms of float32. Normal quantiles, normalised directions and
# differences of points a step apart lose another digit.
LOSS, STEEP_LOSS = rounding(torch.float32, steps=128), rounding(torch.float32, steps=1024)
SIGMA = 0.5
CLASSES = 3
LABELS = np.array([0, 1, 2, 0, 1])


class Diary(nn.Module):
    """A non-linear head that remembers every batch it was given."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, CLASSES)
        )
        self.given: list[Tensor] = []
        self.answers: list[np.ndarray[Any, Any]] = []

    def forward(self, latents: Tensor) -> Tensor:
        logits: Tensor = self.network(latents)
        self.given.append(latents.detach().clone())
        self.answers.append(logits.detach().double().numpy())
        return logits


class Halves(nn.Module):
    """A linear encoder of known bound: half of every pixel."""

    def forward(self, images: Tensor) -> Tensor:
        return images / 2


def classifier(
    *, seed: int = 0, scale: float = 4.0, encoder: nn.Module | None = None
) -> tuple[LatentSmoothedClassifier, Diary]:
    with torch.random.fork_rng([]):
        # An example in which every case of a loss occurs, whatever the other draws.
        torch.manual_seed(seed)
        head = Diary(12)
    with torch.no_grad():
        head.network[3].weight.mul_(scale)  # type: ignore[operator]
    model = LatentSmoothedClassifier(
        encoder or nn.Identity(),
        head,
        latent_sigma=SIGMA,
        class_names=("a", "b", "c"),
        image_shape=(3, 2, 2),
    )
    head.given, head.answers = [], []
    return model.train(), head


def images() -> Tensor:
    return torch.rand(len(LABELS), 3, 2, 2, generator=torch.Generator().manual_seed(5))


def loss_of(
    model: LatentSmoothedClassifier, name: str, *, teacher: Any = None, **options: Any
) -> float:
    objective = build_objective(name, options=options, teacher=teacher)
    generator = torch.Generator().manual_seed(shifted(7))
    loss, _ = objective(model, images(), torch.from_numpy(LABELS), generator=generator)
    return float(loss.detach())


def replay(draws: int) -> tuple[Tensor, torch.Generator]:
    """The noise that an objective draws first, and the generator as it stands after it."""
    generator = torch.Generator().manual_seed(shifted(7))
    noise = torch.empty(draws * len(LABELS), 3, 2, 2).normal_(0.0, SIGMA, generator=generator)
    return noise, generator


def by_draw(logits: np.ndarray[Any, Any], draws: int) -> np.ndarray[Any, Any]:
    return logits.reshape(draws, len(LABELS), CLASSES)


def cross_entropies(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """``(draws, batch)`` of ``(draws, batch, classes)``."""
    return np.stack(
        [[-log_softmax(row)[y] for row, y in zip(draw, LABELS, strict=True)] for draw in logits]
    )


def kl(target: Any, found: Any) -> float:
    return float(sum(t * math.log(t / q) for t, q in zip(target, found, strict=True)))


def test_gaussian_is_the_mean_over_draws() -> None:
    model, head = classifier()
    loss = loss_of(model, "gaussian", draws=3)
    noise, _ = replay(3)
    assert_near(head.given[0], images().repeat(3, 1, 1, 1) + noise, steps=4)
    assert loss == pytest.approx(cross_entropies(by_draw(head.answers[0], 3)).mean(), rel=LOSS)


def test_consistency_is_divergence_and_entropy() -> None:
    model, head = classifier()
    loss = loss_of(model, "consistency", draws=3, weight=7.0, entropy_weight=0.3)
    logits = by_draw(head.answers[0], 3)
    expected = cross_entropies(logits).mean()
    for image in range(len(LABELS)):
        votes = softmax(logits[:, image], axis=1)
        mean = votes.mean(0)
        expected += 7.0 * np.mean([kl(mean, vote) for vote in votes]) / len(LABELS)
        expected += 0.3 * -(mean * np.log(mean)).sum() / len(LABELS)
    assert loss == pytest.approx(expected, rel=LOSS)


@pytest.mark.parametrize("margin", [1.0, 8.0])
def test_macer_is_a_hinge_on_the_radius(margin: float) -> None:
    model, head = classifier(scale=1.0)
    loss = loss_of(model, "macer", draws=4, weight=3.0, margin=margin, sharpness=5.0)
    logits = by_draw(head.answers[0], 4)
    expected, counted = 0.0, 0
    for image, label in enumerate(LABELS):
        expected -= math.log(softmax(logits[:, image], axis=1).mean(0)[label])
        vote = softmax(5.0 * logits[:, image], axis=1).mean(0)
        first, second = np.sort(vote)[::-1][:2]
        if vote.argmax() == label:
            radius = SIGMA / 2 * (norm.ppf(first) - norm.ppf(second))
            expected += 3.0 * max(0.0, SIGMA / 2 * margin - radius)
            counted += 1
    assert counted
    assert loss == pytest.approx(expected / len(LABELS), rel=STEEP_LOSS)


def test_macer_waits_for_its_turn() -> None:
    model, _ = classifier(scale=1.0)
    generator = torch.Generator().manual_seed(shifted(7))
    objective = build_objective("macer", options={"draws": 4, "delay": 0.5})
    labels = torch.from_numpy(LABELS)
    early, _ = objective(model, images(), labels, generator=generator, progress=0.5)
    generator.manual_seed(shifted(7))
    late, _ = objective(model, images(), labels, generator=generator, progress=0.51)
    assert late > early


def test_the_hinge_of_two_classes_is_the_certified_radius() -> None:
    probability = torch.tensor([0.6, 0.9, 0.999, 1.0, 0.3])
    vote = torch.stack((probability, 1 - probability), 1).requires_grad_()
    hinge = radius_hinge(vote, torch.zeros(5, dtype=torch.int64), margin=4.0, latent_sigma=SIGMA)
    certified = SIGMA * norm.ppf(probability.double().numpy())
    expected = np.maximum(0.0, 2 * SIGMA - certified)
    expected[4] = 0.0  # the wrong class wins
    # A float32 of 0.999 is itself 6e-8 off, which the steep quantile multiplies by 300.
    assert_near(hinge, expected, steps=512, scale=1.0)
    torch.autograd.backward(hinge.sum())
    assert vote.grad is not None
    assert vote.grad.isfinite().all()
    assert bool((vote.grad[:2, 0] < 0).all())


@pytest.mark.parametrize("epsilon", [0.1, 3.0])
@pytest.mark.parametrize("space", ["pixels", "latent"])
def test_smoothadv_stays_in_its_ball_and_hurts(space: str, epsilon: float) -> None:
    model, head = classifier(encoder=Halves())
    options = {"draws": 2, "epsilon": epsilon, "steps": 5, "encoder_bound": 0.5}
    loss = loss_of(model, "smoothadv", space=space, **options)
    noise, _ = replay(2)
    radius = epsilon / 2
    clean = images().repeat(2, 1, 1, 1) / 2
    assert len(head.given) == 6
    for given in head.given:
        moved = given - noise - clean
        # What was added is taken off again, in numbers of the size of what the head was given.
        slack = rounding(torch.float32, steps=16, scale=float(given.abs().max()))
        assert float(moved.flatten(1).norm(dim=1).max()) <= radius + slack
        assert_near(moved[:5], moved[5:], scale=1 + slack, steps=64)  # one attack for all draws
        if space == "pixels":
            assert float((given - noise).min()) >= -slack
            assert float((given - noise).max()) <= 0.5 + slack
    final = by_draw(head.answers[-1], 2)
    assert loss == pytest.approx(cross_entropies(final).mean(), rel=LOSS)
    votes = [softmax(by_draw(answer, 2), axis=2).mean(0) for answer in head.answers]
    before, after = (vote[range(5), LABELS] for vote in (votes[0], votes[-1]))
    assert (after < before).all()


def test_smoothadv_walks_straight_against_a_linear_head() -> None:
    linear = nn.Linear(12, 2)
    head = nn.Sequential(nn.Flatten(), linear)
    model = LatentSmoothedClassifier(
        nn.Identity(), head, latent_sigma=SIGMA, class_names=("a", "b"), image_shape=(3, 2, 2)
    )
    objective = SmoothAdvObjective(draws=1, steps=3, space="latent")
    labels = torch.zeros(5, dtype=torch.int64)
    found = objective.attack_latents(model, images(), labels, torch.zeros(5, 3, 2, 2), 0.4)
    normal = (linear.weight[1] - linear.weight[0]).detach()
    expected = images() + 0.4 * (normal / normal.norm()).view(3, 2, 2)
    assert_near(found, expected)


def test_an_attack_grows_with_the_training() -> None:
    reached = []
    for progress in (0.01, 0.02, 0.04, 1.0):
        model, head = classifier()
        objective = build_objective(
            "smoothadv", options={"draws": 1, "steps": 2, "ramp": 0.04, "space": "latent"}
        )
        generator = torch.Generator().manual_seed(shifted(7))
        objective(model, images(), torch.from_numpy(LABELS), generator=generator, progress=progress)
        moved = head.given[-1] - head.given[0]
        reached.append(float(moved.flatten(1).norm(dim=1).max()))
    # The ball grows to a quarter, a half and all of its radius of one; the points that are
    # subtracted are a few units long.
    slack = rounding(torch.float32, scale=4.0)
    assert reached[0] == pytest.approx(0.25, abs=slack)
    assert reached[1] <= 0.5 + slack
    assert 0.5 + slack < reached[2] == reached[3] <= 1.0 + slack


@pytest.mark.parametrize("clean_steps", [0, 1])
def test_smoothmix_mixes_points_and_targets(clean_steps: int) -> None:
    model, head = classifier()
    options = {"draws": 2, "steps": 3, "step_size": 0.5, "clean_steps": clean_steps, "weight": 5.0}
    loss = loss_of(model, "smoothmix", **options)
    noise, generator = replay(2)
    share = (torch.rand(5, generator=generator) / 2).view(-1, 1, 1, 1)
    assert len(head.given) == 5  # three attacks, the clean points, the mixed ones
    walk = [given[:5] - noise[:5] for given in head.given]
    assert_near(walk[3], walk[clean_steps], scale=4.0)
    for start, end in pairwise(walk[:3]):
        assert_near((end - start).flatten(1).norm(dim=1), 0.25, scale=4.0)
    far = walk[3] + (walk[4] - walk[3]) / share
    # Dividing by its share magnifies the rounding of the mixed point.
    assert_near((far - walk[2]).flatten(1).norm(dim=1), 0.25, scale=4.0 / float(share.min()))
    clean, mixed = by_draw(head.answers[3], 2), by_draw(head.answers[4], 2)
    expected, counted = cross_entropies(clean).mean(), 0
    for image, label in enumerate(LABELS):
        vote = softmax(clean[:, image], axis=1).mean(0)
        part = float(share[image])
        target = (1 - part) * vote + part / CLASSES
        if vote.argmax() == label:
            counted += 1
            divergences = [kl(target, softmax(mixed[draw, image])) for draw in range(2)]
            expected += 5.0 * np.mean(divergences) / len(LABELS)
    assert counted
    assert loss == pytest.approx(expected, rel=STEEP_LOSS)


@pytest.mark.parametrize("taught", [False, True])
def test_catrs_takes_the_easiest_or_the_worst(taught: bool) -> None:
    model, head = classifier(scale=6.0)
    teacher, teachers_head = classifier(seed=3, scale=30.0)
    options = {"draws": 4, "steps": 3, "epsilon": 0.4, "weight": 2.0, "teacher_draws": 2}
    loss = loss_of(model, "catrs", teacher=teacher.eval() if taught else None, **options)
    _, generator = replay(4)
    clean, worst = by_draw(head.answers[0], 4), by_draw(head.answers[-1], 4)
    for given in head.given[1:]:
        moved = given - head.given[0]
        assert float(moved.flatten(1).norm(dim=1).max()) <= 0.4 + rounding(torch.float32, scale=4.0)
    target = softmax(clean, axis=2).mean(0)
    confidence = (clean.argmax(2) == LABELS).mean(0)
    if taught:
        for _ in range(2):
            torch.empty(5, 3, 2, 2).normal_(0.0, SIGMA, generator=generator)
        target = np.mean([softmax(answer, axis=1) for answer in teachers_head.answers], axis=0)
    tosses = torch.rand(4, 5, generator=generator).numpy()
    expected, full = 0.0, 0
    losses = np.sort(cross_entropies(clean), axis=0)
    for image in range(len(LABELS)):
        kept = max(1, int((tosses[:, image] < confidence[image]).sum()))
        expected += losses[:kept, image].sum() / 4
        if kept == 4:
            full += 1
            expected += 2.0 * SIGMA * max(kl(target[image], softmax(draw[image])) for draw in worst)
    assert 0 < full < len(LABELS)
    assert loss == pytest.approx(expected / len(LABELS), rel=STEEP_LOSS)


def test_catrs_with_one_draw_attacks_only_what_is_right() -> None:
    model, head = classifier(scale=6.0)
    loss = loss_of(model, "catrs", draws=1, steps=2)
    clean, worst = head.answers[0], head.answers[-1]
    right = clean.argmax(1) == LABELS
    assert 0 < right.sum() < len(LABELS)
    pairs = zip(softmax(clean, axis=1), softmax(worst, axis=1), strict=True)
    high = np.array([kl(target, found) for target, found in pairs])
    expected = cross_entropies(by_draw(clean, 1)).mean() + 2.0 * SIGMA * (high * right).mean()
    assert loss == pytest.approx(expected, rel=STEEP_LOSS)


def test_distillation_follows_the_teachers_soft_vote() -> None:
    model, head = classifier()
    teacher, teachers_head = classifier(seed=3)
    loss = loss_of(
        model,
        "distillation",
        teacher=teacher.eval(),
        draws=2,
        teacher_draws=3,
        weight=0.7,
        temperature=2.0,
    )
    logits = by_draw(head.answers[0], 2)
    told = np.concatenate(teachers_head.answers).reshape(3, 5, CLASSES)
    target = softmax(told / 2.0, axis=2).mean(0)
    taught = np.mean(
        [[kl(t, softmax(row / 2.0)) for t, row in zip(target, d, strict=True)] for d in logits]
    )
    expected = 0.3 * cross_entropies(logits).mean() + 0.7 * 4.0 * taught
    assert loss == pytest.approx(expected, rel=LOSS)


def test_margin_is_a_hinge_on_the_nearest_neighbours() -> None:
    model, head = classifier()
    loss = loss_of(model, "margin", weight=0.5, margin=2.0)
    latents = images().double().flatten(1).numpy()
    expected = cross_entropies(by_draw(head.answers[0], 1)).mean()
    for i, label in enumerate(LABELS):
        apart = [float(np.linalg.norm(latents[i] - other)) for other in latents]
        friends = [apart[j] for j in range(5) if j != i and LABELS[j] == label]
        foes = [apart[j] for j in range(5) if LABELS[j] != label]
        if friends:
            short = max(0.0, 2.0 - (min(foes) - min(friends)) / 2 / SIGMA)
            expected += 0.5 * short / len(LABELS)
    assert loss == pytest.approx(expected, rel=LOSS)


def test_the_nearest_neighbours_answer_holds_within_the_margin() -> None:
    latents, labels = torch.randn(40, 6), torch.arange(40) % 3
    latents += 2.0 * nn.functional.one_hot(labels, 6)
    margins, known = neighbour_margins(latents, labels)
    assert bool(known.all())
    for row in (margins > 0).nonzero()[:, 0].tolist():
        rest = torch.arange(40) != row
        shifts = nn.functional.normalize(torch.randn(200, 6)) * margins[row] * 0.999
        nearest = torch.cdist(latents[row] + shifts, latents[rest]).argmin(1)
        assert bool((labels[rest][nearest] == labels[row]).all())
