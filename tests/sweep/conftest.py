"""A tiny sweep, made once through the Python API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latentsmooth.sweep import SweepPlan, parse_plan, sweep

RUNS: list[dict[str, Any]] = [
    {"name": "isrs", "build": "lenet"},
    {"name": "lsrs", "build": "lsrs-lenet"},
]
TRAIN = {
    "width": 0.25,
    "epochs": 1,
    "limit": 64,
    "batch_size": 32,
    "learning_rate": 0.005,
    "validate": False,
    "precision": "float32",
}
CERTIFY = {
    "limit": 5,
    "stride": 150,
    "n_estimate": 200,
    "executor": "eager",
    "batch_size": 100,
    "device": "cpu",
}


def plan(**changes: Any) -> SweepPlan:
    values: dict[str, Any] = {
        "data": "fashion-mini",
        "runs": RUNS,
        "train": TRAIN,
        "certify": CERTIFY,
        "measure": {"images": 2, "rounds": 2},
        "radii": (0.0, 0.1),
    }
    return parse_plan(**{**values, **changes})


def quiet(_: str) -> None:
    """In place of messages."""


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swept") / "sweep"
    sweep(plan(), folder, say=quiet, command="test")
    return folder
