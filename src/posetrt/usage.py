"""Wrong usage in one line, with what was probably meant, in place of argparse's screen of options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from posetrt.runtime.errors import UsageError, printable

_ELSEWHERE = {"predict": "run", "detect": "run", "track": "run", "infer": "run", "convert": "export", "val": "eval", "test": "eval"}
"""What other tools call our commands."""
_ELSEWHERE |= {"quantize": "calibrate", "quantise": "calibrate", "download": "fetch", "benchmark": "bench", "info": "inspect"}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are two lines, and that takes no option cut short: `--conf` of another tool is not `--config`."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **{"allow_abbrev": False, **named})

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where all options are listed; exit with 2."""
        self.exit(2, f"{self.prog}: {printable(message)}\nAll options: {self.prog} --help\n")


def check_command(typed: Sequence[str], commands: Sequence[str]) -> None:
    """Raises: UsageError: the first word is no command: says which was probably meant."""
    first = typed[0]
    if first.startswith("-") or first in commands:
        return
    if first == "help":
        raise UsageError(f"for the options of a command: posetrt {typed[1]} --help")
    if first == "version":
        raise UsageError("for the version: posetrt --version")
    if is_source(first):
        raise UsageError(f"the first word is a command. People in {first}: posetrt run --source {first} --write-images out/")
    near = _ELSEWHERE.get(first.lower()) or next(iter(get_close_matches(first.lower(), commands, 1)), None)
    meant = f"did you mean: posetrt {near}" if near else f"there are {', '.join(commands)}"
    raise UsageError(f"there is no command {first!r}; {meant}")


def unknown_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """The words that look like long options and are none of the command's."""
    before = words[: words.index("--")] if "--" in words else words
    known = {text for action in parser._actions for text in action.option_strings}
    return [word for word in before if word.startswith("--") and word.partition("=")[0] not in known]


def check_options(parser: argparse.ArgumentParser, command: str, unknown: Sequence[str]) -> None:
    """Raises: UsageError: words that the command does not know: says which option was probably meant."""
    if not unknown:
        return
    word = next((one for one in unknown if one.startswith("-")), unknown[0])
    name, equals, value = word.partition("=")
    options = [text for action in parser._actions for text in action.option_strings if action.help is not argparse.SUPPRESS]
    if not name.startswith("-"):
        more = f"; a source is given as: --source {word}" if "--source" in options and is_source(word) else ""
        raise UsageError(f"posetrt {command} does not know what to do with {word!r}{more}. All options: posetrt {command} --help")
    near = get_close_matches(name, options, 1, 0.7)
    meant = f"did you mean {near[0]}{equals}{value}?" if near else f"All options: posetrt {command} --help"
    raise UsageError(f"posetrt {command} has no option {name}; {meant}")


def is_source(word: str) -> bool:
    """Whether a word looks like a photograph, a video, a camera or an address, rather than a command or a network."""
    from posetrt.runtime.sources.files import PHOTO_SUFFIXES, VIDEO_SUFFIXES

    return "://" in word or word.startswith("/dev/") or Path(word).suffix.lower() in PHOTO_SUFFIXES | VIDEO_SUFFIXES
