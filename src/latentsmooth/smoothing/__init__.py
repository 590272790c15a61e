"""Keyed noise around latents, the head that votes on it, and the batches that mix images."""

from latentsmooth.smoothing.executor import (
    Executor,
    HeadExecutor,
    ResolvedExecutor,
    as_rows,
    rows_as_latents,
)
from latentsmooth.smoothing.flight import Job, Votes
from latentsmooth.smoothing.folding import Folded, fold
from latentsmooth.smoothing.head import (
    default_batch_size,
    prepare_head,
    refuse_mixing,
    simplified_head,
)
from latentsmooth.smoothing.lattice import Lattice, choose_lattice
from latentsmooth.smoothing.noise import (
    GRADES,
    NOISE_DEFINITIONS,
    Grade,
    NoiseFiller,
    Phase,
    noise_filler,
    noise_key,
)
from latentsmooth.smoothing.scheduler import Scheduler
from latentsmooth.smoothing.simplify import merge_batch_norm
from latentsmooth.smoothing.stopwatch import Stopwatch
from latentsmooth.smoothing.tuning import HeadChoice, choose_head

__all__ = [
    "GRADES",
    "NOISE_DEFINITIONS",
    "Executor",
    "Folded",
    "Grade",
    "HeadChoice",
    "HeadExecutor",
    "Job",
    "Lattice",
    "NoiseFiller",
    "Phase",
    "ResolvedExecutor",
    "Scheduler",
    "Stopwatch",
    "Votes",
    "as_rows",
    "choose_head",
    "choose_lattice",
    "default_batch_size",
    "fold",
    "merge_batch_norm",
    "noise_filler",
    "noise_key",
    "prepare_head",
    "refuse_mixing",
    "rows_as_latents",
    "simplified_head",
]
