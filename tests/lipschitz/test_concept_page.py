"""The examples of the concept page run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from latentsmooth.lipschitz import lipschitz_lower_bound
from tests.seeds import shifted

PAGE = Path(__file__).resolve().parents[2] / "docs" / "concepts" / "lipschitz-bound.md"


def test_the_examples_run_one_after_the_other() -> None:
    torch.manual_seed(shifted(0))
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 4
    names: dict[str, Any] = {"__name__": "lipschitz_bound_page"}
    for block in blocks:
        exec(block, names)
    assert lipschitz_lower_bound(names["encoder"], (8, 16, 16)) <= names["bound"]
    assert names["bound"] == pytest.approx(1.0)
