from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.models import LatentSmoothedClassifier, build
from latentsmooth.orthogonal import Center
from latentsmooth.training import TrainingSettings, train
from latentsmooth.training.folder import RunFolder
from latentsmooth.training.identity import run_identity
from latentsmooth.training.objectives import (
    Objective,
    build_objective,
    default_options,
    list_objectives,
    load_teacher,
    objective_options,
)
from latentsmooth.training.step import ObjectiveModule
from tests.seeds import shifted
from tests.training.fakes import BrightQuadrants, tiny_classifier

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in list_objectives()),
    ("gaussian", {"draws": 3}),
    ("smoothadv", {"space": "latent", "steps": 2}),
    ("smoothmix", {"clean_steps": 0, "steps": 2}),
]
TEACHABLE = ("catrs", "distillation")


def input_space_classifier() -> LatentSmoothedClassifier:
    """ISRS: the encoder has no parameters, and the noise is on the pixels."""
    model = tiny_classifier()
    head = copy.deepcopy(model.head)
    head[0] = nn.Conv2d(3, 8, 3, padding=1, bias=False)  # type: ignore[operator]
    return LatentSmoothedClassifier(
        Center(),
        head,
        latent_sigma=0.25,
        class_names=model.class_names,
        image_shape=model.image_shape,
    )


MODELS = {"lsrs": tiny_classifier, "isrs": input_space_classifier}


def made(name: str, options: dict[str, Any], **common: Any) -> Objective:
    teacher = None
    if name in TEACHABLE:
        teacher = tiny_classifier(seed=9).requires_grad_(False).eval()
    return build_objective(name, options=options, teacher=teacher, **common)


def batch() -> tuple[Tensor, Tensor]:
    images, labels, _ = BrightQuadrants(12).batch(range(12))
    return images.contiguous(memory_format=torch.channels_last), labels


