"""Saving and loading: round trips, and everything that must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from latentsmooth.errors import ConfigurationError, CorruptArtifact
from latentsmooth.models import LatentSmoothedClassifier, build, list_builds
from latentsmooth.orthogonal import ChannelNormalize

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def small(name: str = "lsrs-lenet") -> LatentSmoothedClassifier:
    torch.manual_seed(0)
    return build(
        name,
        num_classes=3,
        image_shape=(1, 8, 8),
        width=0.25,
        latent_sigma=0.5,
        class_names=["cat", "dog", "føx"],
    ).eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = small()
    model.training_summary = {"epochs": 3}
    return model.save_pretrained(tmp_path / "model")


@pytest.mark.parametrize("name", [name for name in list_builds() if name != "resnet110"])
def test_round_trip_of_every_build(name: str, tmp_path: Path) -> None:
    model = small(name)
    folder = model.save_pretrained(tmp_path / "a" / "model")
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]
    loaded = LatentSmoothedClassifier.from_pretrained(folder)
    images = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))
    assert not loaded.training
    assert loaded.lipschitz_bound == model.lipschitz_bound
    assert loaded.fingerprint == model.fingerprint
    assert (loaded.class_names, loaded.latent_sigma) == (model.class_names, model.latent_sigma)


def test_saving_twice_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    again = LatentSmoothedClassifier.from_pretrained(saved).save_pretrained(tmp_path / "again")
    for name in (CONFIG, WEIGHTS):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


def test_the_fingerprint_follows_weights_and_settings_not_history() -> None:
    model, other = small(), small()
    other.training_summary = {"seconds": 5}
    assert model.fingerprint == other.fingerprint
    other.latent_sigma = 0.25
    assert model.fingerprint != other.fingerprint
    changed = small()
    with torch.no_grad():
        next(changed.head.parameters()).add_(1e-3)
    assert model.fingerprint != changed.fingerprint


def test_a_users_own_modules_are_passed_in(tmp_path: Path) -> None:
    def pair() -> tuple[nn.Module, nn.Module]:
        return nn.Sequential(ChannelNormalize(0.5, 0.25), nn.Flatten()), nn.Linear(16, 2)

    encoder, head = pair()
    model = LatentSmoothedClassifier(
        encoder, head, latent_sigma=0.5, class_names=("a", "b"), image_shape=(1, 4, 4)
    )
    folder = model.save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="pass encoder= and head="):
        LatentSmoothedClassifier.from_pretrained(folder)
    encoder, head = pair()
    loaded = LatentSmoothedClassifier.from_pretrained(folder, encoder=encoder, head=head)
    assert loaded.fingerprint == model.fingerprint
    assert loaded.lipschitz_bound == pytest.approx(4.0)


def test_other_modules_of_equal_weights_are_refused(tmp_path: Path) -> None:
    def model(activation: nn.Module) -> LatentSmoothedClassifier:
        torch.manual_seed(0)
        return LatentSmoothedClassifier(
            nn.Sequential(nn.Flatten(), activation),
            nn.Linear(16, 2),
            latent_sigma=0.5,
            class_names=("a", "b"),
            image_shape=(1, 4, 4),
        )

    assert model(nn.ReLU()).fingerprint != model(nn.Tanh()).fingerprint
    folder = model(nn.ReLU()).save_pretrained(tmp_path)
    other = model(nn.Tanh())
    with pytest.raises(CorruptArtifact, match="describes other modules"):
        LatentSmoothedClassifier.from_pretrained(folder, encoder=other.encoder, head=other.head)


def test_a_build_that_was_changed_is_not_saved_under_its_name(tmp_path: Path) -> None:
    model, before = small(), small().fingerprint
    assert isinstance(model.encoder, nn.Sequential)
    model.encoder[-2] = nn.ReLU()
    assert model.fingerprint != before
    with pytest.raises(ConfigurationError, match="were changed after it was built"):
        model.save_pretrained(tmp_path)


def test_shared_and_bfloat16_weights_are_saved(tmp_path: Path) -> None:
    shared = nn.Linear(16, 16)
    model = LatentSmoothedClassifier(
        nn.Flatten(),
        nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(16, 2)),
        latent_sigma=0.5,
        class_names=("a", "b"),
        image_shape=(1, 4, 4),
    )
    folder = model.save_pretrained(tmp_path)
    loaded = LatentSmoothedClassifier.from_pretrained(
        folder, encoder=model.encoder, head=model.head
    )
    assert loaded.fingerprint == model.fingerprint
    assert len(model.bfloat16().fingerprint) == 64


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    change(config)
    (folder / CONFIG).write_text(json.dumps(config), "utf-8")


def put(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda config: config.__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format", "other"), "is not a classifier"),
        (put("schema_version", 2), "schema_version 2; this version reads 1"),
        (put("lipschitz_bound", 0.2), "states lipschitz_bound 0.2, but the weights give 1.0"),
        (put("lipschitz_bound", -1), "lipschitz_bound is -1; wanted a positive number"),
        (put("lipschitz_bound", True), "wanted a positive number"),
        (put("latent_sigma", "big"), "latent_sigma is 'big'"),
        (put("weights_sha256", 5), "weights_sha256 is 5; wanted text"),
        (put("weights_sha256", "00"), "its config states 00"),
        (put("class_names", ["a"]), "at least two names"),
        (put("class_names", ["a", 2]), "a list of texts"),
        (put("image_shape", [1, 8]), "wanted \\[channels, height, width\\]"),
        (put("image_shape", [1, 8, 0]), "positive integers"),
        (put("training", None), "training is None; wanted an object"),
        (put("build", {"name": "lsrs-lenet"}), "build is"),
        (put("build", {"name": "x", "width": 1, "options": {"a": "b"}}), "build is"),
        (put("build", {"name": "lenet", "width": 1e9, "options": {}}), "at most 64"),
        (put("build", {"name": "x", "width": 1, "options": {}}), "unknown build 'x'"),
        (put("build", {"name": "lenet", "width": 1, "options": {}}), "does not fit its build"),
        (put("build", {"name": "lsrs-lenet", "width": 1, "options": {}}), "expected .* of shape"),
        (lambda config: config.pop("build"), "architecture is '<missing>'"),
        (lambda config: config.pop("latent_sigma"), "latent_sigma is '<missing>'"),
    ],
)
def test_edited_configs_are_refused(
    saved: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(saved, change)
    with pytest.raises((CorruptArtifact, ConfigurationError), match=message):
        LatentSmoothedClassifier.from_pretrained(saved)


def rewrite_weights(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    edit(folder, put("weights_sha256", sha256(content).hexdigest()))


def test_damaged_files_are_refused(saved: Path) -> None:
    whole = (saved / WEIGHTS).read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    (saved / WEIGHTS).write_bytes(flipped)
    with pytest.raises(CorruptArtifact, match="has SHA-256"):
        LatentSmoothedClassifier.from_pretrained(saved)
    rewrite_weights(saved, b"\x80\x04pickle, not safetensors")
    with pytest.raises(CorruptArtifact, match="not a safetensors file"):
        LatentSmoothedClassifier.from_pretrained(saved)
    (saved / WEIGHTS).unlink()
    with pytest.raises(CorruptArtifact, match=r"cannot read .*No such file"):
        LatentSmoothedClassifier.from_pretrained(saved)
    (saved / CONFIG).write_text("{", "utf-8")
    with pytest.raises(CorruptArtifact, match="is not JSON"):
        LatentSmoothedClassifier.from_pretrained(saved)
    (saved / CONFIG).unlink()
    with pytest.raises(CorruptArtifact, match="cannot read"):
        LatentSmoothedClassifier.from_pretrained(saved)


def test_weights_that_are_not_finite_are_refused(saved: Path) -> None:
    tensors = load_file(saved / WEIGHTS)
    tensors["head.0.weight"][0, 0] = float("nan")
    save_file(tensors, saved / WEIGHTS)
    edit(saved, put("weights_sha256", sha256((saved / WEIGHTS).read_bytes()).hexdigest()))
    with pytest.raises(CorruptArtifact, match="not finite"):
        LatentSmoothedClassifier.from_pretrained(saved)


def test_missing_folders_and_surplus_modules_are_named(saved: Path) -> None:
    with pytest.raises(ConfigurationError, match="no model folder at nowhere"):
        LatentSmoothedClassifier.from_pretrained("nowhere")
    with pytest.raises(ConfigurationError, match="makes its own encoder and head"):
        LatentSmoothedClassifier.from_pretrained(saved, encoder=nn.Flatten())


def test_hub_ids_go_through_the_hub_library(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        if name == "owner/missing":
            raise OSError("offline\nmore")
        return str(saved)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    loaded = LatentSmoothedClassifier.from_pretrained("owner/name", revision="v1")
    assert loaded.class_names[2] == "føx"
    assert asked == [("owner/name", "v1", [CONFIG, WEIGHTS])]
    with pytest.raises(ConfigurationError, match=r"the hub gave none under that id: offline$"):
        LatentSmoothedClassifier.from_pretrained("owner/missing")


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    with pytest.raises(ConfigurationError, match="cannot write the model"):
        small().save_pretrained(tmp_path / "file")
