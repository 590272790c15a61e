from __future__ import annotations

from pathlib import Path

import pytest

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images.splits import choose_split, split_in_name
from latentsmooth.images.table_sets import files_by_split

FILES = [Path("train-00000-of-00002.parquet"), Path("train-00001-of-00002.parquet")]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Train", "train"),
        ("cifar_test_v2", "test"),
        ("val", "validation"),
        ("my-dev", "validation"),
        ("training", "train"),
        ("my_evaluation_set", "validation"),
        ("cifarTestData", "test"),
        ("TRAINSET", "train"),
        ("contest", None),
        ("values", None),
    ],
)
def test_split_words_in_names(name: str, split: str | None) -> None:
    assert split_in_name(name) == split


def test_a_name_with_two_splits_is_refused() -> None:
    with pytest.raises(DataError, match="several splits: test, train"):
        split_in_name("train-test")


def chosen(files: list[Path], split: str) -> tuple[list[Path], str]:
    found = files_by_split(files, None)
    name = choose_split(split, sorted(found), where="here")
    return found[name], name


def test_file_names_choose_the_split() -> None:
    test = Path("test.parquet")
    assert chosen([*FILES, test], "train") == (FILES, "train")
    assert chosen([*FILES, test], "Testing") == ([test], "test")


def test_test_falls_back_to_validation_but_not_the_other_way() -> None:
    val = Path("val.parquet")
    assert chosen([*FILES, val], "test") == ([val], "validation")
    assert chosen([*FILES, val], "val") == ([val], "validation")
    with pytest.raises(ConfigurationError, match="no split 'validation'; there is test, train"):
        chosen([*FILES, Path("test.parquet")], "validation")
    with pytest.raises(ConfigurationError, match="no split 'train'; there is test"):
        chosen([Path("test.parquet")], "train")


def test_files_without_splits_answer_to_any() -> None:
    files = [Path("a.parquet"), Path("b.parquet")]
    assert files_by_split(files, None) == {"all": files}


def test_a_mixture_of_names_is_refused() -> None:
    with pytest.raises(DataError, match=r"extra\.parquet: its name has no split"):
        files_by_split([*FILES, Path("extra.parquet")], None)
    with pytest.raises(DataError, match="expected at least one"):
        files_by_split([], None)


def test_two_names_for_one_split_are_refused_unless_asked_for_by_name() -> None:
    assert choose_split("val", ["train", "val", "dev"], where="here") == "val"
    with pytest.raises(DataError, match="val and dev both stand for the validation split"):
        choose_split("validation", ["train", "val", "dev"], where="here")


ROOT = Path("/root")


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["default/train/0000.parquet", "default/test/0000.parquet"], ["train", "test"]),
        (["split=train/part-0.parquet", "split=val/part-0.parquet"], ["train", "validation"]),
        (["Train/a/0.parquet", "Train/b/0.parquet", "Eval/0.parquet"], ["train", "validation"]),
        (["data/training.parquet", "data/my_evaluation_set.parquet"], ["train", "validation"]),
        (["cifar-TRAIN/0.parquet", "cifar-TEST/0.parquet"], ["train", "test"]),
        (["train/train-0.parquet", "test/test-0.parquet"], ["train", "test"]),
    ],
)
def test_folders_of_parquet_files_tell_the_split(names: list[str], splits: list[str]) -> None:
    found = files_by_split([ROOT / name for name in names], ROOT)
    assert set(found) == set(splits)
    assert sorted(path for files in found.values() for path in files) == sorted(
        ROOT / name for name in names
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["learn/0.parquet", "check/0.parquet"], "the layout is not understood"),
        (["a/train/0.parquet", "b/train/0.parquet"], "several sets, in the folders a, b"),
        (["a/train.parquet", "b/test.parquet"], "several sets"),
        (["train/test.parquet", "train/train.parquet"], "several splits: test, train"),
        (["train/0.parquet", "extra/0.parquet"], "its name has no split"),
        (["train-test.parquet"], "several splits"),
    ],
)
def test_folders_of_parquet_files_that_are_not_understood(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        files_by_split([ROOT / name for name in names], ROOT)


def test_files_named_one_by_one_may_lie_in_split_folders() -> None:
    files = [Path("/x/test/0000.parquet"), Path("/x/train/0000.parquet")]
    assert files_by_split(files, None) == {"test": files[:1], "train": files[1:]}
    assert files_by_split(files[:1], None) == {"test": files[:1]}
    # What the user's own folder is called does not matter once a file says what it is.
    inside = Path("/home/test/train.parquet")
    assert files_by_split([inside], None) == {"train": [inside]}
