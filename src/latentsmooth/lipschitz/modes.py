"""Evaluation mode and ordinary arithmetic for a while, everything restored afterwards."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from latentsmooth.errors import UnverifiedModule

__all__ = ["evaluating", "ordinary_kernels", "refuse_training", "undisturbed"]


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Switch modules to evaluation; a part that was frozen before is found frozen after."""
    parts = [part for module in modules for part in module.modules()]
    modes = [part.training for part in parts]
    if any(modes):  # Switching anew would make layers forget the weights that they keep.
        for module in modules:
            module.eval()
    try:
        yield
    finally:
        for part, training in zip(parts, modes, strict=True):
            part.training = training


def refuse_training(module: nn.Module, path: str = "") -> None:
    """Raise where a part is in training mode although the whole was switched to evaluation.

    A ``train`` of its own, or a switch within ``forward``, makes batch norm and dropout do
    something else than their rules are about.

    Args:
        module: switched to evaluation.
        path: its place in the network, for the message.

    Raises:
        UnverifiedModule: naming the part.
    """
    for below, part in module.named_modules(prefix=path):
        if part.training:
            raise UnverifiedModule(
                f"{below or 'the module'} ({type(part).__name__}) is in training mode after the "
                "network was switched to evaluation; its bound is about evaluation"
            )


@contextmanager
def undisturbed(devices: Iterable[str] = ()) -> Iterator[None]:
    """Switch gradients, inference mode and autocast off, whatever the caller has on.

    Inference mode hides what is written into a tensor, and autocast narrows what is computed.

    Args:
        devices: types of devices besides the CPU.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for device in sorted({"cpu", *devices}):
            if torch.amp.is_autocast_available(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


_SWITCHES = threading.RLock()
"""The switches below are the process's: one thread at a time sets and resets them."""


@contextmanager
def ordinary_kernels(device: torch.device) -> Iterator[None]:
    """Switch off TF32 and the libraries that may narrow or transform (Winograd, FFT) what they do.

    Their errors are beyond those of sums of products that `rounding_bound` is about.
    """
    with _SWITCHES, contextlib.ExitStack() as stack:
        stack.enter_context(torch.backends.nnpack.flags(enabled=False))
        _set(stack, torch.backends.mkldnn, "enabled", False)
        if device.type == "cuda":
            _set(stack, torch.backends.cudnn, "enabled", False)
            matmul = torch.backends.cuda.matmul
            try:
                _set(stack, matmul, "fp32_precision", "ieee")
            except (AttributeError, RuntimeError):
                # Before PyTorch 2.9, and where its older interface was used.
                _set(stack, matmul, "allow_tf32", False)
        yield


def _set(stack: contextlib.ExitStack, switches: Any, name: str, value: Any) -> None:
    stack.callback(setattr, switches, name, getattr(switches, name))
    setattr(switches, name, value)
