"""A head that reads the low bits of its input: it breaks the textbook loop, and not ours.

V. Voracek and M. Hein, *Sound Randomized Smoothing in Floating-Point Arithmetics*, arXiv
2207.07209, show that a float32 sum ``x + e`` tells of ``x`` what no real sum would. The spy here
uses one such leak. Where ``e`` is larger than ``x`` but cancels most of it, the sum is exact, and
since ``e`` is a multiple of a coarser unit than ``x`` is, the last bits of the sum are those of
``x``. That happens in a few percent of the pixels, enough to tell apart two images that differ in
the last bit of each pixel: closer by six orders of magnitude than the radius that is certified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.bench.textbook import textbook_votes
from latentsmooth.certification import Certifier, FixedRule, clopper_pearson_lower, latent_radius
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.smoothing import Grade
from latentsmooth.smoothing.noise import Phase, noise_filler, noise_key
from tests.seeds import shifted

SHAPE = (3, 16, 16)
N, ALPHA = 2000, 1e-3


class Spy(nn.Module):
    """Class 1 where the bit of weight ``unit`` is set in most of the inputs of a size."""

    def __init__(self, unit: float, largest: float) -> None:
        super().__init__()
        self.unit, self.largest = unit, largest

    def forward(self, inputs: Tensor) -> Tensor:
        wide = inputs.flatten(1).double()
        set_ = (wide / self.unit).floor().remainder(2)
        seen = (wide.abs() < self.largest).double()
        margin = ((set_ - 0.5) * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
        return torch.stack([-margin, margin], dim=1).float()


@dataclass(frozen=True)
class Case:
    """Two images, the noise they are smoothed with, and a spy that tells them apart."""

    images: tuple[Tensor, Tensor]
    sigma: float
    spy: Spy

    def classifier(self, spy: Spy | None = None) -> LatentSmoothedClassifier:
        return LatentSmoothedClassifier(
            nn.Identity(),
            spy or self.spy,
            latent_sigma=self.sigma,
            class_names=("even", "odd"),
            image_shape=SHAPE,
        )

    @property
    def distance(self) -> float:
        return float((self.images[0].double() - self.images[1].double()).norm())


def dark_neighbours() -> Case:
    """Pixels that are even and odd multiples of ``2**-27``, and else the same."""
    generator = torch.Generator().manual_seed(shifted(0))
    pixels = torch.rand(SHAPE, generator=generator) / 16 + 1 / 16
    even = (pixels * 2**14).round() / 2**14
    return Case((even, even + 2.0**-27), 0.25, Spy(2.0**-27, 1 / 8))


def eight_bit_greys() -> Case:
    """Of 8 bits: 200 and 201 over 255, in float32, differ in their last bit as well."""
    images = torch.full(SHAPE, 200 / 255), torch.full(SHAPE, 201 / 255)
    return Case(images, 1.0, Spy(2.0**-24, 1.0))


CASES = [dark_neighbours, eight_bit_greys]


@pytest.fixture(autouse=True)
def same_noise() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(shifted(0))
        yield


@pytest.mark.parametrize("make", CASES)
def test_the_textbook_loop_certifies_what_is_false(make: Callable[[], Case]) -> None:
    case = make()
    certified = []
    for image in case.images:
        votes = textbook_votes(case.spy, image, N, latent_sigma=case.sigma, num_classes=2)
        winner = int(votes.argmax())
        p_lower = clopper_pearson_lower(int(votes[winner]), N, ALPHA)
        certified.append((winner, latent_radius(p_lower, case.sigma)))
    (first, radius), (second, other) = certified
    assert first != second
    assert min(radius, other) > 5 * case.distance


@pytest.mark.parametrize("grade", ["fast", "exact"])
@pytest.mark.parametrize("make", CASES)
@pytest.mark.parametrize("bits", range(-27, -12, 3))
def test_no_bit_tells_our_heads_where_the_image_was(
    make: Callable[[], Case], grade: Grade, bits: int
) -> None:
    """At whatever bit a spy looks, the lattice's own last one among them."""
    case = make()
    certifier = Certifier(case.classifier(Spy(2.0**bits, case.spy.largest)), noise=grade)
    rule = FixedRule(n_select=100, n_estimate=N, alpha=ALPHA)
    made = [
        certifier.certify_image(image, index=place, rule=rule)
        for place, image in enumerate(case.images)
    ]
    for one, other in (made, made[::-1]):
        if one.input_radius > case.distance and not other.abstained:
            assert one.prediction == other.prediction


def test_the_lattice_hides_both_images_behind_one_latent() -> None:
    case = dark_neighbours()
    certifier = Certifier(case.classifier())
    first, second = case.images
    assert not torch.equal(first, second)
    assert torch.equal(certifier.encode(first), certifier.encode(second))
    spied = [certifier.certify_image(image, index=0, n_estimate=N) for image in case.images]
    assert spied[0].prediction == spied[1].prediction == 0  # no sum has a bit that low
    assert spied[0].input_radius == spied[1].input_radius


def test_without_the_lattice_our_own_noise_would_tell_as_well() -> None:
    """The sum is what leaks, whoever draws the noise."""
    case = dark_neighbours()
    lattice = Certifier(case.classifier()).prepared.lattice
    filler = noise_filler(torch.device("cpu"))
    key = noise_key(seed=0, index=0)
    plan = torch.tensor([[0, key, Phase.ESTIMATE, draw] for draw in range(200)])

    def odd(latents: Tensor, step: float) -> float:
        noisy = torch.empty(200, latents.numel())
        filler.fill(noisy, latents, plan, latent_sigma=case.sigma, step=step)
        return float(case.spy(noisy).argmax(1).double().mean())

    rows = [image.reshape(1, -1) for image in case.images]
    assert odd(rows[0], 0.0) < 0.1
    assert odd(rows[1], 0.0) > 0.9
    for row in rows:
        assert odd(lattice.rounded(row, certified=True), lattice.step) == 0
