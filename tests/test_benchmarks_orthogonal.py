from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = [
    pytest.mark.skipif(not BENCHMARKS.exists(), reason="a source archive without benchmarks"),
    *(
        pytest.mark.skipif(importlib.util.find_spec(peer) is None, reason=f"{peer} not installed")
        for peer in ("orthogonium", "geotorch")
    ),
]


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("peers.subjects"), importlib.import_module("peers.error")


@pytest.mark.parametrize("text", ["3-8@8", "8-4@8", "4-8@8/2"])
def test_singular_values_are_those_of_the_layer_that_runs(peers: Any, text: str) -> None:
    subjects, error = peers
    shape = subjects.Shape.parse(text)
    images = torch.eye(shape.in_channels * 64).reshape(-1, shape.in_channels, 8, 8)
    for name in [*subjects.subjects_of("error"), "Conv2d circular"]:
        layer = subjects.make_layer(name, shape).eval()
        with torch.no_grad():
            outputs = layer(images)
            assert outputs.shape[1:] == (shape.out_channels, *[8 // shape.stride] * 2), name
            ran = torch.linalg.svdvals(outputs.flatten(1).double())
            told = error.operator_singular_values(layer.weight, shape.stride, torus=8)
        assert float(ran.max()) == pytest.approx(float(told.max()), abs=1e-5), name
        assert float(ran.min()) == pytest.approx(float(told.min()), abs=1e-5), name


def test_smallest_run_fills_every_table(peers: Any, tmp_path: Path) -> None:
    output = tmp_path / "layers.json"
    script = [sys.executable, str(BENCHMARKS / "orthogonal_layers.py")]
    quick = ["--quick", "--dtypes", "bfloat16", "--threads", "1", "--output", str(output)]
    subprocess.run([*script, *quick], check=True, capture_output=True, timeout=300)
    made = json.loads(output.read_text("utf-8"))
    for section in ("speed", "construction", "error", "memory"):
        assert {"latentsmooth", "AOC", "adaptive SOC", "SC-Fac"} <= {
            row["subject"] for row in made[section]
        }
    errors = {row["subject"]: row["initial"]["evaluation"] for row in made["error"]}
    assert errors["latentsmooth"] < errors["AOC"] < errors["adaptive SOC"] < 0.1
    assert errors["SC-Fac"] < 1e-5
    report = importlib.import_module("peers.report").render(made)
    assert "## Peak memory" in report
    assert "Every setting" in report
