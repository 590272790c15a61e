from __future__ import annotations

import csv
import io
import json
import re
from fractions import Fraction
from typing import Any, cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.certification.rules import (
    PilotRule,
    Rule,
    SequentialRule,
    TwoSidedRule,
    parse_goal,
)
from latentsmooth.errors import ConfigurationError
from latentsmooth.records import read_any_log
from latentsmooth.reporting import TableFormat, render, summarize
from tests.data_files import shared_data
from tests.records.makers import manifest
from tests.reporting.makers import EIGHT, HOSTILE, correct, published, view, wrong

FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)


def test_markdown_is_one_row_a_log() -> None:
    text = render([summarize(view()), summarize(published())], "md").splitlines()
    assert text[0].startswith("| log | 0 | 0.25 | 0.5 | 0.75 | 1 | ± clean | ACR | abstain |")
    assert text[2] == (
        "| ours | 62.50 | 25.00 | 25.00 | 12.50 | 12.50 | 17.12 | 0.287500 | 25.00 "
        "| 1.12 | 10,100 | 8 | 0.25 | 10,000 | 0.001 |"
    )
    assert text[3].startswith("| theirs | 62.50 |")
    assert text[3].endswith("| – | 8 | – | – | – |")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (SequentialRule(goal=parse_goal("radii=0,0.25"), n_max=10_000), "until radii=0.0,0.25 was"),
        (PilotRule(tolerance=0.02, n_max=10_000), "ours: the rule pilot stops early, so its ACR"),
    ],
    ids=["sequential", "pilot"],
)
def test_an_average_radius_of_a_rule_that_stops_early_is_marked(rule: Rule, said: str) -> None:
    early = summarize(view(start=manifest(rule=rule.settings())))
    assert "| 17.12 | ≥ 0.287500 |" in render([early], "md")
    assert r"$\ge$ 0.287500" in render([early], "latex")
    [note] = [note for note in json.loads(render([early], "json"))["notes"] if "ACR" in note]
    assert said in note
    assert "lower value than a fixed number of samples would give" in note
    two_sided = view(start=manifest(rule=TwoSidedRule(n_estimate=10_000).settings()))
    assert "≥" not in render([summarize(two_sided)], "md")


def test_every_table_has_one_cell_a_column() -> None:
    logs = [summarize(view(name=HOSTILE)), summarize(view([], name="empty"))]
    table = [row for row in render(logs, "md").splitlines() if row.startswith("|")]
    unescaped = [re.findall(r"(?<!\\)\|", row) for row in table]
    assert len({len(bars) for bars in unescaped}) == 1
    rows = [row for row in render(logs, "latex").splitlines() if row.endswith(r"\\")]
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1


@given(st.integers(1, 400), st.data())
@settings(max_examples=30, deadline=None)
def test_printed_accuracies_never_exceed_the_true_ones(n_images: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n_images))
    log = view([correct(i, 0.3) if i < hits else wrong(i, 0.3) for i in range(n_images)])
    summary = summarize(log, input_radii=(0.0,))
    cells = render([summary], "md").splitlines()[2].split(" | ")
    assert Fraction(hits * 100, n_images) - Fraction(cells[1]) < Fraction(1, 100)
    assert Fraction(cells[1]) <= Fraction(hits * 100, n_images)
    radius = summary.average_certified_radius
    assert radius is not None
    assert Fraction(cells[3]) <= radius
    [record] = json.loads(render([summary], "json"), parse_float=Fraction)["logs"]
    assert record["clean_accuracy"] <= Fraction(hits, n_images)
    assert record["average_certified_radius"] <= radius


def test_abstentions_and_errors_are_rounded_up() -> None:
    log = view([correct(0, 0.3), correct(1, 0.3), *EIGHT[6:7]])
    row = render([summarize(log, input_radii=(0.0,))], "md").splitlines()[2].split(" | ")
    assert row[1:5] == ["66.66", "27.22", "0.200000", "33.34"]


