"""Bounds of modules without a rule, by following what their ``forward`` does to its input."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, UnverifiedModule
from latentsmooth.lipschitz import functional as _functional  # noqa: F401  (fills the table)
from latentsmooth.lipschitz import rearranging as _rearranging  # noqa: F401  (likewise)
from latentsmooth.lipschitz.baking import fix_weights
from latentsmooth.lipschitz.modes import undisturbed
from latentsmooth.lipschitz.registry import rule_of
from latentsmooth.lipschitz.rules.rounding import multiply_up
from latentsmooth.lipschitz.tracked import (
    Recording,
    Refusal,
    TrackedTensor,
    keeps_tracked,
    narrows,
    plain,
)
from latentsmooth.lipschitz.written import Kept, Settings

__all__ = ["PassOn", "followed", "traced_bound"]

PassOn = Callable[[str, Tensor, float, float], tuple[float, float]]


def traced_bound(
    module: nn.Module,
    shape: tuple[int, ...],
    path: str,
    bound_of: Callable[[str], float],
) -> float:
    """Upper bound of a module's Lipschitz constant, operation by operation.

    The module's ``forward`` runs on tensors of the given shape that carry an upper bound of their
    own Lipschitz constant with respect to the input. Each torch operation passes it on: sums add,
    constants multiply, joined parts add in squares. Children are not looked into; they multiply by
    their own bound. An operation without a rule, a decision that depends on the values, and a
    result that differs between runs are errors.

    The bound holds for inputs of this shape, whatever the batch, and for a ``forward`` that does
    the same whenever it is called: it must not count its calls or read a clock.

    Args:
        module: a private copy in evaluation mode, which is run several times.
        shape: of its input, batch first.
        path: its place in the network, for messages.
        bound_of: the bound of a child by name.

    Raises:
        UnverifiedModule: naming the module, the operation and the line.
    """
    batch = shape[0]
    sizes = [batch, batch] if batch == 1 else [batch, batch, 1, batch + 1]
    runs = [
        _run(module, (size, *shape[1:]), path, bound_of, seed) for seed, size in enumerate(sizes)
    ]
    steps = [[(name, gain) for name, _, gain in recording.log] for recording, _ in runs]
    constants = [[digest for _, digest, _ in recording.log] for recording, _ in runs[:2]]
    if any(other != steps[0] for other in steps[1:]) or constants[0] != constants[1]:
        raise UnverifiedModule(
            f"{path or 'the module'} ({type(module).__name__}) does not do the same with every "
            "input: a constant, a shape or the order of operations changed between runs"
        )
    # Constants that the module computes from its weights, rounded as it does and exactly.
    try:
        wide = copy.deepcopy(module)
    except (Refusal, RuntimeError, TypeError) as error:
        raise UnverifiedModule(
            f"{path or 'the module'} ({type(module).__name__}) cannot be copied: {error}"
        ) from error
    fix_weights(child for child in wide.modules() if child is not wide)
    wide.to("cpu", torch.float64)
    return max(runs[0][1], _run(wide, shape, path, bound_of, 0)[1])


def _run(
    module: nn.Module,
    shape: tuple[int, ...],
    path: str,
    bound_of: Callable[[str], float],
    seed: int,
) -> tuple[Recording, float]:
    recording = Recording(shape[0])

    def lengthened(child: str, inputs: Tensor, gain: float, error: float) -> tuple[float, float]:
        return multiply_up(gain, bound_of(child)), 0.0

    inputs = _inputs(module, shape, seed)
    result = followed(module, inputs, path, recording, lengthened)
    _compare(module, shape, seed, result, _named(module, path))
    return recording, result._gain


def followed(
    module: nn.Module, inputs: Tensor, path: str, recording: Recording, pass_on: PassOn
) -> TrackedTensor:
    """Run a module's ``forward`` on a tracked input, with its children as single steps.

    Args:
        module: a private copy in evaluation mode.
        inputs: of one run, batch first; left as they are.
        path: the module's place in the network, for messages.
        recording: of this run.
        pass_on: gives gain and error of a child's result, from the child's name, its input, and
            gain and error of that.

    Returns:
        The result, tracked.

    Raises:
        UnverifiedModule: naming the module, the operation and the line.
    """
    name = _named(module, path)
    try:
        with (
            undisturbed([inputs.device.type]),
            _children_as_steps(module, recording, pass_on),
        ):
            tracked = recording.track(inputs.clone(), 1.0)
            recording.source = tracked
            result = module.forward(tracked)
    except (UnverifiedModule, ConfigurationError):
        raise  # from a child, named already
    except Exception as error:
        if recording.refused is None and not isinstance(error, Refusal):
            reason = f"cannot be followed: {type(error).__name__}: {error}"
            raise UnverifiedModule(f"{name} {reason}") from error
        refused = recording.refused or error
        raise UnverifiedModule(f"{name} cannot be bounded: {refused}") from error
    if recording.refused is not None:
        raise UnverifiedModule(f"{name} cannot be bounded: {recording.refused}")
    if not recording.owns(result):
        raise UnverifiedModule(
            f"{name} gives a {type(result).__name__}; wanted one tensor that depends on the input"
        )
    if any(keeps_tracked(list(vars(each).values())) for each in module.modules()):
        raise UnverifiedModule(f"{name} keeps what depends on its input from one run to the next")
    tracked_result: TrackedTensor = result
    return tracked_result


def _named(module: nn.Module, path: str) -> str:
    return f"{path or 'the module'} ({type(module).__name__})"


def _inputs(module: nn.Module, shape: tuple[int, ...], seed: int) -> Tensor:
    like = next(iter(module.parameters()), next(iter(module.buffers()), torch.zeros(())))
    dtype = like.dtype if like.is_floating_point() else torch.float32
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator).to(like.device, dtype)


def _compare(
    module: nn.Module, shape: tuple[int, ...], seed: int, tracked: Tensor, name: str
) -> None:
    """Raise where the module does something else while it is not watched."""
    wanted = plain(tracked).detach()
    for recorded in (False, True):
        try:
            with torch.set_grad_enabled(recorded):
                result = module(_inputs(module, shape, seed))
        except RuntimeError:
            if recorded:
                continue  # Says so to whoever needs gradients.
            raise
        # Other devices may choose another order of the same sums.
        allowed = 0.0 if wanted.device.type == "cpu" else 1e-2 * float(wanted.abs().max())
        same = isinstance(result, Tensor) and result.shape == wanted.shape
        if not same or not torch.allclose(
            result.detach(), wanted, rtol=0.0, atol=allowed, equal_nan=True
        ):
            raise UnverifiedModule(
                f"{name} does not do the same with every input: it gives another result while "
                "its operations are followed than in an ordinary run"
            )


@contextmanager
def _children_as_steps(module: nn.Module, recording: Recording, pass_on: PassOn) -> Iterator[None]:
    """Let children run on ordinary tensors; their results are tracked again by their bounds."""
    names = {id(child): name for name, child in module.named_modules() if child is not module}
    settings = Settings(module)
    entered: list[tuple[nn.Module, TrackedTensor, Kept]] = []

    def check_mode(child: nn.Module) -> None:
        if child.training:
            raise recording.refusal(names[id(child)], "is switched to training mode")

    def enter(child: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        check_mode(child)
        given = [value for value in (*args, *kwargs.values()) if recording.owns(value)]
        if len(given) != 1 or len(args) + len(kwargs) != 1:
            # Joins such as weighted sums: their operations are followed like the module's own.
            return None
        value = given[0]
        if settings.changed(child):
            raise recording.refusal(names[id(child)], "is changed by what the module does")
        if torch.is_autocast_enabled(value.device.type):
            raise recording.refusal(names[id(child)], "is run under autocast, which narrows it")
        entered.append((child, value, Kept(plain(value))))
        return plain(args), plain(kwargs)

    def leave(child: nn.Module, args: Any, kwargs: Any, result: Any) -> Any:
        check_mode(child)
        if not entered or entered[-1][0] is not child:
            return None
        _, value, kept = entered.pop()
        name = names[id(child)]
        if not isinstance(result, Tensor):
            raise recording.refusal(name, f"gives a {type(result).__name__}; wanted one tensor")
        settings.keep(child)  # Its own business: its rule is about it.
        if narrows(result.dtype, [value]):
            raise recording.refusal(name, f"rounds its input to {result.dtype}")
        gain, error = pass_on(name, kept.before, value._gain, value._error)
        recording.log.append((name, "", gain))
        if kept.written():
            if not _may_overwrite(child):
                raise recording.refusal(name, "writes into its input; let it work on a copy")
            return recording.overwrite(name, result, value, gain, error)
        return recording.wrap(name, result, gain, error)

    hooks = []
    for child in module.modules():
        if child is not module:
            hooks.append(child.register_forward_pre_hook(enter, with_kwargs=True))
            hooks.append(child.register_forward_hook(leave, with_kwargs=True))
    try:
        yield
        if any(settings.changed(child) for child in module.children()):
            raise Refusal("changes its children")
    finally:
        for hook in hooks:
            hook.remove()


def _may_overwrite(child: nn.Module) -> bool:
    """Whether a child is one of torch's activations, whose result is all that it writes."""
    entry = rule_of(child)
    known = entry is not None and not entry.users and not entry.composite
    return known and getattr(child, "inplace", False) is True
