"""Names beside marks: none over another, none outside, however crowded the marks."""

from __future__ import annotations

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.sweep.labels import Box, place_labels

FRAME = Box(0, 0, 400, 300)
PLACES = st.tuples(st.floats(5, 395), st.floats(5, 295))


@given(anchors=st.lists(PLACES, min_size=1, max_size=12), width=st.floats(20, 90))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_labels_stay_in_the_frame_and_apart(
    anchors: list[tuple[float, float]], width: float
) -> None:
    marks = [Box(x - 4, y - 4, x + 4, y + 4) for x, y in anchors]
    found = place_labels(anchors, [(width, 12.0)] * len(anchors), frame=FRAME, hard=marks, gap=6.0)
    boxes = [box for box in found if box is not None]
    assert len(boxes) == len(anchors), "twelve labels always find a place in so large a frame"
    for box in boxes:
        assert box.within(FRAME)
        assert math.isclose(box.right - box.left, width)
        assert not any(box.meets(mark) for mark in marks)
    assert not any(one.meets(other) for one, other in itertools.combinations(boxes, 2))


def test_a_label_without_room_is_left_out_and_lines_are_avoided() -> None:
    small = Box(0, 0, 30, 20)
    assert place_labels([(15, 10)], [(40, 10)], frame=small, hard=[], gap=3) == [None]
    line = Box(0, 149, 400, 151)
    [free] = place_labels([(200, 150)], [(60, 12)], frame=FRAME, hard=[], soft=[(line, 9.0)], gap=6)
    assert free is not None
    assert not free.meets(line)
    [on] = place_labels([(200, 150)], [(60, 12)], frame=FRAME, hard=[], soft=[(line, 0.0)], gap=6)
    assert on is not None
    assert on.meets(line)
