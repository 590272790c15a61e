"""Flags whose values mean the same on the command line and in a file."""

from __future__ import annotations

import argparse
from typing import Any, get_args, get_origin

import yaml
from jsonargparse import ArgumentParser

from latentsmooth.errors import ConfigurationError
from latentsmooth.values import Fields, Plain, convert_value, describe_hint, read_yaml

__all__ = ["FlagParser", "FlagType"]


class FlagError(argparse.ArgumentTypeError, ValueError):
    """A flag's value cannot be used; both of the parser's ways of checking report its message."""


class FlagType:
    """Reads a flag of a type: a text as it stands, numbers in decimal, the rest as YAML.

    Args:
        hint: the type, as `convert_value` takes it.
        name: of the flag.
    """

    def __init__(self, hint: Any, name: str) -> None:
        self.hint = hint
        self.name = name
        self.__name__ = describe_hint(hint)
        self._members = get_args(hint) if get_origin(hint) not in (list, tuple, dict) else (hint,)
        self._members = self._members or (hint,)

    def __call__(self, value: Any) -> Any:
        """A word of the command line, or a value that is of the type already.

        Raises:
            FlagError: it cannot be used.
        """
        if value is None:
            return None
        if isinstance(value, str) and not isinstance(value, Plain):
            value = self._written(value)
        return self.of_file(value)

    def of_file(self, value: Any) -> Any:
        """A value that `read_yaml` gave.

        Raises:
            FlagError: it cannot be used.
        """
        # Structures may be written as a text in a file, as they are on the command line.
        if isinstance(value, str) and not self._is_scalar():
            value = self._written(value)
        try:
            return convert_value(value, self.hint, name=self.name)
        except ConfigurationError as error:
            raise FlagError(str(error)) from error

    def _is_scalar(self) -> bool:
        return not any(
            get_origin(each) in (list, tuple, dict) or isinstance(each, Fields)
            for each in self._members
        )

    def _written(self, text: str) -> Any:
        if str in self._members:
            return text  # whatever it is: a flag that was given is never dropped
        if self._is_scalar():
            return Plain(text)
        lists = [each for each in self._members if get_origin(each) in (list, tuple)]
        if lists and not text.lstrip().startswith("["):
            return [text if str in get_args(lists[0]) else Plain(text)]
        try:
            return read_yaml(text)
        except yaml.YAMLError as error:
            problem = " ".join(str(error).split())
            raise FlagError(f"{self.name}: not YAML: {problem}") from error


class FlagParser(ArgumentParser):
    """A parser whose typed arguments are read by `FlagType`."""

    def add_argument(self, *names: Any, **options: Any) -> Any:
        """Declare an argument; ``type`` is a type, and an ``action`` keeps its own meaning."""
        hint = options.get("type")
        if hint is not None and not isinstance(hint, FlagType):
            name = str(names[0]).lstrip("-").replace("-", "_")
            options["type"] = FlagType(hint, name)
        return super().add_argument(*names, **options)

    def dump(self, *arguments: Any, **options: Any) -> str:
        """The configuration as a file takes it: no positional words, and only what has a value."""
        configuration, *others = arguments
        given = configuration.clone()
        for key, value in configuration.items():
            if value is None or key.isupper():
                given.pop(key)
        return str(super().dump(given, *others, **options))
