"""The bound of a whole encoder: a product over its chain, with branches combined on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from latentsmooth.errors import ConfigurationError, UnverifiedModule
from latentsmooth.lipschitz import rules as _rules  # noqa: F401  (fills the registry)
from latentsmooth.lipschitz.baking import refuse_unstable
from latentsmooth.lipschitz.modes import evaluating, refuse_training, undisturbed
from latentsmooth.lipschitz.observed import Observed, observe
from latentsmooth.lipschitz.power import check_bound
from latentsmooth.lipschitz.registry import Entry, find_entry, is_torch_layer, named, refuse_hooks
from latentsmooth.lipschitz.rules.chains import chain
from latentsmooth.lipschitz.rules.rounding import multiply_up
from latentsmooth.lipschitz.traced import traced_bound
from latentsmooth.orthogonal import ConcatenativeResidual, ConvexResidual, Parallel

__all__ = ["ModuleBound", "chain_bound", "lipschitz_bound", "module_bounds", "observed_bounds"]


@dataclass(frozen=True, slots=True)
class ModuleBound:
    """One module's bound, and what it is made of.

    Attributes:
        path: the module's place in the encoder, as ``named_modules`` spells it.
        kind: its class name.
        description: what it prints of itself.
        bound: upper bound of its l2 Lipschitz constant.
        children: bounds of the children that its own is combined of; empty for a leaf.
        is_chain: whether the bound is the product of the children's, as ``nn.Sequential``'s is.
    """

    path: str
    kind: str
    description: str
    bound: float
    children: tuple[ModuleBound, ...] = ()
    is_chain: bool = False


def lipschitz_bound(module: nn.Module, *, input_shape: Sequence[int] | None = None) -> float:
    """Upper bound of a module's l2 Lipschitz constant, computed in float64 from its weights.

    It is a bound of the map in exact arithmetic with the weights as they are, in evaluation mode.
    Without a shape it holds for inputs of every size. With one it also covers modules that no
    rule knows, by following their ``forward`` operation by operation; then it holds for inputs of
    that shape. Rules registered from outside this package are tested there by power iteration.

    Args:
        module: the encoder; ``nn.Sequential`` chains multiply, branches combine.
        input_shape: of one input, ``(channels, height, width)`` as a rule; optional.

    Returns:
        The bound over inputs in the units the module takes (pixels in [0, 1] for an encoder).

    Raises:
        UnverifiedModule: at the first module that cannot be bounded, naming its path, or whose
            declared or registered bound is contradicted.
        ShapeError: where ``input_shape`` does not fit the module.
        ConfigurationError: where a bound is not finite, as weights that are not finite make it.

    Example:
        >>> from latentsmooth.orthogonal import OrthogonalConv2d, MaxMin
        >>> lipschitz_bound(nn.Sequential(OrthogonalConv2d(3, 8, 3), MaxMin())) < 1 + 1e-5
        True
    """
    return chain_bound(module_bounds(module, input_shape=input_shape))


def chain_bound(parts: Sequence[ModuleBound]) -> float:
    """The bound of a whole chain from its factors, as `module_bounds` gives them."""
    return multiply_up(*(part.bound for part in parts))


def module_bounds(
    module: nn.Module, *, input_shape: Sequence[int] | None = None
) -> list[ModuleBound]:
    """The factors of `lipschitz_bound`, in the order in which an input meets them.

    Chains within the chain are unrolled; a module with branches is one factor with `children`.

    Args:
        module: the encoder.
        input_shape: as for `lipschitz_bound`.

    Raises:
        UnverifiedModule: as `lipschitz_bound`.
        ShapeError: as `lipschitz_bound`.
        ConfigurationError: as `lipschitz_bound`.
    """
    return observed_bounds(module, None if input_shape is None else observe(module, input_shape))


def observed_bounds(module: nn.Module, observed: Observed | None) -> list[ModuleBound]:
    """`module_bounds` of a network that has been observed already."""
    devices = {tensor.device.type for tensor in (*module.parameters(), *module.buffers())}
    with evaluating(module), undisturbed(devices):
        refuse_training(module)
        return _links(_Walk(observed).bound(module, ""))


def _links(part: ModuleBound) -> list[ModuleBound]:
    if not part.is_chain:
        return [part]
    return [link for child in part.children for link in _links(child)]


class _Walk:
    """Bounds modules by their rules, or operation by operation where shapes are known."""

    def __init__(self, observed: Observed | None) -> None:
        self.observed = observed

    def bound(self, module: nn.Module, path: str) -> ModuleBound:
        """Bound one module and what is below it."""
        entry = find_entry(module, path)
        children = _Children(self, module, path)
        if entry is None:
            bound = self._by_operations(module, path, children)
        else:
            bound = _by_rule(module, path, entry, children)
            bias = module._parameters.get("bias")
            if bias is not None and not bool(bias.isfinite().all()):
                raise ConfigurationError(f"the bias of {named(module, path)} is not finite")
        if not (math.isfinite(bound) and bound >= 0):
            raise ConfigurationError(
                f"the rule of {named(module, path)} gave {bound}: wanted a finite bound >= 0; "
                "are the weights finite?"
            )
        if getattr(module, "inplace", False) and bound > 1:
            raise UnverifiedModule(
                f"{named(module, path)} lengthens its input in place, where other branches may "
                "still read it; use inplace=False"
            )
        if entry is not None and entry.composite and not entry.users and entry.rule is not chain:
            self._refuse_overwriting(module, path, children)
        if entry is not None and entry.users and self.observed is not None:
            for shape in self.observed.shapes(module):
                check_bound(self.observed.copy_of(module), shape[1:], bound, named(module, path))
        is_chain = entry is not None and entry.rule is chain
        return ModuleBound(
            path,
            type(module).__name__,
            module.extra_repr(),
            bound,
            tuple(children.parts.values()),
            is_chain,
        )

    def _refuse_overwriting(self, module: nn.Module, path: str, children: _Children) -> None:
        """Raise where a branch writes into the input that the other paths read."""
        ours = isinstance(module, Parallel | ConvexResidual | ConcatenativeResidual)
        for name in children.parts:
            branch = module.get_submodule(name)
            # As at construction; it may have been switched since.
            flagged = ours and any(getattr(each, "inplace", False) for each in branch.modules())
            if flagged or (self.observed is not None and self.observed.writes(branch)):
                raise UnverifiedModule(
                    f"{named(module, path)}: its part {name} ({type(branch).__name__}) writes into "
                    "its input, which the other paths read; let it work on a copy"
                )

    def _by_operations(self, module: nn.Module, path: str, children: _Children) -> float:
        name = named(module, path)
        kind = parametrize.type_before_parametrizations(module)
        if is_torch_layer(kind):
            raise UnverifiedModule(
                f"no rule bounds the Lipschitz constant of {name}; use a verified module, or "
                "register one with latentsmooth.lipschitz.register_rule"
            )
        if self.observed is None:
            raise UnverifiedModule(
                f"no rule bounds the Lipschitz constant of {name}; give input_shape to have its "
                "operations followed, use a verified module, or register one with "
                "latentsmooth.lipschitz.register_rule"
            )
        for below, child in module.named_modules(prefix=path):
            refuse_hooks(child, below)
        shapes = self.observed.shapes(module)
        if not shapes:
            raise UnverifiedModule(
                f"no rule bounds the Lipschitz constant of {name}, and its operations cannot be "
                "followed: it is not called with one tensor"
            )
        copy = self.observed.copy_of(module)
        return max(traced_bound(copy, shape, path, children) for shape in shapes)


class _Children:
    """Bounds the children that a rule asks about, once each."""

    def __init__(self, walk: _Walk, module: nn.Module, path: str) -> None:
        self._walk = walk
        self._module = module
        self._path = path
        self.parts: dict[str, ModuleBound] = {}
        self.error: UnverifiedModule | None = None

    @property
    def input_shapes(self) -> frozenset[tuple[int, ...]]:
        observed = self._walk.observed
        return frozenset(() if observed is None else observed.shapes(self._module))

    def __call__(self, child: str) -> float:
        if child not in self.parts:
            below = f"{self._path}.{child}" if self._path else child
            try:
                self.parts[child] = self._walk.bound(self._module.get_submodule(child), below)
            except UnverifiedModule as error:
                self.error = error
                raise
        return self.parts[child].bound


def _by_rule(module: nn.Module, path: str, entry: Entry, children: _Children) -> float:
    refuse_unstable(module, named(module, path), inherited=entry.inherited)
    rule: Any = entry.rule
    try:
        return float(rule(module, children) if entry.composite else rule(module))
    except UnverifiedModule as error:
        if error is children.error:
            raise  # It names the child already.
        raise UnverifiedModule(f"{named(module, path)}: {error}") from error
