"""Attacks on classifiers whose nearest flip is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.attacks import (
    AttackedCertificate,
    AttackSettings,
    Target,
    attack_beyond,
    attack_certificates,
    attack_inside,
)
from latentsmooth.attacks.gradient import GradientStep
from latentsmooth.attacks.program import Judge
from latentsmooth.certification import Certificate, Certifier, FixedRule, certify
from latentsmooth.errors import ConfigurationError
from latentsmooth.orthogonal import ChannelNormalize
from tests.certification.half_space import HalfSpace, HalfSpaceClassifier
from tests.seeds import shifted

SIGMA = 0.1
QUICK = AttackSettings(steps=20, draws=16, search_draws=4000)


def targets(images: Tensor, certificates: Sequence[Certificate], factor: float = 1) -> list[Target]:
    made = []
    for image, one in zip(images, certificates, strict=True):
        assert one.prediction is not None
        made.append(
            Target(
                image=image,
                index=one.index,
                label=one.label,
                prediction=one.prediction,
                input_radius=one.input_radius * factor,
            )
        )
    return made


def attacked(
    model: HalfSpaceClassifier,
    aims: Sequence[Target],
    settings: AttackSettings = QUICK,
    **more: Any,
) -> list[AttackedCertificate]:
    batches = attack_certificates(model, aims, settings, n_estimate=10_000, **more)
    return [one for batch in batches for one in batch]


def scene(
    factor: float = 1.0, sigma: float = SIGMA
) -> tuple[HalfSpaceClassifier, Tensor, list[float]]:
    """Images on both sides of the boundary, and their distances from it over pixels.

    The boundary's normal is (1, 1, 1, 1) / 2, so without the box each pixel moves by half the
    distance, here within the box.
    """
    model = HalfSpaceClassifier(factor=factor, threshold=factor, sigma=sigma)
    generator = torch.Generator().manual_seed(shifted(0))
    images = 0.5 + 0.15 * torch.rand(6, 1, 2, 2, generator=generator) + 0.05
    images[3:] = 1 - images[3:]
    return model, images, [abs(model.latent_margin(image)) / factor for image in images]


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_true_radii_stand_and_the_nearest_flip_is_where_it_is(factor: float) -> None:
    model, images, far = scene(factor, sigma=SIGMA / 2)
    certificates = certify(model, images, n_estimate=10_000)
    assert {one.prediction for one in certificates} == {0, 1}
    found = attacked(model, targets(images, certificates))
    for one, distance in zip(found, far, strict=True):
        assert one.input_radius < distance
        assert not one.flipped_inside
        assert not one.falsified
        assert 0.99 * one.input_radius < one.inside.input_distance < one.input_radius
        assert one.flip is not None
        assert one.flip.prediction not in (None, one.prediction)
        assert distance < one.flip.input_distance < 1.08 * distance


def test_radii_inflated_are_all_flipped() -> None:
    model, images, far = scene()
    certificates = certify(model, images, n_estimate=10_000)
    settings = AttackSettings(steps=20, draws=16, control=1.5, beyond=False)
    reaching = 0
    for one, distance in zip(
        attacked(model, targets(images, certificates), settings), far, strict=True
    ):
        assert one.attacked_radius == pytest.approx(1.5 * one.input_radius)
        certain = one.attacked_radius > distance + 0.1 * SIGMA
        reaching += certain
        assert one.flipped_inside >= certain
        assert not one.falsified
        if one.flip is not None:
            assert distance < one.flip.input_distance < one.attacked_radius
    assert reaching >= 4


def test_the_box_makes_the_nearest_flip_farther() -> None:
    model = HalfSpaceClassifier(threshold=1.0, sigma=SIGMA)
    image = torch.tensor([[[[0.05, 0.9], [0.9, 0.9]]]])
    [certificate] = certify(model, image, n_estimate=10_000)
    # One pixel can only give 0.05 of the 0.75 that the sum must lose.
    distance = math.sqrt(0.05**2 + 3 * (0.7 / 3) ** 2)
    assert distance > model.latent_margin(image[0]) * 1.05
    [one] = attacked(model, targets(image, [certificate]))
    assert one.flip is not None
    assert distance < one.flip.input_distance < 1.08 * distance


class Normalized(HalfSpaceClassifier):
    """Half-space behind a division by the standard deviation, which multiplies L by 5."""

    def __init__(self) -> None:
        super().__init__(threshold=0.0, sigma=SIGMA)
        self.encoder = ChannelNormalize([0.5], [0.2])
        self.head = HalfSpace(4, 0.0)


def test_forgotten_normalisation_is_found_out_and_the_honest_bound_is_not() -> None:
    model, (_, images, _) = Normalized(), scene()
    honest = certify(model, images, n_estimate=10_000)
    assert all(one.input_radius < one.latent_radius / 4.99 for one in honest)
    assert not any(one.flipped_inside for one in attacked(model, targets(images, honest)))
    forgotten = attacked(model, targets(images, honest, factor=5.0))
    assert all(one.falsified for one in forgotten)


def test_a_wrong_class_is_falsified_at_the_image_itself() -> None:
    model, images, _ = scene()
    lie = Target(image=images[0], index=0, label=1, prediction=0, input_radius=0.01)
    [one] = attacked(model, [lie])
    assert one.falsified
    assert one.flip is not None
    assert one.flip.prediction == 1


def test_results_do_not_depend_on_company() -> None:
    model, images, _ = scene()
    aims = targets(images, certify(model, images, n_estimate=2000))
    settings = AttackSettings(steps=3, draws=8, search_draws=100)
    together = attacked(model, aims, settings)
    alone = [attacked(model, [aim], settings, total=len(aims))[0] for aim in aims]
    for one, other in zip(together, alone, strict=True):
        assert one.inside == other.inside
        assert one.flip == other.flip


def linear(normal: Tensor, thresholds: Tensor) -> Any:
    """The gradient of a linear classifier without noise, and which side points are on."""

    def gradient(points: Tensor, classes: Tensor, generators: Any) -> GradientStep:
        flipped = points.flatten(1) @ normal.flatten() < thresholds
        return GradientStep(-normal.expand_as(points), flipped, torch.zeros(len(points), 2))

    return gradient


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(shifted(seed)) for seed in range(count)]


def test_norm_and_direction_find_the_hyperplane() -> None:
    clean = torch.rand(4, 3, 8, 8, generator=generators(1)[0]) * 0.4 + 0.3
    normal = torch.randn(3, 8, 8, generator=generators(2)[1])
    normal /= normal.norm()
    far = torch.tensor([0.05, 0.3, 0.8, 1.5])
    gradient = linear(normal, clean.flatten(1) @ normal.flatten() - far)
    start = torch.randn(clean.shape, generator=generators(3)[2])
    classes = torch.zeros(4, dtype=torch.long)
    for begun in (0.02, 0.5, 3.0):
        radii = torch.full((4,), begun, dtype=torch.float64)
        moved = attack_beyond(gradient, clean, classes, radii, start, generators(4), steps=100)
        lengths = moved.flatten(1).norm(dim=1)
        assert torch.allclose(lengths, far, rtol=0.05)
        assert bool((-(moved.flatten(1) @ normal.flatten()) / lengths > 0.98).all())


@pytest.mark.parametrize("radius", [1e-6, 0.1, 20.0])
@pytest.mark.parametrize("slope", [0.0, 1e-30, 1.0, 1e30])
def test_searches_stay_in_ball_and_box_whatever_the_gradient(radius: float, slope: float) -> None:
    clean = (torch.rand(3, 1, 5, 5, generator=generators(1)[0]) * 2 - 0.5).clamp(0, 1)
    drawn = torch.randn(clean.shape, generator=generators(2)[1])

    def gradient(points: Tensor, classes: Tensor, generators: Any) -> GradientStep:
        assert bool(((points > -1e-6) & (points < 1 + 1e-6)).all())
        return GradientStep(drawn * slope, torch.tensor([True, False, True]), torch.zeros(3, 2))

    radii = torch.full((3,), radius, dtype=torch.float64)
    classes = torch.zeros(3, dtype=torch.long)
    points = attack_inside(gradient, clean, classes, radii, generators(3), steps=7)
    assert bool(((points >= 0) & (points <= 1)).all())
    assert bool(((points.double() - clean.double()).flatten(1).norm(dim=1) < radius).all())
    moved = attack_beyond(gradient, clean, classes, radii, drawn, generators(3), steps=7)
    assert bool(moved.isfinite().all())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_radius": 0.0}, "radius 0.0 of image 3"),
        ({"prediction": 2}, "got class 2"),
        ({"image": torch.zeros(1, 2, 2, dtype=torch.float64)}, "wanted float32 images"),
    ],
)
def test_targets_that_cannot_be_attacked(changes: dict[str, Any], message: str) -> None:
    plain = Target(image=torch.zeros(1, 2, 2), index=3, label=0, prediction=1, input_radius=1.0)
    with pytest.raises(ConfigurationError, match=message):
        attack_certificates(scene()[0], [replace(plain, **changes)], QUICK)


def test_a_head_without_gradient_is_told() -> None:
    class Hard(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            return torch.stack(
                [latents.flatten(1).sum(1) > 1, latents.flatten(1).sum(1) <= 1], 1
            ).float()

    model, images, _ = scene()
    model.head = Hard()
    aim = Target(image=images[0], index=0, label=None, prediction=0, input_radius=0.1)
    with pytest.raises(ConfigurationError, match="cannot be differentiated"):
        next(attack_certificates(model, [aim], QUICK))


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"draws": -1}, {"restarts": 0}, {"seed": -1}, {"control": math.nan}]
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        AttackSettings(**wrong)


def test_on_the_boundary_the_judge_abstains_and_each_answer_has_its_own_noise() -> None:
    model, images, _ = scene()
    aim = Target(image=images[0], index=5, label=1, prediction=1, input_radius=0.1)
    judge = Judge(Certifier(model, seed=3), [aim])
    boundary = torch.full((4, 1, 2, 2), 0.5)
    rule = FixedRule(n_estimate=5000, alpha=1e-6)
    answers = judge.ask([0] * 4, boundary, rule)
    assert [answer.prediction for answer in answers] == [None] * 4
    assert not any(judge.flips(0, answer) for answer in answers)
    assert (judge.answers, judge.abstentions) == ([4], [4])
    assert len({answer.votes for answer in answers}) == 4
    far = float((boundary[0].double() - images[0].double()).norm())
    assert answers[0].input_distance == pytest.approx(far, rel=1e-9)
    [beyond] = judge.ask([0], torch.full((1, 1, 2, 2), 0.4), rule)
    assert judge.flips(0, beyond)
    assert judge.leans(0, beyond)
    assert (judge.answers, judge.abstentions) == ([5], [4])
