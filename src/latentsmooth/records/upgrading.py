"""Logs of earlier schema versions, brought to the present one."""

from __future__ import annotations

__all__ = ["upgraded_certificate", "upgraded_manifest"]

_NOISE_OF_VERSION_1 = "torch.normal_"


def upgraded_manifest(content: dict[str, object]) -> dict[str, object]:
    """Say in version 2's terms what every run of version 1 did.

    A field that version 1 did not have and that stands there all the same is kept, so that the
    reader refuses nothing less than before.
    """
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
    """Add what certificates of version 1 did not have; told by their manifest's noise."""
    if noise == _NOISE_OF_VERSION_1 and isinstance(content, dict):
        return {"rival_upper": None, "reason": ""} | content
    return content
