"""How far a convolution is from orthogonal: singular values of its operator, in float64."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peers.subjects import Shape, make_layer

__all__ = ["measure_error", "operator_singular_values", "orthogonality_error"]

TORUS = 32
TRAINING_BATCH, TRAINING_SIZE, LEARNING_RATE = 8, 8, 1e-2
SETTLING_CALLS = 20


def operator_singular_values(kernel: Tensor, stride: int = 1, torus: int = TORUS) -> Tensor:
    """Singular values of a circular convolution, ``(frequencies, min(in * stride^2, out))``.

    Args:
        kernel: ``(out, in, height, width)``, of any width up to the torus; its place on the torus
            moves no singular value. Frequencies that real kernels share appear once.
        stride: of the convolution.
        torus: side of the images.
    """
    wide = kernel.detach().double()
    missing = [-side % stride for side in wide.shape[2:]]
    wide = F.pixel_unshuffle(F.pad(wide, (0, missing[1], 0, missing[0])), stride)
    symbol = torch.fft.rfft2(wide, s=(torus // stride, torus // stride))
    symbol = symbol.flatten(2).permute(2, 0, 1).contiguous()
    if symbol.shape[1] > symbol.shape[2]:
        symbol = symbol.mT.contiguous()
    # Gram eigenvalues near 1 are as exact as singular values, at a fraction of the time.
    gram = symbol @ symbol.mH
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        squares = torch.cat(list(pool.map(torch.linalg.eigvalsh, gram.chunk(8))))
    return squares.clamp_min(0).sqrt()


def orthogonality_error(kernel: Tensor, stride: int = 1) -> float:
    """Largest ``|sigma - 1|`` of the circular convolution; nan where the kernel is not finite."""
    if not bool(torch.isfinite(kernel).all()):
        return float("nan")
    return float((operator_singular_values(kernel, stride) - 1).abs().max())


def measure_error(name: str, shape: Shape, *, steps: int, shocks: int) -> dict[str, Any]:
    """One row: the error at initialisation, after training, and after shocks to the parameters.

    What a layer cannot do is told by its own message in place of a number.
    """
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "initial": lambda: _errors(make_layer(name, shape), shape),
        "bfloat16_autocast": lambda: _error_under_autocast(name, shape),
        "trained": lambda: _errors(_trained(name, shape, steps), shape),
        "shocked": lambda: _shocked_errors(name, shape, shocks),
    }
    row: dict[str, Any] = {"shape": str(shape), "subject": name}
    for part, measure in parts.items():
        try:
            row[part] = measure()
        except RuntimeError as error:
            row[part] = {"failed": str(error).partition("\n")[0]}
    return row


def _error_under_autocast(name: str, shape: Shape) -> dict[str, float]:
    """Of the kernel that a convolution under autocast multiplies by."""
    layer = make_layer(name, shape).train()
    with torch.autocast("cpu", torch.bfloat16):
        kernel = _kernel(layer).to(torch.bfloat16)
    return {"training": _short(orthogonality_error(kernel, shape.stride))}


def _shocked_errors(name: str, shape: Shape, shocks: int) -> dict[str, float]:
    """The worst of several layers, each with N(0, 1) noise on every parameter that is trained."""
    shocked: list[dict[str, float]] = []
    for seed in range(shocks):
        layer = make_layer(name, shape)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in layer.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator))
        shocked.append(_errors(layer, shape, settle=True))
    return {mode: _worst([entry[mode] for entry in shocked]) for mode in shocked[0]}


def _worst(values: list[float]) -> float:
    """The largest, where not a number is worse than any."""
    return max(values, key=lambda value: float("inf") if value != value else value)


def _errors(layer: nn.Module, shape: Shape, *, settle: bool = False) -> dict[str, float]:
    """The kernel's error as training uses it and as evaluation does.

    ``settle`` adds the error after more calls in training mode, for kernels that iterate from one
    call to the next. Equal kernels are measured once.
    """
    layer.train()
    kernels = {"training": _kernel(layer)}
    if settle:
        for _ in range(SETTLING_CALLS):
            kernels["training_settled"] = _kernel(layer)
    with torch.no_grad():
        kernels["evaluation"] = _kernel(layer.eval())
    known: list[tuple[Tensor, float]] = []
    errors = {}
    for mode, kernel in kernels.items():
        same = [error for other, error in known if torch.equal(other, kernel)]
        errors[mode] = same[0] if same else orthogonality_error(kernel, shape.stride)
        known.append((kernel, errors[mode]))
    return {mode: _short(error) for mode, error in errors.items()}


def _short(error: float) -> float:
    return float(f"{error:.3g}")


def _kernel(layer: nn.Module) -> Tensor:
    kernel = layer.weight
    assert isinstance(kernel, Tensor)
    return kernel.detach().clone()


def _trained(name: str, shape: Shape, steps: int) -> nn.Module:
    """A layer after Adam on a regression of random targets."""
    layer = make_layer(name, shape).train()
    generator = torch.Generator().manual_seed(1)
    size = max(TRAINING_SIZE, shape.kernel_size)
    images = torch.randn(TRAINING_BATCH, shape.in_channels, size, size, generator=generator)
    outputs = size // shape.stride
    targets = torch.randn(TRAINING_BATCH, shape.out_channels, outputs, outputs, generator=generator)
    wanted = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(wanted, lr=LEARNING_RATE)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(F.mse_loss(layer(images), targets))
        optimizer.step()
    return layer
