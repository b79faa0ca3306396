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
from posetrt.runtime.find.boxes import inside
from posetrt.runtime.sources.base import Frame
from posetrt.runtime.sources.names import readable

FORMATS = (
    "a .json as COCO's detections ([{image_id, bbox: [x, y, width, height], category_id, score}, ...], image_id the number at the "
    "end of the photograph's name where all have one, else its place counted from 0), "
    "or a .txt or .csv as MOTChallenge's (frame counted from 1, id, x, y, width, height, ...)"
)


@dataclass(frozen=True)
class Given:
    """Boxes of one frame.

    Attributes:
        boxes: (M, 4) float32: x, y, width, height in pixels of the frame; None for the whole frame.
        ids: (M,) int64, or None.
        unseen: rows of this frame that show nothing of it: without area, or outside. They are left out of `boxes`.
    """

    boxes: NDArray[np.float32] | None
    ids: NDArray[np.int64] | None = None
    unseen: int = 0


_FARTHEST = 1e6
"""Pixels: no picture reaches so far, and float32 still tells half a pixel there."""
_MOST = 2**53
"""Frame numbers and ids are whole numbers up to this, which every reader of JSON and CSV takes as they are."""

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
        """The boxes of a frame; none where the file has none for it. A row without area, or outside the frame, is not in view, and counted."""
        number = frame.image_id if self._coco else frame.index
        rows = self._rows.get(number, [])
        boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
        seen = (boxes[:, 2:] > 0).all(axis=1) & inside(boxes, frame.size_wh[::-1])
        ids = None if self._coco else np.array([row[4] for row in rows], np.int64)[seen]
        return Given(boxes[seen], ids, int((~seen).sum()))


def _read_coco(path: Path) -> dict[int, list[tuple[float, ...]]]:
    given = read_json(path, "box file")
    if not isinstance(given, list):
        found = sorted(given)[:5] if isinstance(given, dict) else type(given).__name__
        raise PosetrtError(f"{path} holds {found} where a list of boxes was expected; give {FORMATS}")
    rows: dict[int, list[tuple[float, ...]]] = {}
    for place, entry in enumerate(given):
        try:
            values = entry["bbox"]
            if not isinstance(values, list) or len(values) != 4:
                raise ValueError(f"bbox has {len(values)} values")
            box = tuple(_within(value, _FARTHEST) for value in values)
            image, category = _whole(entry["image_id"]), entry.get("category_id", 1)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PosetrtError(f"{path}: entry {place} is no box ({error!r}); give {FORMATS}") from error
        if category == 1:
            rows.setdefault(image, []).append(box)
    return rows


def _read_mot(path: Path) -> dict[int, list[tuple[float, ...]]]:
    rows: dict[int, list[tuple[float, ...]]] = {}
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        try:
            for fields in reader:
                if not any(field.strip() for field in fields):
                    continue
                try:
                    if len(fields) < 6:
                        raise ValueError(f"{len(fields)} fields")
                    frame, person = _whole(float(fields[0])), _whole(float(fields[1]))
                    box = tuple(_within(float(field), _FARTHEST) for field in fields[2:6])
                    counts = len(fields) < 7 or _within(float(fields[6]), float("inf")) != 0
                    if frame < 1:
                        raise ValueError("frames are counted from 1")
                except ValueError as error:
                    shown = readable(",".join(fields)[:60])
                    raise PosetrtError(f"{path}: line {reader.line_num} is no box ({error}): {shown!r}; give {FORMATS}") from error
                if counts:
                    rows.setdefault(frame - 1, []).append((*box, person))
        except csv.Error as error:
            raise PosetrtError(f"{path}: line {reader.line_num} cannot be read ({error}); give {FORMATS}") from error
    return rows


def _within(value: Any, most: float) -> float:
    """Raises: ValueError, TypeError: no number, or one that is not finite or beyond `most`."""
    if isinstance(value, (bool, str)):
        raise TypeError(f"a number was expected, and {value!r:.30} came")
    number = float(value)
    if not math.isfinite(number) or abs(number) > most:
        raise ValueError(f"{number:g} is out of range")
    return number


def _whole(value: Any) -> int:
    """Raises: ValueError, TypeError: no whole number, or one too large to be exact."""
    number = _within(value, _MOST)
    if number != int(number):
        raise ValueError(f"{number:g} is no whole number")
    return int(number)