def test_json_has_counts_and_shares() -> None:
    content = json.loads(render([summarize(view()), summarize(published())], "json"))
    ours, theirs = content["logs"]
    assert (ours["name"], ours["build"], ours["latent_sigma"]) == ("ours", "lsrs-haar", 0.25)
    assert ours["certified"][1] == {
        "input_radius": 0.25,
        "count": 2,
        "count_of_any_class": 3,
        "accuracy": 0.25,
        "standard_error": 0.153094,
        "accuracy_at_least": 0.125,
    }
    assert (ours["false_expected"], ours["false_at_most"]) == (0.008, 1)
    assert theirs["latent_sigma"] is theirs["alpha"] is None
    assert len(content["notes"]) == 3


def test_csv_has_a_column_a_radius_and_quotes_names() -> None:
    name = 'a,"b"'
    text = render([summarize(view(name=name), input_radii=(0.0, 0.25))], "csv")
    [row] = csv.DictReader(io.StringIO(text))
    assert row["name"] == name
    assert (row["count@0"], row["accuracy@0.25"], row["clean_accuracy"]) == ("5", "0.25", "0.625")


def test_radii_that_differ_late_keep_columns_of_their_own() -> None:
    summary = summarize(view(), input_radii=(0.12345678, 0.12345679))
    [row] = csv.DictReader(io.StringIO(render([summary], "csv")))
    assert {"accuracy@0.12345678", "accuracy@0.12345679"} <= row.keys()


def test_the_terminal_table_shows_logs_abreast_within_the_width() -> None:
    logs = [summarize(view(name=f"a-log-with-a-long-name-{i}" * 3)) for i in range(4)]
    text = render(logs, "table", width=90)
    assert max(map(len, text.splitlines())) <= 90
    assert len(re.findall("certified at 0: clean", text)) == 2
    assert re.search(r"certified at 0.25 \(%\) +25.00 +25.00 +25.00$", text, re.MULTILINE)


def test_the_note_states_the_dataset_level_bound() -> None:
    log = view([correct(i, 0.3) for i in range(500)])
    text = " ".join(render([summarize(log)], "table").split())
    assert "among 500 at most 0.50 are expected to be" in text
    assert "with confidence 99.9 % at most 4 are" in text
    assert "minus 0.80 points" in text


def test_clean_accuracy_is_shown_where_radius_zero_is_not() -> None:
    text = render([summarize(view(), input_radii=(0.5,))], "md")
    assert text.startswith("| log | clean | 0.5 |")
    assert "| ours | 62.50 | 25.00 |" in text


@pytest.mark.parametrize("format_name", FORMATS)
def test_hostile_names_stay_text(format_name: TableFormat) -> None:
    text = render([summarize(view(name=HOSTILE))], format_name, width=200)
    assert "\x1b" not in text
    assert "alert(1)" in text
    if format_name == "md":
        assert "<script>" not in re.sub(r"\\<", "", text)
    if format_name == "latex":
        row = next(line for line in text.splitlines() if line.startswith("<"))
        assert r"\_\$x\$ \& 100\% | \textbackslash{} [red]" in row


@pytest.mark.parametrize("format_name", FORMATS)
def test_no_logs_and_empty_logs_render(format_name: TableFormat) -> None:
    assert isinstance(render([], format_name), str)
    assert "nothing" in render([summarize(view([], name="nothing"))], format_name)


@pytest.mark.parametrize("format_name", FORMATS)
def test_summaries_at_different_radii_are_refused(format_name: TableFormat) -> None:
    logs = [summarize(view(), input_radii=(0.0,)), summarize(view(), input_radii=(0.5,))]
    with pytest.raises(ConfigurationError, match="same radii"):
        render(logs, format_name)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected a format of"):
        render([summarize(view())], cast(Any, "docx"))


@pytest.mark.parametrize("format_name", ["table", "md", "latex"])
def test_a_published_log_prints_the_published_figures(format_name: TableFormat) -> None:
    path = shared_data("published-logs/cifar10-resnet110-gaussian-sigma0.50.tsv")
    text = render([summarize(read_any_log(path)), summarize(view(EIGHT))], format_name)
    for figure in ("65.68", "54.91", "42.79", "32.45", "21.97", "0.525053", "15.23", "62.50"):
        assert figure in text
