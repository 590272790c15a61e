"""The results page: it is what the committed results give, and counts what the logs hold."""

from __future__ import annotations

import doctest
import gzip
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from latentsmooth.certification import Certificate
from latentsmooth.certification.rules import Radii, SequentialRule
from latentsmooth.models import build
from latentsmooth.records import CertificateLog, read_log
from latentsmooth.sweep import FrontierPoint
from tests.records.makers import abstention, manifest
from tests.reporting.makers import correct, wrong

ROOT = Path(__file__).resolve().parent.parent
RADII = (0.0, 0.25, 0.5, 0.75, 1.0)
HASHES = {"rival": "a" * 64, "ours": "b" * 64, "better": "c" * 64}
SECONDS = {"rival": 4.0, "ours": 1.5, "better": 2.0}
CERTIFIED: dict[str, list[float]] = {
    "rival": [0.1, 0.3, 0.6, 0.8, 1.1, 1.2],
    "ours": [0.1, 0.3, 0.6],
    "better": [0.3, 0.3, 0.6, 0.8],
}
"""Radii of the right answers among eight images; one is wrong, the others abstain."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script of scripts/, where those that it imports are found."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module


def certificates(name: str) -> list[Certificate]:
    radii = CERTIFIED[name]
    right = [correct(index, radius) for index, radius in enumerate(radii)]
    return [*right, wrong(6, 0.9), *(abstention(n) for n in (*range(len(radii), 6), 7))]


SEQUENTIAL = SequentialRule(goal=Radii((0.0, 0.25, 0.5)), n_max=10_000).settings()


def write(
    folder: Path,
    name: str,
    *,
    objective: str,
    data: str = "cifar10:cifar10-jpeg",
    rule: Mapping[str, str | int | float] | None = None,
) -> None:
    start = manifest(
        **({} if rule is None else {"rule": rule}),
        latent_sigma=0.5,
        artifact_hash=HASHES[name],
        model_build="resnet18" if name == "rival" else "lsrs-haar",
        data_source=data,
    )
    path = folder / f"{name}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    with CertificateLog.open(path, start) as log:
        for each in certificates(name):
            log.append(each)
    (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    facts = {
        "kind": "ISRS" if name == "rival" else "LSRS",
        "artifact_hash": HASHES[name],
        "build": {"name": start.model_build, "width": 0.25, "options": {}},
        "arithmetic": {"encoder_macs": 10**6, "head_macs": 2 * 10**6, "noise_elements": 10**5},
        "training": {
            "epochs": 8,
            "seconds": 100.0,
            "settings": {"objective": objective, "objective_options": {"draws": 2}},
        },
    }
    (folder / f"{name}.training.json").write_text(json.dumps(facts), "utf-8")


def point(name: str) -> FrontierPoint:
    return FrontierPoint(
        name=name,
        kind="ISRS" if name == "rival" else "LSRS",
        images=8,
        input_radii=(0.0,),
        n_certified=(len(CERTIFIED[name]),),
        seconds=SECONDS[name],
        samples=10_100.0,
        artifact_hash=HASHES[name],
        details={"seconds_measured": True},
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for name, objective in (("rival", "gaussian"), ("ours", "gaussian"), ("better", "macer")):
        write(folder / "cifar10-jpeg", name, objective=objective)
    frontier = {"format": "latentsmooth-frontier", "schema_version": 1}
    content = {**frontier, "points": [point(name).to_json() for name in CERTIFIED]}
    (folder / "cifar10-jpeg" / "frontier.json").write_text(json.dumps(content), "utf-8")
    notes = {
        "datasets": {
            "cifar10-jpeg": {
                "title": "JPEG CIFAR-10",
                "note": "These are not CIFAR-10.",
                "reading": ["Ours is cheaper.", "It is not always better."],
            }
        },
        "not_run": [{"what": "All of it.", "why": "Too long.", "how": "wait."}],
    }
    (folder / "notes.json").write_text(json.dumps(notes), "utf-8")
    return folder


def cells(text: str, name: str) -> list[list[str]]:
    """The cells of each table row whose first cell is a name."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [row[1:] for row in rows if row[0] in (name, f"`{name}`")]


