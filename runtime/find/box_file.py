"""Boxes of people that a detector or tracker has written: COCO's detections, or MOTChallenge's rows."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import read_json
from posetrt.runtime.find.boxes import check_boxes
from posetrt.runtime.sources.base import Frame

FORMATS = (
    "a .json as COCO's detections ([{image_id, bbox: [x, y, width, height], category_id, score}, ...], image_id the number at the "
    "end of the photograph's name, else the frame counted from 0), or a .txt or .csv as MOTChallenge's (frame counted from 1, id, x, y, width, height, ...)"
)


@dataclass(frozen=True)
class Given:
    """Boxes of one frame.

    Attributes:
        boxes: (M, 4) float32: x, y, width, height in pixels of the frame; None for the whole frame.
        ids: (M,) int64, or None.
    """

    boxes: NDArray[np.float32] | None
    ids: NDArray[np.int64] | None = None


Boxes = Callable[[Frame], Given]
"""Gives a frame's boxes."""


def whole(_: Frame) -> Given:
    """The whole frame is one box."""
    return Given(None)


class BoxFile:
    """Boxes by frame, read whole.

    Args:
        path: see `FORMATS`. Of COCO's boxes those of category 1 count, of MOTChallenge's those whose confidence is not 0.

    Raises:
        UsageError: no such file, or one of another kind.
        PosetrtError: a row that is none.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"there is no box file {path}; give {FORMATS}")
        suffix = path.suffix.lower()
        if suffix not in (".json", ".txt", ".csv"):
            raise UsageError(f"{path} is no box file by its name; give {FORMATS}")
        self._path = path
        self._coco = suffix == ".json"
        self._rows = _read_coco(path) if self._coco else _read_mot(path)

    def __call__(self, frame: Frame) -> Given:
        """The boxes of a frame; none where the file has none for it.

        Raises:
            UsageError: a box without area, or outside the frame.
        """
        number = frame.image_id if self._coco else frame.index
        rows = self._rows.get(number, [])
        boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
        ids = None if self._coco else np.array([row[4] for row in rows], np.int64)
        return Given(check_boxes(boxes, frame.image.shape, f"{self._path.name}, frame {frame.name}"), ids)


def _read_coco(path: Path) -> dict[int, list[tuple[float, ...]]]:
    given = read_json(path, "box file")
    if not isinstance(given, list):
        found = sorted(given)[:5] if isinstance(given, dict) else type(given).__name__
        raise PosetrtError(f"{path} holds {found} where a list of boxes was expected; give {FORMATS}")
    rows: dict[int, list[tuple[float, ...]]] = {}
    for place, entry in enumerate(given):
        try:
            box = tuple(float(value) for value in entry["bbox"])
            image, category = int(entry["image_id"]), entry.get("category_id", 1)
            if len(box) != 4:
                raise ValueError(f"bbox has {len(box)} values")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PosetrtError(f"{path}: entry {place} is no box ({error!r}); give {FORMATS}") from error
        if category == 1:
            rows.setdefault(image, []).append(box)
    return rows


def _read_mot(path: Path) -> dict[int, list[tuple[float, ...]]]:
    rows: dict[int, list[tuple[float, ...]]] = {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for line, fields in enumerate(csv.reader(file), 1):
            if not any(field.strip() for field in fields):
                continue
            values = _numbers(fields[:7])
            if values is None or len(values) < 6 or values[0] < 1:
                raise PosetrtError(f"{path}: line {line} is no box: {','.join(fields)[:60]!r}; give {FORMATS}")
            if len(values) < 7 or values[6] != 0:
                rows.setdefault(int(values[0]) - 1, []).append((*values[2:6], values[1]))
    return rows


def _numbers(fields: list[str]) -> list[float] | None:
    try:
        values: list[Any] = [float(field) for field in fields]
    except ValueError:
        return None
    return values if all(math.isfinite(value) for value in values) else None
