"""Seconds of a layer's forward, backward and kernel, all layers taking turns in every round."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from peers.subjects import REFERENCE, Shape, make_layer

__all__ = [
    "FORMATS",
    "SETTINGS",
    "Variant",
    "make_images",
    "make_variant",
    "measure_construction",
    "measure_speed",
    "precision",
    "take_step",
]

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
SETTINGS = {torch.float32: ["float32"], torch.bfloat16: ["autocast", "cast"]}
_ORDER = random.Random(0)
MEASURES = ("forward", "forward_backward", "evaluation", "evaluation_cached")


@dataclass
class Variant:
    """One layer in one memory format and one way to compute in the wanted type."""

    subject: str
    memory_format: str
    setting: str
    layer: nn.Module
    seconds: dict[str, list[float]] = field(default_factory=dict)
    unsupported: str | None = None

    def record(self, measure: str, seconds: float) -> None:
        self.seconds.setdefault(measure, []).append(seconds)


def measure_speed(
    names: list[str],
    shape: Shape,
    *,
    batch: int,
    dtype: torch.dtype,
    rounds: int,
    settings: dict[str, str],
) -> list[dict[str, Any]]:
    """Rows, one a subject: its fastest setting's milliseconds, and every setting's raw ones.

    ``settings`` names the only ways of computing in the type that some subjects need be tried in.
    """
    variants = [
        make_variant(name, shape, memory_format=memory_format, setting=setting)
        for name in names
        for memory_format in FORMATS
        for setting in ([settings[name]] if name in settings else SETTINGS[dtype])
    ]
    images = {name: make_images(shape, batch, dtype, name) for name in FORMATS}
    gradients = _warm_up(variants, images)
    with collector_off():
        for _ in range(rounds):
            for variant in filter(_trains, _shuffled(_supported(variants))):
                forward, both = take_step(
                    variant, images[variant.memory_format], gradients[id(variant)]
                )
                variant.record("forward", forward)
                variant.record("forward_backward", both)
        for variant in variants:
            variant.layer.eval()
        _time_evaluation(_supported(variants), images, rounds, "evaluation")
        # peers' recommended way not to rebuild the kernel at every call
        with parametrize.cached():
            built = [variant for variant in _supported(variants) if _is_parametrized(variant.layer)]
            _time_evaluation(built, images, rounds, "evaluation_cached")
    row = {"shape": str(shape), "batch": batch, "dtype": str(dtype).removeprefix("torch.")}
    return [{**row, **entry} for entry in _summarise(names, variants)]


def measure_construction(
    names: list[str], shape: Shape, *, dtype: torch.dtype, rounds: int
) -> list[dict[str, Any]]:
    """Rows, one a subject: milliseconds of the kernel alone, and with the gradient through it."""
    variants = [
        make_variant(name, shape, memory_format="contiguous", setting=setting)
        for name in names
        for setting in SETTINGS[dtype]
    ]
    with collector_off():
        for current in range(rounds + 1):
            for variant in _shuffled(_supported(variants)):
                try:
                    forward, both = _build_kernel(variant)
                except RuntimeError as error:
                    variant.unsupported = _first_line(error)
                    continue
                if current > 0:
                    variant.record("forward", forward)
                    variant.record("forward_backward", both)
    row = {"shape": str(shape), "dtype": str(dtype).removeprefix("torch.")}
    return [{**row, **entry} for entry in _summarise(names, variants)]


def make_variant(subject: str, shape: Shape, *, memory_format: str, setting: str) -> Variant:
    layer = make_layer(subject, shape)
    if setting == "cast":
        layer = layer.to(torch.bfloat16)
    for part in layer.modules():
        if type(part) is nn.Conv2d:
            part.to(memory_format=FORMATS[memory_format])  # type: ignore[call-overload]
    return Variant(subject, memory_format, setting, layer.train())


def make_images(shape: Shape, batch: int, dtype: torch.dtype, memory_format: str) -> Tensor:
    images = torch.randn(batch, shape.in_channels, shape.size, shape.size, dtype=dtype)
    return images.contiguous(memory_format=FORMATS[memory_format]).requires_grad_()


def precision(setting: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=setting == "autocast")


def take_step(variant: Variant, images: Tensor, gradient: Tensor) -> tuple[float, float]:
    """Seconds of the forward, and of forward and backward together."""
    images.grad = None
    variant.layer.zero_grad(set_to_none=True)
    started = time.perf_counter()
    with precision(variant.setting):
        output = variant.layer(images)
    middle = time.perf_counter()
    torch.autograd.backward(output, gradient)
    return middle - started, time.perf_counter() - started


@contextmanager
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _build_kernel(variant: Variant) -> tuple[float, float]:
    variant.layer.zero_grad(set_to_none=True)
    started = time.perf_counter()
    with precision(variant.setting):
        kernel = variant.layer.weight
    middle = time.perf_counter()
    assert isinstance(kernel, Tensor)
    forward = middle - started
    gradient = torch.randn_like(kernel)
    started = time.perf_counter()
    torch.autograd.backward(kernel, gradient)
    return forward, forward + time.perf_counter() - started


def _warm_up(variants: list[Variant], images: dict[str, Tensor]) -> dict[int, Tensor]:
    """One step each, which also shows what a library cannot do; returns gradients of outputs."""
    shared: dict[tuple[int, ...], Tensor] = {}
    gradients = {}
    for variant in variants:
        source = images[variant.memory_format]
        try:
            with precision(variant.setting):
                output = variant.layer(source)
            gradient = shared.setdefault(output.stride(), torch.randn_like(output))
            gradients[id(variant)] = gradient
            torch.autograd.backward(output, gradient)
        except RuntimeError as error:
            variant.unsupported = _first_line(error)
        source.grad = None
    return gradients


@torch.no_grad()
def _time_evaluation(
    variants: list[Variant], images: dict[str, Tensor], rounds: int, measure: str
) -> None:
    for current in range(rounds + 1):
        for variant in _shuffled(variants):
            started = time.perf_counter()
            with precision(variant.setting):
                variant.layer(images[variant.memory_format])
            if current > 0:
                variant.record(measure, time.perf_counter() - started)


def _trains(variant: Variant) -> bool:
    """Frozen layers do not: their steps would lack half of the work."""
    return any(parameter.requires_grad for parameter in variant.layer.parameters())


def _is_parametrized(layer: nn.Module) -> bool:
    return any(parametrize.is_parametrized(module) for module in layer.modules())


def _supported(variants: list[Variant]) -> list[Variant]:
    return [variant for variant in variants if variant.unsupported is None]


def _shuffled(variants: list[Variant]) -> list[Variant]:
    """In a new order each round: what ran just before is no one's advantage."""
    return _ORDER.sample(variants, len(variants))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _summarise(names: list[str], variants: list[Variant]) -> list[dict[str, Any]]:
    by_name = {name: [entry for entry in variants if entry.subject == name] for name in names}
    references = by_name.get(REFERENCE, [])
    rows = []
    for name in names:
        row: dict[str, Any] = {"subject": name, "best": {}, "variants": []}
        for measure in ("forward", "forward_backward", "evaluation"):
            best = _fastest(by_name[name], measure)
            if best is not None:
                row["best"][measure] = _described(best, _fastest(references, measure))
        for variant in by_name[name]:
            raw: dict[str, Any] = {"format": variant.memory_format, "setting": variant.setting}
            if variant.unsupported is not None:
                raw["unsupported"] = variant.unsupported
            for measure in MEASURES:
                if measure in variant.seconds:
                    raw[f"{measure}_ms"] = [_milli(one) for one in variant.seconds[measure]]
            row["variants"].append(raw)
        rows.append(row)
    return rows


Timed = tuple[Variant, str, list[float]]


def _fastest(variants: list[Variant], measure: str) -> Timed | None:
    """The quickest variant of a measure; evaluation counts with or without the peers' cache."""
    asked = ("evaluation", "evaluation_cached") if measure == "evaluation" else (measure,)
    timed = [
        (variant, one, variant.seconds[one])
        for variant in variants
        for one in asked
        if one in variant.seconds
    ]
    key: Callable[[Timed], float] = lambda entry: statistics.median(entry[2])  # noqa: E731
    return min(timed, key=key, default=None)


def _described(best: Timed, reference: Timed | None) -> dict[str, Any]:
    variant, measure, seconds = best
    described: dict[str, Any] = {
        "ms": _milli(statistics.median(seconds)),
        "format": variant.memory_format,
        "setting": variant.setting + (", cached" if measure == "evaluation_cached" else ""),
    }
    if reference is not None:
        pairs = zip(seconds, reference[2], strict=True)
        described["ratio"] = float(f"{statistics.median(own / other for own, other in pairs):.4g}")
    return described


def _milli(seconds: float) -> float:
    return float(f"{seconds * 1e3:.4g}")
