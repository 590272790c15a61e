"""The smoothed classifier's gradient, by noise drawn anew each time."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentsmooth.certification import PreparedClassifier
from latentsmooth.errors import ConfigurationError

__all__ = ["GradientStep", "Pursuit", "SmoothedGradient"]

_MOST_BYTES = 2**29
"""Held for the backward pass at a time; about as much again is working memory."""
_LEAST_WEIGHT = 0.1
"""Of the latest look in the running mean that says which rival is the best."""
_MARGIN_SHARE = 1e-6
"""Weight of the logits' margin: where the softmax is 1 to the last bit, it alone points."""


@dataclass(frozen=True, slots=True)
class GradientStep:
    """What one look at the smoothed classifier tells.

    Attributes:
        gradients: ``(batch, *image_shape)``, of the loss, uphill away from the class.
        flipped: ``(batch,)`` bool, whether another class has more of the draws.
        scores: ``(batch, classes)``, logarithms of mean softmaxes.
    """

    gradients: Tensor
    flipped: Tensor
    scores: Tensor


class SmoothedGradient:
    """Gradient of a rival's lead over class c at images x, e being latent noise.

    The lead of k is ``log p_k - log p_c`` with ``p = mean_e softmax(g(h(x) + e))``. Leaving c
    alone, a search could end where two others are level.

    Networks are float32 copies of those that certify, folding included: the noise has the same
    law there, and less of it must be drawn. Where the draws of one image are too many to be held
    for the backward pass, the head runs twice: for the weights of the draws in the loss, and then
    a few draws at a time for the gradient.

    Args:
        prepared: the copies that certify.
        latent_sigma: standard deviation of the noise.
        draws: of noise an image.
        most_bytes: what the backward pass may hold.

    Source:
        H. Salman et al., *Provably Robust Deep Learning via Adversarially Trained Smoothed
        Classifiers*, arXiv 1906.04584 (section 2.2), for the mean inside the logarithm.
    """

    def __init__(
        self,
        prepared: PreparedClassifier,
        *,
        latent_sigma: float,
        draws: int,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self.device = prepared.device
        self._encoder = _single(prepared.encoder)
        self._head = _single(prepared.head)
        self._spatial = len(prepared.latent_shape) == 3
        if self._spatial:
            self._head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._latent_shape = prepared.latent_shape
        self._latent_sigma = latent_sigma
        self._draws = draws
        self._image_shape = prepared.image_shape
        self._most_bytes = most_bytes
        self._most_rows: int | None = None

    @property
    def most_rows(self) -> int:
        """Noisy latents that are differentiated at a time, by what one of them holds."""
        if self._most_rows is None:
            self._most_rows = max(1, self._most_bytes // max(1, self._held()))
        return self._most_rows

    def __call__(
        self,
        points: Tensor,
        classes: Tensor,
        generators: Sequence[torch.Generator],
        rivals: Tensor | None = None,
    ) -> GradientStep:
        """Draw and differentiate.

        Args:
            points: ``(batch, *image_shape)`` float32.
            classes: ``(batch,)`` int64, the classes to leave.
            generators: one an image, so that its noise does not depend on the others.
            rivals: ``(batch,)`` int64, the classes to reach; ``None`` for the best in these draws.

        Raises:
            ConfigurationError: where the networks cannot be differentiated.
        """
        try:
            with torch.autocast(self.device.type, enabled=False):
                few = max(1, self.most_rows // self._draws)
                parts = []
                for i in range(0, len(points), few):
                    some = slice(i, i + few)
                    loss = _Loss(classes[some], None if rivals is None else rivals[some])
                    parts.append(self._step(points[some], loss, generators[some]))
        except RuntimeError as error:
            raise ConfigurationError(f"the classifier cannot be differentiated: {error}") from error
        gradients, logits = (torch.cat(each) for each in zip(*parts, strict=True))
        voted = nn.functional.one_hot(logits.argmax(2), logits.shape[2]).sum(1)
        own = voted.gather(1, classes.unsqueeze(1)).squeeze(1)
        scores = _log_means(logits)
        return GradientStep(gradients.nan_to_num(0.0), voted.amax(1) > own, scores)

    def _step(
        self, points: Tensor, loss: _Loss, generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Gradients and logits of as many images as may be held, or of one."""
        points = points.detach().requires_grad_()
        latents = self._encoder(points)
        noise = self._noise(generators)
        if len(points) > 1 or self._draws <= self.most_rows:
            logits = self._logits(latents, noise)
            [gradients] = torch.autograd.grad(loss(logits), [points])
            return gradients, logits.detach()
        leaf = latents.detach().requires_grad_()
        few = self.most_rows
        starts = range(0, self._draws, few)
        pieces = [noise[:, start : start + few] for start in starts]
        with torch.no_grad():
            logits = torch.cat([self._logits(leaf, piece) for piece in pieces], 1)
        logits.requires_grad_()
        [slopes] = torch.autograd.grad(loss(logits), [logits])
        pulled = torch.zeros_like(leaf)
        for start, piece in zip(starts, pieces, strict=True):
            slope = slopes[:, start : start + few]
            pulled += torch.autograd.grad(self._logits(leaf, piece), [leaf], slope)[0]
        [gradients] = torch.autograd.grad(latents, [points], pulled)
        return gradients, logits.detach()

    def _noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        shape = (self._draws, *self._latent_shape)
        drawn = [torch.randn(shape, generator=each, device=self.device) for each in generators]
        return torch.stack(drawn).mul_(self._latent_sigma)

    def _logits(self, latents: Tensor, noise: Tensor) -> Tensor:
        """``(images, draws, classes)``."""
        rows = (latents.unsqueeze(1) + noise).flatten(0, 1)
        if self._spatial:
            rows = rows.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self._head(rows)
        return logits.view(*noise.shape[:2], -1)

    def _held(self) -> int:
        """Bytes that the backward pass of one noisy latent holds, weights left out."""
        shared = {
            tensor.untyped_storage().data_ptr()
            for network in (self._encoder, self._head)
            for tensor in (*network.parameters(), *network.buffers())
        }
        found: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in shared:
                found[storage.data_ptr()] = storage.nbytes()
            return tensor

        points = torch.full((1, *self._image_shape), 0.5, device=self.device, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            latents = self._encoder(points)
            self._logits(latents, torch.zeros((1, 1, *self._latent_shape), device=self.device))
        return sum(found.values())


class Pursuit:
    """A smoothed gradient for one search: which rival it makes for is settled over several steps.

    The draws of one step may mistake the best rival, and turning from one to another leads
    between them.

    Args:
        gradient: at every step.
    """

    def __init__(self, gradient: SmoothedGradient) -> None:
        self._gradient = gradient
        self._scores: Tensor | None = None
        self._steps = 0

    def __call__(
        self, points: Tensor, classes: Tensor, generators: Sequence[torch.Generator]
    ) -> GradientStep:
        """As `SmoothedGradient`; always the same images."""
        rivals = None if self._scores is None else _best_other(self._scores, classes)
        step = self._gradient(points, classes, generators, rivals)
        self._steps += 1
        weight = max(_LEAST_WEIGHT, 1 / self._steps)
        before = step.scores if self._scores is None else self._scores
        self._scores = before + weight * (step.scores - before)
        return step


@dataclass(frozen=True, slots=True)
class _Loss:
    """What is to grow: the rivals' lead."""

    classes: Tensor
    rivals: Tensor | None

    def __call__(self, logits: Tensor) -> Tensor:
        means = _log_means(logits)
        rivals = _best_other(means, self.classes) if self.rivals is None else self.rivals
        margins = _lead(logits.mean(1), rivals, self.classes)
        return (_lead(means, rivals, self.classes) + _MARGIN_SHARE * margins).sum()


def _log_means(logits: Tensor) -> Tensor:
    """Logarithm of the mean softmax over draws."""
    return logits.log_softmax(2).logsumexp(1) - math.log(logits.shape[1])


def _best_other(scores: Tensor, classes: Tensor) -> Tensor:
    return scores.detach().scatter(1, classes.unsqueeze(1), -torch.inf).argmax(1)


def _lead(scores: Tensor, rivals: Tensor, classes: Tensor) -> Tensor:
    pairs = scores.gather(1, torch.stack([rivals, classes], 1))
    return pairs[:, 0] - pairs[:, 1]


def _single(module: nn.Module) -> nn.Module:
    with torch.inference_mode(mode=False):
        return copy.deepcopy(module).float().eval().requires_grad_(False)
