from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import ConfigurationError
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.objectives import GaussianObjective, build_objective
from latentsmooth.training.objectives.noise import add_latent_noise
from tests.closeness import assert_near
from tests.seeds import shifted


class Recorder(nn.Module):
    """A head that remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 3)
        self.received = torch.empty(0)

    def forward(self, latents: Tensor) -> Tensor:
        self.received = latents.detach()
        logits: Tensor = self.linear(latents)
        return logits


def recording(latent_sigma: float) -> tuple[LatentSmoothedClassifier, Recorder]:
    head = Recorder()
    model = LatentSmoothedClassifier(
        nn.Flatten(),
        head,
        latent_sigma=latent_sigma,
        class_names=("a", "b", "c"),
        image_shape=(1, 8, 8),
    )
    return model, head


@pytest.mark.parametrize("latent_sigma", [0.25, 1.5])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_head_gets_noise_of_the_right_size(latent_sigma: float, bfloat16: bool) -> None:
    model, head = recording(latent_sigma)
    images, labels = torch.rand(2000, 1, 8, 8), torch.zeros(2000, dtype=torch.int64)
    objective = GaussianObjective(bfloat16=bfloat16)
    objective(model, images, labels, generator=torch.Generator().manual_seed(shifted(0)))
    noise = head.received - images.flatten(1)
    assert head.received.dtype == torch.float32
    # Within five standard errors.
    error = 5 * latent_sigma / noise.numel() ** 0.5
    assert float(noise.std()) == pytest.approx(latent_sigma, abs=error / 2**0.5)
    assert float(noise.mean()) == pytest.approx(0.0, abs=error)
    assert abs(float((noise[:, 0] * noise[:, 1]).mean())) < 5 / 2000**0.5 * latent_sigma**2


def test_the_loss_is_the_cross_entropy_of_the_noisy_logits() -> None:
    model, head = recording(0.5)
    images, labels = torch.rand(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    objective = build_objective("gaussian", label_smoothing=0.1)
    loss, logits = objective(model, images, labels, generator=torch.Generator())
    assert_near(logits, head.linear(head.received))
    assert_near(loss, F.cross_entropy(logits, labels, label_smoothing=0.1))


def test_an_unknown_objective_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"one of .*gaussian.*, got 'hinge'"):
        build_objective("hinge")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_noise_keeps_shape_and_layout(layout: torch.memory_format) -> None:
    latents = torch.rand(50, 3, 8, 8).to(memory_format=layout).requires_grad_()
    generator = torch.Generator().manual_seed(shifted(0))
    noisy = add_latent_noise(latents, latent_sigma=0.5, generator=generator)
    assert noisy.shape == latents.shape
    assert noisy.is_contiguous(memory_format=layout)
    five_errors = 5 / (2 * noisy.numel()) ** 0.5
    assert float((noisy - latents).detach().std()) == pytest.approx(0.5, rel=five_errors)
    torch.autograd.backward(noisy.sum())
    assert torch.equal(latents.grad, torch.ones_like(latents))  # type: ignore[arg-type]
