"""Turns are taken in order, and the figures are those of the turns."""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from latentsmooth.bench import (
    Comparison,
    Contender,
    Outcome,
    Subject,
    compare,
    load_subjects,
    make_contenders,
    markdown,
    measure_memory,
    notes,
    tables,
    take_turns,
)
from latentsmooth.bench.memory import main as memory_main
from latentsmooth.bench.memory import peak_mib
from latentsmooth.errors import ConfigurationError, ShapeError
from tests.seeds import shifted

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(shifted(0)))


class Silent(Contender):
    kind = "textbook"
    description = "notes its turns"

    def __init__(self, name: str, heard: list[str]) -> None:
        super().__init__(name, model="none")
        self.heard = heard

    def prepare(self, images: Tensor) -> None:
        raise NotImplementedError

    def run(self, images: Tensor, n: int) -> Outcome:
        self.heard.append(f"{self.name} {len(images)} {n}")
        return Outcome(seconds=1.0, samples=n, images=len(images))


@pytest.fixture(scope="module")
def made() -> Comparison:
    patch = pytest.MonkeyPatch()
    patch.setattr("latentsmooth.bench.contender.SWEEP_SECONDS", 0.0)
    patch.setitem(sys.modules, "art", None)
    patch.setitem(sys.modules, "art.estimators.certification.randomized_smoothing", None)
    torch.manual_seed(shifted(0))
    try:
        subjects = load_subjects(
            ["lenet@0.2", "lsrs-haar@0.05"], device=torch.device("cpu"), image_shape=(1, 8, 8)
        )
        return compare(
            subjects, IMAGES, n_select=10, n_estimate=60, rounds=3, command="latentsmooth bench"
        )
    finally:
        patch.undo()


def test_contenders_take_turns() -> None:
    heard: list[str] = []
    turns, order = take_turns([Silent(name, heard) for name in "ABC"], IMAGES, n=7, rounds=2)
    assert heard == [f"{name} 2 7" for name in "ABCABC"]
    assert order == tuple("ABCABC")
    assert [len(turns[name]) for name in "ABC"] == [2, 2, 2]


def test_towards_a_goal_there_are_more_images(half_space: Subject) -> None:
    made = compare(
        [half_space],
        IMAGES,
        n_estimate=100,
        rounds=2,
        kinds=["textbook", "isrs"],
        goal="decide",
        goal_images=torch.rand(7, 1, 8, 8),
    )
    textbook, _, fixed, towards = made.standings
    assert (textbook.images, fixed.images, towards.images) == (2, 2, 7)
    assert towards.speedup["textbook"] == pytest.approx(
        statistics.median(
            (a / 2) / (b / 7) for a, b in zip(textbook.seconds, towards.seconds, strict=True)
        )
    )
    assert 0 < towards.stages["padded"] < 1
    assert "Towards a goal 7 images a turn." in markdown(made)


def test_every_kind_stands_in_the_result(made: Comparison) -> None:
    names = [one.name for one in made.standings]
    assert names == [
        "textbook",
        "textbook best",
        "isrs lenet@0.2",
        "ceiling lenet@0.2",
        "lsrs lsrs-haar@0.05",
        "ceiling lsrs-haar@0.05",
    ]
    assert made.order == tuple(names * 3)
    assert set(made.skipped) == {"art", "art best"}
    assert [model.kind for model in made.models] == ["isrs", "lsrs"]


def test_ratios_are_medians_within_the_rounds(made: Comparison) -> None:
    by_name = {one.name: one for one in made.standings}
    ours, textbook = by_name["lsrs lsrs-haar@0.05"], by_name["textbook"]
    ceiling = by_name["ceiling lsrs-haar@0.05"]
    pairs = zip(textbook.seconds, ours.seconds, strict=True)
    assert ours.speedup["textbook"] == statistics.median(a / b for a, b in pairs)
    assert set(textbook.speedup) == {"textbook best"}
    mine = [n / s for n, s in zip(ours.samples, ours.seconds, strict=True)]
    best = [n / s for n, s in zip(ceiling.samples, ceiling.seconds, strict=True)]
    share = statistics.median(a / b for a, b in zip(mine, best, strict=True))
    assert ours.ceiling_share == pytest.approx(share)
    assert ours.samples == (140, 140, 140)
    assert ours.samples_an_image == 70
    assert ours.seconds_an_image == pytest.approx(statistics.median(ours.seconds) / 2)
    assert ceiling.seconds_an_image is None
    assert ours.noise_ns is not None


