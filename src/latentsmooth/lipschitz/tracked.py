"""A tensor that knows how fast it can move with the input, and watches what is done with it."""

from __future__ import annotations

import hashlib
import traceback
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from latentsmooth.lipschitz.operations import Call, Operation, Refusal, find_operation
from latentsmooth.lipschitz.rules.rounding import root_of_squares_up
from latentsmooth.lipschitz.static import CONSTANTS, STATIC, STATIC_METHODS

__all__ = ["Recording", "Refusal", "TrackedTensor", "keeps_tracked", "narrows", "plain"]

HERE = Path(__file__).parent


class Rounding(Protocol):
    """Bounds what rounding adds to followed values."""

    def length(self, value: Tensor) -> float:
        """The l2 norm of an ordinary tensor, rounded up."""

    def error(
        self,
        operation: Operation,
        call: Call,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        gain: float,
    ) -> float:
        """Upper bound of the l2 error of an operation's result, which has this gain."""


class TrackedTensor(Tensor):
    """A tensor whose every operation is reported to the recording that made it."""

    _recording: Recording
    _gain: float
    _error: float
    _length: float

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        found = [each for each in _flat((args, kwargs or {})) if isinstance(each, TrackedTensor)]
        recording = getattr(found[0], "_recording", None) if found else None
        if recording is None or any(not hasattr(each, "_gain") for each in found):
            raise Refusal("a value that depends on the input was copied out of sight")
        return recording.run(func, args, kwargs or {})


