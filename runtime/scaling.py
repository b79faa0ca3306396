"""A picture made smaller for a network: as good as averaging by area, at a small part of the cost.

`cv2.resize` with INTER_AREA is fast at exactly one half, and slow at any other ratio. Bilinear sampling is fast at any ratio, and sees
two by two pixels however many it steps over. So a picture that shrinks a little is halved, and a bilinear step does the rest; one that
shrinks more is sampled twice as densely as wanted, and that is halved. Every step keeps pixel centres as `placement` has them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHRINKS = 2.0
"""From this many source pixels per pixel on, along both axes, a picture is averaged; below, it is interpolated."""

_HALVED_FIRST = 3.2
"""Up to so many source pixels per pixel halving comes first; above, it would read more pixels than the dense samples do."""


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


def halved_first(frame_wh: tuple[int, int], size_wh: tuple[int, int]) -> bool:
    """Whether `shrink` halves the picture and then samples it; else it samples twice as densely, and halves that."""
    factor = max(frame_wh[0] / size_wh[0], frame_wh[1] / size_wh[1])
    return factor <= _HALVED_FIRST and frame_wh[0] % 2 == frame_wh[1] % 2 == 0


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
    if halved_first((wide, tall), (width, height)):
        half = scratch.array("half", (tall // 2, wide // 2, 3))
        cv2.resize(frame, (wide // 2, tall // 2), dst=half, interpolation=cv2.INTER_AREA)
        cv2.resize(half, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
    else:
        dense = scratch.array("dense", (2 * height, 2 * width, 3))
        cv2.resize(frame, (2 * width, 2 * height), dst=dense, interpolation=cv2.INTER_LINEAR)
        cv2.resize(dense, (width, height), dst=out, interpolation=cv2.INTER_AREA)
