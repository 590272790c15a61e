from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from latentsmooth.errors import (
    ConfigurationError,
    CorruptArtifact,
    LatentSmoothError,
    ShapeError,
)
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training import TrainingSettings, TrainingSummary, train
from latentsmooth.training.settings import OptimizerName
from tests.closeness import rounding
from tests.seeds import shifted
from tests.training.fakes import BrightQuadrants, tiny_classifier

SETTINGS = TrainingSettings(
    epochs=4,
    batch_size=16,
    learning_rate=0.01,
    ema_decay=0.9,
    crop_padding=1,
    flip=False,
    log_every=3,
    checkpoint_every=4,
    validate_noise=5,
    device="cpu",
)
"""Six steps an epoch, 24 in all."""


class Signalling(BrightQuadrants):
    """Images whose reading at one step sends this process a signal."""

    def __init__(self, at: int, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.at, self.number, self.reads = at, number, 0

    def batch(self, positions: Sequence[int] | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.reads += 1
        if self.reads == self.at:
            signal.raise_signal(self.number)
        return super().batch(positions)


def run(
    output: Path,
    settings: TrainingSettings = SETTINGS,
    *,
    images: BrightQuadrants | None = None,
    seed: int = 0,
    progress: bool = False,
) -> tuple[LatentSmoothedClassifier, TrainingSummary]:
    model = tiny_classifier(seed=seed)
    summary = train(
        model,
        images or BrightQuadrants(),
        settings=settings,
        output=output,
        validation=BrightQuadrants(24, seed=1),
        progress=progress,
    )
    return model, summary


def read_metrics(output: Path) -> list[dict[str, Any]]:
    """Return the log's lines without what the clock decides."""
    lines = (output / "metrics.jsonl").read_text().splitlines()
    timings = ("seconds", "images_per_second")
    return [
        {key: value for key, value in json.loads(line).items() if key not in timings}
        for line in lines
    ]


def assert_same(left: LatentSmoothedClassifier, right: LatentSmoothedClassifier) -> None:
    ours, theirs = left.state_dict(), right.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LatentSmoothedClassifier]:
    output = tmp_path_factory.mktemp("uninterrupted")
    return output, run(output)[0]


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 0.01), ("adam", 0.01), ("sgd", 0.1)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_classifier_learns(
    tmp_path: Path, optimizer: OptimizerName, rate: float, precision: Any
) -> None:
    settings = replace(SETTINGS, optimizer=optimizer, learning_rate=rate, precision=precision)
    model, summary = run(tmp_path, settings)
    losses = [line["loss"] for line in read_metrics(tmp_path) if line["event"] == "epoch"]
    assert losses[-1] < 0.5 * losses[0]
    assert summary.validation is not None
    assert summary.validation["smoothed_accuracy"] > 0.9
    assert summary.precision == precision
    assert model.lipschitz_bound < 1 + 1e-5
    assert not model.training
    assert model.training_summary == summary.to_json()
    assert json.loads(json.dumps(summary.to_json()))["steps"] == 24


def test_the_log_tells_every_event(finished: tuple[Path, LatentSmoothedClassifier]) -> None:
    lines = read_metrics(finished[0])
    assert [line["step"] for line in lines if line["event"] == "step"] == list(range(3, 25, 3))
    assert [line["epoch"] for line in lines if line["event"] == "epoch"] == [1, 2, 3, 4]
    assert [line["step"] for line in lines if line["event"] == "validation"] == [6, 12, 18, 24]
    step = lines[0]
    assert set(step) == {"event", "step", "epoch", "loss", "accuracy", "learning_rate"}
    assert 0 < step["learning_rate"] <= SETTINGS.learning_rate
    means = [line["loss"] for line in lines if line["event"] == "step"][:2]
    epoch = next(line["loss"] for line in lines if line["event"] == "epoch")
    assert epoch == pytest.approx(sum(means) / 2)


@pytest.mark.parametrize("at", [3, 8, 14])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    tmp_path: Path, finished: tuple[Path, LatentSmoothedClassifier], at: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, images=Signalling(at))
    assert (tmp_path / "checkpoints" / f"checkpoint-{at:08d}").is_dir()
    model, summary = run(tmp_path, seed=5)
    assert_same(model, finished[1])
    assert read_metrics(tmp_path) == read_metrics(finished[0])
    assert summary.steps == 24


