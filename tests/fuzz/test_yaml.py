"""Hostile ``--config`` files: only errors of usage, and what is read is what plain YAML means."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jsonargparse import ArgumentError

from latentsmooth.cli import train
from latentsmooth.cli.arguments import UsageError
from latentsmooth.cli.config_file import ConfigFile
from latentsmooth.cli.flags import FlagParser
from tests.fuzz.damage import bounded, damaged, fuzzed

PARSER = FlagParser(exit_on_error=False)
PARSER.add_argument("--config", action=ConfigFile)
train.add_arguments(PARSER)
RECIPE = b"""# a recipe
build: lsrs-haar
build_options: {depth: 2, levels: 1}
width: 0.25
latent_sigma: 2.5e-1
epochs: 8
data: "cifar10:some/folder"
limit: null
quiet: true
output: |
  a folder
"""
KEYS = st.sampled_from(
    [
        *(
            "build",
            "build_options",
            "width",
            "epochs",
            "data",
            "limit",
            "quiet",
            "output",
            "config",
        ),
        *(
            "epochs+",
            "build_options.depth",
            "MODEL",
            "print_config",
            "help",
            "<<",
            "0",
            "[a]",
            "=y",
        ),
        *("? a", "!!str epochs", "&a epochs", "*a", "'width'", '"epo\\x63hs"', "~", "true", "1.5"),
    ]
)
ATOMS = st.sampled_from(
    [
        *("1", "0.5", "1e3", "1e-3", ".inf", "-.inf", ".nan", "~", "null", "yes", "x", "''", '"'),
        *(
            "0x" + "f" * 90,
            "9" * 90,
            "9" * 900,
            "0b11",
            "0o7",
            "07",
            "1_000",
            "1:30",
            "190:20:30.15",
        ),
        *("2020-01-01", "2020-13-45", "2020-01-01 00:00:00 +99:99", "&a x", "*a", "!x y", "!!null"),
        *("!!binary x", "!!set {a}", "!!python/object:os.x {}", "!!timestamp 1", "<<", "=", "%x"),
        *("|\n  a\n  b", ">-\n a", "'a\n\n b'", '"\\ud800"', '"\\U0001F600"', '"\\x07"', "@", "`"),
        *("'[1, 2]'", "'{a: 1}'", "'{a: &b [1], c: *b}'", "'" + "[" * 40 + "'", "\"{'a': '[1'}\""),
        *(
            "cifar10:x",
            "a, b",
            "- 1",
            "a: b",
            "#",
            "\u2028",
            "\x85",
            "\ufeff",
            "\t",
            "…",
            "\U0001f600",
        ),
    ]
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: "[" + ", ".join(parts) + "]"),
        st.lists(st.tuples(KEYS, inner), max_size=3).map(
            lambda parts: "{" + ", ".join(f"{key}: {value}" for key, value in parts) + "}"
        ),
        inner.map(lambda text: "'" + text.replace("'", "''") + "'"),
        inner.map(lambda text: "\n  - " + text),
    ),
    max_leaves=6,
)


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """Lines of keys and values that resemble YAML, in no good order."""
    lines = [f"{draw(KEYS)}: {draw(VALUES)}" for _ in range(draw(st.integers(0, 5)))]
    extra = ["---", "...", "%YAML 9.9", "%TAG ! tag:x,1:", "- a", "", "# x", "  ", "? b", ": c"]
    for _ in range(draw(st.integers(0, 2))):
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(extra)))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "c.yaml"


def read(path: Path, content: bytes) -> dict[str, object] | None:
    """The flags of `train`, or ``None`` where they were refused."""
    path.write_bytes(content)
    found: dict[str, object] | None = None
    with bounded(), suppress(UsageError, ArgumentError):
        found = PARSER.parse_args([f"--config={path}"]).as_dict()
    return found


def test_what_is_damaged_below_is_whole_here(path: Path) -> None:
    found = read(path, RECIPE)
    assert found is not None
    assert (found["build_options"], found["latent_sigma"]) == ({"depth": 2, "levels": 1}, 0.25)


def check(found: dict[str, object] | None, content: bytes) -> None:
    """Of what was read, every key is one that a plain reading of the YAML finds."""
    if found is None:
        return
    plain = yaml.load(content.decode("utf-8-sig"), Loader=yaml.BaseLoader) or {}
    assert set(plain) <= set(found)
    for key, value in plain.items():
        if type(found[key]) is int:
            assert found[key] == int(value)
        if type(found[key]) is str:
            assert found[key] == value
    assert type(found["epochs"]) is int
    assert type(found["width"]) is float
    assert found["build_options"] is None or isinstance(found["build_options"], dict)


@fuzzed(400)
@given(content=written())
@example(content=RECIPE)
def test_written_files(path: Path, content: bytes) -> None:
    check(read(path, content), content)


@fuzzed(300)
@given(content=damaged(RECIPE))
def test_damaged_recipes(path: Path, content: bytes) -> None:
    check(read(path, content), content)
