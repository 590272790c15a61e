from __future__ import annotations

import pytest
import torch
from torch import nn

from latentsmooth.errors import ConfigurationError, CorruptArtifact
from latentsmooth.models import build
from latentsmooth.orthogonal import OrthogonalConv2d
from latentsmooth.training import TrainingSettings
from latentsmooth.training.optimizers import (
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
)
from latentsmooth.training.settings import OptimizerName
from tests.training.fakes import tiny_classifier


def test_only_the_heads_matrices_decay() -> None:
    model = tiny_classifier()
    optimizer = build_optimizer(model, TrainingSettings(weight_decay=0.5))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decays = {
        names[id(parameter)]: group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert {name for name, decay in decays.items() if decay} == {"head.0.weight", "head.6.weight"}
    assert set(decays) == set(names.values())


def test_orthogonal_layers_of_the_head_do_not_decay() -> None:
    model = build(
        "lsrs-partial",
        num_classes=3,
        image_shape=(3, 16, 16),
        latent_sigma=0.25,
        width=0.05,
        folded=1,
    )
    optimizer = build_optimizer(model, TrainingSettings(weight_decay=0.5))
    decayed = {
        id(parameter)
        for group in optimizer.param_groups
        if group["weight_decay"]
        for parameter in group["params"]
    }
    assert isinstance(model.head, nn.Sequential)
    first, last = model.head[0], model.head[-1]
    assert isinstance(first, OrthogonalConv2d)
    assert not any(id(parameter) in decayed for parameter in first.parameters())
    assert id(last.weight) in decayed


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_the_state_goes_on_exactly(name: OptimizerName) -> None:
    settings = TrainingSettings(optimizer=name, learning_rate=0.1)
    models = [nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last) for _ in range(2)]  # type: ignore[call-overload]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (build_optimizer(model, settings) for model in models)
    images = torch.rand(4, 3, 6, 6)

    def step(index: int, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        models[index](images).square().mean().backward()
        optimizer.step()

    step(0, first)
    models[1].load_state_dict(models[0].state_dict())
    saved = {key: value.contiguous() for key, value in optimizer_tensors(first, models[0]).items()}
    load_optimizer_tensors(second, models[1], saved)
    step(0, first)
    step(1, second)
    assert torch.equal(models[0].weight, models[1].weight)
    with pytest.raises(CorruptArtifact, match="unknown weight 'other'"):
        load_optimizer_tensors(second, models[1], {"exp_avg/other": torch.zeros(1)})


def test_a_frozen_model_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no trainable parameters"):
        build_optimizer(nn.Linear(2, 2).requires_grad_(False), TrainingSettings())
