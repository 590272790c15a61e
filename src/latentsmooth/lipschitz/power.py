"""Lower bounds of Lipschitz constants, by power iteration on the Jacobian."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentsmooth.errors import ShapeError, UnverifiedModule
from latentsmooth.lipschitz.baking import fix_weights
from latentsmooth.lipschitz.modes import undisturbed
from latentsmooth.lipschitz.written import Kept
from latentsmooth.orthogonal.cached import BuiltWeight

__all__ = ["TOLERANCE", "check_bound", "lipschitz_lower_bound"]

TOLERANCE = 1e-6
STEP = 1e-4
STEPS = (1e-7, 1e-4, 1e-2, 1.0)
# What a module that computes in float32 inside may round away.
NOISE = 2.0**-20


def lipschitz_lower_bound(
    module: nn.Module,
    input_shape: Sequence[int],
    *,
    points: int = 4,
    iterations: int = 20,
    seed: int = 0,
) -> float:
    r"""Lower bound of a module's l2 Lipschitz constant: the largest stretch that was found.

    At each of a few inputs, alternating between images with pixels in [0, 1] (rough and smooth)
    and Gaussian ones, a random direction ``v`` is turned toward the Jacobian's leading singular
    vector by ``v <- J^T J v``. What counts is the slope between two points along it: close ones,
    or ``|J v| / |v|`` where that is smaller, and ones farther apart, less what rounding may add.
    Modules that give no gradient are tested along random directions. A module in float64 with the
    weights as shipped does the work, in evaluation mode, on the CPU.

    Args:
        module: any differentiable module; left unchanged.
        input_shape: of one input, ``(channels, height, width)`` as a rule.
        points: inputs to try, each with a direction of its own.
        iterations: of the power method at each.
        seed: of the inputs and directions; the global generator is not touched.

    Returns:
        The bound, true up to the rounding of float64; 0 for a module that gives constants.

    Raises:
        ShapeError: where ``input_shape`` does not fit the module.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> true = float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
        >>> abs(lipschitz_lower_bound(layer, (3,), iterations=200) - true) < 1e-4
        True
    """
    prepared = _as_shipped(module)
    generator = torch.Generator().manual_seed(seed)
    largest = 0.0
    for number in range(points):
        inputs = _point(input_shape, number, generator)
        direction = torch.randn(inputs.shape, generator=generator, dtype=torch.float64)
        try:
            largest = max(largest, _stretch(prepared, inputs, direction, iterations))
        except ShapeError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ShapeError(
                f"no power iteration on inputs of shape {tuple(input_shape)}: {error}"
            ) from error
    return largest


def check_bound(
    module: nn.Module,
    input_shape: Sequence[int],
    bound: float,
    name: str,
    *,
    points: int = 6,
    iterations: int = 20,
) -> None:
    """Raise where a power iteration contradicts a bound.

    Args:
        module: the module.
        input_shape: of one input.
        bound: what its Lipschitz constant is said not to exceed.
        name: of the module, for the message.
        points: as for `lipschitz_lower_bound`.
        iterations: likewise.

    Raises:
        UnverifiedModule: naming both figures.
    """
    _refuse_writing(module, input_shape, name)
    found = lipschitz_lower_bound(module, input_shape, points=points, iterations=iterations)
    if not found <= bound * (1 + TOLERANCE):
        raise UnverifiedModule(
            f"{name} is said to have a Lipschitz constant of at most {bound!r}, but at an input of "
            f"shape {tuple(input_shape)} it stretches a direction by {found!r}"
        )


def _refuse_writing(module: nn.Module, input_shape: Sequence[int], name: str) -> None:
    """Raise where a module writes into its input, which whoever calls it may go on to read."""
    prepared = _as_shipped(module)
    generator = torch.Generator().manual_seed(0)
    with undisturbed():
        kept = Kept(_point(input_shape, 0, generator))
        try:
            prepared(kept.value)
        except (RuntimeError, ValueError, TypeError, IndexError):
            return  # Said by what comes next.
        if kept.written():
            raise UnverifiedModule(
                f"{name} writes into its input, which others may read; let it work on a copy"
            )


def _as_shipped(module: nn.Module) -> nn.Module:
    """A float64 copy with the very weights that the module has in its own dtype."""
    copied = copy.deepcopy(module).eval()
    fix_weights(copied.modules())
    copied.requires_grad_(False)
    weights = {}
    for each in copied.modules():
        if isinstance(each, BuiltWeight):
            with torch.no_grad():
                weights[each] = each.weight.detach().to("cpu", torch.float64)
    copied.to("cpu", torch.float64)
    for each, weight in weights.items():
        _pin(each, weight)
    return copied


def _pin(layer: BuiltWeight, weight: Tensor) -> None:
    """Let a layer of our own, which is a private copy, use this weight from now on."""
    kind = type(layer)
    layer.__class__ = type(kind.__name__, (kind,), {"weight": property(lambda self: weight)})


def _point(shape: Sequence[int], number: int, generator: torch.Generator) -> Tensor:
    """One input, batch first: rough image, smooth image, Gaussian, and again."""
    size = (1, *shape)
    if number % 3 == 2:
        return torch.randn(size, generator=generator, dtype=torch.float64)
    if number % 3 == 1 and len(shape) == 3 and min(shape[1:]) > 1:
        coarse = torch.rand((1, shape[0], 3, 3), generator=generator, dtype=torch.float64)
        return nn.functional.interpolate(coarse, size=tuple(shape[1:]), mode="bilinear")
    return torch.rand(size, generator=generator, dtype=torch.float64)


def _stretch(module: nn.Module, inputs: Tensor, direction: Tensor, iterations: int) -> float:
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        output = module(inputs)
        if not isinstance(output, Tensor):
            raise TypeError(f"wanted one tensor, got a {type(output).__name__}")
    found = max(_slope(module, inputs, direction), _slope(module, inputs, inputs))
    if not output.requires_grad:
        return found
    push = _Forward(module, inputs, output)
    for _ in range(iterations):
        pushed = push(_unit(direction))
        [pulled] = torch.autograd.grad(
            output, inputs, pushed.to(output.dtype), retain_graph=True, materialize_grads=True
        )
        if not float(pulled.norm()) > 0:
            break
        direction = pulled
    direction = _unit(direction)
    # A slope between two points is a lower bound wherever they lie and whatever the module's
    # backward does; the derivative is one where the module rounds. The smaller is safe.
    close = min(float(push(direction).norm()), float(push.difference(direction).norm()))
    return max(found, close, _slope(module, inputs, direction))


def _slope(module: nn.Module, inputs: Tensor, direction: Tensor) -> float:
    """The steepest slope between points along a direction, whatever the module's backward says."""
    steepest, inputs = 0.0, inputs.detach()
    direction = direction.detach()
    length = float(direction.norm())
    if not length > 0:
        return 0.0
    with torch.no_grad():
        for step in STEPS:
            first = inputs + step / length * direction
            second = inputs - step / length * direction
            ahead, behind = module(first.clone()).double(), module(second.clone()).double()
            noise = NOISE * (float(ahead.norm()) + float(behind.norm()))
            moved = float((ahead - behind).norm()) - noise
            steepest = max(steepest, moved / float((first - second).norm()))
    return steepest


