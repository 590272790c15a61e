"""The head's copy, its batch of one shape, and what happens without a compiler."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.machine import ResolvedPrecision
from latentsmooth.smoothing import (
    HeadChoice,
    HeadExecutor,
    ResolvedExecutor,
    as_rows,
    choose_head,
    default_batch_size,
    prepare_head,
    rows_as_latents,
    simplified_head,
    tuning,
)
from latentsmooth.smoothing.executor import _Classes, _with_code_of_its_own
from tests.closeness import assert_near
from tests.seeds import shifted

CPU = torch.device("cpu")
SHAPE = (3, 8, 8)


def head() -> nn.Sequential:
    torch.manual_seed(shifted(0))
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    ).eval()


def made(
    network: nn.Module,
    *,
    executor: ResolvedExecutor = "eager",
    precision: ResolvedPrecision = "float32",
    batch_size: int = 16,
) -> HeadExecutor:
    return HeadExecutor(
        network,
        latent_shape=SHAPE,
        num_classes=5,
        batch_size=batch_size,
        precision=precision,
        executor=executor,
        device=CPU,
    )


@pytest.mark.parametrize("shape", [(3, 4, 5), (7,), (2, 3), (2, 2, 2, 2)])
def test_rows_and_latents_are_inverse(shape: tuple[int, ...]) -> None:
    latents = torch.randn(6, *shape)
    rows = as_rows(latents)
    assert rows.shape == (6, latents[0].numel())
    assert torch.equal(rows_as_latents(rows.contiguous(), shape), latents)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_classes_are_those_of_the_prepared_head(precision: ResolvedPrecision) -> None:
    network = head()
    engine = made(network, precision=precision)
    latents = torch.randn(16, *SHAPE)
    engine.rows.copy_(as_rows(latents))
    prepared = prepare_head(network, precision=precision)
    wanted = prepared(latents.to(engine.rows.dtype)).argmax(1)
    assert torch.equal(engine.classify(), wanted)
    assert engine.rows.dtype == next(prepared.parameters()).dtype


def test_the_compiled_head_answers_as_the_eager_one() -> None:
    network = head()
    eager, compiled = made(network), made(network, executor="compiled")
    assert (eager.executor, compiled.executor) == ("eager", "compiled")
    latents = as_rows(torch.randn(16, *SHAPE))
    eager.rows.copy_(latents)
    compiled.rows.copy_(latents)
    assert torch.equal(eager.classify(), compiled.classify())
    for parameter in compiled._module.parameters():
        parameter.zero_()
    assert torch.equal(eager.classify(), compiled.classify()), "the program holds the weights"
    compiled.rows.zero_()
    assert len(set(compiled.classify().tolist())) == 1


def test_compiled_heads_do_not_share_what_is_compiled_by_code() -> None:
    """Torch keeps eight programs a code object and runs any others eagerly without a word."""
    heads = [_Classes(head(), channels_last=True) for _ in range(3)]
    functions = [_with_code_of_its_own(each) for each in heads]
    codes = {id(function.__func__.__code__) for function in functions}  # type: ignore[attr-defined]
    assert len(codes) == 3
    latents = torch.randn(4, *SHAPE)
    assert torch.equal(functions[0](latents), heads[0](latents))


def test_without_a_compiler_the_head_runs_eagerly_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> nn.Module:
        raise RuntimeError("no C++ compiler found\nlong story")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(UserWarning, match="runs eagerly: no C\\+\\+ compiler found$"):
        engine = made(head(), executor="compiled")
    assert engine.executor == "eager"
    assert engine.classify().shape == (16,)


def test_heads_of_another_shape_and_empty_batches_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(16, 5\), got \(16, 7\)"):
        made(nn.Sequential(nn.Flatten(), nn.Linear(192, 7)))
    with pytest.raises(ConfigurationError, match="batch_size >= 1, got 0"):
        made(head(), batch_size=0)


def test_a_head_that_is_not_what_its_modules_say_is_left_as_it_is() -> None:
    network = head()
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.running_var.mul_(4.0)  # type: ignore[union-attr]
    plain = norm.forward
    norm.forward = lambda input: 2 * plain(input)  # type: ignore[method-assign]  # noqa: A006
    latents = torch.randn(4, *SHAPE)
    prepared = simplified_head(network, latents[0])
    assert_near(prepared(latents), network(latents), steps=256)


class Viewing(nn.Module):
    """A head that flattens by a view, which channels-last memory does not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.dense = nn.Linear(4 * 64, 5)

    def forward(self, latents: Tensor) -> Tensor:
        hidden: Tensor = self.convolution(latents)
        scores: Tensor = self.dense(hidden.view(len(hidden), -1))
        return scores


def test_heads_that_take_views_run_contiguously() -> None:
    torch.manual_seed(shifted(0))
    network = Viewing()
    engine = made(network)
    latents = torch.randn(16, *SHAPE)
    engine.rows.copy_(as_rows(latents))
    assert torch.equal(engine.classify(), network(latents).argmax(1))