def test_json_holds_plain_values_and_the_figures(made: Comparison) -> None:
    facts: dict[str, Any] = json.loads(made.to_json())
    assert facts["n_estimate"] == 60
    assert facts["matmul_rates"]["bfloat16"] > 0
    for row in facts["standings"]:
        assert row["samples_a_second"] > 0
        assert row["operations_a_second"] == pytest.approx(
            2 * row["macs"] * row["samples_a_second"]
        )
        rate = facts["matmul_rates"][row["settings"]["precision"]]
        assert row["peak_share"] == pytest.approx(row["operations_a_second"] / rate)
        assert bool(row["stages"]) == (row["kind"] in ("isrs", "lsrs"))
    assert str(Path.cwd()) not in made.to_json()


def test_text_names_every_contender_and_says_what_is_random(made: Comparison) -> None:
    text = markdown(made)
    for one in made.standings:
        assert f"| {one.name} |" in text
    assert "Random weights: lenet@0.2, lsrs-haar@0.05." in text
    assert "art skipped: adversarial-robustness-toolbox does not import" in text
    assert [table.row_count for table in tables(made)] == [6, 6, 2]
    assert len(notes(made)) == 5


def test_without_an_isrs_model_there_is_no_textbook(haar: Subject, half_space: Subject) -> None:
    made, skipped = make_contenders([haar])
    assert [contender.kind for contender in made] == ["lsrs", "ceiling"]
    assert set(skipped) == {"textbook", "art"}
    made, _ = make_contenders([half_space], goal="radius>=0.1")
    assert [contender.name for contender in made[4:]] == [
        "isrs half-space",
        "isrs half-space radius>=0.1",
        "ceiling half-space",
    ]
    assert {contender.ceiling for contender in made[4:6]} == {"ceiling half-space"}


def test_mistakes_are_named(haar: Subject, half_space: Subject) -> None:
    with pytest.raises(ConfigurationError, match="random weights"):
        compare([haar], IMAGES, goal="radius>=0.1")
    with pytest.raises(ConfigurationError):  # 10 votes prove no radius of 5
        compare([half_space], IMAGES, goal="radius>=5", n_estimate=10)
    for kinds in (["isrs"], ["textbook"]):
        with pytest.raises(ConfigurationError, match=r"n_estimate is 9, too few .* at least 10"):
            compare([half_space], IMAGES, kinds=kinds, n_estimate=9)
    with pytest.raises(ConfigurationError, match="got 'ort'"):
        compare([haar], IMAGES, kinds=["isrs", "ort"])
    with pytest.raises(ConfigurationError, match="at least 1 round"):
        compare([haar], IMAGES, rounds=0)
    with pytest.raises(ShapeError, match="for lsrs-haar"):
        compare([haar], torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["resnet20@wide"], "wanted NAME, NAME@WIDTH"),
        (["lsrs-partial:folded=one"], "wanted NAME, NAME@WIDTH"),
        (["lsrs-partial@0.1:fold=1"], "no option 'fold'"),
        (["lenet", "lenet"], "'lenet' twice"),
        ([], "at least 1 model"),
    ],
)
def test_bad_names_of_models(names: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_subjects(names, device=torch.device("cpu"))


def test_builds_follow_a_saved_model(half_space: Subject, haar: Subject, tmp_path: Path) -> None:
    haar.model.save_pretrained(tmp_path / "kept")
    loaded, fresh = load_subjects([str(tmp_path / "kept"), "lenet@0.1"], device=torch.device("cpu"))
    assert (loaded.label, loaded.trained, loaded.is_input_space) == ("kept", True, False)
    assert (fresh.trained, fresh.is_input_space) == (False, True)
    assert fresh.model.image_shape == (1, 8, 8)
    assert fresh.model.latent_sigma == 0.5
    assert len(fresh.model.class_names) == 3


def test_memory_of_a_fresh_process() -> None:
    [use] = measure_memory("lenet@0.1", n_estimates=(50,), batch_size=32)
    assert (use.model, use.n_estimate) == ("lenet@0.1", 50)
    assert 50 < use.peak_mib < 5000


def test_peak_memory_sees_an_allocation(capsys: pytest.CaptureFixture[str]) -> None:
    before = peak_mib()
    # Less is held now than at the peak, which other tests of the process have reached.
    pages = Path("/proc/self/statm")
    held_pages = int(pages.read_text().split()[1]) if pages.exists() else 0
    held_mib = held_pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    held = torch.ones(int(before - held_mib + 200) * 2**20, dtype=torch.uint8)
    assert peak_mib() - before > 100
    del held
    assert memory_main(["lenet@0.1", "--n-estimate=20", "--batch-size=16"]) == 0
    assert json.loads(capsys.readouterr().out)["peak_mib"] > before


def test_small_batches_are_warmed_up_too(half_space: Subject) -> None:
    """Two batches of four are too few votes for a certificate, by which to warm up."""
    result = compare(
        [half_space], IMAGES, kinds=["isrs"], n_estimate=20, rounds=1, options={"batch_size": 4}
    )
    assert [one.settings["batch_size"] for one in result.standings] == [4]