def test_the_committed_page_is_what_the_committed_results_give(script: Any) -> None:
    page = script("results_page")
    made = page.results_page(ROOT / "benchmarks" / "results" / "training")
    assert page.stale(made, ROOT / "docs") == [], f"run `{page.COMMAND}`"


def test_no_jpeg_copy_is_called_by_the_originals_name() -> None:
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        if "JPEG" in section.splitlines()[0]:
            assert re.findall(r"(?<!JPEG )(?<!not )CIFAR-10(?! itself)", section) == []


def test_tables_hold_what_the_logs_do(script: Any, results: Path) -> None:
    text = script("results_page").results_page(results).text
    for name, radii in CERTIFIED.items():
        certified, costs = cells(text, name)[:2]
        for radius, cell in zip(RADII, certified[2:7], strict=True):
            share = 100 * sum(each >= radius for each in radii) / 8
            shown, low, high = map(float, re.findall(r"[0-9.]+", cell.replace("<small>", "")))
            assert shown <= share < shown + 0.01
            assert low <= share <= high
        assert float(certified[7]) == pytest.approx(sum(radii) / 8, abs=1e-4)
        assert certified[8] == f"{100 * (7 - len(radii)) / 8:.2f}"
        assert float(costs[-2]) == SECONDS[name]
        # Eight multiply-accumulates a normal.
        assert float(costs[-1]) == pytest.approx(2 * (1 + 2.8 * 10_100) / 1000, rel=0.005)


def test_lsrs_is_held_against_isrs(script: Any, results: Path) -> None:
    text = script("results_page").results_page(results).text
    assert "**2.00 times cheaper**" in text
    _, _, gained = cells(text, "rival")
    assert gained[1:3] == ["−25.00 `better`", "−12.50 `better`"]
    # At radius 0.25 both certify five and four of the eight, the same images but image 0 and two.
    [[_, _, difference, lost, won, p]] = cells(text, "0.25")
    assert (difference, lost, won) == ("−12.50", "2", "1")
    assert float(p) == 1.0
    assert "At radius 0: LSRS from 1.50 to 4.00; ISRS from 4.00 on s a certificate." in text
    rows = cells(text, "LSRS `lsrs-haar`, width 0.25")
    assert [row[0] for row in rows] == ["macer (draws 2)", "gaussian (draws 2)"]
    radii = {row[0]: Fraction(row[1]) for row in rows}
    assert radii["macer (draws 2)"] / radii["gaussian (draws 2)"] - 1 == pytest.approx(
        1.0, abs=1e-3
    )
    assert "+100.00 %" in rows[0]
    assert "**All of it.** Too long. To run it: wait." in text


def test_where_sampling_stopped_early_the_page_says_only_what_is_settled(
    script: Any, results: Path
) -> None:
    folder = results / "cifar10-jpeg"
    for name, objective in (("rival", "gaussian"), ("ours", "gaussian"), ("better", "macer")):
        write(folder, name, objective=objective, rule=SEQUENTIAL)
    made = script("results_page").results_page(results)
    assert "at most 10,000 samples an image (rule sequential, radii 0, 0.25, 0.5)" in made.text
    assert "n = 10,000" not in made.text
    header = next(line for line in made.text.splitlines() if line.startswith("| run | kind"))
    assert "| at 0 | at 0.25 | at 0.5 | ACR ≥ | abstain |" in header
    assert len(cells(made.text, "better")[0]) == len(header.split("|")) - 3
    assert [name.rpartition("-")[2] for name in made.pictures] == ["frontier.png"]
    assert "by average certified radius" not in made.text
    assert "best ISRS run by mean certified accuracy at these radii is `rival`" in made.text
    # Of eight images better certifies 4, 4, 2 at the three radii, ours 3, 2, 1.
    rows = {row[0]: row for row in cells(made.text, "LSRS `lsrs-haar`, width 0.25")}
    assert rows["macer (draws 2)"][1:3] == ["41.66", "+66.66 %"]
    # Another rule is another table, with a picture of its own.
    write(folder, "ours", objective="gaussian")
    both = script("results_page").results_page(results)
    assert both.text.count("| run | kind") == 2
    assert [
        name.rpartition("n10000-8-")[2] for name in both.pictures if "sequential" not in name
    ] == ["curves.png"]
    # A goal that does not ask about radius 0 does not settle who abstains.
    write(folder, "ours", objective="gaussian", rule={**SEQUENTIAL, "goal": "radius>=0.25"})
    row = cells(script("results_page").results_page(results).text, "ours")[0]
    assert len(row) == 5
    assert row[-1] == "–"


