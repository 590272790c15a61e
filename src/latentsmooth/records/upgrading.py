"""Logs of earlier schema versions, brought to the present one."""

from __future__ import annotations

from dataclasses import asdict

from latentsmooth.certification.deductions import NOTHING_DEDUCTED

__all__ = ["upgraded_certificate", "upgraded_manifest"]

_NOISE_OF_VERSION_1 = "torch.normal_"


def upgraded_manifest(content: dict[str, object], *, version: int) -> dict[str, object]:
    """Say in the present version's terms what every run of an earlier one did.

    A field that the earlier version did not have and that stands there all the same is kept, so
    that the reader refuses nothing less than before.

    Args:
        content: the decoded line.
        version: 1, 2 or 3.
    """
    content = _upgraded_from_1(content) if version == 1 else content
    content = {"data_selection": {}, "data_notes": []} | content
    if version == 3:
        return content
    added = {
        "lattice_step": 0.0,
        "deductions": asdict(NOTHING_DEDUCTED),
        "rounding_assumed": [],
        "encoder_precision": "float64",
    }
    return added | content


def _upgraded_from_1(content: dict[str, object]) -> dict[str, object]:
    rule = {"rule": "fixed"} | {
        name: content[name] for name in ("n_select", "n_estimate", "alpha") if name in content
    }
    added = {
        "rule": rule,
        "noise": _NOISE_OF_VERSION_1,
        "folding": "",
        "executor": "eager",
        "batch_size": 0,
    }
    return added | content


def upgraded_certificate(content: object, *, noise: str) -> object:
    """Add what certificates of earlier versions did not have.

    Version 1 is told by its manifest's noise. The image's name may be there or not in any, since
    a log that was begun by an earlier version goes on with the present one's certificates.
    """
    if isinstance(content, dict):
        content = {"name": None} | content
    if noise == _NOISE_OF_VERSION_1 and isinstance(content, dict):
        return {"rival_upper": None, "reason": ""} | content
    return content
