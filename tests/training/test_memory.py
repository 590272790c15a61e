from __future__ import annotations

import ctypes
import os
import platform
import resource

import pytest
import torch

from latentsmooth.training import memory
from latentsmooth.training.memory import keep_freed_memory

CPU = torch.device("cpu")
WITH_GLIBC = platform.libc_ver()[0] == "glibc"
USERS_OWN = [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in USERS_OWN:
        monkeypatch.delenv(name)


def faults() -> list[int]:
    """Page faults of writing 40 MiB, more than glibc keeps by itself, some times in a row.

    Now and then a small allocation takes a corner of what was freed, and the next comes elsewhere;
    and what lies between other memory stays the process's, though given back it faults once.
    """
    counts = []
    for _ in range(8):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(10 * 2**20)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return counts


@pytest.mark.skipif(not WITH_GLIBC or bool(USERS_OWN), reason="glibc's own thresholds only")
def test_freed_memory_is_kept_inside_and_given_back_after() -> None:
    with keep_freed_memory(CPU) as kept:
        assert kept
        with keep_freed_memory(CPU):
            pass
        inside = min(faults()[1:])
    # With huge pages there is one fault for 2 MiB, not for 4 KiB.
    assert inside < 20 <= max(faults())


@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_TRIM_THRESHOLD_", "65536"), ("GLIBC_TUNABLES", "glibc.malloc.x=1")]
)
def test_a_users_own_thresholds_stand(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with keep_freed_memory(CPU) as kept:
        assert not kept


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_another_c_library_is_no_error(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: object) -> object:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    with keep_freed_memory(CPU) as kept:
        assert not kept


def test_an_older_glibc_gets_the_most_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []

    def mallopt(parameter: int, value: int) -> int:
        calls.append((parameter, value))
        return int(parameter == -1 or value <= 32 * 2**20)

    class Library:
        def malloc_trim(self, pad: int) -> int:
            calls.append((0, pad))
            return 1

    monkeypatch.setattr(memory, "_mallopt", lambda: mallopt)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())

    def fail() -> None:
        with keep_freed_memory(CPU) as kept:
            assert kept
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    most = 2**31 - 1
    inside = [(-3, most), (-3, 2**25), (-1, most)]
    assert calls == [*inside, (-3, 2**25), (-1, 2**26), (0, 0)]
