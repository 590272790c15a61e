"""One table from module type to the rule that bounds it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from latentsmooth.errors import ConfigurationError, UnverifiedModule

__all__ = ["Rule", "refuse_hooks", "register_rule", "rule_for", "verified_types"]

Rule = Callable[[Any], float]
AnyRule = TypeVar("AnyRule", bound=Rule)

_RULES: dict[type[nn.Module], Rule] = {}


def register_rule(*types: type[nn.Module]) -> Callable[[AnyRule], AnyRule]:
    """Register a function that bounds the Lipschitz constant of modules of exactly these types.

    A subclass may compute something else, so it needs a rule of its own. The function takes the
    module and returns an upper bound of its l2 Lipschitz constant in evaluation mode.

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
            _RULES[module_type] = rule
        return rule

    return register


def rule_for(module: nn.Module, path: str) -> Rule:
    """The rule of a module.

    Args:
        module: the module.
        path: its place in the network, for the message.

    Raises:
        UnverifiedModule: where its type has none, or where hooks or a replaced ``forward`` may
            change what it computes.
    """
    name = type(module).__name__
    rule = _RULES.get(type(module))
    if rule is None:
        raise UnverifiedModule(
            f"no rule bounds the Lipschitz constant of {path or 'the module'} ({name}); use a "
            "verified module or register one with latentsmooth.lipschitz.register_rule"
        )
    refuse_hooks(module, path)

    def checked(subject: nn.Module) -> float:
        bound = rule(subject)
        if not (math.isfinite(bound) and bound >= 0):
            raise ConfigurationError(
                f"the rule of {path or 'the module'} ({name}) gave {bound}: wanted a finite "
                "bound >= 0; are the weights finite?"
            )
        return bound

    return checked


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
    own = module._forward_hooks or module._forward_pre_hooks
    if replaced or own or _global_hooks():
        found = f"a replaced method {replaced[0]!r}" if replaced else "a forward hook"
        raise UnverifiedModule(
            f"{path or 'the module'} ({type(module).__name__}) has {found}, which no rule can "
            "see; remove it"
        )


def _global_hooks() -> bool:
    hooks = torch.nn.modules.module
    return bool(hooks._global_forward_hooks or hooks._global_forward_pre_hooks)


def verified_types() -> list[str]:
    """Names of all module types with a rule, sorted."""
    return sorted(module_type.__name__ for module_type in _RULES)
