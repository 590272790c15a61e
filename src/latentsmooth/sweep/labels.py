"""Names beside marks, none over another: places found greedily, nearest first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Box", "place_labels"]

_DIRECTIONS: Final = 16
_RINGS: Final = 40


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle; which way up the second axis points does not matter.

    >>> Box(0, 0, 2, 2).meets(Box(1, 1, 3, 3)), Box(0, 0, 1, 1).meets(Box(1, 0, 2, 1))
    (True, False)
    """

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        """Whether the two have an area in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def within(self, frame: Box) -> bool:
        """Whether it lies in a frame."""
        return (
            self.left >= frame.left
            and self.right <= frame.right
            and self.bottom >= frame.bottom
            and self.top <= frame.top
        )


def place_labels(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    *,
    frame: Box,
    hard: Sequence[Box],
    soft: Sequence[tuple[Box, float]] = (),
    gap: float,
) -> list[Box | None]:
    """Find a place for each label: in the frame, over no other label and no hard box.

    Every label takes the nearest of the free places around its mark; one that lies on soft boxes
    counts as so many half heights of the label further off.

    Args:
        anchors: ``(x, y)`` of each mark.
        sizes: ``(width, height)`` of each label, same unit.
        frame: where labels may lie.
        hard: what they may not lie on, such as marks.
        soft: what they rather do not lie on, such as lines, and what it counts.
        gap: between a mark's centre and its label.

    Returns:
        One box a label; ``None`` where the frame has no room left.

    Example:
        >>> place_labels([(50, 50)], [(20, 10)], frame=Box(0, 0, 100, 100), hard=[], gap=5)
        [Box(left=55.0, bottom=45.0, right=75.0, top=55.0)]
    """
    taken: list[Box] = []
    places: list[Box | None] = [None] * len(anchors)
    # Marks with the most neighbours choose first: they have the fewest places.
    crowd = sorted(range(len(anchors)), key=lambda n: _nearest(anchors, n))
    for number in crowd:
        best, least = None, math.inf
        for ring, box in _candidates(anchors[number], sizes[number], gap):
            if ring >= least:
                break
            if not box.within(frame) or any(map(box.meets, taken)) or any(map(box.meets, hard)):
                continue
            penalty = ring + sum(weight for other, weight in soft if box.meets(other))
            if penalty < least:
                best, least = box, penalty
        places[number] = best
        if best is not None:
            taken.append(best)
    return places


def _nearest(anchors: Sequence[tuple[float, float]], number: int) -> float:
    others = (math.dist(anchors[number], each) for n, each in enumerate(anchors) if n != number)
    return min(others, default=math.inf)


def _candidates(
    anchor: tuple[float, float], size: tuple[float, float], gap: float
) -> Iterator[tuple[float, Box]]:
    """Boxes in widening rings, those to the right and left of the mark first."""
    order = sorted(range(_DIRECTIONS), key=lambda n: abs(math.sin(_angle(n))))
    for ring in range(_RINGS):
        reach = gap + ring * size[1] / 2
        for number in order:
            across, along = math.cos(_angle(number)), math.sin(_angle(number))
            middle = (
                anchor[0] + across * reach + _pushed(across) * size[0] / 2,
                anchor[1] + along * reach + _pushed(along) * size[1] / 2,
            )
            left, bottom = middle[0] - size[0] / 2, middle[1] - size[1] / 2
            yield float(ring), Box(left, bottom, left + size[0], bottom + size[1])


def _angle(number: int) -> float:
    return 2 * math.pi * number / _DIRECTIONS


def _pushed(share: float) -> float:
    """How far a label moves off its mark's centre, -1 to 1, so that it clears the mark."""
    return max(-1.0, min(1.0, 1.5 * share))
