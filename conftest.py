"""What all tests and doctests share: their seed, a cache folder, and their share of the cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # cores are shared: a thread a process, and what it starts
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings
from tests.seeds import SHIFT, seed_everything
from tests.slow import is_slow

# A busy machine is no failure: no example has a deadline.
settings.register_profile("latentsmooth", deadline=None)
settings.load_profile("latentsmooth")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let hypothesis draw the same examples in every run, which move with the shared seed.

    A fuzzing run by ``LATENTSMOOTH_FUZZ_CASES`` wants others each time.
    """
    fuzzing = "LATENTSMOOTH_FUZZ_CASES" in os.environ
    if config.getoption("--hypothesis-seed", None) is None and not fuzzing:
        config.option.hypothesis_seed = str(SHIFT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make check` leaves out."""
    for item in items:
        if is_slow(item.nodeid):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Nothing that a test draws depends on which tests ran before it in the process."""
    seed_everything()


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache of built kernels and measured speeds out of the tests' way."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A shell starts what runs in its background deaf to Ctrl-C; the tests are not about that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
