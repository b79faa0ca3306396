"""What of the documents is generated: the navigation, the command line, the Python API, the kinds of head. A hook of MkDocs.

A page says `<!-- generated: NAME -->` where the text goes.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import posetrt
from posetrt.cli import build_parser
from posetrt.runtime.heads.registry import head_class, kinds

DOCS = Path(__file__).parent
FOLDERS = {
    "tutorials": "Tutorials",
    "how-to": "How to",
    "reference": "Reference",
    "explanation": "Explanation",
    "measurements": "Measurements",
}
"""Folder → its title, in the order of the tabs. Each holds one kind of page."""


def on_config(config: Any) -> Any:
    """Every page of every folder is in the navigation, by its title."""
    config["nav"] = [{"Start": "index.md"}, *({title: _pages(folder)} for folder, title in FOLDERS.items())]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what is generated."""
    return re.sub(r"<!-- generated: (\S+) -->", lambda found: "\n".join(GENERATED[found[1]]()), markdown)


def _pages(folder: str) -> list[str]:
    return sorted((page.relative_to(DOCS).as_posix() for page in (DOCS / folder).glob("*.md")), key=_title)


def _title(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8").splitlines()[0].lower()


def command_line() -> Iterator[str]:
    """A section for each command, with a table for each group of its options."""
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    summaries = {action.dest: action.help for action in commands._choices_actions}
    for name, command in commands.choices.items():
        yield f"## {name}\n\n{summaries[name]}\n\n```text\n{(command.description or '').strip()}\n```\n"
        for group in command._action_groups:
            actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS and action.dest != "help"]
            if actions:
                yield f"**{group.title}**\n\n| name | meaning |\n|---|---|"
                yield from (f"| {_option(action)} | {_cell(_help(action))} |" for action in actions)
                yield ""


def _option(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    value = value if isinstance(value, str) else " ".join(value)
    if not action.option_strings:
        return f"`{value}`"
    text = ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")
    return "`" + text.replace("|", "\\|") + "`"


def _help(action: argparse.Action) -> str:
    return (action.help or "") % vars(action)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def python_names() -> Iterator[str]:
    """What mkdocstrings reads: every stable name."""
    yield from (f"::: posetrt.{name}\n" for name in posetrt.__all__ if not name.startswith("_"))


def heads() -> Iterator[str]:
    """A section for each kind of head: what it is, its outputs, and what travels in the manifest."""
    for kind in kinds():
        found = head_class(kind)
        roles = ", ".join(f"`{role}`" for role in found.roles)
        yield f"## {kind}\n\n::: {found.__module__}.{found.__qualname__}\n"
        yield f"    options:\n      show_root_heading: false\n      members: []\n\nRoles: {roles}.\n"


GENERATED: dict[str, Callable[[], Iterator[str]]] = {"command-line": command_line, "python": python_names, "heads": heads}