def test_scores_that_are_not_finite_have_no_class() -> None:
    class Broken(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            scores = torch.zeros(len(latents), 5)
            scores[0, 1] = torch.nan
            scores[1, 2] = torch.inf
            scores[2, 3] = -torch.inf
            return scores

    assert made(Broken()).classify()[:4].tolist() == [5, 5, 0, 0]


def test_the_prepared_head_is_a_copy_that_computes_the_same() -> None:
    network = head()
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.randn(32, *SHAPE))
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    latents = torch.randn(4, *SHAPE)
    prepared = simplified_head(network, latents[0])
    assert_near(prepared(latents), network(latents), steps=256)
    assert_near(prepare_head(network, precision="float32")(latents), network(latents), steps=256)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("shape", [(3, 16, 16), (128, 16, 16), (64, 56, 56), (512,)])
def test_default_batch_size(shape: tuple[int, ...]) -> None:
    assert 128 <= default_batch_size(shape, CPU) <= 512
    assert default_batch_size(shape, torch.device("cuda")) == 1024


class Pretended:
    """Stands for an executor: its speed is a table's."""

    def __init__(self, speeds: dict[tuple[str, int], float]) -> None:
        self.speeds = speeds
        self.tried: list[tuple[str, int]] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def make(_: nn.Module, **given: object) -> object:
            entry = (str(given["executor"]), int(str(given["batch_size"])))
            self.tried.append(entry)
            return type("Made", (), {"executor": entry[0], "speed": self.speeds.get(entry, 1.0)})

        monkeypatch.setattr(tuning, "HeadExecutor", make)
        monkeypatch.setattr(tuning, "_rate", lambda engine: engine.speed)


def choose(memory: Path, **options: object) -> HeadChoice:
    return choose_head(
        head(),
        latent_shape=SHAPE,
        num_classes=5,
        precision="float32",
        device=CPU,
        memory=memory,
        **options,  # type: ignore[arg-type]
    )


def test_the_fastest_size_is_measured_once_and_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    speeds = {("eager", 64): 50.0, ("eager", 128): 90.0, ("eager", 256): 91.0}
    pretended = Pretended(speeds)
    pretended.install(monkeypatch)
    memory = tmp_path / "new" / "speeds.json"
    first = choose(memory, executor="eager")
    assert first == HeadChoice("eager", 128, 90.0), "256 is not clearly faster"
    tried = len(pretended.tried)
    assert choose(memory, executor="eager") == first
    assert len(pretended.tried) == tried
    memory.write_text("{damaged")
    assert choose(memory, executor="eager") == first
    assert len(pretended.tried) == 2 * tried


def test_auto_tries_compilation_where_it_may_pay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    speeds = {("eager", 128): 90.0, ("compiled", 128): 200.0, ("compiled", 256): 300.0}
    pretended = Pretended(speeds)
    pretended.install(monkeypatch)
    memory = tmp_path / "speeds.json"
    assert choose(memory, executor="auto", workload=1000).executor == "eager"
    assert not any(way == "compiled" for way, _ in pretended.tried)
    assert choose(memory, executor="auto", workload=10**6) == HeadChoice("compiled", 256, 300.0)
    assert choose(memory, executor="auto", workload=1000).executor == "compiled", "known by now"
    assert choose(memory, executor="compiled") == HeadChoice("compiled", 256, 300.0)


def test_batches_too_large_for_the_memory_are_not_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretended = Pretended({("eager", 64): 50.0})
    pretended.install(monkeypatch)

    def rate(engine: Any) -> float:
        if pretended.tried[-1][1] > 64:
            raise RuntimeError("can't allocate memory")
        return float(engine.speed)

    monkeypatch.setattr(tuning, "_rate", rate)
    assert choose(tmp_path / "speeds.json", executor="eager").batch_size == 64

    def never(_: object) -> float:
        raise RuntimeError("the head is broken")

    monkeypatch.setattr(tuning, "_rate", never)
    with pytest.raises(RuntimeError, match="the head is broken"):
        choose(tmp_path / "other.json", executor="eager")


def test_a_failed_compilation_is_tried_again_next_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretended = Pretended({("compiled", 128): 0.0, ("eager", 128): 90.0})
    pretended.install(monkeypatch)
    memory = tmp_path / "speeds.json"
    monkeypatch.setattr(tuning, "_climb", lambda *_: HeadChoice("compiled", 128, 0.0))
    assert choose(memory, executor="auto", workload=10**6).executor == "eager"
    monkeypatch.setattr(tuning, "_climb", lambda *_: HeadChoice("compiled", 128, 200.0))
    assert choose(memory, executor="auto", workload=10**6).executor == "compiled"


def test_a_real_measurement_is_positive(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choice = choose(tmp_path / "speeds.json", executor="eager")
    assert choice.rate > 0
    assert choice.batch_size in (32, 64, 128, 256, 512)


def test_the_prepared_head_is_in_evaluation_mode_without_gradients() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    prepared = prepare_head(network, precision="bfloat16")
    assert network.training
    assert not prepared.training
    assert next(network.parameters()).dtype == torch.float32
    assert all(parameter.dtype == torch.bfloat16 for parameter in prepared.parameters())
    assert not any(parameter.requires_grad for parameter in prepared.parameters())
