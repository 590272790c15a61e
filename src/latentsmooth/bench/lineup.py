"""Who takes part in a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from latentsmooth.bench.art import Art
from latentsmooth.bench.contender import Contender
from latentsmooth.bench.engine import Ceiling, Engine
from latentsmooth.bench.subjects import Subject
from latentsmooth.bench.textbook import Textbook
from latentsmooth.certification import EngineOptions
from latentsmooth.errors import ConfigurationError

__all__ = ["KINDS", "make_contenders"]

KINDS: Final = ("textbook", "art", "isrs", "lsrs", "ceiling")


def make_contenders(
    subjects: Sequence[Subject],
    *,
    kinds: Sequence[str] = KINDS,
    n_select: int = 100,
    alpha: float = 1e-3,
    goal: str | None = None,
    options: EngineOptions | None = None,
) -> tuple[list[Contender], dict[str, str]]:
    """Make the contenders of the kinds asked for; see `compare`.

    Returns:
        The contenders in the order of their turns, and why a kind asked for has none.

    Raises:
        ConfigurationError: for an unknown kind, or none.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        got = repr(unknown[0]) if unknown else "none"
        raise ConfigurationError(f"wanted contenders among {', '.join(KINDS)}, got {got}")
    options = options or {}
    made: list[Contender] = []
    skipped = {}
    rival = next((subject for subject in subjects if subject.is_input_space), None)
    for kind, contender in (("textbook", Textbook), ("art", Art)):
        if kind not in kinds:
            continue
        if rival is None:
            skipped[kind] = "no ISRS model was given, such as resnet20"
            continue
        made.append(contender(rival, n_select=n_select, alpha=alpha))
        made.append(
            contender(rival, n_select=n_select, alpha=alpha, batch_size=None, name=f"{kind} best")
        )
    for subject in subjects:
        engine = Engine(subject, n_select=n_select, alpha=alpha, options=options)
        mine: list[Contender] = []
        if engine.kind in kinds:
            mine.append(engine)
            if goal is not None:
                mine.append(
                    Engine(subject, n_select=n_select, alpha=alpha, goal=goal, sibling=engine)
                )
        if "ceiling" in kinds:
            ceiling = Ceiling(engine, subject, n_select=n_select)
            for each in mine:
                each.ceiling = ceiling.name
            mine.append(ceiling)
        made += mine
    return made, skipped
