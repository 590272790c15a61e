"""Whole sweeps, tiny: what they write, what they take up, what they refuse."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from latentsmooth.certification import Certifier
from latentsmooth.errors import ConfigurationError, LogError
from latentsmooth.files import hold
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records import CertificateLog, read_log
from latentsmooth.sweep import points_from_json, redraw, sweep
from latentsmooth.sweep.points import read_frontier
from latentsmooth.training.step import Stepper
from tests.sweep.conftest import CERTIFY, RUNS, plan, quiet


@pytest.fixture(autouse=True)
def undrawn(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of a tiny sweep's time; once is enough."""
    monkeypatch.setattr("latentsmooth.sweep.output.draw_frontier", lambda *_, **__: None)


@pytest.fixture
def folder(swept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(swept, tmp_path / "sweep")


def proven(folder: Path, name: str) -> list[tuple[int, float]]:
    """A log without its timings."""
    return [(each.index, each.input_radius) for each in read_log(folder / name / LOG)[1]]


LOG = "certificates.jsonl"
WEIGHTS = "model.safetensors"


def test_a_sweep_writes_what_its_logs_and_classifiers_say(swept: Path) -> None:
    content = read_frontier(swept / "frontier.json")
    points = points_from_json(content)
    assert [(point.name, point.kind) for point in points] == [("isrs", "ISRS"), ("lsrs", "LSRS")]
    for point in points:
        manifest, certificates = read_log(swept / point.name / LOG)
        model = LatentSmoothedClassifier.from_pretrained(swept / point.name)
        assert point.artifact_hash == manifest.artifact_hash == model.fingerprint
        assert [each.index for each in certificates] == [0, 150, 300, 450, 600]
        for radius in (0.0, 0.1):
            found = sum(each.certified_at(radius) for each in certificates)
            assert point.accuracy(radius) == Fraction(found, 5)
        assert point.samples == 300
        details = point.details
        work = details["head_macs"] + 8 * details["noise_elements"]
        assert point.flops == 2 * (details["encoder_macs"] + 300 * work)
        assert len(details["seconds_rounds"]) == 2
        rounds = details["seconds_rounds"]
        assert min(rounds) <= point.cost("seconds") <= max(rounds)
        assert (details["objective"], details["epochs"]) == ("gaussian", 1)
    assert (content["command"], content["data"]["images"]) == ("test", 5)
    assert content["plan"]["runs"][1]["build"] == "lsrs-lenet"
    assert {each["input_radius"] for each in content["comparisons"]} == {0.0, 0.1}
    page, text = ((swept / f"frontier.{end}").read_text("utf-8") for end in ("html", "md"))
    assert page.count("<svg") >= 2
    assert "lsrs" in text
    assert all((swept / f"frontier.{end}").stat().st_size > 5000 for end in ("png", "svg"))


def test_given_again_nothing_is_done_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def none(*_: object) -> None:
        raise RuntimeError("not again")

    monkeypatch.setattr(Stepper, "take", none)
    monkeypatch.setattr(CertificateLog, "append", none)
    monkeypatch.setattr("latentsmooth.sweep.run._certifier", none)
    sweep(plan(), folder, say=quiet, command="test")
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert changed <= {"frontier.json", "frontier.md", "frontier.html"}, "these tell the time"
    with pytest.raises(RuntimeError, match="not again"):
        sweep(plan(certify={**CERTIFY, "limit": 6}), folder, say=quiet)


def test_killed_thrice_the_same_call_ends_as_if_never(
    swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed_at(owner: type, method: str, fatal: int) -> None:
        original, calls = getattr(owner, method), []

        def killing(*arguments: object, **named: object) -> object:
            calls.append(method)
            if len(calls) == fatal:
                raise KeyboardInterrupt
            return original(*arguments, **named)

        with monkeypatch.context() as patched:
            patched.setattr(owner, method, killing)
            with pytest.raises(KeyboardInterrupt):
                sweep(plan(), tmp_path, say=quiet)
        assert not (tmp_path / "frontier.json").exists()

    killed_at(Stepper, "take", 4)  # the second classifier's last step but one
    assert len(read_log(tmp_path / "isrs" / LOG)[1]) == 5
    killed_at(CertificateLog, "append", 3)
    assert len(read_log(tmp_path / "lsrs" / LOG)[1]) == 2
    killed_at(Certifier, "certify", 7)  # logs and warming up are two each
    turns = json.loads((tmp_path / "turns.json").read_text("utf-8"))["turns"]
    assert {name: len(taken) for name, taken in turns.items()} == {"isrs": 1, "lsrs": 1}
    found = sweep(plan(), tmp_path, say=quiet)
    for name, point in zip(("isrs", "lsrs"), found.points, strict=True):
        assert (tmp_path / name / WEIGHTS).read_bytes() == (swept / name / WEIGHTS).read_bytes()
        assert proven(tmp_path, name) == proven(swept, name)
        assert point.details["seconds_rounds"][0] == pytest.approx(300 * turns[name][0])


def test_some_runs_only_no_training_and_classifiers_from_elsewhere(
    swept: Path, tmp_path: Path
) -> None:
    config = shutil.copytree(swept / "lsrs", tmp_path / "elsewhere") / "config.json"
    content = json.loads(config.read_text("utf-8"))
    content["training"] = {"settings": [1], "seconds": {"a": 2}, "command": "anything"}
    config.write_text(json.dumps(content), "utf-8")
    more = [*RUNS, {"name": "old", "reuse": str(tmp_path / "elsewhere")}]
    said: list[str] = []
    wanted = plan(runs=more, measure={"images": 0})
    found = sweep(wanted, tmp_path, only=["old"], may_train=False, say=said.append)
    assert [(point.name, point.kind) for point in found.points] == [("old", "LSRS")]
    assert found.left_out == {"isrs": "not trained", "lsrs": "not trained"}
    details = found.points[0].details
    assert found.points[0].seconds == details["seconds_log"]
    assert (details["training_settings"], details["training_command"]) == ({}, "anything")
    assert "training_seconds" not in details
    assert proven(tmp_path, "old") == proven(swept, "lsrs")
    assert not (tmp_path / "old" / WEIGHTS).exists()
    assert any("left out, not trained" in text for text in said)
    shutil.copytree(swept / "isrs", tmp_path / "isrs")
    (tmp_path / "isrs" / LOG).unlink()
    found = sweep(wanted, tmp_path, only=["old"], say=quiet)
    assert found.left_out == {"isrs": "not certified", "lsrs": "not trained"}
    found = sweep(wanted, tmp_path, may_train=False, say=quiet)
    assert [point.name for point in found.points] == ["isrs", "old"]
    with pytest.raises(ConfigurationError, match="no run is called 'new'; the sweep has isrs"):
        sweep(wanted, tmp_path, only=["new"], say=quiet)
    with pytest.raises(ConfigurationError, match="nothing to show: isrs: not trained"):
        sweep(plan(), tmp_path / "empty", may_train=False, say=quiet)


def test_timing_may_choose_its_own_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = Certifier.certify

    def seen(self: Certifier, *arguments: Any) -> Any:
        sizes.append(self.batch_size)
        return original(self, *arguments)

    monkeypatch.setattr(Certifier, "certify", seen)
    before = sweep(plan(), folder, say=quiet)
    assert set(sizes) == {100}  # the logs' own, that nothing is left to do for
    sizes.clear()
    tuned = sweep(plan(measure={"images": 2, "rounds": 1, "tune": True}), folder, say=quiet)
    assert len(sizes) == 6  # two logs, two classifiers warmed up and two turns
    assert 100 not in sizes[2:]
    assert [point.n_certified for point in tuned.points] == [
        point.n_certified for point in before.points
    ]


def test_other_images_other_settings_and_other_sweeps_are_refused(folder: Path) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"limit": 4}, "certificates of 1 images that stride and limit leave out .image 600"),
        ({"split": "train"}, "about other images"),
        ({"n_estimate": 300}, "n_estimate is 200 there, 300 here"),
    ]
    for changes, message in refused:
        with pytest.raises(LogError, match=message):
            sweep(plan(certify={**CERTIFY, **changes}), folder, say=quiet)
    other = plan(certify={**CERTIFY, "alpha": 0.01})
    with pytest.raises(LogError, match=r"isrs.*rule is"):
        sweep(other, folder, only=["lsrs"], say=quiet)
    with pytest.raises(ConfigurationError, match=r"epochs is 1 there and 2 here"):
        sweep(plan(runs=[{**RUNS[0], "epochs": 2}]), folder, say=quiet)
    with pytest.raises(ConfigurationError, match=r"wants .*'lsrs-haar'"):
        sweep(plan(runs=[{"name": "isrs"}]), folder, may_train=False, say=quiet)
    with pytest.raises(ConfigurationError, match=r"trained with epochs 1, run isrs wants 2"):
        sweep(plan(runs=[{**RUNS[0], "epochs": 2}]), folder, may_train=False, say=quiet)
    before = (folder / "frontier.json").read_bytes()
    with hold(folder / ".lock"), pytest.raises(ConfigurationError, match="another sweep works"):
        sweep(plan(), folder, say=quiet)
    assert (folder / "frontier.json").read_bytes() == before


