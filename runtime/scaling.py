"""A picture made smaller for a network: as good as averaging by area, at a small part of the cost.

`cv2.resize` with INTER_AREA is fast at exactly one half, and slow at any other ratio. Bilinear sampling is fast at any ratio, and sees
two by two pixels however many it steps over. So a picture that shrinks a little is halved, and a bilinear step does the rest; one that
shrinks to about a quarter is sampled with twice the rows, whose pairs are averaged; one that shrinks more is sampled twice as densely as
wanted along both axes, and that is halved. Of a very large one only every third row is read: fetching it from memory is what takes the
time. Every step keeps pixel centres as `placement` has them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

SHRINKS = 2.0
"""From this many source pixels per pixel on, along both axes, a picture is averaged; below, it is interpolated."""

# Source pixels per pixel up to which a picture is halved, and up to which twice the rows are enough.
_HALVED, _TWICE_THE_ROWS = 3.2, 4.5
# From so many source rows per row on, a third of the rows serves the dense samples as well as all of them.
_THINNED = 6.0

Way = Literal["half", "rows", "dense", "dense of a third"]
"""How `shrink` goes about it."""


class Scratch:
    """Arrays that are made once and written again with every frame; of one thread."""

    def __init__(self) -> None:
        self._kept: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The array of a name, uint8, in the shape that is wanted now; what it holds is left over."""
        wanted = int(np.prod(shape))
        kept = self._kept.get(name)
        if kept is None or kept.size < wanted:
            kept = self._kept[name] = np.empty(wanted, np.uint8)
        return kept[:wanted].reshape(shape)


def way_to(frame_wh: tuple[int, int], size_wh: tuple[int, int]) -> Way:
    """How `shrink` makes a picture of one size into one of another."""
    across, down = (old / new for old, new in zip(frame_wh, size_wh, strict=True))
    if max(across, down) <= _HALVED:
        return "half" if frame_wh[0] % 2 == frame_wh[1] % 2 == 0 else "dense"
    if max(across, down) <= _TWICE_THE_ROWS:
        return "rows"
    return "dense of a third" if down >= _THINNED and frame_wh[1] % 3 == 0 else "dense"


def shrink(frame: NDArray[np.uint8], out: NDArray[np.uint8], scratch: Scratch) -> None:
    """Make a picture smaller, by at least `SHRINKS` along both axes.

    Args:
        frame: (H, W, 3) uint8.
        out: (h, w, 3) uint8 to write into; rows may lie apart, as in a canvas.
        scratch: for the pictures between.
    """
    import cv2

    height, width = out.shape[:2]
    tall, wide = frame.shape[:2]
    way = way_to((wide, tall), (width, height))
    if way == "half":
        half = scratch.array("half", (tall // 2, wide // 2, 3))
        cv2.resize(frame, (wide // 2, tall // 2), dst=half, interpolation=cv2.INTER_AREA)
        cv2.resize(half, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
        return
    if way == "rows":
        rows = scratch.array("rows", (2 * height, width, 3))
        cv2.resize(frame, (width, 2 * height), dst=rows, interpolation=cv2.INTER_LINEAR)
        cv2.addWeighted(rows[::2], 0.5, rows[1::2], 0.5, 0, dst=out)
        return
    if way == "dense of a third":
        # The middle one of each three, so that centres stay.
        frame = frame[1::3]
    dense = scratch.array("dense", (2 * height, 2 * width, 3))
    cv2.resize(frame, (2 * width, 2 * height), dst=dense, interpolation=cv2.INTER_LINEAR)
    cv2.resize(dense, (width, height), dst=out, interpolation=cv2.INTER_AREA)
