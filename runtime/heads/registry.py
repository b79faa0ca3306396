"""The kinds of head that there are: ours, and those that other packages add through the entry point group "posetrt.heads"."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.heads.base import Head
from posetrt.runtime.plugins import entry_points

GROUP = "posetrt.heads"
"""Entry point group: name = the kind, value = the `Head` subclass, as in `posetrt.heads: my-kind = my_package.my_module:MyHead`."""

_OURS = {
    "paf": "posetrt.runtime.heads.paf.head:PafHead",
    "paf-decoded": "posetrt.runtime.heads.paf.head:PafDecodedHead",
    "heatmap": "posetrt.runtime.heads.heatmap:HeatmapHead",
    "simcc": "posetrt.runtime.heads.simcc:SimccHead",
    "coordinates": "posetrt.runtime.heads.coordinates:CoordinatesHead",
    "offsets": "posetrt.runtime.heads.offsets:OffsetsHead",
    "embedding": "posetrt.runtime.heads.embedding:EmbeddingHead",
    "segmentation": "posetrt.runtime.heads.segmentation:SegmentationHead",
    "rows": "posetrt.runtime.heads.rows:RowsHead",
    "boxes": "posetrt.runtime.heads.boxes:BoxesHead",
}
"""Kind → module and class; a module is imported when a network of its kind is opened."""


def kinds() -> tuple[str, ...]:
    """Every kind that a manifest can name: ours, then others' in the order of their names."""
    return (*_OURS, *sorted(each.name for each in entry_points(GROUP) if each.name not in _OURS))


@cache
def head_class(kind: str) -> type[Head]:
    """The class of a kind.

    Raises:
        PosetrtError: there is no such kind, or the package that adds it fails on import.
    """
    if kind in _OURS:
        module, _, name = _OURS[kind].partition(":")
        found: type[Head] = getattr(importlib.import_module(module), name)
        return found
    for entry in entry_points(GROUP):
        if entry.name == kind:
            try:
                loaded = entry.load()
            except Exception as error:  # somebody else's module may raise anything
                raise PosetrtError(
                    f"head {kind!r} comes from {entry.value} (entry point group {GROUP!r}), and that fails on import: "
                    f"{type(error).__name__}: {error}. Mend or remove that package; networks of other kinds work as ever"
                ) from error
            if not (isinstance(loaded, type) and issubclass(loaded, Head)) or getattr(loaded, "kind", None) != kind:
                raise PosetrtError(f"head {kind!r}: {entry.value} must be a subclass of posetrt.Head whose kind is {kind!r}")
            return loaded
    raise PosetrtError(
        f"there is no head {kind!r}: this posetrt knows {', '.join(kinds())}. A package can add one through the entry point group {GROUP!r}"
    )


def head_from_dict(fields: Any, where: str) -> Head:
    """Read a head from its JSON form; `where` names the file in errors.

    Raises:
        PosetrtError: no such kind, or fields that are not the kind's.
    """
    if not isinstance(fields, Mapping) or not isinstance(fields.get("kind"), str):
        raise PosetrtError(f"{where}: the head must be an object with a kind, one of {', '.join(kinds())}; export the network again")
    try:
        found = head_class(fields["kind"])
    except PosetrtError as error:
        raise PosetrtError(f"{where}: {error}") from error
    return found.from_dict(fields, where)
