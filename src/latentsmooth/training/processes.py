"""The processes that train together, by way of `accelerate`."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import is_initialized
from accelerate.utils import broadcast
from torch import nn

from latentsmooth.errors import ConfigurationError
from latentsmooth.training.average import state_tensors

__all__ = ["start_accelerator", "synchronise"]


def start_accelerator(*, cpu: bool) -> Accelerator:
    """Return an `Accelerator` that leaves the precision to us, or joins the one that is there.

    Args:
        cpu: whether to keep away from GPUs; a process that already took one is an error.
    """
    try:
        return Accelerator(mixed_precision=None if is_initialized() else "no", cpu=cpu)
    except ValueError as error:
        wanted = "cpu" if cpu else "auto"
        raise ConfigurationError(f"device cannot be {wanted!r} here: {error}") from None


@torch.no_grad()
def synchronise(model: nn.Module, accelerator: Accelerator) -> None:
    """Give every process the first one's weights and running statistics."""
    if accelerator.num_processes > 1:
        for value in state_tensors(model).values():
            value.copy_(broadcast(value.contiguous(), from_process=0))