def test_seconds_of_two_sweeps_or_of_another_engine_are_not_compared(
    script: Any, results: Path
) -> None:
    folder = results / "cifar10-jpeg"
    content = json.loads((folder / "frontier.json").read_text("utf-8"))
    apart = {**content, "points": [p for p in content["points"] if p["name"] == "better"]}
    content["points"] = [p for p in content["points"] if p["name"] != "better"]
    (folder / "frontier.json").write_text(json.dumps(content), "utf-8")
    (folder / "second.frontier.json").write_text(json.dumps(apart), "utf-8")
    text = script("results_page").results_page(results).text
    assert "Seconds are of 2 sweeps" in text
    assert "GFLOP a certificate" in text
    assert "4.00 s a certificate" not in text
    apart["points"][0]["details"]["precision"] = "bfloat16"  # the log is of float32
    (folder / "second.frontier.json").write_text(json.dumps(apart), "utf-8")
    text = script("results_page").results_page(results).text
    assert cells(text, "better")[1][-2] == "–"
    assert cells(text, "ours")[1][-2] == "1.50"


def test_pictures_are_drawn_and_what_is_stale_is_named(
    script: Any, results: Path, tmp_path: Path
) -> None:
    page, docs = script("results_page"), tmp_path / "docs"
    made = page.results_page(results)
    left = docs / page.ASSETS / "of-an-earlier-page.png"
    left.parent.mkdir(parents=True)
    left.touch()
    page.write(made, docs)
    assert page.stale(made, docs) == []
    assert not left.exists()
    said = "### What JPEG CIFAR-10 shows\n\nOurs is cheaper.\n\nIt is not always better.\n"
    assert said in made.text
    pictures = sorted((docs / page.ASSETS).iterdir())
    assert len(pictures) == 2
    assert all(f"]({page.ASSETS}/{path.name})" in made.text for path in pictures)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    pictures[0].unlink()
    assert page.stale(made, docs) == [str(pictures[0])]
    (results / "cifar10-jpeg" / "better.jsonl.gz").unlink()
    assert page.stale(page.results_page(results), docs)[0] == str(docs / "results.md")


def test_what_a_sweep_kept_of_the_training_is_enough(script: Any, results: Path) -> None:
    folder = results / "cifar10-jpeg"
    (folder / "ours.training.json").unlink()
    content = json.loads((folder / "frontier.json").read_text("utf-8"))
    for entry in content["points"]:
        entry |= {"build": "lsrs-compact", "width": 0.5}
        options = {"weight": 10.0, "space": "latent"}
        settings = {"objective": "smoothadv", "objective_options": options}
        entry["details"] |= {"epochs": 9, "build_options": {"levels": 2}}
        entry["details"]["training_settings"] = settings
    (folder / "frontier.json").write_text(json.dumps(content), "utf-8")
    text = script("results_page").results_page(results).text
    certified, costs = cells(text, "ours")[:2]
    assert certified[1] == "smoothadv (space latent, weight 10)"
    assert costs[:2] == ["`lsrs-compact`, width 0.5, levels 2", "9"]


