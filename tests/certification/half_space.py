"""A classifier whose smoothed answer and radius are known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentsmooth.lipschitz import register_rule


class Scale(nn.Module):
    """Multiply by a constant: an encoder of known Lipschitz constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        return images * self.factor


@register_rule(Scale)
def scale_bound(module: Scale) -> float:
    return abs(module.factor)


class HalfSpace(nn.Module):
    """Class 1 where the mean-weighted sum exceeds a threshold: ``w.z > t`` with ``|w| = 1``."""

    def __init__(self, dimension: int, threshold: float) -> None:
        super().__init__()
        self.register_buffer("normal", torch.full((dimension,), dimension**-0.5))
        self.threshold = threshold

    normal: Tensor

    def forward(self, latents: Tensor) -> Tensor:
        margin = latents.flatten(1) @ self.normal - self.threshold
        return torch.stack([-margin, margin], dim=1)


class HalfSpaceClassifier:
    """Smoothed, it answers 1 with probability Phi(margin / sigma) at latent margin ``margin``."""

    def __init__(self, *, factor: float = 1.0, threshold: float = 0.0, sigma: float = 0.5) -> None:
        self.encoder: nn.Module = Scale(factor)
        self.head: nn.Module = HalfSpace(4, threshold)
        self.latent_sigma = sigma
        self.class_names: tuple[str, ...] = ("below", "above")
        self.image_shape: tuple[int, int, int] = (1, 2, 2)

    def latent_margin(self, image: Tensor) -> float:
        logits = self.head(self.encoder(image.double().float().unsqueeze(0)))
        return float(logits[0, 1])
