"""Three classes that share the plane: one is at the top with less than half of the draws."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.attacks import AttackSettings, SmoothedGradient, Target, attack_certificates
from latentsmooth.certification import Certificate, Certifier, TwoSidedRule, certify
from tests.closeness import assert_near
from tests.seeds import shifted

_OFFSET = 0.1


class Sectors(nn.Module):
    """The nearest of three directions, in the plane of the first two pixels."""

    def __init__(self) -> None:
        super().__init__()
        angles = torch.arange(3) * 2 * math.pi / 3
        self.register_buffer("axes", 50 * torch.stack([angles.cos(), angles.sin()], 1))

    axes: Tensor

    def forward(self, latents: Tensor) -> Tensor:
        return (latents.flatten(1)[:, :2] - 0.5) @ self.axes.T


class SectorClassifier:
    encoder: nn.Module = nn.Identity()
    head: nn.Module = Sectors()
    latent_sigma = 0.5
    class_names: tuple[str, ...] = ("a", "b", "c")
    image_shape: tuple[int, int, int] = (1, 2, 2)


@cache
def scene() -> tuple[Tensor, Certificate]:
    image = torch.full((1, 2, 2), 0.5)
    image[0, 0, 0] += _OFFSET
    rule = TwoSidedRule(n_estimate=20_000)
    [certificate] = certify(SectorClassifier(), image.unsqueeze(0), rule=rule)
    return image, certificate


@pytest.mark.parametrize(("factor", "control", "falsified"), [(1, 1, 0), (4, 1, 1), (1, 4, 0)])
def test_classes_without_a_majority_are_told_apart(
    factor: float, control: float, falsified: bool
) -> None:
    image, certificate = scene()
    assert certificate.prediction == 0
    assert 0 < certificate.p_lower < 0.5
    # The top class changes on the rays halfway between two directions.
    distance = _OFFSET * math.sin(math.pi / 3)
    assert certificate.input_radius < distance < 4 * certificate.input_radius
    aim = Target(
        image=image,
        index=0,
        label=0,
        prediction=0,
        input_radius=factor * certificate.input_radius,
    )
    settings = AttackSettings(steps=40, control=control, beyond=False)
    [[one]] = attack_certificates(SectorClassifier(), [aim], settings, n_estimate=20_000)
    assert one.falsified == falsified
    assert one.flipped_inside == (factor * control > 1)
    if one.flip is not None:
        assert distance < one.flip.input_distance < one.attacked_radius


def test_a_radius_out_of_the_box_ends_at_its_diameter() -> None:
    image, _ = scene()
    aim = Target(image=image, index=0, label=0, prediction=0, input_radius=0.02)
    settings = AttackSettings(steps=10, control=1e300)
    [[one]] = attack_certificates(SectorClassifier(), [aim], settings, n_estimate=2000)
    assert one.attacked_radius == pytest.approx(2.0, rel=1e-5)
    assert one.flipped_inside
    assert not one.falsified


def test_what_memory_holds_changes_no_gradient() -> None:
    torch.manual_seed(shifted(0))
    model = SectorClassifier()
    model.encoder = nn.Conv2d(1, 4, 1).eval()
    model.head = nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    prepared = Certifier(model, folds=False).prepared
    points, classes = torch.rand(5, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1])

    def step(most_bytes: int) -> tuple[int, Tensor, Tensor]:
        gradient = SmoothedGradient(prepared, latent_sigma=0.5, draws=12, most_bytes=most_bytes)
        drawn = [torch.Generator().manual_seed(shifted(seed)) for seed in range(5)]
        found = gradient(points, classes, drawn)
        return gradient.most_rows, found.gradients, found.scores

    rows, whole, scores = step(2**29)
    assert rows > 60
    held = 2**29 // rows
    for wanted in (1, 5, 12, 30):
        rows, some, others = step(wanted * (held + 1))
        assert rows == wanted
        assert_near(some, whole)
        assert_near(others, scores)
    assert float(whole.abs().amin(1).max()) > 0
