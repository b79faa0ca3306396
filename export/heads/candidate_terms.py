"""What a reading of a table of candidates states, and what every way of reading asks of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from posetrt.export.heads.base import Asked, GraphFacts
from posetrt.export.heads.candidate_table import Table, point_shape
from posetrt.runtime.model.skeleton import built_in_skeletons, load_skeleton

Family = Literal[
    "yolo",
    "yolo-nas",
    "yolox",
    "rtmdet",
    "rtmo",
    "nanodet",
    "movenet",
    "torchvision",
    "tensorflow",
    "ssd",
    "detr",
    "coco-detr",
    "damo",
    "picodet",
    "openvino",
    "blaze",
    "palms",
]
AGREES = 0.9
"""Share of the columns that must be of the kind that a reading expects."""


@dataclass(frozen=True)
class Columns:
    """One way to read a table.

    Attributes:
        fields: of the head.
        parts: key points; 0 for a detector.
        why: in a few words.
        family: of networks, which tells their usual pixels and placement.
        rank, swapped: see `Reading`.
    """

    fields: Mapping[str, Any]
    parts: int
    why: str
    family: Family
    rank: int = 1
    swapped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing:
    """What a table lacks, and the option that supplies it."""

    why: str


def part_counts(facts: GraphFacts, asked: Asked) -> tuple[int, ...]:
    """Numbers of key points that the network can have: what is said of it, else those of the skeletons that are built in."""
    if asked.skeleton is not None:
        return (len(asked.skeleton.parts),)
    told = point_shape(facts)
    return (told[0],) if told else tuple(sorted({len(load_skeleton(name).parts) for name in skeleton_names()}))


def skeleton_names(parts: int | None = None) -> tuple[str, ...]:
    """Built-in skeletons with so many parts, COCO's first."""
    found = [name for name in built_in_skeletons() if parts is None or len(load_skeleton(name).parts) == parts]
    return tuple(sorted((name for name in found if load_skeleton(name).parts), key=lambda name: (not name.startswith("coco17"), name)))


def masks_of(facts: GraphFacts, table: Table, parts: int) -> int:
    """Columns of mask coefficients behind the classes, of a network that segments too: as many as it has mask prototypes."""
    if parts:
        return 0
    names = set(table.outputs.values())
    others = [output.shape[1] for output in facts.outputs if output.name not in names and len(output.shape) == 4 and output.shape[1] == 32]
    return others[0] if others else 0
