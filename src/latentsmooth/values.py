"""One meaning of texts and numbers, wherever a user writes them: in flags, files and Python."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from latentsmooth.errors import ConfigurationError

__all__ = ["Fields", "Plain", "convert_value", "describe_hint", "read_yaml", "resolve_plain"]

MAX_DIGITS = 100
"""Of a number: Python takes quadratic time for more."""
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_KINDS: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
    Any: "value",
}


class Plain(str):
    """A text that stands unquoted where it was written, and so may be meant as a number."""

    __slots__ = ()


@dataclass(frozen=True)
class Fields:
    """The type of a mapping whose keys have types of their own; others take any plain value.

    Args:
        hints: type by key.
    """

    hints: Mapping[str, Any]


class _Loader(yaml.SafeLoader):
    """Every scalar stays the text that it is; whether it was quoted is kept."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - what the base class has


def _scalar(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = loader.construct_scalar(node)
    return Plain(text) if node.style is None else str(text)


_Loader.add_constructor("tag:yaml.org,2002:str", _scalar)


def read_yaml(text: str) -> Any:
    """Mappings, lists and texts of a YAML text; unquoted ones are `Plain`.

    Raises:
        yaml.YAMLError: it is no YAML.

    >>> read_yaml("{a: 010, b: '010'}"), [type(each).__name__ for each in read_yaml("[no, 'no']")]
    ({'a': '010', 'b': '010'}, ['Plain', 'str'])
    """
    return yaml.load(text, Loader=_Loader)


def resolve_plain(text: str) -> bool | int | float | str | None:
    """What an unquoted text is where any plain value may stand.

    Numbers are decimal, ``true`` and ``false`` are truth values, ``null`` is none, and all else
    is text: neither octal nor base 60, and ``no`` is no truth value.

    >>> [resolve_plain(text) for text in ("0500", "1e3", "1:20", "no", "0x10", "true", "null")]
    [500, 1000.0, '1:20', 'no', '0x10', True, None]
    """
    if text in _TRUTH:
        return _TRUTH[text]
    if text in _NULLS:
        return None
    if len(text) <= MAX_DIGITS:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return str(text)


def describe_hint(hint: Any) -> str:
    """A type in words.

    >>> describe_hint(int | None), describe_hint(Literal["a", "b"]), describe_hint(list[float])
    ('whole number or null', 'a or b', 'list of number')
    """
    if isinstance(hint, Fields):
        return "mapping"
    origin, members = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, members))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(describe_hint, members)))
    if origin in (list, tuple):
        return f"list of {describe_hint(members[0])}"
    if origin is dict:
        return f"mapping to {describe_hint(members[1])}"
    return _KINDS.get(hint, getattr(hint, "__name__", str(hint)))


def convert_value(value: Any, hint: Any, *, name: str) -> Any:
    """A value as its type has it.

    A text that was quoted, or that a program hands over, is text and never a number. An unquoted
    one becomes what the type wants: text as it stands, a decimal number, true or false, null.

    Args:
        value: texts, `Plain` ones among them, numbers, truth values, lists, mappings, ``None``.
        hint: ``str``, ``int``, ``float``, ``bool``, ``None``, a ``Literal``, `Fields`, and unions,
            lists, tuples and dictionaries of these.
        name: what messages call it.

    Raises:
        ConfigurationError: the value is of another type; says what arrived and what was wanted.

    >>> convert_value(Plain("0500"), int, name="n"), convert_value(Plain("0500"), str, name="n")
    (500, '0500')
    """
    if isinstance(hint, Fields):
        return _fields(value, hint, name)
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _one_of(value, members, hint, name)
    if origin is Literal:
        if isinstance(value, str) and str(value) in members:
            return str(value)
        if not isinstance(value, str) and value in members:
            return value
        raise _wrong(value, hint, name)
    if origin in (list, tuple):
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise _wrong(value, hint, name)
        found = [
            convert_value(each, members[0], name=f"{name}[{place}]")
            for place, each in enumerate(value)
        ]
        return tuple(found) if origin is tuple else found
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(value, hint, name)
        return {
            str(key): convert_value(each, members[1], name=f"{name}.{key}")
            for key, each in value.items()
        }
    return _scalar_value(value, hint, name)


def _fields(value: Any, hint: Fields, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(value, hint, name)
    return {
        str(key): convert_value(each, hint.hints.get(str(key), Any), name=f"{name}.{key}")
        for key, each in value.items()
    }


def _one_of(value: Any, members: tuple[Any, ...], hint: Any, name: str) -> Any:
    if value is None and type(None) in members:
        return None
    if isinstance(value, Plain):
        # Of a type that is text and no number, what looks like nothing may be either.
        if set(members) <= {str, type(None)}:
            return convert_value(value, str, name=name)
        if str in members:
            resolved = resolve_plain(value)
            value = resolved if _suits(resolved, members) else str(value)
        elif value in _NULLS and type(None) in members:
            return None
    for member in members:
        try:
            return convert_value(value, member, name=name)
        except ConfigurationError:
            continue
    raise _wrong(value, hint, name)


def _suits(value: Any, members: tuple[Any, ...]) -> bool:
    return type(value) in members or (type(value) is int and float in members)


def _scalar_value(value: Any, hint: Any, name: str) -> Any:
    if hint is Any:
        return _any(value, name)
    if value is None and hint is not type(None):
        raise ConfigurationError(f"{name} has no value; wanted {describe_hint(hint)}")
    if hint is str and isinstance(value, str):
        if isinstance(value, Plain) and value in _NULLS:
            raise ConfigurationError(
                f"{name} has no value: {str(value) or 'nothing'} stands there; write it in quotes "
                "if it is a text, or leave the key out"
            )
        return str(value)
    if isinstance(value, Plain):
        if value in _NULLS and hint is not type(None):
            raise ConfigurationError(f"{name} has no value; wanted {describe_hint(hint)}")
        value = resolve_plain(value)
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise _wrong(value, hint, name) from None
    if hint in (int, float, bool, type(None)) and type(value) is hint:
        return value
    raise _wrong(value, hint, name)


def _any(value: Any, name: str) -> Any:
    if isinstance(value, Plain):
        return resolve_plain(value)
    if isinstance(value, Mapping):
        return {str(key): _any(each, f"{name}.{key}") for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_any(each, f"{name}[{place}]") for place, each in enumerate(value)]
    return value


def _wrong(value: Any, hint: Any, name: str) -> ConfigurationError:
    shown = repr(str(value)) if isinstance(value, str) else repr(value)
    return ConfigurationError(f"{name}: wanted {describe_hint(hint)}, got {shown:.80}")