def test_redrawn_at_other_radii_and_by_another_cost(folder: Path) -> None:
    before = read_frontier(folder / "frontier.json")
    found = redraw(folder, radii=[0.1, 0.05], cost="flops")
    after = read_frontier(folder / "frontier.json")
    assert (after["cost"], after["input_radii"]) == ("flops", [0.1, 0.05])
    assert after["created"] == before["created"]
    for point, old in zip(found.points, points_from_json(before), strict=True):
        certificates = read_log(folder / point.name / LOG)[1]
        assert point.count(0.05) == sum(each.certified_at(0.05) for each in certificates)
        assert point.count(0.1) == old.count(0.1)
        assert point.seconds == old.seconds
    assert "GFLOP" in (folder / "frontier.html").read_text("utf-8")
    (folder / "lsrs" / LOG).unlink()
    redraw(folder, radii=[0.05])
    with pytest.raises(LogError, match="cannot be read"):
        redraw(folder, radii=[0.2])
    content = json.loads((folder / "frontier.json").read_text("utf-8"))
    settled = {**content, "rule": {"rule": "sequential", "goal": "radii=0.0,0.05"}}
    (folder / "frontier.json").write_text(json.dumps(settled), "utf-8")
    with pytest.raises(ConfigurationError, match=r"radius 0.2 is not settled"):
        redraw(folder, radii=[0.05, 0.2])
    content["points"][0]["name"] = "../../elsewhere"
    (folder / "frontier.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(ConfigurationError, match="wanted a run's name"):
        redraw(folder, radii=[0.2])
