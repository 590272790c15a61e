"""Signals: caught, held back, passed on, never lost; ignored ones stay ignored."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

import latentsmooth.interrupts as module
from latentsmooth.interrupts import (
    SIGNALS,
    Terminated,
    deferred_interrupts,
    graceful_interrupts,
    prompt_interrupts,
)

RAISED = {signal.SIGINT: KeyboardInterrupt} | dict.fromkeys(SIGNALS[1:], Terminated)


@pytest.fixture(autouse=True)
def net() -> Iterator[list[int]]:
    """Notes what came through, and keeps it from ending pytest."""
    seen: list[int] = []
    earlier = {number: signal.signal(number, lambda n, _: seen.append(n)) for number in SIGNALS}
    yield seen
    for number, handler in earlier.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_graceful_waits_for_the_check(number: int, net: list[int]) -> None:
    with pytest.raises(RAISED[number]), graceful_interrupts() as interrupt:  # noqa: PT012
        interrupt.check()
        signal.raise_signal(number)
        assert interrupt.signal == number
        interrupt.check()
        pytest.fail("not raised")
    assert not net
    signal.raise_signal(number)
    assert net == [number]


@pytest.mark.parametrize("number", SIGNALS)
def test_graceful_loses_none_at_the_end(number: int) -> None:
    with pytest.raises(RAISED[number]) as caught, graceful_interrupts():
        signal.raise_signal(number)
    if number != signal.SIGINT:
        assert getattr(caught.value, "code", None) == 128 + number


@pytest.mark.parametrize("held", [graceful_interrupts, deferred_interrupts])
def test_a_second_signal_acts_at_once(
    held: Callable[[], contextlib.AbstractContextManager[object]], net: list[int]
) -> None:
    reached = []
    with pytest.raises((KeyboardInterrupt, Terminated)), held():  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        reached.append("first")
        signal.raise_signal(signal.SIGINT)
        reached.append("second")
    assert reached == ["first"]
    assert net[0] == signal.SIGINT


@pytest.mark.parametrize("number", SIGNALS)
def test_deferred_lets_it_act_at_the_end(number: int, net: list[int]) -> None:
    with deferred_interrupts():
        signal.raise_signal(number)
        assert not net
    assert net == [number]
    with pytest.raises(ValueError, match="own"), deferred_interrupts():  # noqa: PT012
        signal.raise_signal(number)
        raise ValueError("own")
    assert net == [number, number]


@pytest.mark.parametrize("number", SIGNALS)
def test_prompt_raises_and_remembers_what_was_lost(number: int, net: list[int]) -> None:
    done = []
    with pytest.raises(RAISED[number]), prompt_interrupts() as outer, prompt_interrupts() as inner:  # noqa: PT012
        with contextlib.suppress(BaseException):  # as ctypes and __del__ do
            signal.raise_signal(number)
            done.append("not stopped")
        assert (outer.signal, inner.signal) == (number, number)
        assert signal.getsignal(number) == signal.SIG_DFL
        inner.check()
        done.append("not stopped")
    assert not done
    assert net == [number]


def test_prompt_inside_graceful_inside_prompt(net: list[int]) -> None:
    """A step in a program: the first waits for the step, what unwinds then is the step's."""
    steps = []
    with pytest.raises(Terminated), prompt_interrupts(), graceful_interrupts() as interrupt:  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        steps.append("finished")
        interrupt.check()
        steps.append("next")
    assert steps == ["finished"]
    assert not net


def test_other_threads_are_left_alone() -> None:
    problems: list[BaseException] = []

    def work() -> None:
        try:
            with prompt_interrupts(), graceful_interrupts() as interrupt, deferred_interrupts():
                interrupt.check()
        except BaseException as error:
            problems.append(error)

    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not problems
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP")
def test_what_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with prompt_interrupts() as outer, graceful_interrupts() as interrupt, deferred_interrupts():
        signal.raise_signal(signal.SIGHUP)
        assert (outer.signal, interrupt.signal) == (None, None)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


STUCK = f"""
import signal, sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("interrupts", {module.__file__!r})
interrupts = module_from_spec(spec)
sys.modules["interrupts"] = interrupts
spec.loader.exec_module(interrupts)
with interrupts.prompt_interrupts():
    try:
        print("ready", flush=True)
        signal.pause()
    finally:
        print("unwinding", flush=True)
        sum(range(1 << 62))  # C code, which looks at no signals
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_a_second_signal_ends_a_program_stuck_in_c() -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"unwinding\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) == -signal.SIGINT