class Recording:
    """One run of a module's ``forward`` with tracked values.

    The gain of a value is an upper bound of its Lipschitz constant with respect to the module's
    input, in the l2 norm of the whole tensors. Where every operation keeps the samples of a batch
    apart, which is checked, it is the constant of each sample's map.

    Args:
        batch: size of the first axis.
        rounding: bounds errors; without it they stay zero.
    """

    def __init__(self, batch: int, rounding: Rounding | None = None) -> None:
        self.batch = batch
        self._rounding = rounding
        self.log: list[tuple[object, ...]] = []
        """Each operation, its constants and its gain: equal in every run of a pure function."""
        self.source: TrackedTensor | None = None
        """The module's input, which must not be changed by more than a caller could tell."""
        self.refused: Refusal | None = None
        """The first refusal; the run counts as refused even where the module caught it."""
        self._live: list[weakref.ref[TrackedTensor]] = []

    def owns(self, value: Any) -> bool:
        """Whether a value is tracked by this recording and no other."""
        return isinstance(value, TrackedTensor) and getattr(value, "_recording", None) is self

    def track(self, plain: Tensor, gain: float, error: float = 0.0) -> TrackedTensor:
        """Watch a tensor whose gain, and error in l2, are known."""
        value: TrackedTensor = plain.as_subclass(TrackedTensor)
        value._recording, value._gain, value._error = self, gain, error
        self._measure(value)
        self._live.append(weakref.ref(value))
        return value

    def run(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Do what was asked for, and work out the gain of its result."""
        kind, name = _name(func)
        if (kind == "attribute" and name in STATIC) or (
            kind != "attribute" and name in STATIC_METHODS
        ):
            return self._plainly(func, args, kwargs)
        if name in CONSTANTS:
            return self._plainly(func, args, kwargs)
        operation = find_operation(func, name if kind == "attribute" else None)
        if operation is None:
            raise self.refusal(name, "is not among the operations that have a rule")
        if kwargs.get("out") is not None:
            raise self.refusal(name, "writes into a tensor given as out=")
        subject = args[0] if args else None
        if operation.in_place and not isinstance(subject, TrackedTensor):
            raise self.refusal(name, "writes what depends on the input into a constant")
        result = self._plainly(func, args, kwargs)
        if isinstance(result, Tensor) and narrows(result.dtype, (args, kwargs)):
            raise self.refusal(name, f"rounds its input to {result.dtype}")
        call = Call(
            name=name,
            result=result,
            batch=self.batch,
            gain_of=lambda value: value._gain if isinstance(value, TrackedTensor) else 0.0,
            refusal=lambda reason: self.refusal(name, reason),
        )
        gain, error = operation.gain(call, args, kwargs), 0.0
        if self._rounding is None:
            self.log.append((name, _digest((args, kwargs)), gain))
        else:
            error = self._rounding.error(operation, call, args, kwargs, gain)
        if operation.overwrites(args, kwargs):
            if not isinstance(subject, TrackedTensor):
                raise self.refusal(name, "writes what depends on the input into a constant")
            return self.overwrite(name, result, subject, gain, error)
        return self.wrap(name, result, gain, error)

    def refusal(self, operation: str, reason: str) -> Refusal:
        """The error for an operation without a rule, naming the user's line."""
        refusal = Refusal(f"{operation!r}{_users_line()} {reason}")
        self.refused = self.refused or refusal
        return refusal

    def _plainly(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            return func(*plain(args), **plain(kwargs))

    def wrap(self, name: str, result: Any, gain: float, error: float = 0.0) -> Any:
        """Track a result: a tensor, or several with the same gain and error."""
        if isinstance(result, Tensor):
            if result.ndim == 0 or result.shape[0] != self.batch:
                raise self.refusal(
                    name,
                    f"gives a tensor of shape {tuple(result.shape)}, whose first axis no longer "
                    f"counts the {self.batch} samples",
                )
            if not result.is_floating_point():
                raise self.refusal(name, f"gives {result.dtype}, which moves in jumps")
            return self.track(result, gain, error)
        if type(result) in (tuple, list):
            return type(result)(self.wrap(name, part, gain, error) for part in result)
        raise self.refusal(name, f"gives a {type(result).__name__}")

    def _measure(self, value: TrackedTensor) -> None:
        value._length = 0.0 if self._rounding is None else self._rounding.length(plain(value))

    def _others(self, place: int) -> list[TrackedTensor]:
        found = [reference() for reference in self._live]
        return [each for each in found if each is not None and _memory(each) == place]

    def overwrite(
        self, name: str, result: Tensor, subject: TrackedTensor, gain: float, error: float
    ) -> TrackedTensor:
        """Note what was written over all of a tensor.

        Other names for the same memory now see old entries, new ones, or some of each.
        """
        place = _memory(subject)
        if _layout(result) != _layout(subject) or _memory(result) != place:
            raise self.refusal(name, "changes the shape of a tensor in place")
        if self.source is not None and place == _memory(self.source):
            whole = subject.numel() == self.source.numel()
            if gain > 1 or not whole:
                # Whoever called the module goes on with the changed tensor.
                raise self.refusal(name, "overwrites the module's input")
        for other in self._others(place):
            if other is subject:
                continue
            if _repeats(other):
                raise self.refusal(name, "overwrites what an expanded tensor repeats")
            other._gain = root_of_squares_up(other._gain, gain)
            other._error = root_of_squares_up(other._error, error)
            self._measure(other)
        subject._gain, subject._error = gain, error
        self._measure(subject)
        return subject


def plain(value: Any) -> Any:
    """The same structure with ordinary tensors."""
    if isinstance(value, TrackedTensor):
        with torch._C.DisableTorchFunctionSubclass():
            return value.as_subclass(Tensor)
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {key: plain(entry) for key, entry in value.items()}
    return value


def _flat(value: Any) -> Iterable[Any]:
    if isinstance(value, tuple | list):
        for entry in value:
            yield from _flat(entry)
    elif isinstance(value, dict):
        yield from _flat(list(value.values()))
    else:
        yield value


def narrows(dtype: torch.dtype, values: Any) -> bool:
    """Whether a floating dtype does not hold every value of a structure's tracked tensors."""
    found = [each for each in _flat(values) if isinstance(each, TrackedTensor)]
    if not dtype.is_floating_point:
        return dtype.itemsize < max(each.dtype.itemsize for each in found)
    return any(torch.promote_types(each.dtype, dtype) != dtype for each in found)


def _layout(tensor: Tensor) -> tuple[torch.Size, tuple[int, ...]]:
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.shape, tensor.stride()


def _repeats(tensor: Tensor) -> bool:
    """Whether an entry in memory stands for several of the tensor."""
    return any(size > 1 and step == 0 for size, step in zip(*_layout(tensor), strict=True))


def keeps_tracked(values: Any) -> bool:
    """Whether a structure holds a tracked tensor."""
    return any(isinstance(each, TrackedTensor) for each in _flat(values))


def _memory(tensor: Tensor) -> int:
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.untyped_storage().data_ptr()


def _name(func: Callable[..., Any]) -> tuple[str, str]:
    owner = getattr(func, "__self__", None)
    if getattr(func, "__name__", "") == "__get__" and owner is not None:
        return "attribute", str(owner.__name__ if hasattr(owner, "__name__") else owner)
    return "function", str(getattr(func, "__name__", func))


def _digest(value: Any) -> str:
    """What an operation was given besides tracked values: content of tensors, the rest as text."""
    found = hashlib.sha256()
    for entry in _flat(value):
        if isinstance(entry, TrackedTensor):
            found.update(repr(tuple(entry.shape)).encode())
        elif isinstance(entry, Tensor):
            found.update(repr((tuple(entry.shape), entry.dtype)).encode())
            flat = entry.detach().to("cpu").contiguous().reshape(-1)
            found.update(flat.view(torch.uint8).numpy().tobytes())
        else:
            found.update(repr(entry).encode())
    return found.hexdigest()


def _users_line() -> str:
    """File and line of the innermost frame that is neither ours nor torch's."""
    torch_folder = Path(torch.__file__).parent
    for frame in reversed(traceback.extract_stack()):
        place = Path(frame.filename)
        if HERE not in place.parents and torch_folder not in place.parents:
            return f" ({place.name}:{frame.lineno})"
    return ""
