"""The progress bars of commands that go through images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from latentsmooth.certification import Certificate
from latentsmooth.interrupts import prompt_interrupts

__all__ = ["certification_progress", "image_bar"]


@contextmanager
def image_bar(title: str, *, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A bar that counts images, on standard error.

    It appears with the first image, so that an error before it stands alone.

    Yields:
        The function to call with the images done, all images, and a note.
    """
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet,
    )
    task = progress.add_task(title, total=None, note="", start=False)

    def show(done: int, total: int, note: str) -> None:
        if not progress.live.is_started:
            progress.start()
            progress.start_task(task)
        progress.update(task, completed=done, total=total, note=note)

    try:
        yield show
    finally:
        if progress.live.is_started:  # else it would print an empty line
            progress.stop()


@contextmanager
def certification_progress(
    *, quiet: bool, title: str = "certify"
) -> Iterator[Callable[[Certificate | None, int, int], None]]:
    """A bar of images, with the certified accuracy so far.

    A signal whose exception was lost in what C code calls back is raised with the next image.

    Yields:
        The function to call with each certificate, the images done, and all images.
    """
    tally = {"new": 0, "correct": 0, "seconds": 0.0}
    with prompt_interrupts() as interrupt, image_bar(title, quiet=quiet) as show:

        def on_certificate(made: Certificate | None, done: int, total: int) -> None:
            note = "resuming"
            if made is not None:
                tally["new"] += 1
                tally["correct"] += made.correct
                tally["seconds"] += made.seconds
                pace = tally["seconds"] / tally["new"]
                note = f"{tally['correct'] / tally['new']:.1%} correct, {pace:.3f} s/image"
            show(done, total, note)
            interrupt.check()

        yield on_certificate
