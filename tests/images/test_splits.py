from __future__ import annotations

from pathlib import Path

import pytest

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images.splits import choose_files, split_in_name

FILES = [Path("train-00000-of-00002.parquet"), Path("train-00001-of-00002.parquet")]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Train", "train"),
        ("cifar_test_v2", "test"),
        ("val", "validation"),
        ("my-dev", "validation"),
        ("training", None),
        ("contest", None),
        ("values", None),
    ],
)
def test_split_words_in_names(name: str, split: str | None) -> None:
    assert split_in_name(name) == split


def test_a_name_with_two_splits_is_refused() -> None:
    with pytest.raises(DataError, match="several splits: test, train"):
        split_in_name("train-test")


def test_file_names_choose_the_split() -> None:
    test = Path("test.parquet")
    assert choose_files([*FILES, test], "train") == (FILES, "train")
    assert choose_files([*FILES, test], "test") == ([test], "test")


def test_test_falls_back_to_validation_but_not_the_other_way() -> None:
    val = Path("val.parquet")
    assert choose_files([*FILES, val], "test") == ([val], "validation")
    assert choose_files([*FILES, val], "val") == ([val], "validation")
    with pytest.raises(ConfigurationError, match="no split 'validation'; there is test, train"):
        choose_files([*FILES, Path("test.parquet")], "validation")
    with pytest.raises(ConfigurationError, match="no split 'train'; there is test"):
        choose_files([Path("test.parquet")], "train")


def test_files_without_splits_answer_to_any() -> None:
    files = [Path("a.parquet"), Path("b.parquet")]
    assert choose_files(files, "train") == (files, "all")
    assert choose_files(files, "val") == (files, "all")
    with pytest.raises(ConfigurationError, match="unknown split 'tset'"):
        choose_files(files, "tset")


def test_a_mixture_of_names_is_refused() -> None:
    with pytest.raises(DataError, match=r"extra\.parquet: its name has no split"):
        choose_files([*FILES, Path("extra.parquet")], "train")
    with pytest.raises(DataError, match="expected at least one"):
        choose_files([], "train")
