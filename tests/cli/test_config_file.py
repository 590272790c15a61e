"""The ``--config`` file: what a stranger may have written into it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from latentsmooth.cli.main import build_parser, main

BOMB = "a: &a [x, x]\n" + "".join(
    f"k{level}: &k{level} [*{'a' if level == 0 else f'k{level - 1}'}, *a]\n" for level in range(9)
)


def parsed(path: Path, command: str = "train") -> dict[str, object]:
    found: dict[str, object] = (
        build_parser().parse_args([command, f"--config={path}"])[command].as_dict()
    )
    return found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 5", "line 1: unknown key 'epoch'; did you mean 'epochs'?"),
        ("\nlatent-sigma: 5", "line 2: unknown key 'latent-sigma'; did you mean 'latent_sigma'?"),
        ("DATA: x", "unknown key 'DATA'; did you mean 'data'?"),
        ("zzzzzzzz: 1", "unknown key 'zzzzzzzz'; known: "),
        ("config: other.yaml", "unknown key 'config'"),
        ("print_config: ''", "unknown key 'print_config'"),
        ("epochs+: 1", "unknown key 'epochs+'; did you mean 'epochs'?"),
        ("build_options.depth: 1", "unknown key 'build_options.depth'"),
        ("epochs: 1\nwidth: 2\nepochs: 3", "line 3: key 'epochs' is given twice"),
        ("build_options: {depth: 1, depth: 2}", "key 'depth' is given twice"),
        ("- epochs", "wanted flags as `name: value`"),
        ("just words", "wanted flags as `name: value`"),
        ("5", "wanted flags as `name: value`"),
        ("''", "wanted flags as `name: value`"),
        ("epochs: 1\n---\nepochs: 2", "a second document"),
        ("data: !!python/object/apply:os.system [id]", "tag 'tag:yaml.org,2002:python/object/app"),
        ("data: !!str x", "tag 'tag:yaml.org,2002:str' is not read"),
        ("data: ! x", "tag '!' is not read"),
        ("!!map {data: x}", "tag 'tag:yaml.org,2002:map' is not read"),
        ("? [a]\n: b", "a key is no plain text"),
        ("? {a: b}\n: b", "a key is no plain text"),
        ("data: &x y\noutput: *x", "line 1: anchors and aliases are not read"),
        ("data: *x", "anchors and aliases are not read"),
        (BOMB, "unknown key 'a'"),
        ("build_options: &a {x: *a}", "anchors and aliases are not read"),
        ("build_options:\n  <<: {depth: 1}", "key '<<' is not read"),
        (f"data: '{BOMB}'", "a text with an anchor, a tag or deep nesting in it"),
        ("build_options: '{a: &a [1, 2], b: *a}'", "a text with an anchor, a tag"),
        ("data: " + "[" * 60_000, "nested deeper than 8 levels"),
        ("data: " + "[" * 9 + "]" * 9, "nested deeper than 8 levels"),
        ("data:" + " {a:" * 9 + " 1" + "}" * 9, "nested deeper than 8 levels"),
        ("data: '" + "[" * 9 + "'", "a text with an anchor, a tag or deep nesting"),
        ("epochs: " + "9" * 5000, "a number of more than 100 digits"),
        ("epochs: '" + "9" * 5000 + "'", "a number of more than 100 digits"),
        ("epochs: 0x" + "f" * 5000, "a number of more than 100 digits"),
        ("epochs: " + "1:" * 500 + "1", "a number of more than 100 digits"),
        ("build_options: '{depth: " + "9" * 5000 + "}'", "a number of more than 100 digits"),
        ("build_options: {" + "d" * 200 + ": 1}", "is not read"),
        ("build: '!!timestamp 1'", "a text with an anchor, a tag"),
        ("data: [", "line 1: not YAML: "),
        ("data: \x07", "not YAML: "),
        ("\tdata: x", "line 1: not YAML: "),
        ("a: 1\n" * 20_000, "takes more than 65,536 bytes"),
        ("epochs: many", "many"),
        ("epochs: " + "many " * 10_000, "got 'many many"),
        ("width:", "width has no value"),
        ("epochs: ~", "epochs has no value"),
        ("epochs: [1, 2]", "epochs"),
        ("epochs: .nan", "epochs"),
        ("data: {a: 1}", "data"),
        ("build_options: [1]", "build_options"),
        ("build_options: {depth: x}", "depth"),
    ],
)
def test_hostile_files_are_refused_in_one_short_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(text, "utf-8")
    started = time.process_time()
    assert main(["train", f"--config={tmp_path / 'c.yaml'}"]) == 2
    assert time.process_time() - started < 5
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert len(error) < 2000


def test_what_is_not_a_file_of_text_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_bytes(b"data: \xff\xfe")
    for place, message in [
        (tmp_path, "is a folder; wanted a YAML file"),
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path / "c.yaml", "is not text"),
        (Path("/dev/zero"), "takes more than 65,536 bytes"),
        (Path("x" * 300), "File name too long"),
    ]:
        assert main(["train", f"--config={place}"]) == 2
        assert message in capsys.readouterr().err
    assert main(["train", '--config={"epochs": 3}']) == 2
    assert "cannot read the --config file" in capsys.readouterr().err


def test_plain_files_give_the_values_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "\ufeff# a recipe\nepochs: 7\nlatent_sigma: 1e-1\nquiet: true\ndata: 2020-13-45\n"
        "build_options: {depth: 2}\nlimit: null\noutput: 'ünï: [x'\nbuild: |\n  two\n  lines\n",
        "utf-8",
    )
    found = parsed(path)
    wanted = {"epochs": 7, "latent_sigma": 0.1, "quiet": True, "data": "2020-13-45"}
    wanted |= {"build_options": {"depth": 2}, "limit": None, "output": "ünï: [x"}
    assert {name: found[name] for name in wanted} == wanted
    assert found["build"] == "two\nlines\n"
    path.write_text("radii: [0, 0.5]\nlogs: [a.jsonl, b.tsv]\n", "utf-8")
    found = parsed(path, "report")
    assert (found["radii"], found["logs"]) == ([0.0, 0.5], ["a.jsonl", "b.tsv"])
    for text in ("", "# nothing\n", "{}", "---\n"):
        path.write_text(text, "utf-8")
        assert parsed(path)["width"] == 1.0


def test_flags_after_the_file_win_and_pipes_are_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("epochs: 3\nwidth: 2",))
    writer.start()
    words = ["train", f"--config={tmp_path / 'pipe'}", "--epochs=4"]
    found = build_parser().parse_args(words)["train"]
    writer.join()
    assert (found["epochs"], found["width"]) == (4, 2.0)