def test_sigterm_stops_with_its_exit_code(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, images=Signalling(5, signal.SIGTERM))
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_torn_checkpoint_is_passed_over(
    tmp_path: Path, finished: tuple[Path, LatentSmoothedClassifier]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, images=Signalling(10))
    torn = tmp_path / "checkpoints" / "checkpoint-00000010" / "state.safetensors"
    torn.write_bytes(torn.read_bytes()[:100])
    model, _ = run(tmp_path, seed=5)
    assert_same(model, finished[1])
    assert read_metrics(tmp_path) == read_metrics(finished[0])


def test_without_a_whole_checkpoint_the_run_stops(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, images=Signalling(10))
    for path in (tmp_path / "checkpoints").glob("*/state.json"):
        path.write_text("{}")
    with pytest.raises(CorruptArtifact, match="no usable checkpoint is left"):
        run(tmp_path)


def test_a_finished_run_is_returned_at_once(
    finished: tuple[Path, LatentSmoothedClassifier], tmp_path: Path
) -> None:
    images = Signalling(1)
    model, summary = run(finished[0], images=images, seed=5)
    assert images.reads == 0
    assert_same(model, finished[1])
    assert summary.to_json() == finished[1].training_summary
    assert [path.name for path in (finished[0] / "checkpoints").iterdir()] == ["final"]


def test_other_settings_are_refused_by_name(
    finished: tuple[Path, LatentSmoothedClassifier],
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run(finished[0], replace(SETTINGS, learning_rate=0.02, epochs=5))
    message = str(caught.value)
    assert "settings.learning_rate is 0.01 there and 0.02 here" in message
    assert "settings.epochs is 4 there and 5 here" in message
    with pytest.raises(ConfigurationError, match=r"data\.fingerprint"):
        run(finished[0], images=BrightQuadrants(seed=3))


def test_a_folder_of_unknown_owner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, images=Signalling(2))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(CorruptArtifact, match=r"run\.json is not JSON"):
        run(tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(CorruptArtifact, match=r"no run\.json"):
        run(tmp_path)


def test_the_average_is_what_is_kept(
    tmp_path: Path, finished: tuple[Path, LatentSmoothedClassifier]
) -> None:
    plain, _ = run(tmp_path, replace(SETTINGS, ema_decay=None))
    averaged = finished[1]
    assert not torch.equal(plain.head[6].weight, averaged.head[6].weight)  # type: ignore[index]
    assert read_metrics(tmp_path)[0] == read_metrics(finished[0])[0]


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    settings = replace(SETTINGS, optimizer="sgd", learning_rate=1e30, precision="float32")
    with pytest.raises(LatentSmoothError, match=r"at step \d+ of 24, at learning rate .*e\+"):
        run(tmp_path, settings)


def test_gradients_are_clipped(tmp_path: Path) -> None:
    settings = replace(
        SETTINGS, optimizer="sgd", momentum=0.0, grad_clip=1e-6, learning_rate=1.0, ema_decay=None
    )
    model, _ = run(tmp_path, replace(settings, weight_decay=0.0, schedule="constant", epochs=1))
    moved = (model.head[6].weight - tiny_classifier().head[6].weight).detach()  # type: ignore[index]
    # Six steps of a millionth each, and the rounding of weights of up to one.
    assert 0 < float(moved.norm()) < 6e-6 + rounding(torch.float32)


def test_images_must_fit_the_model(tmp_path: Path) -> None:
    wide = BrightQuadrants(8)
    wide.image_shape = (3, 16, 16)
    with pytest.raises(ShapeError, match=r"\(3, 16, 16\), the model takes \(3, 8, 8\)"):
        run(tmp_path, images=wide)
    many = BrightQuadrants(8)
    many.class_names = (*many.class_names, "five")
    with pytest.raises(ConfigurationError, match="5 classes, the model has 4"):
        run(tmp_path, images=many)


def test_the_callers_random_numbers_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(shifted(3))
    expected = torch.rand(3)
    torch.manual_seed(shifted(3))
    run(tmp_path, replace(SETTINGS, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_progress_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, replace(SETTINGS, epochs=1), progress=True)
    shown = capsys.readouterr().err
    assert "epoch 1/1: loss" in shown
    assert "validation noisy" in shown
    assert "img/s" in shown