def test_without_costs_or_summaries_there_is_a_page(script: Any, results: Path) -> None:
    for path in results.rglob("*.json"):
        if path.name != "notes.json":
            path.unlink()
    made = script("results_page").results_page(results)
    assert len(made.pictures) == 1
    assert "times cheaper" not in made.text
    assert cells(made.text, "ours")[0][0] == "LSRS"


@pytest.mark.parametrize("title", ["CIFAR-10", None])
def test_a_title_that_hides_the_jpeg_is_refused(
    script: Any, results: Path, title: str | None
) -> None:
    stated = {} if title is None else {"cifar10": {"title": title}}
    (results / "notes.json").write_text(json.dumps({"datasets": stated}), "utf-8")
    (results / "cifar10-jpeg").rename(results / "cifar10")
    with pytest.raises(SystemExit, match="is a JPEG copy"):
        script("results_page").results_page(results)


def test_a_run_is_collected_without_its_places(script: Any, tmp_path: Path) -> None:
    collect = script("collect_result")
    model = build("lsrs-lenet", num_classes=10, image_shape=(1, 8, 8), width=0.25, latent_sigma=0.5)
    model.training_summary = {
        "command": "/opt/bin/latentsmooth train --output /home/me/runs/a --data cifar10:../d/jpeg",
        "data": {"source": "cifar10:../d/jpeg"},
        "settings": {"teacher": "/home/me/teacher", "milestones": [0.5]},
    }
    run, log = model.save_pretrained(tmp_path / "run"), tmp_path / "log.jsonl"
    other = tmp_path / "other.jsonl"
    with CertificateLog.open(other, manifest()):
        pass
    with pytest.raises(SystemExit, match="is of the classifier"):
        collect.collect(run, other, dataset="d", name="a", results=tmp_path)
    start = manifest(
        artifact_hash=model.fingerprint,
        model_name="/home/me/runs/a",
        data_source="cifar10:/home/me/d/jpeg",
        command="latentsmooth certify /home/me/runs/a cifar10:/home/me/d/jpeg --log=/tmp/log.jsonl",
    )
    with CertificateLog.open(log, start) as file:
        file.append(abstention(3))
    packed, facts = collect.collect(run, log, dataset="d", name="a", results=tmp_path)
    held, [made] = read_log(packed)
    assert (held.model_name, held.data_source) == ("a", "cifar10:jpeg")
    assert held.command == "latentsmooth certify a cifar10:jpeg --log=log.jsonl"
    assert made == abstention(3)
    found = json.loads(facts.read_text("utf-8"))
    assert found["kind"] == "LSRS"
    assert found["training"] == {
        "command": "latentsmooth train --output a --data cifar10:jpeg",
        "data": {"source": "cifar10:jpeg"},
        "settings": {"teacher": "teacher", "milestones": [0.5]},
    }
    weights = sum(weight.numel() for weight in model.head.parameters())
    assert found["parameters"]["head"] == weights
    # A head of matrices alone takes each weight once, its biases aside.
    biases = sum(each.numel() for each in model.head.parameters() if each.ndim == 1)
    assert found["arithmetic"]["head_macs"] == weights - biases
    assert packed.read_bytes() == collect.packed(log)
    _, again, costs = collect_as_a_sweep(collect, run, log, point("ours"), found["artifact_hash"])
    assert json.loads(again.read_text("utf-8"))["training"] == found["training"]
    kept = json.loads(costs.read_text("utf-8"))
    assert kept["command"] == "latentsmooth sweep --output s"
    assert kept["points"][0]["details"] == {
        "reuse": run.name,
        "seconds_measured": True,
        "training_command": "latentsmooth sweep --output s",
    }


