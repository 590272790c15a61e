"""Every recipe can be run as it says; one of them is, at 224 pixels."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from jsonargparse import Namespace

from latentsmooth.cli.arguments import require, rule_of
from latentsmooth.cli.main import build_parser, main
from latentsmooth.images import list_sources
from latentsmooth.models.builds import outline_of
from latentsmooth.records import read_log
from latentsmooth.sweep import parse_plan
from latentsmooth.training import TrainingSettings
from tests.data_files import shared_data

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
CERTIFY = [path for path in RECIPES if path.name.startswith("certify")]
SWEEP = [path for path in RECIPES if path.name.startswith("sweep")]
TRAIN = [path for path in RECIPES if path not in CERTIFY + SWEEP]
DATA = {
    "cifar10": (10, (3, 32, 32)),
    "cifar10-jpeg": (10, (3, 32, 32)),
    "fashion-mnist": (10, (1, 28, 28)),
    "imagenet": (1000, (3, 224, 224)),
    "imagenet-samples": (1000, (3, 224, 224)),
    "tiny-imagenet": (200, (3, 64, 64)),
}
"""Classes and image shape of the data of each folder."""


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def comment(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line[1:].removeprefix(" ") for line in lines if line.startswith("#"))


def commands(path: Path) -> list[list[str]]:
    """The words after ``latentsmooth`` of every command in a recipe's comment."""
    text = comment(path).replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in text.splitlines() if "latentsmooth " in line]


def parsed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Namespace:
    monkeypatch.chdir(ROOT)
    options: Namespace = build_parser().parse_args(words)[words[0]]
    return options


@pytest.mark.parametrize("path", TRAIN, ids=shown)
def test_a_recipe_trains_what_can_be_built(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, certify = commands(path)
    assert (train[:3], certify[0]) == (["train", "--config", shown(path)], "certify")
    options = parsed(train, monkeypatch)
    require(options, ("data", "output"))
    settings = {field.name: options[field.name] for field in fields(TrainingSettings)}
    assert TrainingSettings(**settings).epochs > 0
    classes, shape = DATA[path.parent.name]
    assert outline_of(
        options.build,
        num_classes=classes,
        image_shape=shape,
        width=options.width,
        options=options.build_options or {},
    )
    then = parsed(certify, monkeypatch)
    require(then, ("model", "data", "log"))
    assert (then.model, then.data) == (options.output, options.data)
    assert then.data.partition(":")[0] in {re.split(r"[\[:]", usage)[0] for usage in list_sources()}
    assert rule_of(then).alpha == 0.001


@pytest.mark.parametrize("path", SWEEP, ids=shown)
def test_a_sweep_trains_what_can_be_built(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [words] = commands(path)
    assert words[:3] == ["sweep", "--config", shown(path)]
    options = parsed(words, monkeypatch)
    plan = parse_plan(
        data=options.data,
        runs=options.runs or (),
        grid=options.grid,
        train=options.train,
        certify=options.certify,
        measure=options.measure,
    )
    classes, shape = DATA[path.parent.name]
    for run in options.runs or [options.grid]:
        values = {**options.train, **run}
        assert outline_of(
            values["build"],
            num_classes=classes,
            image_shape=shape,
            width=values.get("width", 1.0),
            options=values.get("build_options", {}),
        )
    assert len(plan.runs) >= 2


@pytest.mark.parametrize("path", TRAIN + SWEEP, ids=shown)
def test_a_recipe_says_what_to_expect(path: Path) -> None:
    expected = re.search(r"^Expected result: (.+)$", comment(path), re.MULTILINE)
    assert expected is not None
    files = re.findall(r"[\w./-]+\.(?:md|json)\b", expected[1])
    assert files or expected[1].startswith(("not run here", "a certificate of each"))
    assert [name for name in files if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("path", CERTIFY, ids=shown)
def test_what_certifies_stands_beside_its_recipes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = parsed(["certify", "--config", shown(path)], monkeypatch)
    assert rule_of(options).alpha == 0.001
    users = [other for other in TRAIN if shown(path) in commands(other)[1]]
    assert users == [other for other in TRAIN if other.parent == path.parent]
    assert users


def test_the_page_lists_every_recipe() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([\w./-]+)`", page, re.MULTILINE))
    assert listed == {path.relative_to(ROOT / "recipes").as_posix() for path in TRAIN + SWEEP}


def test_a_smoke_recipe_runs_at_224_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "lsrs-resnet50"
    data = shared_data("imagenet-samples/samples-100.parquet")
    train, certify = commands(ROOT / "recipes" / "imagenet-samples" / f"{name}.yaml")
    monkeypatch.chdir(ROOT)
    run, log = tmp_path / "run", tmp_path / "log.jsonl"
    train = [word.replace("DATA", str(data)) for word in train]
    train[train.index("--output") + 1] = str(run)
    smaller = ["--limit", "4", "--batch-size", "2", "--width", "0.0625", "--quiet"]
    assert main([*train, *smaller, "--device", "cpu"]) == 0
    words = {f"runs/imagenet-samples/{name}": str(run), "imagenet:DATA": f"imagenet:{data}"}
    words[f"runs/imagenet-samples/{name}.jsonl"] = str(log)
    certify = [words.get(word, word) for word in certify]
    small = ["--limit", "1", "--n-estimate", "30", "--batch-size", "10", "--quiet"]
    eager = ["--executor", "eager", "--precision", "float32", "--device", "cpu"]
    assert main([*certify, *small, *eager]) == 0
    assert [made.n_used for made in read_log(log)[1]] == [50]