def _unit(direction: Tensor) -> Tensor:
    unit: Tensor = direction / direction.norm()
    return unit


class _Forward:
    """The Jacobian times a vector.

    The vector-Jacobian product is linear in its cotangent; its own derivative by the cotangent is
    the Jacobian-vector product. Modules that differentiate only once have a difference instead.
    """

    def __init__(self, module: nn.Module, inputs: Tensor, output: Tensor) -> None:
        self._module = module
        self._inputs = inputs.detach()
        self._pulled: Tensor | None = None
        self._cotangent = torch.zeros_like(output, requires_grad=True)
        try:
            with torch.enable_grad():
                [self._pulled] = torch.autograd.grad(
                    output, inputs, self._cotangent, create_graph=True
                )
            self(torch.zeros_like(inputs))
        except RuntimeError:
            self._pulled = None

    def __call__(self, vector: Tensor) -> Tensor:
        if self._pulled is None:
            return self.difference(vector)
        pushed: Tensor
        [pushed] = torch.autograd.grad(self._pulled, self._cotangent, vector, retain_graph=True)
        return pushed

    def difference(self, vector: Tensor) -> Tensor:
        """How far the output moves between a step back and a step ahead, by the step."""
        with torch.no_grad():
            ahead: Tensor = self._module(self._inputs + STEP * vector)
            behind: Tensor = self._module(self._inputs - STEP * vector)
            moved: Tensor = (ahead - behind) / (2 * STEP)
            return moved
