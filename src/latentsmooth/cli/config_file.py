"""The ``--config`` file: flat YAML of a subcommand's flags, read as if a stranger wrote it."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

from latentsmooth.cli.arguments import UsageError
from latentsmooth.cli.flags import FlagType
from latentsmooth.errors import ConfigurationError
from latentsmooth.files import user_path
from latentsmooth.values import MAX_DIGITS, convert_value, read_yaml

__all__ = ["MAX_BYTES", "MAX_DEPTH", "ConfigFile", "check_yaml"]

MAX_BYTES = 65_536
MAX_DEPTH = 8
_NUMBER = re.compile(r"[-+.:_0-9a-fA-FxXoO]+")
_NESTED = re.compile(r"[\[\]{}&*!:,|>\n]")


class ConfigFile(ActionConfigFile):
    """The flag ``--config FILE``; what `check_yaml` refuses never reaches the parser."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        cfg: Any,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Check the file, then let the parser take its keys as flags.

        Raises:
            UsageError: naming the file and what is wrong in it.
        """
        path = user_path(str(values))
        text = _read(path)
        actions = {action.dest: action for action in parser._actions}
        known = actions.keys() - {"help", "config", "print_config"}
        check_yaml(text, {name for name in known if not name.isupper()}, name=str(path))
        try:
            # Not through the parser's own loader, which would read texts anew by other rules.
            for name, value in (read_yaml(text) or {}).items():
                cfg[name] = _converted(value, actions[name])
        except (argparse.ArgumentTypeError, ConfigurationError, yaml.YAMLError) as error:
            raise UsageError(f"{path}: {error}") from error


def _converted(value: Any, action: argparse.Action) -> Any:
    """A file's value as the flag of the same name would have it."""
    kind = action.type
    if not isinstance(kind, FlagType):  # flags that take no value
        return convert_value(value, bool, name=action.dest)
    if action.nargs in ("*", "+"):
        values = value if isinstance(value, list) else [value]
        return [kind.of_file(each) for each in values]
    return kind.of_file(value)


def check_yaml(text: str, known: Collection[str], *, name: str) -> None:
    """Refuse YAML that is more than a mapping of known keys to plain values.

    Only events are looked at, so nothing is built and nothing expands. Refused are anchors and
    aliases (one word of them may stand for gigabytes), tags (they make objects), keys that are
    unknown or given twice, a second document, nesting deeper than `MAX_DEPTH`, and numbers of
    more than a hundred digits; texts, which flags of lists and mappings parse once more, likewise.

    Args:
        text: of the file.
        known: keys that it may have.
        name: what messages call it.

    Raises:
        UsageError: with the line.

    >>> check_yaml("limit: 5", {"limit"}, name="recipe")
    >>> check_yaml("limt: 5", {"limit"}, name="recipe")
    Traceback (most recent call last):
    latentsmooth.cli.arguments.UsageError: recipe, line 1: unknown key 'limt'; did you mean 'limit'?
    """
    try:
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader), known, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{name}{line}: not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: not YAML: {error}") from error


def _read(path: Path) -> str:
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; wanted a YAML file")
        descriptor = os.open(path, os.O_RDONLY)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the --config file {path}: {reason}") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path} takes more than {MAX_BYTES:,} bytes, too many for flags")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"the --config file {path} is not text: {error}") from error


class _Level:
    """One open mapping or sequence: the keys seen, and whether a key comes next."""

    def __init__(self, *, mapping: bool) -> None:
        self.mapping = mapping
        self.keys: set[str] = set()
        self.at_key = mapping


def _check_events(events: Iterable[yaml.Event], known: Collection[str], name: str) -> None:
    levels: list[_Level] = []
    documents = 0
    for event in events:
        mark = event.start_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise UsageError(f"{where}: a second document; wanted one")
        if isinstance(event, yaml.NodeEvent):
            _check_node(event, levels, known, where)
        elif isinstance(event, yaml.CollectionEndEvent):
            levels.pop()
        if isinstance(event, yaml.CollectionStartEvent):
            levels.append(_Level(mapping=isinstance(event, yaml.MappingStartEvent)))
            if len(levels) > MAX_DEPTH:
                raise UsageError(f"{where}: nested deeper than {MAX_DEPTH} levels")


def _check_node(
    event: yaml.NodeEvent, levels: list[_Level], known: Collection[str], where: str
) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise UsageError(f"{where}: anchors and aliases are not read; write values out")
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise UsageError(f"{where}: tag {tag[:80]!r} is not read; wanted plain values")
    text = event.value if isinstance(event, yaml.ScalarEvent) else None
    if not levels:
        empty = isinstance(event, yaml.ScalarEvent) and not text and event.style is None
        if not empty and not isinstance(event, yaml.MappingStartEvent):
            raise UsageError(f"{where}: wanted flags as `name: value`, one a line")
        return
    level = levels[-1]
    if level.at_key:
        _check_key(text, level, known if len(levels) == 1 else None, where)
    elif text is not None:
        _check_text(text, where)
    if level.mapping:
        level.at_key = not level.at_key


def _check_key(text: str | None, level: _Level, known: Collection[str] | None, where: str) -> None:
    if text is None:
        raise UsageError(f"{where}: a key is no plain text")
    if text in level.keys:
        raise UsageError(f"{where}: key {text[:80]!r} is given twice")
    level.keys.add(text)
    if known is None:
        if text == "<<" or len(text) > MAX_DIGITS:
            raise UsageError(f"{where}: key {text[:80]!r} is not read")
    elif text not in known:
        wanted = text[:80].strip("-").replace("-", "_").lower()
        near = difflib.get_close_matches(wanted, sorted(known), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
        raise UsageError(f"{where}: unknown key {text[:80]!r}; {hint}")


def _check_text(text: str, where: str, *, depth: int = 0) -> None:
    """Refuse a text that would be large once parsed, as flags of lists and mappings parse it."""
    words = re.split(r"[\s,\[\]{}]+", text) if depth == 0 else []
    if any(len(word) > MAX_DIGITS and _NUMBER.fullmatch(word) for word in words):
        raise UsageError(f"{where}: a number of more than {MAX_DIGITS} digits")
    if _NESTED.search(text) is None:
        return
    if depth > 2:
        raise UsageError(f"{where}: quoted deeper than {depth} times")
    levels = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                levels += 1
            levels -= isinstance(event, yaml.CollectionEndEvent)
            marked = [getattr(event, name, None) for name in ("anchor", "tag")] != [None, None]
            if marked or levels > MAX_DEPTH:
                raise UsageError(f"{where}: a text with an anchor, a tag or deep nesting in it")
            if isinstance(event, yaml.ScalarEvent) and len(event.value) < len(text):
                _check_text(event.value, where, depth=depth + 1)
    except yaml.YAMLError:
        return  # no YAML: it stays the text that it is
