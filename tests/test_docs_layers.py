"""The pages on layers name all that is public, and show what their examples print."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
import torch

from latentsmooth import orthogonal

LAYERS = Path(__file__).resolve().parent.parent / "docs" / "layers"
PAGES = sorted(LAYERS.glob("*.md"))
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def blocks(path: Path) -> list[tuple[str, str, int]]:
    """Language, text and first line of every fenced block of a page."""
    text = path.read_text(encoding="utf-8")
    return [
        (found["language"], found["code"], text.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(text)
    ]


def examples(path: Path) -> doctest.DocTest:
    """A page's examples as one test, since later blocks use the names of earlier ones."""
    parser = doctest.DocTestParser()
    listed: list[doctest.Example] = []
    for language, code, line in blocks(path):
        if language == "pycon":
            for example in parser.get_examples(code, path.name):
                example.lineno += line
                listed.append(example)
    return doctest.DocTest(listed, {}, path.name, str(path), 0, path.read_text(encoding="utf-8"))


def run(test: doctest.DocTest) -> str:
    """Run from a fixed seed; returns what differed."""
    torch.manual_seed(0)
    report: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.append)
    return "".join(report)


def code_words(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", FENCE.sub("", text)))


@every_page
def test_examples_print_what_is_shown(path: Path) -> None:
    assert run(examples(path)) == ""


@every_page
def test_pages_have_an_example_and_no_code_that_is_not_run(path: Path) -> None:
    assert {language for language, _, _ in blocks(path)} <= {"pycon", "text"}
    assert len(examples(path).examples) > 1
    for language, code, line in blocks(path):
        assert (">>>" in code) == (language == "pycon"), f"{path.name}:{line}"
    assert path.read_text(encoding="utf-8").count("```") == 2 * len(blocks(path))


@every_page
def test_shown_errors_have_the_message_compared(path: Path) -> None:
    for example in examples(path).examples:
        if "Traceback" in example.want:
            assert example.exc_msg, example.source


def test_every_public_name_is_on_a_page_and_in_the_tables() -> None:
    index = (LAYERS / "index.md").read_text(encoding="utf-8")
    tables = "\n".join(line for line in index.splitlines() if line.startswith("|"))
    others = [path.read_text(encoding="utf-8") for path in PAGES if path.name != "index.md"]
    names = set(orthogonal.__all__)
    assert names - code_words(tables) == set()
    assert {name for name in names if not any(name in text for text in others)} == set()


def test_every_page_is_in_the_tables() -> None:
    index = (LAYERS / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"^\|.*\]\(([\w-]+\.md)", index, re.MULTILINE))
    assert {path.name for path in PAGES} == linked | {"index.md"}


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Sum\n\n```pycon\n>>> one = 1\n```\n\n```pycon\n>>> one + 1\n3\n```\n", "utf-8"
    )
    report = run(examples(page))
    assert "line 8" in report
    assert "Expected:\n    3\nGot:\n    2" in report
