"""Gaussian noise keyed by (seed, image index, phase, chunk)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError, ShapeError

__all__ = ["NOISE_CHUNK", "NoiseStream", "Phase"]

NOISE_CHUNK = 128
"""Draws made from one key; part of the definition of the noise, not a tuning knob."""

_CHUNK_BITS = 30


class Phase(enum.IntEnum):
    """What the draws are for; each phase has its own, disjoint samples."""

    SELECT = 0
    ESTIMATE = 1
    PREDICT = 2


class NoiseStream:
    """The sequence of noise vectors of one image and one phase.

    Draw ``j`` is a function of ``(seed, index, phase, j)`` alone on a given kind of device:
    neither batch size, nor earlier images, nor an interruption changes it.

    Args:
        seed: the run's seed, ``>= 0``.
        index: the image's position in its data set, ``>= 0``.
        phase: what the draws are for.
        latent_shape: shape of one draw.
        latent_sigma: standard deviation of each coordinate.
        device: where to draw.

    Example:
        >>> def first(rows):
        ...     stream = NoiseStream(seed=0, index=7, phase=Phase.SELECT, latent_shape=(3,),
        ...                          latent_sigma=0.5, device=torch.device("cpu"))
        ...     return torch.cat([stream.fill(torch.empty(n, 3)) for n in rows])
        >>> bool(torch.equal(first([300]), first([1, 170, 129])))
        True
    """

    def __init__(
        self,
        *,
        seed: int,
        index: int,
        phase: Phase,
        latent_shape: Sequence[int],
        latent_sigma: float,
        device: torch.device,
    ) -> None:
        if seed < 0 or index < 0:
            raise ConfigurationError(f"wanted seed and image index >= 0, got {seed} and {index}")
        self.latent_shape = tuple(latent_shape)
        self.latent_sigma = latent_sigma
        digest = blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
        self._key = int.from_bytes(digest, "big")
        self._phase = phase
        self._generator = torch.Generator(device=device)
        self._rest = torch.empty(0, *self.latent_shape, device=device)
        self._chunk = 0

    def fill(self, out: Tensor) -> Tensor:
        """Write the next ``len(out)`` draws.

        Args:
            out: ``(draws, *latent_shape)``, contiguous float32, on the stream's device.

        Returns:
            ``out``.

        Raises:
            ShapeError: where ``out`` does not fit.
        """
        if out.shape[1:] != self.latent_shape or out.dtype != torch.float32:
            raise ShapeError(
                f"expected a float32 tensor of shape (draws, *{self.latent_shape}), got "
                f"{tuple(out.shape)} {out.dtype}"
            )
        filled = min(len(self._rest), len(out))
        out[:filled] = self._rest[:filled]
        self._rest = self._rest[filled:]
        while filled < len(out):
            wanted = len(out) - filled
            if wanted >= NOISE_CHUNK:
                self._draw_chunk(out[filled : filled + NOISE_CHUNK])
                filled += NOISE_CHUNK
            else:
                chunk = self._draw_chunk(out.new_empty(NOISE_CHUNK, *self.latent_shape))
                out[filled:] = chunk[:wanted]
                self._rest = chunk[wanted:]
                filled = len(out)
        return out

    def _draw_chunk(self, out: Tensor) -> Tensor:
        self._generator.manual_seed(self._chunk_seed())
        self._chunk += 1
        return out.normal_(0.0, self.latent_sigma, generator=self._generator)

    def _chunk_seed(self) -> int:
        """The generator's seed for the current chunk.

        Torch's CPU generator keeps 32 bits of a seed, so hashing every key into it would let
        two chunks of one image collide. A bijection of (phase, chunk), offset by the image's key,
        cannot: within an image all chunks differ. Two images may share a chunk; each certificate
        is about its own draws, which stay independent.
        """
        if self._chunk >= 1 << _CHUNK_BITS:
            raise ConfigurationError(f"wanted at most {NOISE_CHUNK << _CHUNK_BITS} draws an image")
        word = _mix32((int(self._phase) << _CHUNK_BITS) | self._chunk)
        return self._key ^ word


def _mix32(word: int) -> int:
    """A bijection of 32-bit words whose every output bit depends on every input bit (Murmur3)."""
    word ^= word >> 16
    word = word * 0x85EBCA6B & 0xFFFFFFFF
    word ^= word >> 13
    word = word * 0xC2B2AE35 & 0xFFFFFFFF
    return word ^ (word >> 16)
