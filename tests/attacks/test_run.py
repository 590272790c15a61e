"""Attacks on logs: only with what they were made from, and resumed where they stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from latentsmooth.attacks import AttackSettings, attack_log
from latentsmooth.errors import ConfigurationError, LatentSmoothError
from latentsmooth.images import ImageSet, load_images
from latentsmooth.models import LatentSmoothedClassifier, build
from latentsmooth.records import certify_to_log, read_log
from latentsmooth.records.log import CertificateLog
from tests.seeds import shifted

# 512 draws: one image at a time.
QUICK = AttackSettings(steps=2, draws=512, search_draws=100)


def network(seed: int, images: ImageSet) -> LatentSmoothedClassifier:
    torch.manual_seed(shifted(seed))
    return build(
        "lsrs-lenet",
        num_classes=10,
        image_shape=(1, 28, 28),
        latent_sigma=0.25,
        width=0.25,
        class_names=images.class_names,
    ).eval()


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_images("fashion-mini", split="test")


@pytest.fixture(scope="module")
def model(images: ImageSet) -> LatentSmoothedClassifier:
    return network(0, images)


@pytest.fixture(scope="module")
def log(
    model: LatentSmoothedClassifier, images: ImageSet, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("attacked") / "log.jsonl"
    made = certify_to_log(
        model, images.subset(limit=30), path, n_estimate=300, batch_size=100, seed=1
    )
    assert sum(one.input_radius > 0 for one in made) >= 6
    return path


def without_times(path: Path) -> Any:
    content = json.loads(path.read_text("utf-8"))
    content["totals"].pop("seconds")
    for row in content["images"]:
        row.pop("seconds")
    return content


def test_a_log_is_attacked_with_another_seed(
    model: LatentSmoothedClassifier, images: ImageSet, log: Path
) -> None:
    manifest, certificates = read_log(log)
    wanted = [one for one in certificates if one.input_radius > 0][::2][:3]
    report = attack_log(log, model, images, QUICK, limit=3, stride=2)
    assert report.program["seed"] != manifest.seed == QUICK.seed
    assert report.program["precision"] == manifest.precision
    assert [one.index for one in report.images] == [one.index for one in wanted]
    for one, certificate in zip(report.images, wanted, strict=True):
        assert one.input_radius == one.attacked_radius == certificate.input_radius
        assert one.inside.input_distance < certificate.input_radius
        assert one.prediction == certificate.prediction
        assert one.name == certificate.name is not None
    assert report.falsified == ()
    assert report.log["name"] == "log"
    assert str(log.parent) not in report.to_json()


def test_answers_by_too_few_draws_are_refused_before_any_search(
    model: LatentSmoothedClassifier, images: ImageSet, log: Path
) -> None:
    with pytest.raises(ConfigurationError, match="n_estimate is 4, too few for any certificate"):
        attack_log(log, model, images, replace(QUICK, search_draws=4), limit=1)


def test_an_attack_goes_on_where_it_stopped(
    model: LatentSmoothedClassifier, images: ImageSet, log: Path, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole.json", tmp_path / "cut.json"
    attack_log(log, model, images, QUICK, limit=4, output=whole)

    def stop(done: Any, planned: int) -> None:
        assert planned == 4
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attack_log(log, model, images, QUICK, limit=4, output=cut, on_images=stop)
    partial = json.loads(cut.read_text("utf-8"))
    assert partial["totals"]["attacked"] == 2
    assert partial["totals"]["planned"] == 4
    partial["images"][0]["seconds"] = 123.0
    cut.write_text(json.dumps(partial), "utf-8")
    report = attack_log(log, model, images, QUICK, limit=4, output=cut)
    assert report.images[0].seconds == 123.0
    assert without_times(cut) == without_times(whole)
    before = cut.read_bytes()
    for other in (replace(QUICK, steps=3), replace(QUICK, seed=7)):
        with pytest.raises(ConfigurationError, match="cannot be continued"):
            attack_log(log, model, images, other, limit=4, output=cut)
    assert cut.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"whole.json", "cut.json"}


def test_other_networks_and_data_are_refused(
    model: LatentSmoothedClassifier, images: ImageSet, log: Path
) -> None:
    with pytest.raises(ConfigurationError, match="classifier with hash"):
        attack_log(log, network(1, images), images, QUICK)
    with pytest.raises(ConfigurationError, match="the split test, got train"):
        attack_log(log, model, load_images("fashion-mini", split="train"), QUICK)
    with pytest.raises(ConfigurationError, match="and not that one"):
        attack_log(log, model, images.subset(limit=1, stride=100), QUICK)
    for wrong in ({"limit": 0}, {"stride": 0}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            attack_log(log, model, images, QUICK, **wrong)  # type: ignore[arg-type]


def test_other_data_and_devices_are_refused(
    model: LatentSmoothedClassifier, images: ImageSet, log: Path, tmp_path: Path
) -> None:
    manifest, certificates = read_log(log)
    for name, changed in (
        ("data with hash", replace(manifest, data_hash="0" * 64)),
        ("kind of device", replace(manifest, device_type="cuda")),
    ):
        path = tmp_path / f"{name}.jsonl"
        with CertificateLog.open(path, changed) as other:
            other.append(certificates[0])
        with pytest.raises(ConfigurationError, match=name):
            attack_log(path, model, images, QUICK)


def test_a_log_without_radii_cannot_be_attacked(
    model: LatentSmoothedClassifier, images: ImageSet, log: Path, tmp_path: Path
) -> None:
    manifest, certificates = read_log(log)
    path = tmp_path / "none.jsonl"
    with CertificateLog.open(path, manifest) as other:
        given_up = replace(
            certificates[0], prediction=None, p_lower=0.0, latent_radius=0.0, input_radius=0.0
        )
        other.append(given_up)
    with pytest.raises(ConfigurationError, match="with a radius above 0, got 1 without"):
        attack_log(path, model, images, QUICK)
    with pytest.raises(LatentSmoothError, match="cannot be read"):
        attack_log(tmp_path / "gone.jsonl", model, images, QUICK)


def test_output_that_cannot_be_written(
    model: LatentSmoothedClassifier, images: ImageSet, log: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot write"):
        attack_log(log, model, images, QUICK, limit=1, output=tmp_path / "file" / "out.json")
