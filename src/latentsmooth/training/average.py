"""A moving average of a classifier's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["MovingAverage", "state_tensors"]


def state_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of ``model.state_dict()`` by name, sharing the model's memory."""
    state = model.state_dict()
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


class MovingAverage:
    """An exponential moving average of every floating tensor of a model's state.

    After step t the average moves by ``1 - min(decay, (1 + t) / (10 + t))`` towards the weights,
    so that the first steps do not weigh it down. Running statistics are averaged as weights are;
    integers are copied. Orthogonal layers stay orthogonal: the average is of the unconstrained
    parameters that their kernels are built from.

    Args:
        model: the model to follow; it must stay on its device.
        decay: the average's memory, between 0 and 1.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self._live = state_tensors(model)
        self.tensors = {name: value.detach().clone() for name, value in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the model's weights after step ``step``, counted from 0."""
        weight = 1.0 - min(self.decay, (1 + step) / (10 + step))
        averages, values = [], []
        for name, average in self.tensors.items():
            if average.is_floating_point():
                averages.append(average)
                values.append(self._live[name])
            else:
                average.copy_(self._live[name])
        torch._foreach_lerp_(averages, values, weight)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the average to ``tensors``, which has the names and shapes of the model's state."""
        for name, average in self.tensors.items():
            average.copy_(tensors[name])

    @torch.no_grad()
    def store(self) -> None:
        """Give the model the average for good."""
        for name, value in self._live.items():
            value.copy_(self.tensors[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Lend the model the average; give it back its own weights at the end."""
        own = {name: value.clone() for name, value in self._live.items()}
        self.store()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in self._live.items():
                    value.copy_(own[name])
