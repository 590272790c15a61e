"""``latentsmooth audit``: bounds from above and below, as a table and as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from latentsmooth.cli.main import main
from latentsmooth.models import LatentSmoothedClassifier


def test_json_has_both_bounds_of_every_module(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(model), "--json", "--iterations=10"]) == 0
    facts = json.loads(capsys.readouterr().out)
    loaded = LatentSmoothedClassifier.from_pretrained(model)
    assert facts["lipschitz_bound"] == loaded.lipschitz_bound
    assert facts["image_shape"] == list(loaded.image_shape)
    names = {"path", "kind", "description", "depth", "input_shape", "bound", "lower_bound", "gap"}
    assert all(set(row) == names for row in facts["modules"])
    product = math.prod(row["bound"] for row in facts["modules"] if row["depth"] == 0)
    assert facts["lipschitz_bound"] == pytest.approx(product, abs=1e-12)
    for row in (*facts["modules"], {**facts, "bound": facts["lipschitz_bound"]}):
        assert 0 < row["lower_bound"] <= row["bound"] * (1 + 1e-12)
        assert row["gap"] == pytest.approx(row["bound"] / row["lower_bound"] - 1, abs=1e-12)


def test_no_iterations_leave_the_search_out(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(model), "--json", "--iterations=0"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["gap"] is None
    assert all(row["lower_bound"] is None for row in facts["modules"])
    assert main(["audit", str(model), "--iterations=0"]) == 0
    assert "found" not in capsys.readouterr().out


def test_the_table_has_a_line_a_module(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(model), "--iterations=5"]) == 0
    printed = capsys.readouterr().out
    for word in ("OrthogonalConv2d", "factor", "found", "gap", "product", "rounded down"):
        assert word in printed


def test_a_negative_number_of_iterations_is_wrong_usage(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(model), "--iterations=-1"]) == 2
    assert "at least 0, got -1" in capsys.readouterr().err
