"""The package's front door."""

from __future__ import annotations

import subprocess
import sys

import pytest

import latentsmooth


def test_every_public_name_is_there() -> None:
    for name in latentsmooth.__all__:
        assert getattr(latentsmooth, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'certifier'"):
        latentsmooth.certifier  # noqa: B018


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import latentsmooth, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
