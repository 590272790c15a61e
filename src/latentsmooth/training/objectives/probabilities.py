"""Soft votes: the head's probabilities averaged over noise draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["by_draw", "entropy", "kl_divergence", "log_soft_vote", "soft_cross_entropy"]


def by_draw(values: Tensor, draws: int) -> Tensor:
    """Return ``(draws * batch, ...)`` as ``(draws, batch, ...)``."""
    return values.reshape(draws, -1, *values.shape[1:])


def log_soft_vote(logits: Tensor, draws: int) -> Tensor:
    r"""Return :math:`\log \frac{1}{m} \sum_i \mathrm{softmax}(\ell_i)`, the soft vote's logarithm.

    Args:
        logits: ``(draws * batch, classes)``, one whole batch after the other.
        draws: m.

    Returns:
        ``(batch, classes)``.

    >>> log_soft_vote(torch.tensor([[0.0, 0.0], [100.0, 0.0]]), draws=2).exp()
    tensor([[0.7500, 0.2500]])
    """
    return torch.logsumexp(by_draw(logits.log_softmax(1), draws), 0) - math.log(draws)


def kl_divergence(log_target: Tensor, log_found: Tensor) -> Tensor:
    r"""Return :math:`\sum_c t_c (\log t_c - \log q_c)` over the last dimension, ``(...)``.

    >>> float(kl_divergence(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()))
    0.510825...
    """
    return (log_target.exp() * (log_target - log_found)).sum(-1)


def entropy(log_probabilities: Tensor) -> Tensor:
    """Return the entropy over the last dimension, in nats: ``(...)``."""
    return -(log_probabilities.exp() * log_probabilities).sum(-1)


def soft_cross_entropy(
    log_probabilities: Tensor, labels: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Return the cross-entropy of each row of log-probabilities: ``(batch,)``.

    Args:
        log_probabilities: ``(batch, classes)``.
        labels: ``(batch,)`` int64.
        label_smoothing: share of the target spread evenly over all classes.
    """
    right = -log_probabilities.gather(1, labels[:, None])[:, 0]
    return (1 - label_smoothing) * right - label_smoothing * log_probabilities.mean(1)
