"""Which part of a network's skeleton is which part of a data set: the tables of parts.json, read by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People


@dataclass(frozen=True)
class Correspondence:
    """A skeleton's parts in a data set's order.

    Attributes:
        parts: the data set's parts.
        places: for each of them the index of the part in the skeleton; -1 where it has none.
    """

    parts: tuple[str, ...]
    places: tuple[int, ...]

    @property
    def judged(self) -> NDArray[np.bool_]:
        """(P,) whether the skeleton has the part."""
        return np.array(self.places) >= 0

    @property
    def left_out(self) -> tuple[str, ...]:
        """The data set's parts that the skeleton has not."""
        return tuple(part for part, place in zip(self.parts, self.places, strict=True) if place < 0)

    def take(self, people: People) -> NDArray[np.float64]:
        """(N, P, 3) float64: the people's key points in the data set's order; zeros for a part that the skeleton has not."""
        points = people.keypoints[:, np.maximum(self.places, 0)].astype(np.float64)
        points[:, ~self.judged] = 0
        return points


@cache
def _tables() -> dict[str, Any]:
    text = resources.files("posetrt.calib.datasets").joinpath("parts.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables


def parts_of(dataset: str) -> tuple[str, ...]:
    """The parts of a data set, in the order of its files."""
    return tuple(_tables()["datasets"][dataset])


def correspondence(dataset: str, skeleton: Skeleton) -> Correspondence:
    """Find a data set's parts in a skeleton: by the table of a built-in one, by its `coco17` field for any other.

    Raises:
        UsageError: the skeleton has none of the data set's parts.
    """
    tables = _tables()
    names: list[str | None] = [None] * len(skeleton.parts)
    table = tables["skeletons"].get(skeleton.name)
    if table is not None and len(table) == len(names):
        names = list(table)
    else:
        for name, place in zip(tables["coco17"], skeleton.coco17, strict=False):
            names[place] = name
    places = []
    for part in tables["datasets"][dataset]:
        accepted = tables["stands_for"].get(part, [part])
        places.append(next((names.index(name) for name in accepted if name in names), -1))
    if max(places) < 0:
        raise UsageError(
            f"skeleton {skeleton.name!r} has none of the parts that {dataset} annotates ({', '.join(tables['datasets'][dataset][:4])}, …); "
            "take a network whose skeleton has them, or give the skeleton a coco17 field"
        )
    return Correspondence(tuple(tables["datasets"][dataset]), tuple(places))
