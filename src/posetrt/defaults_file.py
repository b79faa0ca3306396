"""Defaults from a file: `posetrt.toml` in the working directory, or the one that `--config` names.

Keys before the first table are defaults of every command that has such an option; `[run]` and the like hold those of one command.
A key is the option without its dashes, `folder` the argument of that name; a value is what would be typed. What is typed wins.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from posetrt.runtime.errors import PosetrtError, UsageError

NAME = "posetrt.toml"
_NEVER = frozenset({"help", "config", "trust"})
"""`--trust` lets an engine's code run: a file that lies in a folder must not give that leave."""


class _Replaced(list[Any]):
    """Values from the file of an option that may be given again: argparse copies a default before it appends, and typed values replace these."""

    def __copy__(self) -> list[Any]:
        return []


def config_argument(argv: Sequence[str]) -> Path | None:
    """The file that `--config` names, before anything else is parsed."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--config", type=Path)
    try:
        given: Path | None = early.parse_known_args(list(argv))[0].config
    except argparse.ArgumentError:
        return None  # no file behind it: the command's own parser says so
    return given


def read_defaults(given: Path | None) -> tuple[Path, dict[str, Any]] | None:
    """The file's path and content; None where none was named and none lies in the working directory.

    Raises:
        UsageError: the file that was named is not there.
        PosetrtError: it cannot be read, or is not TOML.
    """
    path = given or Path(NAME)
    if not path.is_file():
        if given is None:
            return None
        raise UsageError(f"--config: there is no file {given}; give a TOML file with defaults")
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PosetrtError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # TOML's own, or the text's encoding
        raise PosetrtError(f'{path} is not TOML: {error}. A line reads as in: precision = "int8"') from error


def use_defaults(parsers: Mapping[str, argparse.ArgumentParser], command: str, path: Path, content: Mapping[str, Any]) -> list[str]:
    """Make a file's values the defaults of one command's parser, and check the keys of all of them.

    Args:
        parsers: command → its parser.
        command: that is about to be parsed.
        path: of the file, for errors.
        content: of the file.

    Returns:
        The keys that this command takes from the file.

    Raises:
        UsageError: a key or a table that is not known, or a value that the option does not take.
    """
    known = {name: _options(parser) for name, parser in parsers.items()}
    every = {key for options in known.values() for key in options}
    chosen: dict[str, tuple[str, Any]] = {}
    for key, value in content.items():
        if not isinstance(value, Mapping):
            if _plain(key) not in every:
                raise UsageError(_unknown(f"{path}: no command has an option {key!r}", key, sorted(every)))
            if _plain(key) in known[command]:
                chosen.setdefault(_plain(key), (key, value))
            continue
        if key not in known:
            raise UsageError(_unknown(f"{path}: there is no command [{key}]", key, list(known)))
        for inner, one in value.items():
            if _plain(inner) not in known[key]:
                raise UsageError(_unknown(f"{path}: posetrt {key} has no option {inner!r}", inner, sorted(known[key])))
            if key == command:
                chosen[_plain(inner)] = (f"{key}.{inner}", one)
    parser = parsers[command]
    for name, (called, value) in chosen.items():
        _set(parser, known[command][name], value, f"{path}: {called}")
    return sorted(chosen)


def typed_wins(parser: argparse.ArgumentParser, args: argparse.Namespace, names: Collection[str]) -> None:
    """Of options that exclude each other, drop the file's where another one was typed."""
    options = _options(parser)
    from_file = [options[name] for name in names]
    for group in parser._mutually_exclusive_groups:
        members = group._group_actions
        if any(member not in from_file and getattr(args, member.dest) != member.default for member in members):
            for member in members:
                if member in from_file and getattr(args, member.dest) is member.default:
                    setattr(args, member.dest, None)


def _plain(key: str) -> str:
    return key.replace("_", "-")


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Key in the file → the option or argument."""
    names = {
        (max(action.option_strings, key=len).lstrip("-") if action.option_strings else action.dest): action
        for action in parser._actions
        if action.help is not argparse.SUPPRESS
    }
    # Of `--x/--no-x` the longest string is the second.
    names = {
        (name.removeprefix("no-") if isinstance(action, argparse.BooleanOptionalAction) else name): action for name, action in names.items()
    }
    return {name: action for name, action in names.items() if name not in _NEVER}


def _unknown(said: str, key: str, known: Sequence[str]) -> str:
    near = get_close_matches(_plain(key), known, 1)
    return f"{said}; did you mean {near[0]}?" if near else f"{said}. Known are: {', '.join(known)}"


def _set(parser: argparse.ArgumentParser, action: argparse.Action, value: Any, where: str) -> None:
    action.required = False
    if isinstance(action, argparse.BooleanOptionalAction | argparse._StoreTrueAction):
        if not isinstance(value, bool):
            raise UsageError(f"{where} is {value!r}; true or false was expected")
        action.default = value
        if value and not isinstance(action, argparse.BooleanOptionalAction):
            # What is typed wins: there must be something to type.
            name = action.option_strings[-1]
            off = f"--{name[5:]}" if name.startswith("--no-") else f"--no-{name[2:]}"
            parser.add_argument(off, dest=action.dest, action="store_false", default=value, help=argparse.SUPPRESS)
        return
    several = isinstance(action, argparse._AppendAction) or action.nargs in ("+", "*")
    if isinstance(value, list) and not several:
        raise UsageError(f"{where} is a list; one value was expected, as it would be typed")
    values = [_typed(action, one, where) for one in (value if isinstance(value, list) else [value])]
    if action.nargs is None and not action.option_strings:
        action.nargs = "?"
    elif action.nargs == "+" and not action.option_strings:
        action.nargs = "*"
    action.default = _Replaced(values) if several else values[0]


def _typed(action: argparse.Action, value: Any, where: str) -> Any:
    """A value as argparse would make it of what is typed."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{where} is {value!r}; a text or a number was expected, as it would be typed")
    try:
        made = action.type(str(value)) if callable(action.type) else str(value)
    except (argparse.ArgumentTypeError, ValueError, TypeError) as error:
        if isinstance(error, argparse.ArgumentTypeError):
            raise UsageError(f"{where}: {error}") from error
        kind = "a whole number" if action.type is int else "a number" if action.type is float else "another value"
        raise UsageError(f"{where} is {value!r}; {kind} was expected") from error
    if action.choices is not None and made not in action.choices:
        raise UsageError(f"{where} is {value!r}; one of {', '.join(map(str, action.choices))} was expected")
    return made
