"""How the head runs: one precision, one batch shape, eagerly or compiled."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from types import FunctionType, MethodType
from typing import Literal

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.machine import ResolvedPrecision, dtype_of
from latentsmooth.smoothing.head import prepare_head

__all__ = ["Executor", "HeadExecutor", "ResolvedExecutor", "as_rows", "rows_as_latents"]

Executor = Literal["auto", "eager", "compiled"]
ResolvedExecutor = Literal["eager", "compiled"]


def as_rows(latents: Tensor) -> Tensor:
    """Flatten latents into rows in the order the head reads them: image latents channels-last.

    Shapes:
        ``(batch, channels, height, width)`` to ``(batch, height * width * channels)``; any other
        ``(batch, ...)`` is flattened as it is.
    """
    if latents.ndim == 4:
        latents = latents.permute(0, 2, 3, 1)
    return latents.reshape(len(latents), -1)


def rows_as_latents(rows: Tensor, latent_shape: Sequence[int]) -> Tensor:
    """View rows as latents, without a copy; the inverse of `as_rows`.

    Example:
        >>> latents = torch.randn(2, 3, 4, 5)
        >>> torch.equal(rows_as_latents(as_rows(latents), (3, 4, 5)), latents)
        True
    """
    if len(latent_shape) == 3:
        channels, height, width = latent_shape
        return rows.view(len(rows), height, width, channels).permute(0, 3, 1, 2)
    return rows.view(len(rows), *latent_shape)


class HeadExecutor:
    """A head ready to classify batches of one fixed shape, from a buffer that is used again.

    ``compiled`` is `torch.compile` (inductor with weight freezing on a CPU, a CUDA graph round it
    on a GPU); where no compiler works, a warning says so and the head runs eagerly. What ran is
    told by ``executor``: the certificate is about that program.

    Args:
        head: the trained head; a copy is prepared by `prepare_head`.
        latent_shape: shape of one latent.
        num_classes: outputs.
        batch_size: latents a call.
        precision: dtype of weights and activations.
        executor: ``eager`` or ``compiled``.
        device: where to run.

    Raises:
        ConfigurationError: for a batch size below one.
        ShapeError: where the head answers in another shape than ``(batch, num_classes)``.
    """

    def __init__(
        self,
        head: nn.Module,
        *,
        latent_shape: Sequence[int],
        num_classes: int,
        batch_size: int,
        precision: ResolvedPrecision,
        executor: ResolvedExecutor,
        device: torch.device,
    ) -> None:
        if batch_size < 1:
            raise ConfigurationError(f"wanted batch_size >= 1, got {batch_size}")
        self.latent_shape = tuple(latent_shape)
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.precision = precision
        self.device = device
        self.executor: ResolvedExecutor = "eager"
        with torch.inference_mode(False):
            self.rows = torch.zeros(
                batch_size, math.prod(self.latent_shape), dtype=dtype_of(precision), device=device
            )
        self._inputs = rows_as_latents(self.rows, self.latent_shape)
        self._module = self._prepared(head)
        self._classes: Callable[[Tensor], Tensor] = self._module
        self._graph: torch.cuda.CUDAGraph | None = None
        self._captured: Tensor | None = None
        if executor == "compiled":
            self._compile()

    def classify(self) -> Tensor:
        """Classify what stands in ``rows``.

        Returns:
            ``(batch,)`` int64 on the device, ``num_classes`` where the scores are not finite; the
            next call may overwrite it.
        """
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            if self._graph is not None and self._captured is not None:
                self._graph.replay()
                return self._captured
            return self._classes(self._inputs)

    def _prepared(self, head: nn.Module) -> _Classes:
        """The head channels-last, or contiguous where it takes views that need that."""
        try:
            made = _Classes(prepare_head(head, precision=self.precision), channels_last=True)
            self._check_shape(made)
        except RuntimeError:
            made = _Classes(
                prepare_head(head, precision=self.precision, channels_last=False),
                channels_last=False,
            )
            self._check_shape(made)
        return made

    def _check_shape(self, classes: _Classes) -> None:
        wanted = (self.batch_size, self.num_classes)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            logits = classes.logits(self._inputs)
        if not isinstance(logits, Tensor):
            raise ShapeError(f"expected logits of shape {wanted}, got {type(logits).__name__}")
        if tuple(logits.shape) != wanted:
            raise ShapeError(f"expected logits of shape {wanted}, got {tuple(logits.shape)}")

    def _compile(self) -> None:
        from torch._inductor import config as inductor  # takes a second, so only where needed

        try:
            self._classes = torch.compile(_with_code_of_its_own(self._module), dynamic=False)
            # The program is made at the first call; only this switch makes it hold the weights.
            with inductor.patch(freezing=self.device.type == "cpu"):
                self.classify()
            if self.device.type == "cuda":
                self._capture()
            self.executor = "compiled"
        except Exception as error:
            # Which error a missing or broken compiler gives differs from backend to backend.
            self._classes, self._graph = self._module, None
            reason = str(error).strip().splitlines() or [type(error).__name__]
            warnings.warn(
                f"torch.compile does not work here, so the head runs eagerly: {reason[0]}",
                stacklevel=4,
            )

    def _capture(self) -> None:
        """Record a CUDA graph, after a few calls on a side stream as capturing asks for."""
        side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(3):
                self.classify()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = self.classify()
        self._graph, self._captured = graph, captured


class _Classes(nn.Module):
    """From latents to class numbers, so that compilation covers the choice as well."""

    def __init__(self, head: nn.Module, *, channels_last: bool) -> None:
        super().__init__()
        self.head = head
        self.channels_last = channels_last

    def logits(self, latents: Tensor) -> Tensor:
        scores: Tensor = self.head(latents if self.channels_last else latents.contiguous())
        return scores

    def forward(self, latents: Tensor) -> Tensor:
        logits = self.logits(latents)
        # NaN is not below infinity either; -inf is how a head rules a class out.
        finite = (logits < math.inf).all(dim=1)
        return torch.where(finite, logits.argmax(dim=1), logits.shape[1])


def _with_code_of_its_own(module: _Classes) -> Callable[[Tensor], Tensor]:
    """The module's forward with its own code object.

    What is compiled is kept by code object, eight versions at most, and anything beyond runs
    eagerly without a word: heads that shared one would soon be that many.
    """
    shared = _Classes.forward
    own = FunctionType(
        shared.__code__.replace(), shared.__globals__, shared.__name__, shared.__defaults__
    )
    forward: Callable[[Tensor], Tensor] = MethodType(own, module)
    return forward
