"""One optimisation step, on one or many processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.average import MovingAverage, state_tensors
from latentsmooth.training.checkpoint import load_model_tensors
from latentsmooth.training.keys import derive_seed
from latentsmooth.training.objectives import Objective, build_objective
from latentsmooth.training.optimizers import (
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
)
from latentsmooth.training.schedule import learning_rate_factor
from latentsmooth.training.settings import TrainingSettings

__all__ = ["ObjectiveModule", "Stepper"]


class ObjectiveModule(nn.Module):
    """A classifier and its objective as one module, so that gradients synchronise in forward."""

    def __init__(self, model: LatentSmoothedClassifier, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(
        self, images: Tensor, labels: Tensor, generator: torch.Generator, progress: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Return the scalar loss and the logits ``(batch, classes)``."""
        return self.objective(self.model, images, labels, generator=generator, progress=progress)


class Stepper:
    """Takes optimisation steps; all its randomness is keyed by the step.

    Args:
        model: the classifier, which moves to the accelerator's device, channels last.
        settings: the objective, the optimiser and the schedule.
        accelerator: the process group and device.
        bfloat16: whether the networks compute in bfloat16.
        total_steps: steps of the whole run, for the schedule.
        teacher: the classifier that the objective learns from, where it does.
    """

    def __init__(
        self,
        model: LatentSmoothedClassifier,
        settings: TrainingSettings,
        accelerator: Accelerator,
        *,
        bfloat16: bool,
        total_steps: int,
        teacher: LatentSmoothedClassifier | None = None,
    ) -> None:
        self.model = model.to(accelerator.device)
        _lay_out(model, torch.channels_last)
        self.settings = settings
        self.accelerator = accelerator
        self.total_steps = total_steps
        self.optimizer = build_optimizer(model, settings)
        decay = settings.ema_decay
        self.average = None if decay is None else MovingAverage(model, decay=decay)
        objective = build_objective(
            settings.objective,
            options=settings.objective_options,
            label_smoothing=settings.label_smoothing,
            bfloat16=bfloat16,
            teacher=teacher,
        )
        self._module: Any = accelerator.prepare_model(ObjectiveModule(model, objective))
        self._noise = torch.Generator(accelerator.device)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        factor = learning_rate_factor(self.settings, step, self.total_steps)
        return self.settings.learning_rate * factor

    def take(self, step: int, images: Tensor, labels: Tensor) -> Tensor:
        """Take step ``step`` and return this process's sums: ``(2,)`` float32, loss and correct.

        Args:
            step: counted from 0 over the whole run.
            images: ``(batch, channels, height, width)`` float32 in [0, 1], on the device.
            labels: ``(batch,)`` int64, on the device.
        """
        seed, rank = self.settings.seed, self.accelerator.process_index
        torch.manual_seed(derive_seed(seed, "network", step, rank))
        self._noise.manual_seed(derive_seed(seed, "noise", step, rank))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.zero_grad(set_to_none=True)
        loss, logits = self._module(images, labels, self._noise, (step + 1) / self.total_steps)
        self.accelerator.backward(loss)
        if self.settings.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(step)
        with torch.no_grad():
            correct = (logits.argmax(1) == labels).sum()
            return torch.stack((loss.detach() * len(labels), correct.float()))

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights, the optimiser's state and the average, by name."""
        parts = {
            "model": state_tensors(self.model),
            "optimizer": optimizer_tensors(self.optimizer, self.model),
        }
        if self.average is not None:
            parts["average"] = self.average.tensors
        return {f"{part}/{key}": value for part in parts for key, value in parts[part].items()}

    def load(self, tensors: Mapping[str, Tensor], *, source: Path) -> None:
        """Put back what `tensors` returned; what does not fit is a `CorruptArtifact`."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "average": {}}
        for key, value in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = value
        load_model_tensors(self.model, parts["model"], source=source)
        load_optimizer_tensors(self.optimizer, self.model, parts["optimizer"])
        if self.average is not None:
            self.average.load(parts["average"])

    def finish(self) -> None:
        """Leave the model with the average, if there is one, in the usual memory layout."""
        if self.average is not None:
            self.average.store()
        _lay_out(self.model, torch.contiguous_format)


def _lay_out(model: nn.Module, layout: torch.memory_format) -> None:
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=layout)
