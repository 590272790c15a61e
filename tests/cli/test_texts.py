"""Texts and numbers mean the same in flags and in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from latentsmooth.cli.arguments import UsageError, expand_home
from latentsmooth.cli.main import build_parser, main
from latentsmooth.sweep import parse_plan

PARSER = build_parser()


def of_flags(*words: str, command: str = "certify") -> dict[str, Any]:
    found: dict[str, Any] = PARSER.parse_args([command, *words])[command].as_dict()
    return found


def of_file(text: str, folder: Path, command: str = "certify") -> dict[str, Any]:
    (folder / "c.yaml").write_text(text, "utf-8")
    return of_flags(f"--config={folder / 'c.yaml'}", command=command)


TEXTS = (
    *("0500", "010", "1:20", "no", "yes", "on", "y", "1e3", "0x10", "0o17", "1_000", ".5", "null"),
    *(
        "~x",
        "~",
        "true",
        "#name",
        "a #b",
        "- x",
        "[a]",
        "{a: b}",
        "a: b",
        "!tag",
        "*alias",
        "&anchor",
    ),
    *(
        "%x",
        "@x",
        "=",
        "<<",
        "2020-01-01",
        "'quoted'",
        '"',
        "a\tb",
        "ünï",
        ".inf",
        ".nan",
        "+5",
        "|",
        ">",
    ),
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_flag_is_the_text_that_was_given(text: str, tmp_path: Path) -> None:
    assert of_flags(f"--tsv={text}", "--log", text)["tsv"] == text
    assert of_flags("--goal", text)["goal"] == text
    if text in ("!tag", "*alias", "&anchor"):
        return  # refused in files, quoted or not
    quoted = json.dumps(text, ensure_ascii=False)
    assert of_file(f"tsv: {quoted}\ngoal: {quoted}", tmp_path)["tsv"] == text
    single = "'" + text.replace("'", "''") + "'"
    assert of_file(f"split: {single}", tmp_path)["split"] == text


@pytest.mark.parametrize(
    "text",
    [
        "0500",
        "010",
        "1:20",
        "no",
        "yes",
        "on",
        "1e3",
        "0x10",
        "1_000",
        ".5",
        "true",
        "2020-01-01",
        "1.",
        ".inf",
        "<<",
        "=",
    ],
)
def test_a_text_without_quotes_in_a_file_is_the_text_that_stands_there(
    text: str, tmp_path: Path
) -> None:
    assert of_file(f"tsv: {text}\nmodel: {text}", tmp_path)["tsv"] == text
    assert of_file(f"logs: [{text}, a]", tmp_path, "report")["logs"] == [text, "a"]


@pytest.mark.parametrize("text", ["null", "~", "", "Null"])
def test_nothing_without_quotes_is_no_text(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tsv has no value"):
        of_file(f"tsv: {text}", tmp_path)
    assert of_file(f"limit: {text}", tmp_path)["limit"] is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("0500", 500), ("+5", 5), ("007", 7), ("00", 0), ("100000", 100_000)],
)
def test_whole_numbers_are_decimal(text: str, value: int, tmp_path: Path) -> None:
    assert of_flags(f"--n-estimate={text}")["n_estimate"] == value
    assert of_file(f"n_estimate: {text}", tmp_path)["n_estimate"] == value


@pytest.mark.parametrize(
    "text",
    ["1e3", "0x10", "0o17", "0b1", "1_000", "1:20", "5.0", "no", "true", "'500'", "[5]", "٣"],
)
def test_what_is_no_whole_number_is_an_error(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="n_estimate"):
        of_file(f"n_estimate: {text}", tmp_path)
    assert main(["certify", "m", "d", "--log=x", f"--n-estimate={text}"]) == 2
    assert "n_estimate: wanted whole number, got" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), (".5", 0.5), ("1.", 1.0), ("01", 1.0), ("+.5e1", 5.0), ("0.25", 0.25)],
)
def test_numbers_are_decimal(text: str, value: float, tmp_path: Path) -> None:
    assert of_flags(f"--alpha={text}")["alpha"] == value
    assert of_file(f"alpha: {text}", tmp_path)["alpha"] == value


@pytest.mark.parametrize("text", ["1:20", ".inf", "nan", "1_0.5", "0x1p3", "1e", "e3", "--"])
def test_what_is_no_number_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="alpha: wanted number, got"):
        of_file(f"alpha: {text}", tmp_path)


@pytest.mark.parametrize("text", ["no", "off", "y", "1", "'true'"])
def test_only_true_and_false_are_truth_values(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wanted true or false"):
        of_file(f"folds: {text}", tmp_path)
    assert of_file("folds: false\nquiet: True", tmp_path)["folds"] is False


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20))
@example(text="null")
def test_any_text_comes_back(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert of_flags(f"--tsv={text}")["tsv"] == text
    folder = tmp_path_factory.mktemp("config")
    written = yaml.safe_dump({"tsv": text}, default_style='"', allow_unicode=True)
    assert of_file(written, folder)["tsv"] == text
    assert of_file(json.dumps({"tsv": text}, ensure_ascii=False), folder)["tsv"] == text


@settings(max_examples=150, deadline=None)
@given(number=st.integers(0, 10**12), zeros=st.integers(0, 3), sign=st.sampled_from(["", "+"]))
def test_any_whole_number_comes_back(
    number: int, zeros: int, sign: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = sign + "0" * zeros + str(number)
    assert of_flags(f"--seed={text}")["seed"] == number
    assert of_file(f"seed: {text}", tmp_path_factory.mktemp("config"))["seed"] == number


def sweep_of(text: str, folder: Path) -> Any:
    options = of_file(text, folder, "sweep")
    return parse_plan(
        data="fashion-mini",
        **{key: options[key] for key in ("runs", "grid", "train", "certify") if options[key]},
    )


@pytest.mark.parametrize("name", ["010", "no", "1e3", "1", "0.5", "true", "2020-01-01"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_runs_keep_their_names(name: str, quote: str, tmp_path: Path) -> None:
    plan = sweep_of(f"runs:\n- {{name: {quote}{name}{quote}, build: lsrs-compact}}", tmp_path)
    assert [run.name for run in plan.runs] == [name]


def test_settings_of_a_sweep_are_of_their_types(tmp_path: Path) -> None:
    plan = sweep_of(
        "train: {learning_rate: 1e-3, epochs: 010, teacher: 1e3, validation_data: no, "
        "objective: distillation}\n"
        "grid: {width: [0.50, 1], seed: [07]}\n"
        "certify: {goal: 'radius>=0.5', rule: sequential, n_estimate: 01000, data: '010'}\n",
        tmp_path,
    )
    run = plan.runs[0]
    assert (run.training.learning_rate, run.training.epochs, run.training.seed) == (0.001, 10, 7)
    assert (run.training.teacher, run.network.validation_data) == ("1e3", "no")
    assert [each.name for each in plan.runs] == ["w0.5", "w1.0"]
    assert (plan.certify.n_estimate, plan.certify.data) == (1000, "010")
    for wrong in ("epochs: '5'", "epochs: 1e1", "width: 1:20", "learning_rate: x", "teacher: null"):
        with pytest.raises(UsageError, match=wrong.partition(":")[0]):
            sweep_of(f"train: {{{wrong}}}\nruns: [{{name: a}}]", tmp_path)


def test_structures_are_written_alike_in_flags(tmp_path: Path) -> None:
    words = ["--build-options={depth: 02}", "--objective-options={draws: 4}"]
    found = of_flags(*words, "--milestones=[.5, 0.75]", command="train")
    assert found["build_options"] == {"depth": 2}
    assert found["objective_options"] == {"draws": 4}
    assert found["milestones"] == (0.5, 0.75)
    same = of_file(
        "build_options: {depth: 02}\nobjective_options: {draws: 4}\nmilestones: [.5, 0.75]",
        tmp_path,
        "train",
    )
    assert {key: same[key] for key in same if key != "config"} == {
        key: found[key] for key in found if key != "config"
    }


def test_what_is_printed_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["certify", "--tsv=010", "--goal=no", "--alpha=1e-3", "--print_config"]
    with pytest.raises(SystemExit):
        main(words)
    text = capsys.readouterr().out
    found = of_file(text, tmp_path)
    assert (found["tsv"], found["goal"], found["alpha"], found["log"]) == ("010", "no", 0.001, None)


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = PARSER.parse_args(["certify", "~/m", "d", "--log=~/x.jsonl", "--tsv", "~/y"])[
        "certify"
    ]
    expand_home(options)
    assert (options.log, options.tsv) == (f"{tmp_path}/x.jsonl", f"{tmp_path}/y")
    assert f"{tmp_path}/m" == options.MODEL
    (tmp_path / "c.yaml").write_text("logs: [~/a.jsonl, b/~c]\noutput: ~/r.md\n")
    options = PARSER.parse_args(["report", "--config=~/c.yaml"])["report"]
    expand_home(options)
    assert options.logs == [f"{tmp_path}/a.jsonl", "b/~c"]
    assert options.output == f"{tmp_path}/r.md"


def test_files_of_odd_names_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    words = ["certify", "packaged:fashion-mnist", "fashion-mini", "--limit=1", "--n-estimate=50"]
    assert main([*words, "--log=null", "--tsv=#1.tsv", "--quiet"]) == 0
    assert main(["report", "null", "--output=no", "--format=md"]) == 0
    assert main(["report", "null", "--output=~/deep/1:20", "--format=csv"]) == 0
    capsys.readouterr()
    assert {path.name for path in tmp_path.iterdir()} == {"null", "#1.tsv", "no", "home"}
    assert (tmp_path / "home" / "deep" / "1:20").exists()
