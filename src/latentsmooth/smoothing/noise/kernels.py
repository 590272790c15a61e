"""The noise as a Triton kernel; the module is importable where triton is not installed."""

# Triton reads the annotations of its kernels as its own language, so they have none.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from latentsmooth.smoothing.noise import reference

__all__ = ["BLOCKS_A_PROGRAM", "HAS_TRITON", "fill_rows"]

try:
    triton: Any = importlib.import_module("triton")
    tl: Any = importlib.import_module("triton.language")
except ImportError:
    triton = tl = None

HAS_TRITON = triton is not None
BLOCKS_A_PROGRAM = 256  # counter blocks, of 4 elements each; a multiple of a group's 16

Function = TypeVar("Function", bound=Callable[..., Any])


def _jit(function: Function) -> Function:
    return triton.jit(function) if HAS_TRITON else function


def _constant(value: float) -> Any:
    return tl.constexpr(value) if HAS_TRITON else value


BLOCKS = _constant(BLOCKS_A_PROGRAM)
ROUNDS = _constant(reference.ROUNDS)
M0, M1 = map(_constant, reference.MULTIPLIERS)
W0, W1 = map(_constant, reference.WEYL)
TWO_THIRDS = _constant(reference.TWO_THIRDS)
TWO_TO_MINUS_31 = _constant(2.0**-31)
TWO_TO_MINUS_32 = _constant(2.0**-32)
MINUS_TWO_LN2 = _constant(reference.MINUS_TWO_LN2)
L0, L1, L2, L3, L4, L5, L6, L7, L8 = map(_constant, reference.LOGARITHM)
C0, C1, C2, C3 = map(_constant, reference.COSINE)
S0, S1, S2, S3 = map(_constant, reference.SINE)


@_jit
def _philox(block, draw, phase, key):
    x0 = block.to(tl.uint32)
    x1 = draw.to(tl.uint32) + x0 * 0
    x2 = phase.to(tl.uint32) + x0 * 0
    x3 = x0 * 0
    k0 = (key & 0xFFFFFFFF).to(tl.uint32)
    k1 = ((key >> 32) & 0xFFFFFFFF).to(tl.uint32)
    m0 = tl.full((), M0, tl.uint32)
    m1 = tl.full((), M1, tl.uint32)
    w0 = tl.full((), W0, tl.uint32)
    w1 = tl.full((), W1, tl.uint32)
    for _ in tl.static_range(ROUNDS):
        high0 = tl.umulhi(x0, m0)
        high1 = tl.umulhi(x2, m1)
        low0 = x0 * m0
        low1 = x2 * m1
        x0 = high1 ^ x1 ^ k0
        x2 = high0 ^ x3 ^ k1
        x1 = low1
        x3 = low0
        k0 += w0
        k1 += w1
    return x0, x1, x2, x3


@_jit
def _radius(word):
    position = word.to(tl.int32, bitcast=True)
    below = (position.to(tl.float32) + 0.5) * TWO_TO_MINUS_32
    uniform = tl.where(position < 0, below + 1.0, below)
    t = uniform.to(tl.int32, bitcast=True) - TWO_THIRDS
    exponent = t >> 23
    f = ((t & 0x7FFFFF) + TWO_THIRDS).to(tl.float32, bitcast=True) - 1.0
    f = tl.where(exponent == 0, below, f)
    g = f * f
    even = (((g * L8 + L6) * g + L4) * g + L2) * g + L0
    odd = ((g * L7 + L5) * g + L3) * g + L1
    series = even + odd * f
    return tl.sqrt_rn(exponent.to(tl.float32) * MINUS_TWO_LN2 + series * f)


@_jit
def _box_muller(radius_word, angle_word):
    radius = _radius(radius_word)
    y = ((angle_word << 2) | 2).to(tl.int32, bitcast=True).to(tl.float32) * TWO_TO_MINUS_31
    z = y * y
    cosine = ((z * C3 + C2) * z + C1) * z + C0
    sine = (((z * S3 + S2) * z + S1) * z + S0) * y
    sign = (angle_word >> 31) << 31
    cosine = (cosine.to(tl.uint32, bitcast=True) ^ sign).to(tl.float32, bitcast=True)
    swapped = ((angle_word >> 30) & 1) != 0
    first = tl.where(swapped, sine, cosine)
    second = tl.where(swapped, cosine, sine)
    return first * radius, second * radius


@_jit
def _store(out, latent, normal, at, size, sigma, magnet, readable, spare):
    # Rows without a latent have nothing readable, and are `spare` all along.
    centre = tl.load(latent + at, mask=at < readable, other=0.0)
    noise = (normal * sigma + magnet) - magnet
    noisy = tl.where(at < readable, centre + noise, spare)
    inside = at < size
    if out.dtype.element_ty == tl.int16:
        # The bits of a bfloat16, rounded to nearest even here, so on every target alike.
        bits = noisy.to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        bits = tl.where(noisy != noisy, 0x7FC0, bits)
        tl.store(out + at, bits.to(tl.int16), mask=inside)
    else:
        tl.store(out + at, noisy.to(out.dtype.element_ty), mask=inside)


@_jit
def fill_rows(out, latents, plan, size, slots, sigma, magnet):
    """Write a part of one row of a plan: program (row, part)."""
    row = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1).to(tl.int64) * BLOCKS + tl.arange(0, BLOCKS)
    slot = tl.load(plan + 4 * row)
    key = tl.load(plan + 4 * row + 1)
    phase = tl.load(plan + 4 * row + 2)
    draw = tl.load(plan + 4 * row + 3)
    drawable = (slot < slots) & (((phase | draw) >> 32) == 0)
    readable = tl.where((slot >= 0) & drawable, size, 0)
    spare = tl.where(slot == -1, 0.0, float("nan"))
    word0, word1, word2, word3 = _philox(block, draw, phase, key)
    first, second = _box_muller(word0, word1)
    third, fourth = _box_muller(word2, word3)
    at = (block // 16) * 64 + block % 16
    out += row * size
    latents += slot * size
    _store(out, latents, first, at, size, sigma, magnet, readable, spare)
    _store(out, latents, second, at + 16, size, sigma, magnet, readable, spare)
    _store(out, latents, third, at + 32, size, sigma, magnet, readable, spare)
    _store(out, latents, fourth, at + 48, size, sigma, magnet, readable, spare)
