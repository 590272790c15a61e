"""The smoothed classifier's gradient, by noise drawn anew each time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentsmooth.certification import PreparedClassifier
from latentsmooth.errors import ConfigurationError

__all__ = ["GradientStep", "SmoothedGradient"]

_MARGIN_SHARE = 1e-6
"""Weight of the logits' margin: where the softmax is 1 to the last bit, it alone points."""


@dataclass(frozen=True, slots=True)
class GradientStep:
    """What one look at the smoothed classifier tells.

    Attributes:
        gradients: ``(batch, *image_shape)``, of the loss, uphill away from the class.
        flipped: ``(batch,)`` bool, whether most draws vote for one other class.
    """

    gradients: Tensor
    flipped: Tensor


class SmoothedGradient:
    """Gradient of ``-log mean_e softmax(g(h(x) + e))_c`` at images x, e being latent noise.

    Networks are float32 copies of those that certify, folding included: the noise has the same
    law there, and less of it must be drawn.

    Args:
        prepared: the copies that certify.
        latent_sigma: standard deviation of the noise.
        draws: of noise an image.

    Source:
        H. Salman et al., *Provably Robust Deep Learning via Adversarially Trained Smoothed
        Classifiers*, arXiv 1906.04584 (section 2.2), for the loss.
    """

    def __init__(self, prepared: PreparedClassifier, *, latent_sigma: float, draws: int) -> None:
        self.device = prepared.device
        self._encoder = _single(prepared.encoder)
        self._head = _single(prepared.head)
        self._spatial = len(prepared.latent_shape) == 3
        if self._spatial:
            self._head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._latent_shape = prepared.latent_shape
        self._latent_sigma = latent_sigma
        self._draws = draws

    def __call__(
        self, points: Tensor, classes: Tensor, generators: Sequence[torch.Generator]
    ) -> GradientStep:
        """Draw and differentiate.

        Args:
            points: ``(batch, *image_shape)`` float32.
            classes: ``(batch,)`` int64, the classes to leave.
            generators: one an image, so that its noise does not depend on the others.

        Raises:
            ConfigurationError: where the networks cannot be differentiated.
        """
        points = points.detach().requires_grad_()
        try:
            with torch.autocast(self.device.type, enabled=False):
                logits = self._head(self._noisy(self._encoder(points), generators))
                logits = logits.view(len(points), self._draws, -1)
                [gradients] = torch.autograd.grad(_loss(logits, classes), [points])
        except RuntimeError as error:
            raise ConfigurationError(f"the classifier cannot be differentiated: {error}") from error
        voted = nn.functional.one_hot(logits.detach().argmax(2), logits.shape[2]).sum(1)
        most, leading = voted.max(1)
        flipped = (leading != classes) & (2 * most > self._draws)
        return GradientStep(gradients.nan_to_num(0.0), flipped)

    def _noisy(self, latents: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        shape = (self._draws, *self._latent_shape)
        noise = torch.stack(
            [torch.randn(shape, generator=each, device=self.device) for each in generators]
        )
        rows = (latents.unsqueeze(1) + noise.mul_(self._latent_sigma)).flatten(0, 1)
        return rows.contiguous(memory_format=torch.channels_last) if self._spatial else rows


def _loss(logits: Tensor, classes: Tensor) -> Tensor:
    places = classes.view(-1, 1, 1).expand(-1, logits.shape[1], 1)
    scores = logits.log_softmax(2).gather(2, places).squeeze(2)
    own = logits.gather(2, places).squeeze(2)
    rival = logits.scatter(2, places, -torch.inf).amax(2)
    # A mean over draws differs from their sum by a constant in the logarithm.
    return -scores.logsumexp(1).sum() + _MARGIN_SHARE * (rival - own).mean(1).sum()


def _single(module: nn.Module) -> nn.Module:
    with torch.inference_mode(mode=False):
        return copy.deepcopy(module).float().eval().requires_grad_(False)
