"""Classes kept apart in the latent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.objectives.base import LatentObjective
from latentsmooth.training.objectives.noise import repeat_draws
from latentsmooth.training.objectives.options import count, number

__all__ = ["MarginObjective", "neighbour_margins"]


def neighbour_margins(latents: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return half of how much nearer the nearest latent of the own class is than any other.

    Args:
        latents: ``(batch, ...)``.
        labels: ``(batch,)`` int64.

    Returns:
        The margins ``(batch,)``, in the latent's units, and ``(batch,)`` bool: whether there is
        another latent of the own class and one of another class; the margin is 0 where not.

    >>> latents, labels = torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([7, 7, 8])
    >>> neighbour_margins(latents, labels)
    (tensor([1.5000, 1.0000, 0.0000]), tensor([ True,  True, False]))
    """
    rows = latents.flatten(1)
    with torch.no_grad():
        distances = torch.cdist(rows, rows)
        same = labels[:, None] == labels
        itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        friend = distances.masked_fill(~same | itself, torch.inf).min(1)
        foe = distances.masked_fill(same, torch.inf).min(1)
        known = friend.values.isfinite() & foe.values.isfinite()
    # once more for the two chosen: differences are exact where products cancel
    near = torch.linalg.vector_norm(rows - rows[friend.indices], dim=1)
    far = torch.linalg.vector_norm(rows - rows[foe.indices], dim=1)
    return torch.where(known, (far - near) / 2, 0.0), known


@dataclass(frozen=True, kw_only=True)
class MarginObjective(LatentObjective):
    r"""Cross-entropy under noise, and a hinge on the margin between classes in the latent.

    .. math:: \frac{1}{m} \sum_i \mathrm{CE}(g(z + e_i), y)
              + \lambda \max\left(0, \gamma - \frac{d_- - d_+}{2 \sigma}\right)

    with d_+ and d_- the distances from z to the nearest latents of its own and of another class in
    the batch (of each process its own share). For a 1-Lipschitz encoder this margin means
    something: the nearest-neighbour rule keeps its answer for every image within (d_- - d_+) / 2 of
    x, as no encoded image moves farther than its pixels did, and the encoder cannot reach the
    margin by scaling. It acts on the encoder alone; with an identity encoder it changes nothing.
    Source: K. Weinberger, L. Saul, "Distance Metric Learning for Large Margin Nearest Neighbor
    Classification", JMLR 10 (2009); margins of Lipschitz networks: Y. Tsuzuku, I. Sato, M.
    Sugiyama, arXiv 1802.04599. The weight and the margin are this package's choice.

    Args:
        draws: m, noise draws an image.
        weight: lambda, of the hinge.
        margin: gamma, in units of ``latent_sigma``.
        label_smoothing: see `LatentObjective`; so too ``bfloat16``.
    """

    draws: int = count(1)
    weight: float = number(0.1, least=0)
    margin: float = number(1.0, above=0)

    def __call__(
        self,
        model: LatentSmoothedClassifier,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        progress: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the first draw's logits ``(batch, classes)``."""
        latents = self.encode(model, images)
        logits = self.noisy_votes(model, latents, draws=self.draws, generator=generator)
        margins, known = neighbour_margins(latents, labels)
        short = torch.where(known, (self.margin - margins / model.latent_sigma).relu(), 0.0)
        loss = self.cross_entropy(logits, repeat_draws(labels, self.draws))
        return loss + self.weight * short.mean(), logits[: len(labels)]
