"""The progress bars of commands that go through images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
from latentsmooth.records.run import OnCertificate

__all__ = ["Tally", "certification_progress", "image_bar"]


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
def certification_progress(*, quiet: bool, title: str = "certify") -> Iterator[OnCertificate]:
    """A bar of images, with the certified accuracy so far, images of earlier runs included.

    Images without a label are counted as answered or not. The pace is of new images alone. A
    signal whose exception was lost in what C code calls back is raised with the next image.

    Yields:
        What to call with each certificate; see `latentsmooth.records.run.OnCertificate`.
    """
    tally = Tally()
    with prompt_interrupts() as interrupt, image_bar(title, quiet=quiet) as show:

        def on_certificate(made: Certificate, done: int, total: int, *, resumed: bool) -> None:
            tally.count(made, resumed=resumed)
            show(done, total, tally.note())
            interrupt.check()

        yield on_certificate


@dataclass(slots=True)
class Tally:
    """What a bar counts."""

    images: int = 0
    labelled: int = 0
    correct: int = 0
    answered: int = 0
    new: int = 0
    seconds: float = 0.0

    def count(self, made: Certificate, *, resumed: bool) -> None:
        """Count one certificate."""
        self.images += 1
        self.labelled += made.label is not None
        self.correct += made.correct
        self.answered += not made.abstained
        if not resumed:
            self.new += 1
            self.seconds += made.seconds

    def note(self) -> str:
        """The share that is right, or answered where nothing has a label, and the pace.

        >>> Tally(images=20, labelled=20, correct=11).note()
        '55.0% correct'
        """
        if self.labelled:
            share = f"{self.correct / self.labelled:.1%} correct"
        else:
            share = f"{self.answered / self.images:.1%} answered"
        return share + (f", {self.seconds / self.new:.3f} s/image" if self.new else "")
