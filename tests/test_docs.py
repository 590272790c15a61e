"""The documentation's links resolve, and it leaves out nothing that it sets out to list."""

from __future__ import annotations

import pkgutil
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

import latentsmooth
from latentsmooth.certification import Certificate
from latentsmooth.cli.main import COMMANDS, main
from latentsmooth.images import list_sources
from latentsmooth.models import list_builds
from latentsmooth.records import Manifest
from latentsmooth.training import TrainingSettings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
TEXTS = [*(ROOT / name for name in TOP), *PAGES]

FENCE = re.compile(r"^(?P<mark>```+).*?^(?P=mark)\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def links(path: Path) -> list[str]:
    found = LINK.findall(CODE.sub("", prose(path)))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(path: Path) -> set[str]:
    headings = HEADING.findall(prose(path))
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", h).strip().lower()) for h in headings}


def problem(path: Path, link: str) -> str | None:
    place, _, anchor = link.partition("#")
    target = (path.parent / place).resolve() if place else path
    if not target.exists():
        return f"{link}: no such file"
    if path in PAGES and DOCS not in target.parents:
        return f"{link}: outside docs/, where the site cannot follow"
    if anchor and anchor not in anchors(target):
        return f"{link}: no such heading"
    return None


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_words(page: str) -> set[str]:
    """Every word that stands in backticks on a page, `a:B` as `a`."""
    spans = re.findall(r"`([^`\n]+)`", prose(DOCS / page))
    return {word.split(":")[0] for span in spans for word in re.split(r"[,\s]+", span)}


@pytest.mark.parametrize("path", TEXTS, ids=shown)
def test_internal_links_resolve(path: Path) -> None:
    assert [found for link in links(path) if (found := problem(path, link))] == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One\n\n[a](#one) [b](#two) [c](gone.md)\n\n`[d](code.md)`\n", "utf-8")
    found = [bad for link in links(page) if (bad := problem(page, link))]
    assert found == ["#two: no such heading", "gone.md: no such file"]


def nav_pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for child in entry.values() if isinstance(entry, dict) else entry:
            yield from nav_pages(child)


def test_navigation_has_every_page_once() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = [page for page in nav_pages(config["nav"]) if not page.startswith("results/")]
    pages = [page.relative_to(DOCS).as_posix() for page in PAGES]
    assert sorted(named) == [page for page in pages if not page.startswith("results/")]


def test_api_page_has_every_public_package() -> None:
    names = {module.name for module in pkgutil.iter_modules(latentsmooth.__path__)} - {"version"}
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    mentioned = set(re.findall(r"^(?:##|:::) latentsmooth\.(\w+)$", text, re.MULTILINE))
    assert mentioned == {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("log-format.md", [field.name for field in fields(Manifest)]),
        ("log-format.md", [field.name for field in fields(Certificate)]),
        ("training.md", [field.name for field in fields(TrainingSettings)]),
        ("data.md", [re.split(r"[\[:]", usage)[0] for usage in list_sources()]),
        ("concepts/classifier.md", list_builds()),
    ],
    ids=["manifest", "certificate", "training settings", "data sources", "builds"],
)
def test_page_names_all(page: str, names: list[str]) -> None:
    assert names
    assert set(names) - code_words(page) == set()


def test_command_line_page_has_every_subcommand() -> None:
    assert set(COMMANDS) - set(HEADING.findall(prose(DOCS / "cli.md"))) == set()


def commands(path: Path) -> Iterator[list[str]]:
    """The words of every ``latentsmooth SUBCOMMAND ...`` line in a page's console blocks."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if match := re.search(r"\blatentsmooth ([a-z].*)", line):
                yield shlex.split(match[1], comments=True)


def test_flags_in_examples_exist(capsys: pytest.CaptureFixture[str]) -> None:
    used = [(words[0], word) for path in TEXTS for words in commands(path) for word in words[1:]]
    flags = {(name, word) for name, word in used if word.startswith("--")}
    assert len(flags) > 10
    unknown = []
    for name in sorted({name for name, _ in flags}):
        with pytest.raises(SystemExit):
            main([name, "--help"])
        known = set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out))
        unknown += [
            f"{name} {flag}" for owner, flag in flags if owner == name and flag not in known
        ]
    assert unknown == []
