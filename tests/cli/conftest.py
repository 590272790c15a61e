"""A tiny trained classifier, made once through the command line itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from latentsmooth.cli.main import main
from tests.bench.conftest import small_products as small_products

TRAIN = [
    "train",
    "--build=lsrs-lenet",
    "--data=fashion-mini",
    "--limit=256",
    "--epochs=2",
    "--batch-size=32",
    "--latent-sigma=0.25",
    "--learning-rate=0.005",
    "--validate-images=50",
    "--precision=float32",
    "--quiet",
]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "model"
    assert main([*TRAIN, f"--output={folder}"]) == 0
    return folder


@pytest.fixture(scope="session")
def log(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "ours.jsonl"
    assert main(certify(model, path, limit=10)) == 0
    return path


def certify(model: Path, path: Path, *, limit: int, batch_size: int = 100) -> list[str]:
    return [
        "certify",
        str(model),
        "fashion-mini",
        f"--log={path}",
        "--n-estimate=1000",
        f"--limit={limit}",
        f"--batch-size={batch_size}",
        "--quiet",
    ]
