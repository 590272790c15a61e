"""The progress bar."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from latentsmooth.training.state import Tally
from latentsmooth.training.validation import ValidationResult

__all__ = ["TrainingBar"]


class TrainingBar:
    """Steps done, loss, accuracy, images a second and time left; one line an epoch stays.

    Args:
        steps: steps of the whole run.
        first_step: steps already taken.
        enabled: whether to show anything.
        console: where to show it; standard error by default.
    """

    def __init__(
        self, *, steps: int, first_step: int, enabled: bool, console: Console | None = None
    ) -> None:
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console or Console(stderr=True),
            refresh_per_second=2,
            disable=not enabled,
        )
        self._enabled = enabled
        self._task = self._bar.add_task("", total=steps, completed=first_step, figures="")

    def __enter__(self) -> TrainingBar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """Count one step."""
        self._bar.advance(self._task)

    def show(self, tally: Tally, *, images_per_second: float) -> None:
        """Show the latest figures beside the bar."""
        figures = (
            f"loss {tally.loss:.3f}  accuracy {tally.accuracy:.1%}  {images_per_second:,.0f} img/s"
        )
        self._bar.update(self._task, figures=figures)

    def finish_epoch(
        self, epoch: int, epochs: int, tally: Tally, validation: ValidationResult | None
    ) -> None:
        """Leave a line about the epoch above the bar."""
        if not self._enabled:
            return
        text = f"epoch {epoch}/{epochs}: loss {tally.loss:.4f}, accuracy {tally.accuracy:.2%}"
        if validation is not None:
            text += (
                f"; validation noisy {validation.noisy_accuracy:.2%}, "
                f"smoothed {validation.smoothed_accuracy:.2%}"
            )
        self._bar.console.print(text, highlight=False, soft_wrap=True)
