"""The way from a frame to the network's input against averaging by area: time in turns, and AP of both on enlarged photographs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.coco import CocoPhotos, coco_accuracy, coco_rows
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.model.manifest import InputSpec
from posetrt.runtime.people import People
from posetrt.runtime.picture import place, to_input
from posetrt.runtime.placement import Placement, letterbox
from posetrt.runtime.scaling import Scratch
from posetrt.runtime.sources.files import read_photo

Place = Callable[[NDArray[np.uint8], Placement, int], NDArray[np.uint8]]


@dataclass(frozen=True)
class LetterboxRow:
    """One size of frames.

    Attributes:
        frame: "1280x720", or "as they are".
        ms, area_ms: letterbox and tensor on one core, median, of a frame that lies in memory; as the runtime makes them, and by area. None:
            not timed.
        again_ms: as the runtime makes them of the same frame once more, which the processor's caches hold as far as they reach.
        ratio: median of the two in each turn, ours by area's.
        grey: largest mean difference of a picture's pixels, in grey levels.
        ap, area_ap: OKS AP with each; None where no annotations were given.
    """

    frame: str
    ms: float | None
    area_ms: float | None
    again_ms: float | None
    ratio: float | None
    grey: float
    ap: float | None = None
    area_ap: float | None = None


def by_area(frame: NDArray[np.uint8], placement: Placement, pad: int) -> NDArray[np.uint8]:
    """The reference: a letterbox made by `cv2.INTER_AREA` where it shrinks below half, and by cubic interpolation elsewhere."""
    import cv2

    (a, _, left), (_, e, top) = placement.matrix
    width, height, x, y = round(a * frame.shape[1]), round(e * frame.shape[0]), round(left), round(top)
    canvas = np.full((placement.size_wh[1], placement.size_wh[0], 3), pad, np.uint8)
    method = cv2.INTER_AREA if min(frame.shape[1] / width, frame.shape[0] / height) > 2 else cv2.INTER_CUBIC
    canvas[y : y + height, x : x + width] = cv2.resize(frame, (width, height), interpolation=method)
    return canvas


def enlarged(photo: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """A photograph as large as fits in a size, by cubic interpolation."""
    import cv2

    scale = min(size_wh[0] / photo.shape[1], size_wh[1] / photo.shape[0])
    target = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
    return np.asarray(cv2.resize(photo, target, interpolation=cv2.INTER_CUBIC), np.uint8)


def timed(spec: InputSpec, frames: Sequence[NDArray[np.uint8]], turns: int) -> LetterboxRow:
    """Time both ways in turns on frames of one size, on one core.

    Args:
        spec: the network's input.
        frames: (H, W, 3) uint8 BGR, all of one size.
        turns: at least 1; the first frame of each way is not counted.
    """
    import cv2

    height, width = frames[0].shape[:2]
    placement = letterbox((width, height), spec.size_wh, spec.fit.how)
    scratch, tensor = Scratch(), np.empty(spec.shape(), np.dtype(spec.dtype))
    canvas = scratch.array("canvas", (spec.size_wh[1], spec.size_wh[0], 3))

    def ours(frame: NDArray[np.uint8]) -> None:
        to_input(place(frame, placement, spec.fit.pad, canvas, scratch), spec, tensor, scratch)

    def area(frame: NDArray[np.uint8]) -> None:
        to_input(by_area(frame, placement, spec.fit.pad), spec)

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        spent = [(ours, [0.0] * turns), (ours, [0.0] * turns), (area, [0.0] * turns)]
        for turn in range(-1, turns):
            frame = frames[turn % len(frames)]
            for way, times in spent:
                began = time.perf_counter()
                way(frame)
                if turn >= 0:
                    times[turn] = (time.perf_counter() - began) * 1000
    finally:
        cv2.setNumThreads(threads)
    first, again, by_its_area = (np.array(times) for _, times in spent)
    return LetterboxRow(
        f"{width}x{height}",
        round(float(np.median(first)), 3),
        round(float(np.median(by_its_area)), 3),
        round(float(np.median(again)), 3),
        round(float(np.median(first / by_its_area)), 3),
        max(_grey(frame, placement, spec.fit.pad) for frame in frames),
    )


def _grey(frame: NDArray[np.uint8], placement: Placement, pad: int) -> float:
    apart = place(frame, placement, pad).astype(np.int16) - by_area(frame, placement, pad)
    return round(float(np.abs(apart).mean()), 2)


def accuracy(whole: WholeFrame, photos: CocoPhotos, size_wh: tuple[int, int] | None) -> tuple[float, float]:
    """AP of a network with both ways on annotated photographs.

    Args:
        whole: the network; frames of any size.
        photos: annotated.
        size_wh: enlarge each photograph to fit; None leaves them as they are.

    Returns:
        AP as the runtime places them, and placed by area.
    """
    spec = whole.manifest.input

    def found(how: Place) -> list[People]:
        people = []
        for path in photos.paths.values():
            photo = read_photo(path)
            frame = photo if size_wh is None else enlarged(photo, size_wh)
            own, inside = (photo.shape[1], photo.shape[0]), (frame.shape[1], frame.shape[0])
            # The annotations are in pixels of the photograph itself.
            back = letterbox(own, inside, "stretch").then(letterbox(inside, spec.size_wh, spec.fit.how))
            canvas = how(frame, letterbox(inside, spec.size_wh, spec.fit.how), spec.fit.pad)
            people += whole.decode(whole.engine.infer(to_input(canvas, spec)), [back])
        return [replace(each, boxes=None) for each in people]

    ours, area = (coco_accuracy(coco_rows(found(how), photos, whole.skeleton), photos).ap for how in (place, by_area))
    return round(ours, 4), round(area, 4)
