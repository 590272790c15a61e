"""The files around the package agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from latentsmooth import __version__

ROOT = Path(__file__).resolve().parent.parent


def pins() -> dict[str, str]:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def test_lock_satisfies_what_the_package_its_tests_and_tools_ask_for() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    locked = pins()
    for text in (*project["dependencies"], *extras["test"], *extras["dev"]):
        wanted = Requirement(text)
        assert wanted.specifier.contains(locked.get(canonicalize_name(wanted.name), "none")), text


def test_lock_has_exact_versions_without_local_suffix() -> None:
    assert len(pins()) > 20
    for name, version in pins().items():
        assert canonicalize_name(name) == name
        assert re.fullmatch(r"\d+(\.\d+)*", version), (name, version)


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_hooks_run_tools_of_the_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    assert {entry.split()[0].removeprefix(".venv/bin/") for entry in entries} == {
        "ruff",
        "mypy",
        "lint-imports",
    }
