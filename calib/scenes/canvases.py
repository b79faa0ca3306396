"""Annotated photographs, shrunk and strewn over large canvases: what a drone's camera sees, with the truth beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.coco import CocoPhotos, coco_photos
from posetrt.runtime.errors import UsageError
from posetrt.runtime.files import write_json, written_whole
from posetrt.runtime.placement import PAD_GREY
from posetrt.runtime.sources import read_photo

_TRIES = 200
"""Places that are tried for a photograph before a new canvas is begun."""


@dataclass(frozen=True)
class Placed:
    """A photograph on a canvas.

    Attributes:
        image_id: its own, in its annotations.
        left, top: of its corner on the canvas, in pixels.
        scale_xy: canvas pixels per pixel of it.
    """

    image_id: int
    left: int
    top: int
    scale_xy: tuple[float, float]


def strew(photos: CocoPhotos, folder: Path, *, size_wh: tuple[int, int], shrink: float, seed: int = 0) -> CocoPhotos:
    """Place every photograph once, side by side on as many canvases as it takes, and store them with their annotations.

    Args:
        photos: with key points.
        folder: gets images/NNNNN.png and person_keypoints.json.
        size_wh: of a canvas.
        shrink: by which photographs are made smaller.
        seed: of the places.

    Raises:
        UsageError: a photograph that does not fit in a canvas.
        PosetrtError: a photograph cannot be read, or the folder cannot be written.
    """
    import cv2

    annotations: dict[int, list[dict[str, Any]]] = {}
    for one in photos.truth["annotations"]:
        annotations.setdefault(one["image_id"], []).append(one)
    images: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    for number, (canvas, placed) in enumerate(_canvases(photos, size_wh, shrink, np.random.default_rng(seed)), 1):
        name = f"{number:05d}.png"
        with written_whole(folder / "images" / name) as temporary:
            temporary.write_bytes(cv2.imencode(".png", canvas)[1].tobytes())
        images.append({"id": number, "file_name": name, "width": size_wh[0], "height": size_wh[1]})
        for each in placed:
            moved += [_moved(one, each, number, len(moved) + count) for count, one in enumerate(annotations.get(each.image_id, ()), 1)]
    target = folder / "person_keypoints.json"
    write_json(target, {"images": images, "annotations": moved, "categories": photos.truth["categories"]})
    return coco_photos(target, folder / "images")


def _canvases(
    photos: CocoPhotos, size_wh: tuple[int, int], shrink: float, random: np.random.Generator
) -> Iterator[tuple[NDArray[np.uint8], list[Placed]]]:
    canvas, placed = _grey(size_wh), list[Placed]()
    taken = np.zeros((0, 4))
    for image_id in random.permutation(list(photos.paths)).tolist():
        small, scale_xy = _shrunk(photos.paths[image_id], shrink)
        height, width = small.shape[:2]
        if width > size_wh[0] or height > size_wh[1]:
            raise UsageError(
                f"{photos.paths[image_id].name} is {width}x{height} when shrunk {shrink:g} times, and the canvas {size_wh[0]}x{size_wh[1]}: "
                "shrink more, or take a larger canvas"
            )
        place = _free(taken, (width, height), size_wh, random)
        if place is None:
            yield canvas, placed
            canvas, placed, taken = _grey(size_wh), [], np.zeros((0, 4))
            place = _free(taken, (width, height), size_wh, random)
            assert place is not None
        left, top = place
        canvas[top : top + height, left : left + width] = small
        placed.append(Placed(image_id, left, top, scale_xy))
        taken = np.vstack([taken, [left, top, left + width, top + height]])
    if placed:
        yield canvas, placed


def _grey(size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    return np.full((size_wh[1], size_wh[0], 3), PAD_GREY, np.uint8)


def _shrunk(path: Path, shrink: float) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    import cv2

    frame = read_photo(path)
    height, width = frame.shape[:2]
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8), (size[0] / width, size[1] / height)


def _free(taken: NDArray[np.float64], wh: tuple[int, int], size_wh: tuple[int, int], random: np.random.Generator) -> tuple[int, int] | None:
    """A place where a picture covers none of (M, 4) left, top, right, bottom."""
    for _ in range(_TRIES):
        left, top = (int(random.integers(0, whole - own + 1)) for whole, own in zip(size_wh, wh, strict=True))
        apart = (taken[:, 2] <= left) | (taken[:, 0] >= left + wh[0]) | (taken[:, 3] <= top) | (taken[:, 1] >= top + wh[1])
        if apart.all():
            return left, top
    return None


def _moved(one: dict[str, Any], place: Placed, image_id: int, number: int) -> dict[str, Any]:
    """A person's annotation as it lies on the canvas."""
    (across, down), corner = place.scale_xy, np.array([place.left, place.top])
    points = np.array(one["keypoints"], np.float64).reshape(-1, 3)
    seen = points[:, 2] > 0
    # Annotated points count centres at integers.
    points[:, :2] = np.where(seen[:, None], (points[:, :2] + 0.5) * (across, down) - 0.5 + corner, 0)
    x, y, width, height = one["bbox"]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": one["category_id"],
        "iscrowd": one.get("iscrowd", 0),
        "num_keypoints": one.get("num_keypoints", int(seen.sum())),
        "keypoints": points.round(3).ravel().tolist(),
        "bbox": [x * across + place.left, y * down + place.top, width * across, height * down],
        "area": float(one["area"]) * across * down,
    }
