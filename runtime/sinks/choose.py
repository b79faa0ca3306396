"""Sinks by their names, as `posetrt run --sink NAME=ARGUMENT` gives them: those that posetrt has, and those that other packages add."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from posetrt.runtime.errors import UsageError
from posetrt.runtime.plugins import SINKS, load_plugin, plugin_names
from posetrt.runtime.sinks.base import Sink

OWN = {"mqtt": "mqtt:open_mqtt", "mcap": "mcap_file:open_mcap", "rerun": "rerun_log:open_rerun"}
"""Name → module of `runtime.sinks`, and its function (argument, say) -> Sink. Each imports its package when it is opened."""

_FILES = frozenset({"mcap", "rerun"})
"""Those that write a file, unless their argument is an address."""


def open_sink(given: str, say: Callable[[str], None]) -> Sink:
    """Open `NAME=ARGUMENT`.

    Args:
        given: as on the command line.
        say: takes a line when a connection goes away or comes back.

    Raises:
        UsageError: there is no such sink, or it does not take that argument.
        PosetrtError: its package is missing, or it cannot be opened.
    """
    name, _, argument = given.partition("=")
    if name in OWN:
        module, _, function = OWN[name].partition(":")
        opened: Sink = getattr(importlib.import_module(f"posetrt.runtime.sinks.{module}"), function)(argument, say)
        return opened
    if name not in plugin_names(SINKS):
        others = ", ".join(plugin_names(SINKS)) or "none"
        raise UsageError(f"there is no sink {name!r}; posetrt has {', '.join(OWN)}, and other packages that are installed add: {others}")
    made: Sink = load_plugin(SINKS, name)(argument)
    return made


def file_of(given: str) -> str | None:
    """The file that `NAME=ARGUMENT` writes; None of a sink that sends elsewhere, or that another package adds."""
    name, _, argument = given.partition("=")
    place = argument.partition("?")[0]
    return place if name in _FILES and "://" not in place else None
