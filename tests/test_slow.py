"""The short run of `make check`: what it leaves out is named rightly, and no folder is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slow import SLOW

TESTS = Path(__file__).parent
FOLDERS = sorted(
    folder.name for folder in TESTS.iterdir() if folder.is_dir() and any(folder.glob("test_*.py"))
)


@pytest.mark.parametrize("path", SLOW)
def test_names_of_slow_tests_are_those_of_tests(path: str) -> None:
    text = (TESTS.parent / path).read_text("utf-8")
    assert [name for name in SLOW[path] if f"def {name}(" not in text] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_short_run_goes_through_every_folder(folder: str) -> None:
    """By counting: a folder keeps at least a test that is not named as slow."""
    names = [
        line.partition("(")[0].removeprefix("def ")
        for file in (TESTS / folder).glob("test_*.py")
        for line in file.read_text("utf-8").splitlines()
        if line.startswith("def test_")
        and line.partition("(")[0].removeprefix("def ")
        not in SLOW.get(f"tests/{folder}/{file.name}", ())
    ]
    assert names
