"""One table from module type to the rule that bounds it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from latentsmooth.errors import UnverifiedModule

__all__ = [
    "BoundOf",
    "CompositeRule",
    "Entry",
    "Rule",
    "find_entry",
    "inherits",
    "refuse_hooks",
    "refuse_type",
    "register_composite_rule",
    "register_rule",
    "rule_of",
    "verified_types",
]


class BoundOf(Protocol):
    """What a composite rule is given to ask about its module's children."""

    @property
    def input_shapes(self) -> frozenset[tuple[int, ...]]:
        """Shapes, batch first, in which the module itself is called; empty where not known."""

    def __call__(self, child: str) -> float:
        """Upper bound of a child, named as ``named_modules`` spells it."""


Rule = Callable[[Any], float]
CompositeRule = Callable[[Any, BoundOf], float]
AnyRule = TypeVar("AnyRule", bound=Rule)
AnyCompositeRule = TypeVar("AnyCompositeRule", bound=CompositeRule)

BUILT_IN = ("latentsmooth.lipschitz.rules.", "latentsmooth.lipschitz.interop.")
INTEROP = {
    "deel": "latentsmooth.lipschitz.interop.torchlip",
    "orthogonium": "latentsmooth.lipschitz.interop.orthogonium",
}
# Methods that a subclass of a torch layer may replace without changing what the layer computes.
HARMLESS = {"__init__", "__setstate__", "__repr__", "extra_repr", "reset_parameters"}
CALLING = {
    "__call__",
    "__getattribute__",
    "_call_impl",
    "_compiled_call_impl",
    "_wrapped_call_impl",
}
# A switch of its own may leave a layer in training mode.
SWITCHING = {"eval", "train"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule and how it was found.

    Attributes:
        rule: takes the module and, where composite, what bounds its children.
        composite: whether the module's bound is made of its children's.
        users: whether it came from outside this package and is tested where shapes are known.
        inherited: whether it is the rule of a torch layer that the module's type derives from.
    """

    rule: Rule | CompositeRule
    composite: bool
    users: bool
    inherited: bool = False


_ENTRIES: dict[type[nn.Module], Entry] = {}
_REFUSALS: dict[type[nn.Module], str] = {}


def register_rule(*types: type[nn.Module]) -> Callable[[AnyRule], AnyRule]:
    """Register a function that bounds the Lipschitz constant of modules of exactly these types.

    A subclass may compute something else, so it needs a rule of its own. The function takes the
    module and returns an upper bound of its l2 Lipschitz constant in evaluation mode, over all
    inputs. Where `lipschitz_bound` knows the shape of the input, a rule that was registered from
    outside this package is tested against a power iteration.

    Args:
        types: the module classes.

    Example:
        >>> class Half(nn.Module):
        ...     def forward(self, x):
        ...         return x / 2
        >>> @register_rule(Half)
        ... def half(module: Half) -> float:
        ...     return 0.5
    """

    def register(rule: AnyRule) -> AnyRule:
        for module_type in types:
            _ENTRIES[module_type] = Entry(rule, composite=False, users=_is_users(rule))
        return rule

    return register


def register_composite_rule(
    *types: type[nn.Module],
) -> Callable[[AnyCompositeRule], AnyCompositeRule]:
    """Register a function that bounds modules of exactly these types from their children's bounds.

    The function takes the module and ``bound_of``: ``bound_of("branch")`` is the bound of the
    child of that name, by whatever rule the child has. Each child asked about appears below the
    module in `module_bounds`.

    Args:
        types: the module classes.

    Example:
        >>> class Twice(nn.Module):
        ...     def __init__(self, inner):
        ...         super().__init__()
        ...         self.inner = inner
        ...     def forward(self, x):
        ...         return self.inner(self.inner(x))
        >>> @register_composite_rule(Twice)
        ... def twice(module: Twice, bound_of: BoundOf) -> float:
        ...     return bound_of("inner") ** 2 * (1 + 2**-52)
    """

    def register(rule: AnyCompositeRule) -> AnyCompositeRule:
        for module_type in types:
            _ENTRIES[module_type] = Entry(rule, composite=True, users=_is_users(rule))
        return rule

    return register


def refuse_type(reason: str, *types: type[nn.Module]) -> None:
    """State why modules of these types, or of types derived from them, have no useful bound."""
    for module_type in types:
        _REFUSALS[module_type] = reason


def find_entry(module: nn.Module, path: str) -> Entry | None:
    """The rule of a module, or ``None`` where its type has none.

    A parametrized module has the rule of its type before. A subclass of a torch layer that
    replaces none of the layer's methods has the layer's rule.

    Raises:
        UnverifiedModule: where the type is known to have no bound, or where hooks or a replaced
            ``forward`` may change what the module computes.
    """
    refuse_hooks(module, path)
    kind = parametrize.type_before_parametrizations(module)
    for base, reason in _REFUSALS.items():
        if issubclass(kind, base) and kind not in _ENTRIES:
            raise UnverifiedModule(f"{named(module, path)} has no useful Lipschitz bound: {reason}")
    return rule_of(module)


def rule_of(module: nn.Module) -> Entry | None:
    """The rule of a module's type, whatever was done to the module itself."""
    kind = parametrize.type_before_parametrizations(module)
    if kind not in _ENTRIES and (extra := INTEROP.get(kind.__module__.partition(".")[0])):
        importlib.import_module(extra)
    if kind in _ENTRIES:
        return _ENTRIES[kind]
    for base in kind.__mro__[1:]:
        entry = _ENTRIES.get(base)
        if entry is not None and inherits(kind, base):
            return Entry(entry.rule, entry.composite, entry.users, inherited=True)
    return None


def is_torch_layer(kind: type) -> bool:
    """Whether a type belongs to ``torch.nn``."""
    return kind.__module__.startswith("torch.nn.")


def named(module: nn.Module, path: str) -> str:
    """How messages name a module: its path and class."""
    return f"{path or 'the module'} ({type(module).__name__})"


def refuse_hooks(module: nn.Module, path: str) -> None:
    """Raise where a hook or a replaced method may change what a module computes.

    Raises:
        UnverifiedModule: naming the module's path.
    """
    replaced = [
        name
        for name, value in vars(module).items()
        if callable(value) and callable(getattr(type(module), name, None))
    ]
    kind = parametrize.type_before_parametrizations(module)
    for name in sorted(CALLING):
        # A rule is about a type as a whole, but what is followed is forward alone.
        if kind not in _ENTRIES and getattr(kind, name, None) is not getattr(nn.Module, name, None):
            raise UnverifiedModule(
                f"{named(module, path)} replaces {name!r}, past which no rule can see; do the "
                "work in forward"
            )
    own = module._forward_hooks or module._forward_pre_hooks
    if replaced or own or _global_hooks():
        found = f"a replaced method {replaced[0]!r}" if replaced else "a forward hook"
        raise UnverifiedModule(
            f"{named(module, path)} has {found}, which no rule can see; remove it"
        )


def verified_types() -> list[str]:
    """Names of all module types with a rule, sorted."""
    return sorted(module_type.__name__ for module_type in _ENTRIES)


def _is_users(rule: Callable[..., float]) -> bool:
    return not getattr(rule, "__module__", "").startswith(BUILT_IN)


def inherits(kind: type, base: type) -> bool:
    """Whether a type derives from a torch layer and replaces none of the layer's methods."""
    if not is_torch_layer(base):
        return False
    own = {
        name
        for layer in base.__mro__[: base.__mro__.index(nn.Module)]
        for name, value in vars(layer).items()
        if callable(value) and name not in HARMLESS
    }
    kept = own | CALLING | SWITCHING
    return all(getattr(kind, name, None) is getattr(base, name, None) for name in kept)


def _global_hooks() -> bool:
    hooks = torch.nn.modules.module
    return bool(hooks._global_forward_hooks or hooks._global_forward_pre_hooks)
