"""Which built-in skeletons a number of parts can mean."""

from __future__ import annotations

from functools import cache

from posetrt.export.heads.base import Asked
from posetrt.runtime.model.skeleton import built_in_skeletons, load_skeleton


@cache
def _counted() -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    # COCO's first: of two with as many parts it is the likelier.
    for name in sorted(built_in_skeletons(), key=lambda name: (not name.startswith("coco17"), name)):
        found.setdefault(len(load_skeleton(name).parts), []).append(name)
    found.pop(0, None)
    return {parts: tuple(names) for parts, names in found.items()}


def skeletons_of(parts: int, asked: Asked) -> tuple[str, ...] | None:
    """Names of the skeletons with so many parts; the user's own, where one was given. None where there is none, or the user's has another number."""
    if asked.skeleton is not None:
        return (asked.skeleton.name,) if len(asked.skeleton.parts) == parts else None
    return _counted().get(parts)


def part_counts(asked: Asked) -> tuple[int, ...]:
    """Numbers of parts that a network can have, rising."""
    return (len(asked.skeleton.parts),) if asked.skeleton is not None else tuple(sorted(_counted()))
