"""Points in the ball and the pixel box, against alternating projections and plain halving."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentsmooth.attacks.geometry import distances, inside, on_ray, project, reach
from latentsmooth.errors import ShapeError
from tests.closeness import rounding
from tests.seeds import shifted

SHAPE = (3, 4, 4)


def images(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(shifted(seed))
    pixels = torch.rand(count, *SHAPE, generator=generator)
    # Many pixels at the box's faces, as in photographs.
    return (pixels * 1.6 - 0.3).clamp(0, 1)


def directions(count: int, length: float, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(shifted(seed))
    drawn = torch.randn(count, *SHAPE, generator=generator)
    drawn[:, :, 0] = 0.0
    return drawn * length


def norm_of(clean: Tensor, unit: Tensor, scale: float) -> float:
    return float(((clean + scale * unit).clamp(0, 1) - clean).double().norm())


@pytest.mark.parametrize("length", [1e-30, 1e-6, 1.0, 1e12])
def test_reach_goes_exactly_as_far_as_asked_or_as_the_box_allows(length: float) -> None:
    clean, along = images(40), directions(40, length)
    wanted = torch.linspace(0.001, 6.0, 40)
    moved = reach(clean, along, wanted)
    once = rounding(torch.float32, steps=1)
    assert bool(((clean + moved >= -once) & (clean + moved <= 1 + once)).all())
    assert bool((moved * along >= 0).all())
    for image, direction, target, made in zip(clean, along, wanted, moved, strict=True):
        unit = direction / direction.abs().max()
        low, high = 0.0, 1e9
        farthest = norm_of(image, unit, high)
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if norm_of(image, unit, middle) < target else (low, middle)
        oracle = ((image + high * unit).clamp(0, 1) - image).double()
        assert float(made.double().norm()) == pytest.approx(min(float(target), farthest), rel=1e-5)
        assert torch.allclose(made.double(), oracle, atol=2e-5)


def test_no_direction_leads_nowhere() -> None:
    clean = images(2)
    assert torch.equal(
        reach(clean, torch.zeros_like(clean), torch.ones(2)), torch.zeros_like(clean)
    )


Vector = NDArray[np.float64]


def nearest_by_dykstra(centre: Vector, target: Vector, norm: float) -> Vector:
    """The projection as a limit of alternating ones, each corrected by what it did last time."""
    point, of_ball, of_box = target, np.zeros_like(target), np.zeros_like(target)
    for _ in range(5000):
        offset = point + of_ball - centre
        in_ball = centre + offset * min(1.0, norm / float(np.linalg.norm(offset)))
        of_ball = point + of_ball - in_ball
        point = np.clip(in_ball + of_box, 0.0, 1.0)
        of_box = in_ball + of_box - point
    return point


def test_projection_is_the_nearest_point_of_ball_and_box() -> None:
    clean, away = images(6), directions(6, 0.4)
    norms = torch.tensor([0.05, 0.3, 0.8, 1.2, 1.6, 9.0])
    for image, offset, norm, made in zip(
        clean.double(), away.double(), norms, project(clean, away, norms), strict=True
    ):
        start, target = image.flatten().numpy(), (image + offset).flatten().numpy()
        found = nearest_by_dykstra(start, target, float(norm))
        nearest = torch.from_numpy(found).view(SHAPE)
        assert torch.allclose(image + made.double(), nearest, atol=1e-4)
        excess = float((made.double() - offset).norm()) - np.linalg.norm(found - target)
        assert excess < 1e-5
        assert float(made.norm()) <= float(norm) * (1 + rounding(torch.float32))


@pytest.mark.parametrize("radius", [1e-12, 1e-7, 3e-5, 0.01, 0.25, 1.0, 30.0])
@pytest.mark.parametrize("seed", range(3))
def test_points_inside_are_inside_in_exact_arithmetic(radius: float, seed: int) -> None:
    clean = images(20, seed)
    norms = torch.full((20,), radius, dtype=torch.float64)
    moved = project(clean, directions(20, 10 * radius, seed + 5), norms.float() * 1.01)
    points = inside(clean, moved, norms)
    assert points.dtype == torch.float32
    assert bool(((points >= 0) & (points <= 1)).all())
    exact = points.numpy().astype(np.longdouble) - clean.numpy().astype(np.longdouble)
    lengths = np.sqrt((exact**2).reshape(20, -1).sum(1))
    assert (lengths < np.longdouble(radius)).all()
    assert (distances(clean, points).numpy() >= lengths).all()
    if 1e-4 < radius < 1:
        assert (lengths > 0.98 * radius).all()


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.7])
def test_distances_are_rounded_up_however_many_pixels(value: float) -> None:
    count = 3 * 2048 * 2048
    far = float(distances(torch.zeros(1, count), torch.full((1, count), value)))
    exact = count * Fraction(float(np.float32(value))) ** 2
    assert exact <= Fraction(far) ** 2 <= exact * (1 + Fraction(1, 10**8))


def test_distances_want_points_of_one_shape() -> None:
    with pytest.raises(ShapeError, match=r"expected points of shape \(2, 3, 4, 4\)"):
        distances(images(2), images(3))


def test_a_ray_stops_at_the_box_pixel_by_pixel() -> None:
    clean = torch.tensor([[[[0.5, 0.9]]]])
    found = on_ray(clean, torch.tensor([[[[0.1, 0.1]]]]), torch.tensor([3.0]))
    assert torch.allclose(found, torch.tensor([[[[0.8, 1.0]]]]))
