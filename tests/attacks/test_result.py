"""Results: what counts as falsified, JSON and back, the table and the plot."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from latentsmooth.attacks import draw_flips, save_flips, summary_notes, summary_table
from latentsmooth.attacks.result import images_from_json
from latentsmooth.errors import ConfigurationError, DataError
from tests.attacks.makers import image, report

MIXED = report(image(3, flip=0.19), image(5, flip=0.2), image(6, flip=0.5), image(8, flip=None))


def printed(what: Any) -> str:
    target = io.StringIO()
    console = Console(file=target, width=100, color_system=None)
    console.print(summary_table(what))
    return target.getvalue()


def test_only_a_flip_nearer_than_the_radius_falsifies() -> None:
    assert [one.index for one in MIXED.falsified] == [3]
    assert MIXED.slack == (0.19 / 0.2, 1.0, 2.5)
    totals = MIXED.totals()
    assert (totals["attacked"], totals["planned"], totals["flips_found"]) == (4, 7, 3)
    assert (totals["answers"], totals["abstentions"], totals["seconds"]) == (36, 16, 5.0)
    assert totals["median_flip_in_radii"] == 1.0


def test_a_control_flips_without_falsifying() -> None:
    made = report(image(3, flip=0.3, times=2.0), image(4, flip=0.5, times=2.0), control=2.0)
    assert [one.index for one in made.flipped_inside] == [3]
    assert made.falsified == ()
    assert "flipped within 2 times their radius" in printed(made)
    assert "1 (50.0 %)" in printed(made)


def test_images_are_called_by_number_and_name() -> None:
    named = replace(image(3, flip=0.1), name="dog/\x1b[2J7.png")
    made = report(named, image(5, flip=0.1))
    assert "images 3 dog/�[2J7.png (radius 0.2, flip at 0.1), 5 (radius" in summary_notes(made)[0]
    assert images_from_json(made.to_json(), {}) == made.images
    rows = json.loads(made.to_json())
    for row in rows["images"]:
        row.pop("name")  # as before there were names
    assert [one.name for one in images_from_json(json.dumps(rows), {})] == [None, None]


def test_json_comes_back() -> None:
    text = MIXED.to_json()
    assert images_from_json(text, {"settings": MIXED.settings, "log": MIXED.log}) == MIXED.images
    rows = json.loads(text)["images"]
    assert [row["falsified"] for row in rows] == [True, False, False, False]
    with pytest.raises(DataError, match=r"settings is \{'steps': 5"):
        images_from_json(text, {"settings": {"steps": 6}})


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"format": 1}', "[" * 100_000, MIXED.to_json().replace("votes", "v")],
    ids=["empty", "list", "object", "null", "other format", "deep", "other field"],
)
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(DataError):
        images_from_json(text, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": "x"}, "wanted seconds as a number, got str"),
        ({"seconds": -1}, "wanted seconds as a finite number"),
        ({"input_radius": 10**400}, "integer of 401 digits"),
        ({"attacked_radius": 10**99}, None),
        ({"prediction": True}, "wanted prediction as a whole number"),
        ({"label": 0.5}, "wanted label as a whole number"),
        ({"answers": None}, "wanted answers as a whole number"),
        ({"name": 3}, "wanted name as a text"),
        ({"name": "x" * 1001}, "wanted name as a text of at most 1000"),
        ({"inside": []}, "wanted an object, got list"),
        ({"flip": {}}, "KeyError"),
        ({"flip": {"votes": 3}}, "wanted a list, got int"),
        ({"flip": {"votes": [[1]]}}, "not enough values"),
        ({"flip": {"votes": [[1, "2"]]}}, "wanted votes as a whole number"),
        ({"seconds": float("nan")}, "NaN is not JSON"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_entries_of_another_kind_are_refused(change: dict[str, Any], message: str | None) -> None:
    content = json.loads(MIXED.to_json())
    content["images"][1].update(change)
    if message is None:
        assert images_from_json(json.dumps(content), {})[1].attacked_radius == 1e99
        return
    with pytest.raises(DataError, match=message):
        images_from_json(json.dumps(content), {})


def test_a_log_of_another_program_is_told() -> None:
    then = {"noise_definition": "torch.normal_", "lattice_step": 0.0, "deductions": {}}
    now = {**then, "noise_definition": "philox", "lattice_step": 1e-9}
    made = report(image(1, flip=None))
    for program, told in ((now, True), (then, False)):
        notes = " ".join(
            summary_notes(replace(made, log={**made.log, **then}, program={"seed": 1, **program}))
        )
        assert (
            "another program than the one attacked: noise definition, lattice step" in notes
        ) == told


def test_notes_name_the_falsified_and_other_versions() -> None:
    notes = " ".join(summary_notes(MIXED))
    assert "FALSIFIED: images 3 (radius 0.2, flip at 0.19)" in notes
    assert "made with torch 2.4.0, attacked with 2.13.0" in notes
    assert "No certificate falsified among 1." in summary_notes(report(image(1, flip=0.3)))[0]
    many = report(*(image(index, flip=0.1) for index in range(14)))
    assert "and 4 more" in summary_notes(many)[0]


def test_the_table_takes_a_hostile_name_literally() -> None:
    text = printed(report(image(1, flip=None), name="[bold]x[/]\x1b[31m"))
    assert "[bold]x[/]" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_plots_are_written_whole_and_the_same_again(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"flips{suffix}"
    hostile = report(*MIXED.images, name="$\\frac{a$ <script> \x1b[0m", control=1.0)
    save_flips(hostile, path)
    first = path.read_bytes()
    assert len(first) > 1000
    save_flips(hostile, path)
    assert path.read_bytes() == first
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_plot_has_every_image_and_the_diagonal() -> None:
    axes = draw_flips(MIXED).axes[0]
    [diagonal] = axes.lines
    assert np.array_equal(np.asarray(diagonal.get_xdata()), np.asarray(diagonal.get_ydata()))
    drawn = {str(group.get_label()): np.asarray(group.get_offsets()) for group in axes.collections}
    counts = {label.split(" (")[0]: len(points) for label, points in drawn.items()}
    assert counts == {"flip beyond it": 2, "no flip found": 1, "flip inside it": 1}
    wrong = next(points for label, points in drawn.items() if label.startswith("flip inside"))
    assert tuple(wrong[0]) == (0.2, 0.19)


def test_a_plot_without_images_is_no_error(tmp_path: Path) -> None:
    save_flips(report(), tmp_path / "none.svg")


def test_other_plot_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"got 'flips.html'"):
        save_flips(MIXED, tmp_path / "flips.html")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        save_flips(MIXED, tmp_path / "file" / "flips.png")