def step(
    module: nn.Module, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    torch.manual_seed(shifted(0))
    module.zero_grad()
    loss, logits = module(images, labels, torch.Generator().manual_seed(shifted(1)))
    loss.backward()
    return loss, logits, {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_objective_takes_a_step(
    name: str, options: dict[str, Any], kind: str, bfloat16: bool
) -> None:
    model = MODELS[kind]().train()
    twin = copy.deepcopy(model)
    calls: list[int] = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    images, labels = batch()
    objective = made(name, options, label_smoothing=0.1, bfloat16=bfloat16)
    loss, logits, gradients = step(ObjectiveModule(model, objective), images, labels)

    assert loss.shape == ()
    assert float(loss.detach()) > 0
    assert logits.shape == (12, 4)
    assert logits.dtype == loss.dtype == torch.float32
    every = {f"model.{name}" for name, _ in model.named_parameters()}
    assert set(gradients) == every
    assert all(value.isfinite().all() and value.any() for value in gradients.values())
    settings = objective_options(name, options)
    in_pixels = settings.get("space") == "pixels"
    assert len(calls) == (int(settings["steps"]) + 1 if in_pixels else 1)
    # attacks leave the running statistics alone
    assert int(model.head[1].num_batches_tracked) <= 2  # type: ignore[index]
    assert all(part.training for part in model.modules())
    again, _, _ = step(ObjectiveModule(twin, objective), images, labels)
    assert torch.equal(loss, again)


@pytest.fixture(scope="module")
def process_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    store = tmp_path_factory.mktemp("group") / "store"
    init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    destroy_process_group()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_wrapped_for_several_processes_it_is_the_same(
    name: str, options: dict[str, Any], process_group: None
) -> None:
    model = tiny_classifier().train()
    alone = ObjectiveModule(model, made(name, options))
    wrapped = DistributedDataParallel(copy.deepcopy(alone))
    images, labels = batch()
    for _ in range(2):  # the wrapper complains at the second step of what the first left undone
        expected, _, ours = step(alone, images, labels)
        loss, _, theirs = step(wrapped, images, labels)
        assert torch.equal(loss, expected)
        assert all(torch.equal(theirs[f"module.{name}"], ours[name]) for name in ours)


SETTINGS = TrainingSettings(
    epochs=2,
    batch_size=16,
    learning_rate=0.01,
    checkpoint_every=2,
    validate_every=2,
    precision="float32",
    device="cpu",
)
"""Three steps an epoch, six in all."""


class Interrupted(BrightQuadrants):
    """Images whose fifth batch never comes."""

    reads = 0

    def batch(self, positions: Any) -> tuple[Tensor, Tensor, Tensor]:
        self.reads += 1
        if self.reads == 5:
            raise KeyboardInterrupt
        return super().batch(positions)


def saved_teacher(folder: Path, *, seed: int = 9) -> Path:
    with torch.random.fork_rng([]):
        torch.manual_seed(shifted(seed))
        model = build(
            "resnet18",
            num_classes=4,
            image_shape=BrightQuadrants.image_shape,
            latent_sigma=0.5,
            width=0.05,
            class_names=BrightQuadrants.class_names,
        )
    return model.save_pretrained(folder)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.mark.parametrize("name", list_objectives())
def test_a_run_goes_on_bit_for_bit(name: str, tmp_path: Path, teacher: Path) -> None:
    settings = replace(
        SETTINGS, objective=name, teacher=str(teacher) if name in TEACHABLE else None
    )
    model = tiny_classifier()
    summary = train(
        model, BrightQuadrants(48), settings=settings, output=tmp_path / "whole", progress=False
    )
    with pytest.raises(KeyboardInterrupt):
        train(
            tiny_classifier(),
            Interrupted(48),
            settings=settings,
            output=tmp_path / "parts",
            progress=False,
        )
    resumed = tiny_classifier()
    train(
        resumed, BrightQuadrants(48), settings=settings, output=tmp_path / "parts", progress=False
    )
    ours, theirs = resumed.state_dict(), model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert (summary.teacher is not None) == (name in TEACHABLE)


OPTIONS = [(name, option) for name, table in default_options().items() for option in table]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_options_are_checked(name: str, option: str) -> None:
    for wrong in ("nowhere", True, float("nan"), -1e9, None, 10**400):
        with pytest.raises(ConfigurationError, match=f"{option} of objective_options for {name}"):
            objective_options(name, {option: wrong})
    near = option[:-1] + "x"
    with pytest.raises(ConfigurationError, match=f"for {name} .* did you mean '{option}'"):
        objective_options(name, {near: 1})
    default = objective_options(name, {})[option]
    assert objective_options(name, {option: default})[option] == default


def test_options_agree_with_each_other() -> None:
    with pytest.raises(ConfigurationError, match=r"clean_steps .* below its steps, 4, got 4"):
        objective_options("smoothmix", {"clean_steps": 4})


def identity(output: Path, settings: TrainingSettings) -> dict[str, Any]:
    images = BrightQuadrants(32)
    settings = replace(settings, epochs=1)
    train(tiny_classifier(), images, settings=settings, output=output, progress=False)
    found: dict[str, Any] = json.loads((output / "run.json").read_text())
    return found


def test_runs_made_before_there_were_options_are_recognised(tmp_path: Path) -> None:
    before = identity(tmp_path, SETTINGS)
    assert not {"objective_options", "teacher"} & {*before, *before["settings"]}
    assert identity(tmp_path, replace(SETTINGS, objective_options={"draws": 1})) == before
    with pytest.raises(ConfigurationError, match=r"objective_options is None there and .*'draws'"):
        identity(tmp_path, replace(SETTINGS, objective_options={"draws": 2}))


def test_a_build_counts_by_what_its_options_change(tmp_path: Path) -> None:
    def named(**options: Any) -> dict[str, Any]:
        model = build(
            "lsrs-compact",
            num_classes=4,
            image_shape=(3, 16, 16),
            latent_sigma=0.25,
            width=0.05,
            **options,
        )
        return run_identity(
            model, SETTINGS, data={}, validation=None, precision="float32", processes=1
        )

    usual, other = named(), named(levels=2)
    assert named(levels=1) == usual
    assert usual["weights"] == other["weights"]
    RunFolder(tmp_path, usual).claim()
    with pytest.raises(ConfigurationError, match=r"build\.options\.levels is None there"):
        RunFolder(tmp_path, other).claim()
    # runs that began before builds were noted go on
    before = {key: value for key, value in usual.items() if key != "build"}
    (tmp_path / "run.json").write_text(json.dumps(before))
    RunFolder(tmp_path, usual).claim()


def test_a_teacher_counts_by_what_it_is(tmp_path: Path, teacher: Path) -> None:
    settings = replace(SETTINGS, objective="distillation", teacher=str(teacher))
    found = identity(tmp_path / "run", settings)
    moved = saved_teacher(tmp_path / "moved")
    assert identity(tmp_path / "run", replace(settings, teacher=str(moved))) == found
    other = saved_teacher(tmp_path / "other", seed=8)
    with pytest.raises(ConfigurationError, match="holds another run: teacher is"):
        identity(tmp_path / "run", replace(settings, teacher=str(other)))


def test_a_teacher_must_fit(teacher: Path) -> None:
    cpu = torch.device("cpu")
    student = tiny_classifier()
    student.image_shape = (3, 16, 16)
    with pytest.raises(ShapeError, match=r"shape \(3, 8, 8\), the student \(3, 16, 16\)"):
        load_teacher(str(teacher), student=student, device=cpu)
    student = tiny_classifier()
    student.class_names = ("one", "two", "four", "three")
    with pytest.raises(ConfigurationError, match=r"classes one, two, three, \.\.\., the student"):
        load_teacher(str(teacher), student=student, device=cpu)
    assert load_teacher(None, student=student, device=cpu) is None


@pytest.mark.parametrize(
    ("name", "teacher", "message"),
    [
        ("distillation", None, "teacher must be a saved classifier .* distillation, got None"),
        ("gaussian", "there", "teacher must be null .*gaussian: only catrs and distillation"),
    ],
)
def test_a_teacher_is_asked_for_and_refused(name: str, teacher: str | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TrainingSettings(objective=name, teacher=teacher)
