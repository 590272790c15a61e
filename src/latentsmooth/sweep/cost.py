"""What an image costs: arithmetic counted, seconds measured in turns, A B C A B C."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from latentsmooth.certification import Certifier, FixedRule, LabelledTensor, Rule
from latentsmooth.certification.preparation import PreparedClassifier
from latentsmooth.errors import CorruptArtifact
from latentsmooth.files import is_file, write_whole
from latentsmooth.models.strict_json import strict_json
from latentsmooth.models.weights import read_bounded
from latentsmooth.smoothing.folding import MULTIPLICATIONS_PER_NORMAL

__all__ = ["TURNS_FILE", "Arithmetic", "arithmetic", "measured_seconds"]

TURNS_FILE = "turns.json"
_MOST_BYTES = 1 << 24
_FEWEST_DRAWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Work of certifying one image, as the engine does it: folded, batch norms merged.

    Attributes:
        encoder_macs: multiply-accumulates of the encoder, once an image.
        head_macs: of the head, once a sample.
        noise_elements: normals drawn, once a sample.
    """

    encoder_macs: int
    head_macs: int
    noise_elements: int

    def flops(self, samples: float) -> float:
        """Floating-point operations of an image: two a multiply-accumulate.

        A normal, drawn and added, counts as eight multiply-accumulates.

        Example:
            >>> Arithmetic(encoder_macs=5, head_macs=10, noise_elements=1).flops(100)
            3610.0
        """
        sample = self.head_macs + MULTIPLICATIONS_PER_NORMAL * self.noise_elements
        return 2.0 * (self.encoder_macs + samples * sample)

    def to_json(self) -> dict[str, int]:
        """Return the fields as a dictionary."""
        return asdict(self)


def arithmetic(prepared: PreparedClassifier) -> Arithmetic:
    """Count what a prepared classifier computes for an image and for a sample."""
    latent = torch.Size(prepared.latent_shape)
    return Arithmetic(
        encoder_macs=_macs(
            prepared.encoder, prepared.image_shape, prepared.encoder_dtype, prepared.device
        ),
        head_macs=_macs(prepared.head, latent, torch.float32, prepared.device),
        noise_elements=latent.numel(),
    )


@torch.no_grad()
def _macs(
    network: nn.Module, shape: Sequence[int], dtype: torch.dtype, device: torch.device
) -> int:
    blank = torch.zeros(1, *shape, dtype=dtype, device=device)
    network(blank)  # kernels that are made of parameters are made once, not for each image
    with FlopCounterMode(display=False) as counter:
        network(blank)
    return int(counter.get_total_flops()) // 2


def measured_seconds(
    makers: Mapping[str, Callable[[], Certifier]],
    images: Sequence[LabelledTensor],
    *,
    rule: Rule,
    rounds: int,
    path: Path,
    identity: Mapping[str, Any],
    say: Callable[[str], None],
) -> dict[str, list[float]]:
    """Return each classifier's seconds a sample, one figure a round, taken in turns.

    Every turn is on the disk when the next begins; another call with the same identity goes on
    there.

    Args:
        makers: make each classifier ready, by name; called only where turns are missing.
        images: certified in each turn.
        rule: by which.
        rounds: turns of each.
        path: of the file that keeps the turns.
        identity: what the turns depend on; those of another are dropped.
        say: told of each round.
    """
    wanted = json.loads(json.dumps(identity))
    done = _kept(path, wanted, makers)
    if all(len(done[name]) >= rounds for name in makers):
        return {name: done[name][:rounds] for name in makers}
    certifiers = {name: _warm(make(), images[0]) for name, make in makers.items()}
    for turn in range(min(map(len, done.values())), rounds):
        say(f"Measuring seconds an image, round {turn + 1} of {rounds}")
        for name, certifier in certifiers.items():
            if len(done[name]) > turn:
                continue
            start = time.perf_counter()
            certificates = list(certifier.certify(images, rule))
            seconds = time.perf_counter() - start
            done[name].append(seconds / sum(each.n_used for each in certificates))
            write_whole(path, json.dumps({"identity": wanted, "turns": done}, indent=1) + "\n")
    return done


def seconds_an_image(turns: Sequence[float], samples: float) -> float:
    """The median over rounds, for as many samples as the log's images took on average."""
    return statistics.median(turns) * samples


def _warm(certifier: Certifier, image: LabelledTensor) -> Certifier:
    """One short certificate that does not count: memory is taken, kernels are chosen."""
    # Of small batches more than two: a rule by which every image abstains would be refused.
    draws = max(2 * certifier.batch_size, _FEWEST_DRAWS)
    rule = FixedRule(n_select=certifier.batch_size, n_estimate=draws)
    list(certifier.certify([image], rule))
    return certifier


def _kept(path: Path, identity: Any, names: Mapping[str, Any]) -> dict[str, list[float]]:
    """Turns taken before, none where they were of something else."""
    empty: dict[str, list[float]] = {name: [] for name in names}
    if not is_file(path):
        return empty
    try:
        content = strict_json(read_bounded(path, _MOST_BYTES).decode("utf-8"))
        turns = content["turns"] if content["identity"] == identity else {}
        return {name: [float(seconds) for seconds in turns.get(name, [])] for name in names}
    except (CorruptArtifact, ValueError, TypeError, LookupError, AttributeError):
        return empty  # a measurement is soon made again
