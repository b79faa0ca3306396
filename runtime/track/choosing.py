"""Whom to follow: the person of a frame that a rule, a point or a rectangle means."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.people import People


def check_rule(whom: str) -> None:
    """Refuse what is no rule of `by_rule`.

    Raises:
        UsageError: says which there are.
    """
    if whom in ("largest", "centre") or whom.isdecimal():
        return
    try:
        x, y = map(float, whom.split(","))
    except ValueError:
        x = y = math.nan
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise UsageError(
            f"whom to follow is largest, centre, a tracker's id (7), or a place as shares of the picture from the top left (0.5,0.4); got {whom!r}"
        )


def by_rule(people: People, rule: str, size_wh: tuple[int, int]) -> int | None:
    """Row of the person whom "largest", "centre", an id ("7") or a place ("0.5,0.4", shares of the picture) means; None: nobody."""
    if not len(people):
        return None
    if rule.isdecimal():
        rows = np.flatnonzero(people.ids == int(rule))
        return int(rows[0]) if len(rows) else None
    boxes = _person_boxes(people)
    if rule == "largest":
        return int((boxes[:, 2] * boxes[:, 3]).argmax())
    if rule == "centre":
        middles = boxes[:, :2] + boxes[:, 2:] / 2 - np.array(size_wh) / 2
        return int(np.hypot(*middles.T).argmin())
    x, y = map(float, rule.split(","))
    return at_point(people, x, y, size_wh)


def _person_boxes(people: People) -> NDArray[np.float64]:
    return np.array([person_box(people, row) for row in range(len(people))], np.float64).reshape(-1, 4)


def person_box(people: People, row: int) -> tuple[float, float, float, float]:
    """x, y, width, height: the network's own, else around the parts that were found; zeros where none was."""
    if people.boxes is not None:
        left, top, width, height = people.boxes[row].tolist()
        return left, top, width, height
    points = people.keypoints[row]
    found = points[points[:, 2] > 0, :2]
    if not len(found):
        return 0.0, 0.0, 0.0, 0.0
    (left, top), (right, bottom) = found.min(axis=0).tolist(), found.max(axis=0).tolist()
    return left, top, right + 1 - left, bottom + 1 - top


def at_point(people: People, x: float, y: float, size_wh: tuple[int, int]) -> int | None:
    """Row of the person under a point: of several the one whose middle is nearest."""
    boxes, at = _person_boxes(people), np.array([x * size_wh[0], y * size_wh[1]])
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    away = np.where(((low <= at) & (at <= high)).all(axis=1), np.hypot(*((low + high) / 2 - at).T), np.inf)
    return int(away.argmin()) if np.isfinite(away).any() else None


def in_rectangle(people: People, drawn: tuple[float, float, float, float], size_wh: tuple[int, int]) -> int | None:
    """Row of the person who shares most with a rectangle, by intersection over union."""
    boxes, sides = _person_boxes(people), np.array([*size_wh, *size_wh])
    left, top, right, bottom = (np.array(drawn) * sides).tolist()
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    shared = np.maximum(np.minimum(high, (right, bottom)) - np.maximum(low, (left, top)), 0).prod(axis=1)
    either = boxes[:, 2:].prod(axis=1) + max(0.0, right - left) * max(0.0, bottom - top) - shared
    share = shared / np.maximum(either, 1e-9)
    return int(share.argmax()) if len(share) and share.max() > 0 else None