def collect_as_a_sweep(
    collect: Any, run: Path, log: Path, made: FrontierPoint, artifact_hash: str
) -> list[Path]:
    """Collect a sweep's folder of one run that was reused."""
    sweep = run.parent / "sweep"
    (sweep / made.name).mkdir(parents=True)
    (sweep / made.name / "certificates.jsonl").write_bytes(log.read_bytes())
    details = {
        "reuse": str(run),
        "seconds_measured": True,
        "training_command": "latentsmooth sweep --output /home/me/s",
    }
    entry = replace(made, artifact_hash=artifact_hash, details=details).to_json()
    content = {"format": "latentsmooth-frontier", "schema_version": 1, "points": [entry]}
    content["command"] = "latentsmooth sweep --output /home/me/s"
    (sweep / "frontier.json").write_text(json.dumps(content), "utf-8")
    written: list[Path] = collect.collect_sweep(sweep, dataset="s", results=run.parent)
    return written


def test_exported_weights_are_rounded_and_say_no_places(script: Any, tmp_path: Path) -> None:
    model = build("lsrs-lenet", num_classes=3, image_shape=(1, 8, 8), width=0.25, latent_sigma=0.5)
    model.training_summary = {"data": {"source": "imagefolder:/home/me/photos"}}
    run = model.save_pretrained(tmp_path / "run")
    for dtype, said in (("float32", "the same classifier"), ("bfloat16", "to be certified")):
        assert said in script("export_weights").export(run, tmp_path / dtype, head_dtype=dtype)
        config = json.loads((tmp_path / dtype / "config.json").read_text("utf-8"))
        assert config["training"] == {"data": {"source": "imagefolder:photos"}}
        assert config.get("head_dtype", "float32") == dtype


def test_cards_hold_what_the_log_does(script: Any, tmp_path: Path) -> None:
    card = script("model_card")
    model = build("lsrs-lenet", num_classes=10, image_shape=(3, 8, 8), width=0.25, latent_sigma=0.5)
    model.training_summary = {"data": {"source": "cifar10:cifar10-jpeg", "images": 9}, "epochs": 2}
    folder, log = model.save_pretrained(tmp_path / "model"), tmp_path / "log.jsonl"
    start = manifest(
        artifact_hash=model.fingerprint, latent_sigma=0.5, data_source="cifar10:cifar10-jpeg"
    )
    with CertificateLog.open(log, start) as file:
        for each in certificates("better"):
            file.append(each)
    text = card.card(folder, [log], name="weights/model")
    front = script("yaml").safe_load(text.split("---\n")[1])
    [result] = front["model-index"][0]["results"]
    assert [metric["value"] for metric in result["metrics"]] == [50.0, 50.0, 25.0, 12.5]
    assert result["dataset"]["name"] == "JPEG CIFAR-10"
    assert "datasets" not in front
    assert re.findall(r"(?<!JPEG )(?<!JPEG copy of )(?<!not )CIFAR-10", text) == []
    assert "50.00 <small>" in text
    assert 'from_pretrained("weights/model")' in text
    assert "n = 10,000" in text
    early = tmp_path / "early.jsonl"
    with CertificateLog.open(early, replace(start, rule=SEQUENTIAL)) as file:
        for each in certificates("better"):
            file.append(each)
    text = card.card(folder, [early], name="weights/model")
    assert "at most 10,000 samples an image (rule sequential" in text
    assert "| at 0 | at 0.25 | at 0.5 | mean radius ≥ | abstained, % |" in text
    assert "radius 0.75" not in text
    other = tmp_path / "other.jsonl"
    with CertificateLog.open(other, manifest()):
        pass
    with pytest.raises(SystemExit, match="is of the classifier"):
        card.card(folder, [other], name="weights/model")


@pytest.mark.parametrize("name", ["tidied", "results_tables", "model_card"])
def test_examples_in_scripts_run(script: Any, name: str) -> None:
    found = doctest.testmod(script(name))
    assert found.attempted
    assert not found.failed
