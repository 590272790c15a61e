"""The optimisers, and their state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, CorruptArtifact
from latentsmooth.orthogonal.cached import BuiltWeight
from latentsmooth.training.settings import TrainingSettings

__all__ = ["build_optimizer", "load_optimizer_tensors", "optimizer_tensors"]


def build_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return the optimiser of the model's trainable parameters.

    Weight decay acts on the head's parameters of two or more dimensions only, and not on those of
    orthogonal layers: they merely name a map, and shrinking them regularises nothing. A model
    without trainable parameters is a `ConfigurationError`.
    """
    named = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, BuiltWeight)
        for parameter in module.parameters()
    }
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decays = parameter.ndim >= 2 and not name.startswith("encoder.")
            decays = decays and id(parameter) not in named
            (decayed if decays else free).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ConfigurationError("the model has no trainable parameters; nothing to train")
    fused = groups[0]["params"][0].device.type in ("cpu", "cuda")
    rate, momentum = settings.learning_rate, settings.momentum
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=rate, momentum=momentum, nesterov=momentum > 0, fused=fused
        )
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=rate, betas=(momentum, 0.999), fused=fused)


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Return the optimiser's state by ``<quantity>/<parameter name>``."""
    tensors = {}
    for name, parameter in model.named_parameters():
        for quantity, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{quantity}/{name}"] = value
    return tensors


@torch.no_grad()
def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` returned, in the parameters' memory layout.

    A tensor for a parameter that the model does not have is a `CorruptArtifact`.
    """
    parameters = dict(model.named_parameters())
    for key, value in tensors.items():
        quantity, _, name = key.partition("/")
        if name not in parameters:
            raise CorruptArtifact(f"the checkpoint holds {quantity} of an unknown weight {name!r}")
        parameter = parameters[name]
        if value.shape == parameter.shape:
            own = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            own = value.to(parameter.device, copy=True)
        optimizer.state[parameter][quantity] = own
