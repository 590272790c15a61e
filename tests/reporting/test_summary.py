from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.certification.certificate import Certificate
from latentsmooth.errors import ConfigurationError
from latentsmooth.records import read_any_log
from latentsmooth.records.rounding import floor_text
from latentsmooth.reporting import accuracy_curve, summarize
from tests.data_files import shared_data
from tests.records.makers import certificate, certificate_lists
from tests.reporting.makers import EIGHT, correct, published, view, wrong


def test_figures_of_a_small_log() -> None:
    found = summarize(view(), input_radii=(0.0, 0.2, 0.21, 1.3, 1.4))
    assert found.n_certified == (5, 4, 2, 1, 0)
    assert found.certified_accuracy == tuple(Fraction(k, 8) for k in (5, 4, 2, 1, 0))
    assert found.clean_accuracy == Fraction(5, 8)
    assert found.average_certified_radius == Fraction(23, 80)
    assert found.abstention == Fraction(2, 8)
    assert found.seconds_per_image == (0.5 + 4 * 1.0 + 3 * 1.5) / 8
    assert found.samples_per_image == 10_100
    assert found.clean_standard_error == pytest.approx(math.sqrt(5 / 8 * 3 / 8 / 8))
    assert (found.alpha, found.false_expected) == (0.001, Fraction(8, 1000))


def test_wrong_and_abstained_never_count_however_large_the_radius() -> None:
    found = summarize(view([wrong(0, 9.0), EIGHT[6]]), input_radii=(0.0,))
    assert found.n_certified == (0,)
    assert found.average_certified_radius == 0


def test_the_lower_bound_takes_the_false_ones_off_and_stops_at_zero() -> None:
    log = view([correct(i, 0.3) for i in range(498)] + [wrong(498, 0.3), correct(499, 0.9)])
    found = summarize(log, input_radii=(0.0, 0.5))
    assert found.false_at_most == 4
    assert found.certified_accuracy_at_least == (Fraction(495, 500), Fraction(0))


def test_the_largest_alpha_counts_for_the_bound() -> None:
    log = view([certificate(0, alpha=0.001), certificate(1, alpha=0.5)])
    found = summarize(log, delta=0.3)
    assert (found.alpha, found.false_at_most) == (0.5, 1)
    assert found.false_expected == Fraction(501, 1000)


def test_images_without_a_label_count_for_abstention_and_time_only() -> None:
    log = view([*EIGHT, certificate(8, label=None, input_radius=0.31)])
    found = summarize(log)
    assert (found.n_images, found.n_labelled) == (9, 8)
    assert found.clean_accuracy == Fraction(5, 8)
    assert found.abstention == Fraction(2, 9)


def test_a_log_without_labels_or_images_has_no_accuracy() -> None:
    unlabelled = summarize(view([certificate(0, label=None)]))
    assert unlabelled.clean_accuracy is None
    assert unlabelled.certified_accuracy == (None,) * 5
    assert unlabelled.average_certified_radius is None
    assert unlabelled.abstention == 0
    assert unlabelled.alpha == 0.001
    empty = summarize(view([]))
    assert (empty.abstention, empty.seconds_per_image, empty.samples_per_image) == (None,) * 3
    assert empty.standard_errors == empty.certified_accuracy_at_least == (None,) * 5


def test_published_files_leave_out_what_they_do_not_say() -> None:
    found = summarize(published())
    assert found.n_certified == summarize(view()).n_certified
    assert found.samples_per_image is None
    assert (found.alpha, found.false_expected, found.false_at_most) == (None, None, None)
    assert found.certified_accuracy_at_least == (None,) * 5


@pytest.mark.parametrize("radius", [-0.1, math.nan, math.inf])
def test_radii_that_are_none(radius: float) -> None:
    with pytest.raises(ConfigurationError, match="radii of at least 0"):
        summarize(view(), input_radii=(0.0, radius))


def test_repeated_radii_are_reported_once() -> None:
    assert summarize(view(), input_radii=(0.5, 0, 0.5)).input_radii == (0.5, 0.0)


@given(certificates=certificate_lists(max_size=8), radius=st.floats(0, 1e6), data=st.data())
@settings(deadline=None)
def test_the_curve_agrees_with_the_count_at_every_radius(
    certificates: list[Certificate], radius: float, data: st.DataObject
) -> None:
    log = view(certificates)
    curve = accuracy_curve(log)
    if curve is None:
        assert summarize(log).clean_accuracy is None
        return
    steps = st.sampled_from((*curve.input_radii, 0.0))
    for at in (radius, data.draw(steps), math.nextafter(data.draw(steps), math.inf)):
        assert summarize(log, input_radii=(at,)).certified_accuracy == (curve.at(at),)
    assert curve.accuracies[-1] == 0
    area = sum(
        (right - left) * float(height)
        for left, right, height in zip(
            (0.0, *curve.input_radii), curve.input_radii, curve.accuracies, strict=False
        )
    )
    assert area == pytest.approx(float(summarize(log).average_certified_radius or 0), rel=1e-9)


def test_a_published_log_gives_the_published_figures() -> None:
    path = shared_data("published-logs/cifar10-resnet110-gaussian-sigma0.50.tsv")
    found = summarize(read_any_log(path))
    assert found.n_images == 10_000
    assert found.n_certified == (6568, 5491, 4279, 3245, 2197)
    acr = found.average_certified_radius
    assert acr is not None
    assert floor_text(acr, 10) == "0.5250531844"
    assert round(float(acr), 4) == 0.5251
    assert found.abstention == Fraction(1523, 10_000)
