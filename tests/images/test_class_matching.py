from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import ImageSet, load_images
from latentsmooth.images.classes import (
    PartNames,
    UnknownClasses,
    are_numbered,
    match_classes,
    merge_names,
    number_labels,
)
from tests.images.layouts import build
from tests.images.samples import png, write_parquet

DIGITS = tuple(map(str, range(10)))
TWELVE = tuple(sorted(map(str, range(12))))


def matched(
    theirs: tuple[str, ...],
    ours: tuple[str, ...],
    *,
    named: bool = True,
    unknown: UnknownClasses = "refuse",
) -> tuple[list[int], tuple[str, ...]]:
    found = match_classes(
        theirs,
        ours,
        named=named,
        present=np.arange(len(theirs)),
        source="here",
        unknown=unknown,
    )
    return found.labels.tolist(), found.notes


@pytest.mark.parametrize(
    ("theirs", "ours", "labels"),
    [
        (("dog", "cat"), ("cat", "cow", "dog"), [2, 0]),
        (("a", "b"), ("b", "a"), [1, 0]),
        (("cafe\u0301", "tea"), ("tea", "caf\u00e9"), [1, 0]),
        (("A", "a"), ("a", "A"), [1, 0]),
        (TWELVE, tuple(map(str, range(12))), [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]),
        (("00", "01", "07"), DIGITS, [0, 1, 7]),
        (("3", "7"), TWELVE, [TWELVE.index("3"), TWELVE.index("7")]),
        (("1", "b"), ("b", "1", "c"), [1, 0]),
    ],
)
def test_by_name(theirs: tuple[str, ...], ours: tuple[str, ...], labels: list[int]) -> None:
    assert matched(theirs, ours) == (labels, ())


def test_numbers_without_names_are_names_to_a_classifier_of_numbers() -> None:
    labels, notes = matched(DIGITS, TWELVE, named=False)
    assert [TWELVE[label] for label in labels] == list(DIGITS)
    assert notes == ()
    with pytest.raises(ConfigurationError, match=r"1 images of classes that .* know: 9"):
        matched(DIGITS, DIGITS[:9], named=False)


def test_numbers_without_names_stand_for_classes_in_order_and_say_so() -> None:
    labels, notes = matched(("0", "1"), ("cat", "dog", "emu"), named=False)
    assert labels == [0, 1]
    assert notes[0].endswith("in their order (0 cat, 1 dog, 2 emu)")
    assert matched(("0", "1", "2"), ("cat", "dog"), named=False, unknown="unlabelled")[0][2] == -1


def test_a_classifier_of_numbers_takes_names_by_place_and_says_so() -> None:
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    labels, notes = matched(names, DIGITS)
    assert labels == list(range(10))
    assert "matched by place (0 zero, 1 one, 2 two, …)" in notes[0]
    with pytest.raises(
        ConfigurationError, match=r"10 classes have numbers for names, and here has 9"
    ):
        matched(names[:9], DIGITS)


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (("cat", "doog"), ("cat", "dog"), r"1 images .*: doog \(did they mean 'dog'\?\)"),
        (("x", "y"), ("cat", "dog"), "none in common"),
        (("10", "11"), DIGITS[:2], "none in common"),
        (("1", "2"), DIGITS[:2], "1 images .*: 2"),
        (("cat", "dog"), TWELVE, "none in common"),
        (("Cat", "dog"), ("cat", "dog"), "1 images .*: Cat"),
    ],
)
def test_unknown_classes_are_refused(
    theirs: tuple[str, ...], ours: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        matched(theirs, ours)


def test_unknown_classes_may_count_as_unlabelled(tmp_path: Path) -> None:
    build(tmp_path, ["cat/1.png", "cat/2.png", "cow/1.png", "dog/1.png"])
    images = load_images(str(tmp_path))
    with pytest.raises(
        ConfigurationError, match=r"2 images of classes that the classifier does not"
    ):
        images.matched(["dog", "cow"])
    found = images.matched(["dog", "cow"], "unlabelled")
    assert found.labels.tolist() == [-1, -1, 1, 0]
    assert found.class_names == ("dog", "cow")
    assert found.notes[-1].startswith("2 images of classes that the classifier does not know count")
    with pytest.raises(ConfigurationError, match="none in common"):
        images.matched(["emu"], "unlabelled")


def test_a_class_without_images_need_not_be_known(tmp_path: Path) -> None:
    build(tmp_path, ["train/cat/1.png", "train/dog/1.png", "test/dog/2.png"])
    assert load_images(str(tmp_path)).matched(["dog"]).labels.tolist() == [0]
    unlabelled = ImageSet.from_tensors(torch.zeros(2, 1, 4, 4))
    assert unlabelled.matched(["a"]) is unlabelled


def test_a_subset_of_classes_in_another_order(tmp_path: Path) -> None:
    rows = [png(seed=seed) for seed in range(3)]
    for kind, names in ((None, None), ("c", ["emu", "cat", "dog"])):
        labels = ["dog", "emu", "dog"] if names is None else [2, 0, 2]
        path = write_parquet(tmp_path / f"test{kind}.parquet", rows, labels, names=names)
        images = load_images(f"parquet:{path}").matched(["cat", "dog", "emu", "fox"])
        assert images.labels.tolist() == [1, 2, 1]


def test_kinds_of_labels_in_the_parts_of_a_set() -> None:
    declared = PartNames("a", ("dog", "cat"), "declared")
    texts = PartNames("b", ("ant", "cat"), "texts")
    numbers = PartNames("c", ("0", "1"), "numbers")
    assert merge_names([declared, texts]) == ("dog", "cat", "ant")
    assert merge_names([declared, numbers, PartNames("d", (), "none")]) == ("dog", "cat")
    assert merge_names([numbers, PartNames("c", ("0", "1", "2"), "numbers")]) == ("0", "1", "2")
    assert merge_names([]) == ()
    with pytest.raises(DataError, match="c has numbers without names"):
        merge_names([texts, numbers])
    with pytest.raises(DataError, match="up to 2; a has 2 names"):
        merge_names([declared, PartNames("c", ("0", "1", "2"), "numbers")])
    with pytest.raises(DataError, match="a and e have names for them in different orders"):
        merge_names([declared, PartNames("e", ("cat", "dog"), "declared"), numbers])


def test_numbers_written_as_texts() -> None:
    assert number_labels(["2", "02", None, "0"]) == (("0", "1", "2"), {"2": 2, "02": 2, "0": 0})
    with pytest.raises(DataError, match=r"label 20240101; .* at most 1,000,000 classes"):
        number_labels(["20240101"])
    assert are_numbered(DIGITS)
    assert not are_numbered(TWELVE)


@pytest.mark.parametrize("per_class", [1, 2, 3, 10])
def test_a_limit_on_a_set_sorted_by_class_is_warned_of(per_class: int, tmp_path: Path) -> None:
    files = [f"{name}/{k}.png" for name in "abcd" for k in range(per_class)]
    build(tmp_path, files)
    limited = load_images(str(tmp_path), limit=per_class)
    warned = [note for note in limited.notes if "sorted by class" in note]
    assert bool(warned) == (per_class > 1)
    if warned:
        assert "are of 1 of 4 classes; --stride 4 (stride=4)" in warned[0]
    spread = load_images(str(tmp_path), limit=4, stride=per_class)
    assert not any("sorted" in note for note in spread.notes)
    most = load_images(str(tmp_path), limit=max(1, 3 * per_class))
    assert any("no limit, or a smaller one" in note for note in most.notes) == (per_class > 1)
