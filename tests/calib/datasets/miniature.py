"""People and files in miniature, for the tests of the data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People, nobody

Spot = tuple[float, float] | tuple[float, float, float]


def people_of(
    skeleton: Skeleton, *people: Mapping[str, Spot], scores: Sequence[float] | None = None, ids: Sequence[int] | None = None
) -> People:
    """People by the names of their parts: x, y and, where it matters, the score of the part."""
    if not people:
        return nobody(len(skeleton.parts))
    points = np.zeros((len(people), len(skeleton.parts), 3), np.float32)
    for row, parts in zip(points, people, strict=True):
        for name, spot in parts.items():
            row[skeleton.parts.index(name)] = (*spot, 1.0) if len(spot) == 2 else spot
    given = np.array(scores if scores is not None else np.linspace(1, 0.5, len(people)), np.float32)
    return People(points, given, None if ids is None else np.array(ids, np.int64))


def photographs(folder: Path, *names: str) -> Path:
    """Small grey pictures of these names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((48, 64, 3), 128, np.uint8))
    return folder


def structs(*records: Mapping[str, Any]) -> np.ndarray:
    """A MATLAB structure array, 1xN."""
    array = np.empty((1, len(records)), [(key, object) for key in records[0]])
    for column, record in enumerate(records):
        for key, value in record.items():
            array[0, column][key] = value
    return array


def cells(*values: Any) -> np.ndarray:
    """A MATLAB cell array, Nx1."""
    array = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        array[row, 0] = value
    return array
