"""Sources and sinks that other packages add, through entry points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from posetrt.runtime.errors import PosetrtError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

SOURCES = "posetrt.sources"
"""Entry point group: name = a scheme, as in NAME://...; value = a function (text, say) -> Source."""

SINKS = "posetrt.sinks"
"""Entry point group: name = as in `run --sink NAME=ARGUMENT`; value = a function (argument) -> Sink."""


def entry_points(group: str) -> Iterable[EntryPoint]:
    """What other packages add to a group."""
    # Imported where it is needed: it brings Python's e-mail and ZIP packages along, 2 MB.
    from importlib import metadata

    return metadata.entry_points(group=group)


def plugin_names(group: str) -> tuple[str, ...]:
    """Names that other packages add to a group."""
    return tuple(sorted({each.name for each in entry_points(group)}))


def load_plugin(group: str, name: str) -> Any:
    """What another package adds under a name.

    Raises:
        UsageError: no package adds it.
        PosetrtError: the package fails on import.
    """
    for entry in entry_points(group):
        if entry.name == name:
            try:
                return entry.load()
            except Exception as error:  # somebody else's module may raise anything
                raise PosetrtError(
                    f"{name!r} comes from {entry.value} (entry point group {group!r}), and that fails on import: "
                    f"{type(error).__name__}: {error}. Fix or remove that package"
                ) from error
    known = ", ".join(plugin_names(group)) or "none"
    raise UsageError(f"no package adds {name!r} to the entry point group {group!r}; those that are installed: {known}")
