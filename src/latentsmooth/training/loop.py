"""Training from the first step to the last, resumed wherever it was left."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from latentsmooth.errors import LatentSmoothError
from latentsmooth.images import ImageSet, fit_images
from latentsmooth.interrupts import graceful_interrupts
from latentsmooth.machine import describe_machine, resolve_precision
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.average import state_tensors
from latentsmooth.training.batches import Batches, BatchPlan
from latentsmooth.training.checkpoint import load_model_tensors
from latentsmooth.training.folder import RunFolder
from latentsmooth.training.identity import check_images, describe_images, run_identity
from latentsmooth.training.interfaces import LabelledImages
from latentsmooth.training.memory import keep_freed_memory
from latentsmooth.training.metrics import MetricsLog, load_tensorboard
from latentsmooth.training.objectives import load_teacher
from latentsmooth.training.processes import start_accelerator, synchronise
from latentsmooth.training.progress import TrainingBar
from latentsmooth.training.settings import TrainingSettings
from latentsmooth.training.state import RunState, Tally
from latentsmooth.training.step import Stepper
from latentsmooth.training.summary import TrainingSummary
from latentsmooth.training.validation import ValidationResult, validate

__all__ = ["train"]


def train(
    model: LatentSmoothedClassifier,
    images: LabelledImages | Any,
    *,
    settings: TrainingSettings,
    output: Path,
    validation: LabelledImages | Any | None = None,
    progress: bool = True,
) -> TrainingSummary:
    """Train a classifier under latent noise; the model is changed in place.

    Called again with the same arguments after a kill, it goes on from the last checkpoint and
    ends with the weights and the log of an uninterrupted run (on a CPU bit for bit, given the
    same number of threads); called after the end, it loads the result and returns at once. Ctrl-C,
    SIGTERM and SIGHUP write a checkpoint first; a second one acts at once. Under ``accelerate
    launch`` every process calls this; all must see the same ``output``.

    Args:
        model: a `LatentSmoothedClassifier`; it ends in eval mode on the training device, with
            the averaged weights if there are any, and with ``training_summary`` set.
        images: the training set, with labels: a set of images, or any data set that
            `ImageSet.from_dataset` takes. Gray and colour are converted, classes matched by name.
        settings: everything that decides the result.
        output: the run's folder: ``run.json``, ``metrics.jsonl``, ``checkpoints/``,
            ``summary.json``.
        validation: images for the periodic smoothed validation, likewise; without them there is
            none.
        progress: whether to show a progress bar.

    Returns:
        The run's summary.

    Raises:
        ConfigurationError: the folder holds another run, another process trains there or the disk
            is full, or an argument cannot be used.
        CorruptArtifact: no usable checkpoint is left.
        DataError: a label is missing or out of range.
        LatentSmoothError: the loss is no longer finite.
        ShapeError: images, or the settings' teacher, do not fit the model.
    """
    images = _fitted(model, images)
    validation = None if validation is None else _fitted(model, validation)
    if settings.log_tensorboard:
        load_tensorboard()
    accelerator = start_accelerator(cpu=settings.device == "cpu")
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices), keep_freed_memory(accelerator.device):
        return _Trainer(model, images, validation, settings, output, accelerator).run(progress)


def _fitted(model: LatentSmoothedClassifier, images: LabelledImages | Any) -> LabelledImages:
    """Images as the model takes them; what only offers batches is checked and left as it is."""
    if isinstance(images, ImageSet) or not hasattr(images, "batch"):
        return fit_images(images, image_shape=model.image_shape, class_names=model.class_names)
    check_images(model, images)
    return images


class _Trainer:
    """One call of `train`."""

    def __init__(
        self,
        model: LatentSmoothedClassifier,
        images: LabelledImages,
        validation: LabelledImages | None,
        settings: TrainingSettings,
        output: Path,
        accelerator: Accelerator,
    ) -> None:
        self.model = model
        self.validation = validation
        self.settings = settings
        self.accelerator = accelerator
        device, rank = accelerator.device, accelerator.process_index
        self.precision = resolve_precision(settings.precision, device)
        self.data = describe_images(images)
        self.teacher = load_teacher(settings.teacher, student=model, device=device)
        self.learnt_from = None if self.teacher is None else self.teacher.fingerprint
        identity = run_identity(
            model,
            settings,
            data=self.data,
            validation=None if validation is None else describe_images(validation),
            precision=self.precision,
            processes=accelerator.num_processes,
            teacher=self.learnt_from,
        )
        self.folder = RunFolder(Path(output), identity)
        self.plan = BatchPlan.make(
            len(images), settings, rank=rank, processes=accelerator.num_processes
        )
        self.total_steps = settings.epochs * self.plan.steps_per_epoch
        self.batches = Batches(images, self.plan, settings, device)
        self.state = RunState()
        self.log: MetricsLog | None = None
        self._pending: list[Tensor] = []
        self._mark = time.perf_counter()
        self._window_seconds = 0.0

    def run(self, progress: bool) -> TrainingSummary:
        """Return the summary of a run that was finished before, or train to the end."""
        main = self.accelerator.is_main_process
        with self.folder.held() if main else nullcontext():
            self.accelerator.wait_for_everyone()
            return self._run(progress)

    def _run(self, progress: bool) -> TrainingSummary:
        main = self.accelerator.is_main_process
        done = self.folder.finished()
        if done is not None:
            summary, tensors = done
            self.model.to(self.accelerator.device)
            load_model_tensors(self.model, tensors, source=self.folder.checkpoints)
            return self._hand_over(summary)
        self._prepare()
        if main:
            self.log = MetricsLog(
                self.folder.path,
                tensorboard=self.settings.log_tensorboard,
                first_step=self.state.step,
            )
        self.bar = TrainingBar(
            steps=self.total_steps, first_step=self.state.step, enabled=progress and main
        )
        try:
            with self.bar:
                self._loop()
        finally:
            if self.log is not None:
                self.log.close()
        return self._finish()

    def _prepare(self) -> None:
        """Build the optimiser, and go to the latest checkpoint or write the first."""
        self.stepper = Stepper(
            self.model,
            self.settings,
            self.accelerator,
            bfloat16=self.precision == "bfloat16",
            total_steps=self.total_steps,
            teacher=self.teacher,
        )
        latest = self.folder.latest()
        self.accelerator.wait_for_everyone()
        if latest is not None:
            tensors, self.state = latest
            self.stepper.load(tensors, source=self.folder.checkpoints)
        if self.accelerator.is_main_process:
            self.folder.rewind(self.state.step)
        self._mark = time.perf_counter()
        self._started = self._mark - self.state.seconds
        if latest is None:
            self._checkpoint()
        self.accelerator.wait_for_everyone()

    def _loop(self) -> None:
        settings, state = self.settings, self.state
        self.model.train()
        single = self.accelerator.num_processes == 1
        self._mark = time.perf_counter()
        with graceful_interrupts(enabled=single) as interrupt:
            for images, labels in self.batches.stream(state.step, self.total_steps):
                self._pending.append(self.stepper.take(state.step, images, labels))
                state.step += 1
                self.bar.advance()
                if state.step % settings.log_every == 0:
                    self._read()
                    self._log_window()
                if state.step % self.plan.steps_per_epoch == 0:
                    self._finish_epoch()
                if interrupt.signal or state.step % settings.checkpoint_every == 0:
                    self._checkpoint()
                interrupt.check()

    def _read(self) -> None:
        """Fetch the pending steps' figures from the device; a loss not finite is an error."""
        if self._pending:
            sums = self.accelerator.reduce(torch.stack(self._pending), reduction="sum")
            first = self.state.step - len(self._pending)
            self._pending = []
            batch = self.plan.batch_size
            for offset, (loss, correct) in enumerate(sums.double().tolist()):
                if not math.isfinite(loss):
                    raise LatentSmoothError(
                        f"the loss is {loss} at step {first + offset + 1} of {self.total_steps}, "
                        f"at learning rate {self.stepper.learning_rate(first + offset):.3g}; "
                        f"a lower learning_rate (now {self.settings.learning_rate:g}), a longer "
                        "warmup or grad_clip may help"
                    )
                self.state.window.add(loss, int(correct), batch)
                self.state.epoch.add(loss, int(correct), batch)
        self._clock()

    def _clock(self) -> None:
        """Count the time since the last mark as training time."""
        now = time.perf_counter()
        self.state.training_seconds += now - self._mark
        self._window_seconds += now - self._mark
        self._mark = now

    def _log_window(self) -> None:
        window, step = self.state.window, self.state.step
        speed = window.images / max(1e-9, self._window_seconds)
        self._write(
            "step",
            loss=window.loss,
            accuracy=window.accuracy,
            learning_rate=self.stepper.learning_rate(step - 1),
            images_per_second=speed,
        )
        self.bar.show(window, images_per_second=speed)
        self.state.window = Tally()
        self._window_seconds = 0.0

    def _finish_epoch(self) -> None:
        self._read()
        state, epochs = self.state, self.settings.epochs
        epoch = state.step // self.plan.steps_per_epoch
        state.last_epoch, state.epoch = state.epoch, Tally()
        self._write(
            "epoch",
            loss=state.last_epoch.loss,
            accuracy=state.last_epoch.accuracy,
            seconds=state.training_seconds,
        )
        result = None
        if self.validation is not None and (
            epoch % self.settings.validate_every == 0 or epoch == epochs
        ):
            result = self._validate(self.validation)
            state.validation = result.to_json()
            self._write("validation", **state.validation)
        self.bar.finish_epoch(epoch, epochs, state.last_epoch, result)
        self._mark = time.perf_counter()

    def _validate(self, images: LabelledImages) -> ValidationResult:
        average = self.stepper.average
        with nullcontext() if average is None else average.applied():
            synchronise(self.model, self.accelerator)
            return validate(
                self.model,
                images,
                count=self.settings.validate_images,
                draws=self.settings.validate_noise,
                seed=self.settings.seed,
                bfloat16=self.precision == "bfloat16",
                accelerator=self.accelerator,
            )

    def _write(self, event: str, **values: float) -> None:
        if self.log is not None:
            epoch = (self.state.step - 1) // self.plan.steps_per_epoch + 1
            self.log.write(event, step=self.state.step, epoch=epoch, **values)

    def _checkpoint(self) -> None:
        self._read()
        if self.accelerator.is_main_process:
            self.state.seconds = time.perf_counter() - self._started
            if self.log is not None:
                self.log.sync()
            self.folder.save(self.stepper.tensors(), self.state)
        self._mark = time.perf_counter()

    def _finish(self) -> TrainingSummary:
        self.stepper.finish()
        synchronise(self.model, self.accelerator)
        summary = self._summarise()
        if self.accelerator.is_main_process:
            self.folder.finish(state_tensors(self.model), summary)
        self.accelerator.wait_for_everyone()
        return self._hand_over(summary)

    def _summarise(self) -> TrainingSummary:
        state, settings = self.state, self.settings
        images = state.step * self.plan.batch_size
        return TrainingSummary(
            epochs=settings.epochs,
            steps=state.step,
            final_loss=state.last_epoch.loss,
            train_accuracy=state.last_epoch.accuracy,
            validation=state.validation,
            images_per_second=images / max(1e-9, state.training_seconds),
            seconds=time.perf_counter() - self._started,
            settings=settings.to_json(),
            precision=self.precision,
            processes=self.accelerator.num_processes,
            latent_sigma=self.model.latent_sigma,
            data=self.data,
            machine=describe_machine(self.accelerator.device),
            teacher=self.learnt_from,
        )

    def _hand_over(self, summary: TrainingSummary) -> TrainingSummary:
        self.model.train()
        self.model.eval()  # switching makes layers drop what they cached of earlier weights
        self.model.training_summary = summary.to_json()
        return summary
