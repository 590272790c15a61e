"""Statements about a module: believed until a power iteration refutes them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from latentsmooth.errors import ConfigurationError, UnverifiedModule
from latentsmooth.lipschitz import DeclaredLipschitz, declare_lipschitz, lipschitz_bound
from tests.seeds import shifted


def test_a_true_statement_is_the_bound() -> None:
    torch.manual_seed(shifted(0))
    layer = nn.Linear(5, 4)
    norm = float(torch.linalg.matrix_norm(layer.weight.detach().double(), 2))
    declared = declare_lipschitz(layer, norm, input_shape=(5,))
    assert isinstance(declared, DeclaredLipschitz)
    assert lipschitz_bound(nn.Sequential(declared, nn.LeakyReLU(2.0))) == 2 * norm
    inputs = torch.randn(3, 5)
    assert torch.equal(declared(inputs), layer(inputs))
    assert "bound=" in repr(declared)


def test_a_false_statement_is_refuted_with_both_figures() -> None:
    torch.manual_seed(shifted(0))
    layer = nn.Linear(5, 4)
    norm = float(torch.linalg.matrix_norm(layer.weight.detach().double(), 2))
    declared = declare_lipschitz(layer, 0.9 * norm, input_shape=(5,))
    with pytest.raises(UnverifiedModule) as caught:
        lipschitz_bound(nn.Sequential(nn.ReLU(), declared))
    message = str(caught.value)
    assert message.startswith("1 (DeclaredLipschitz): Linear is said")
    assert repr(declared.bound) in message
    assert f"by {norm:.4f}"[:8] in message


def test_the_statement_is_tested_anew_when_weights_move() -> None:
    declared = declare_lipschitz(nn.Conv2d(2, 2, 3), 5.0, input_shape=(2, 5, 5))
    assert lipschitz_bound(declared) == 5.0
    with torch.no_grad():
        declared.module.weight.mul_(100)  # type: ignore[operator]
    with pytest.raises(UnverifiedModule, match=r"at most 5\.0"):
        lipschitz_bound(declared)


def test_a_network_of_unknown_operations_can_be_declared() -> None:
    declared = declare_lipschitz(nn.LayerNorm(4), math.sqrt(1e5), input_shape=(4,))
    assert lipschitz_bound(declared, input_shape=(4,)) == math.sqrt(1e5)


def test_nonsense_is_refused() -> None:
    for bound in (-1.0, math.nan, math.inf):
        with pytest.raises(ConfigurationError, match="wanted a finite bound"):
            declare_lipschitz(nn.ReLU(), bound, input_shape=(2,))
    with pytest.raises(ConfigurationError, match="positive sizes"):
        declare_lipschitz(nn.ReLU(), 1.0, input_shape=(2, 0))


def test_weights_travel_with_the_wrapper() -> None:
    declared = declare_lipschitz(nn.Linear(2, 2), 9.0, input_shape=(2,))
    other = declare_lipschitz(nn.Linear(2, 2), 9.0, input_shape=(2,))
    other.load_state_dict(declared.state_dict())
    assert lipschitz_bound(other.double()) == 9.0
