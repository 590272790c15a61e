"""The weights of a whole network in a few batched calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from latentsmooth.orthogonal.cached import (
    BuiltWeight,
    Factor,
    Lent,
    signed,
    wants_gradient,
    working_dtype,
)
from latentsmooth.orthogonal.matrix import Parametrization, orthogonal_columns, outside_autocast

__all__ = ["batched_weights"]


@contextmanager
def batched_weights(*modules: nn.Module) -> Iterator[None]:
    """Build the weights of all orthogonal layers at once, for one forward pass inside.

    Factors of equal shape are orthogonalised in one batched call, and layers of equal settings are
    assembled in one: the number of calls no longer grows with the depth. Gradients flow as usual.
    Without gradients, in evaluation and under ``torch.compile`` nothing changes: there layers keep
    their weights, or the compiler sees each layer's own construction.

    Enter it anew for each forward pass: like any tensor of a graph, the weights serve one backward.

    Args:
        modules: networks whose orthogonal layers take part.

    Example:
        >>> from latentsmooth.orthogonal import MaxMin, OrthogonalConv2d
        >>> layers = [OrthogonalConv2d(8, 8, 3) for _ in range(3)]
        >>> network = nn.Sequential(*layers)
        >>> with batched_weights(network):
        ...     loss = network(torch.rand(2, 8, 6, 6)).square().sum()
        >>> loss.backward()
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        yield
        return
    layers = [
        layer
        for layer in dict.fromkeys(part for module in modules for part in module.modules())
        if isinstance(layer, BuiltWeight) and layer.training and wants_gradient(layer.factors())
    ]
    before = [layer._lent for layer in layers]
    for layer, weight in zip(layers, _build_together(layers), strict=True):
        parameters = [factor.parameter for factor in layer.factors()]
        layer._lent = Lent([(each, each._version) for each in parameters], weight)
    try:
        yield
    finally:
        for layer, weight_before in zip(layers, before, strict=True):
            layer._lent = weight_before


def _build_together(layers: list[BuiltWeight]) -> list[Tensor]:
    if not layers:
        return []
    requests = [layer.factors() for layer in layers]
    with outside_autocast(requests[0][0].parameter.device):
        built = _orthogonalise(
            [
                (layer.parametrization, f)
                for layer, fs in zip(layers, requests, strict=True)
                for f in fs
            ]
        )
        matrices = iter(built)
        return _assemble(layers, [[next(matrices) for _ in fs] for fs in requests])


def _orthogonalise(requests: list[tuple[Parametrization, Factor]]) -> list[Tensor]:
    """One call for each kind of factor; results in the order of the requests."""
    kinds: dict[Hashable, list[int]] = defaultdict(list)
    for place, (method, factor) in enumerate(requests):
        parameter = factor.parameter
        shape = (*parameter.shape[-2:], factor.columns)
        kinds[method, shape, parameter.dtype, parameter.device].append(place)
    results: dict[int, Tensor] = {}
    for places in kinds.values():
        method = requests[places[0]][0]
        factors = [requests[place][1] for place in places]
        counts = [factor.parameter.shape[:-2].numel() for factor in factors]
        flat = [
            factor.parameter.reshape(count, *factor.parameter.shape[-2:])
            for factor, count in zip(factors, counts, strict=True)
        ]
        joined = torch.cat(flat)
        columns = orthogonal_columns(
            joined.to(working_dtype(joined.dtype)), columns=factors[0].columns, method=method
        )
        parts = torch.split(columns, counts)
        for place, factor, part in zip(places, factors, parts, strict=True):
            shaped = part.reshape(*factor.parameter.shape[:-2], *part.shape[-2:])
            results[place] = signed(shaped, factor.signs)
    return [results[place] for place in range(len(requests))]


def _assemble(layers: list[BuiltWeight], matrices: list[list[Tensor]]) -> list[Tensor]:
    """One call for each kind of layer; weights in the layers' dtype and order."""
    kinds: dict[Hashable, list[int]] = defaultdict(list)
    for place, layer in enumerate(layers):
        first = matrices[place][0]
        kinds[type(layer), layer.assembly_key(), first.dtype, first.device].append(place)
    weights: dict[int, Tensor] = {}
    for places in kinds.values():
        alike = layers[places[0]]
        if len(places) == 1:
            built = [alike.assemble(matrices[places[0]])]
        else:
            stacked = [
                torch.stack(parts) for parts in zip(*(matrices[p] for p in places), strict=True)
            ]
            built = list(alike.assemble(stacked).unbind())
        for place, weight in zip(places, built, strict=True):
            weights[place] = weight.to(layers[place].factors()[0].parameter.dtype)
    return [weights[place] for place in range(len(layers))]
