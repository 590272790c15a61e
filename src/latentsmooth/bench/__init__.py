"""Certification timed side by side: the textbook loop, a peer, our engine and its ceiling."""

from latentsmooth.bench.comparison import compare, take_turns
from latentsmooth.bench.contender import Contender, Outcome, Unavailable
from latentsmooth.bench.lineup import KINDS, make_contenders
from latentsmooth.bench.memory import measure_memory
from latentsmooth.bench.result import Comparison, MemoryUse, ModelFacts, Standing
from latentsmooth.bench.subjects import Subject, load_subjects
from latentsmooth.bench.table import markdown, notes, tables

__all__ = [
    "KINDS",
    "Comparison",
    "Contender",
    "MemoryUse",
    "ModelFacts",
    "Outcome",
    "Standing",
    "Subject",
    "Unavailable",
    "compare",
    "load_subjects",
    "make_contenders",
    "markdown",
    "measure_memory",
    "notes",
    "tables",
    "take_turns",
]
