from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from latentsmooth.errors import ConfigurationError, LogError
from latentsmooth.records import write_tsv
from latentsmooth.reporting import ReportFormat, read_logs, render, report, summarize
from tests.reporting.makers import EIGHT, WIDE, view, write_log


def test_a_report_mixes_formats_and_writes_what_it_returns(tmp_path: Path) -> None:
    ours = write_log(tmp_path / "ours.jsonl")
    write_tsv(tmp_path / "theirs.tsv", EIGHT)
    output, figure = tmp_path / "out" / "report.md", tmp_path / "out" / "curve.svg"
    text = report([ours, tmp_path / "theirs.tsv"], format="md", output=output, figure=figure)
    assert output.read_text(encoding="utf-8") == text
    assert figure.read_text(encoding="utf-8").startswith("<?xml")
    assert "| ours | 62.50 |" in text
    assert "| theirs | 62.50 |" in text


@pytest.mark.parametrize("format_name", get_args(ReportFormat))
def test_every_format(tmp_path: Path, format_name: ReportFormat) -> None:
    text = report([write_log(tmp_path / "ours.jsonl")], radii=[0, 0.2], format=format_name)
    assert "ours" in text
    if format_name == "html":
        assert text.startswith("<!doctype html>")
    else:
        assert text == render([summarize(view(start=WIDE), input_radii=[0, 0.2])], format_name)


def test_radii_and_delta_reach_the_figures(tmp_path: Path) -> None:
    text = report([write_log(tmp_path / "a.jsonl")], radii=[0.2], delta=0.5, format="json")
    [log] = json.loads(text)["logs"]
    assert [(each["input_radius"], each["count"]) for each in log["certified"]] == [(0.2, 4)]
    assert (log["false_at_most"], log["delta"]) == (0, 0.5)


def test_logs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [
        write_log(tmp_path / "a" / "log.jsonl"),
        write_log(tmp_path / "b" / "log.jsonl"),
        write_log(tmp_path / "b" / "other.jsonl"),
    ]
    names = [each.name for each in read_logs([*paths, paths[2]])]
    assert names[:2] == [str(Path("a", "log")), str(Path("b", "log"))]
    assert names[2] != names[3] == names[2] + " (2)"


def test_what_cannot_be_reported(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.jsonl")
    with pytest.raises(ConfigurationError, match="at least one log"):
        report([])
    with pytest.raises(ConfigurationError, match="expected a format"):
        report([log], format=cast(Any, "docx"))
    with pytest.raises(LogError, match=r"missing\.jsonl: cannot be read"):
        report([log, tmp_path / "missing.jsonl"])
    with pytest.raises(ConfigurationError, match="cannot be written"):
        report([log], output=tmp_path)
