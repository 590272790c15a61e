from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from latentsmooth import machine
from latentsmooth.errors import ConfigurationError
from latentsmooth.machine import computes_bfloat16, describe_machine, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"architecture": "x86_64", "avx512_bf16": True}, True),
        ({"architecture": "x86_64", "amx_bf16": True}, True),
        ({"architecture": "x86_64", "avx512_bw": True}, False),
    ],
)
def test_auto_follows_the_processor(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], expected: bool
) -> None:
    monkeypatch.setattr(machine, "_cpu_capabilities", lambda: capabilities)
    assert computes_bfloat16(CPU) is expected
    assert resolve_precision("auto", CPU) == ("bfloat16" if expected else "float32")
    assert resolve_precision("bfloat16", CPU) == "bfloat16"


@pytest.mark.parametrize("expected", [True, False])
def test_older_torch_is_asked_another_way(monkeypatch: pytest.MonkeyPatch, expected: bool) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: expected, raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    assert computes_bfloat16(CPU) is expected


def test_other_devices_compute_in_float32() -> None:
    assert not computes_bfloat16(torch.device("meta"))


def test_the_machine_is_described() -> None:
    facts = describe_machine(CPU)
    assert facts["device"] == "cpu"
    assert facts["threads"] == torch.get_num_threads()
    assert facts["processor"]


def test_unknown_precisions_are_named() -> None:
    with pytest.raises(ConfigurationError, match="unknown precision 'int8'"):
        resolve_precision("int8", CPU)  # type: ignore[arg-type]


def test_processors_without_a_name_give_their_architecture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "Path", lambda name: Path("/nowhere") / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert machine.processor_name() == platform.machine()
