"""Exact outputs of a head `segmentation` for known people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.heads.drawing import cells_of, gaussians, logits
from posetrt.runtime.heads.segmentation import SegmentationHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

SIGMA = 1.5
"""Standard deviation of the Gaussians in cells."""


def encode(
    head: SegmentationHead,
    skeleton: Skeleton,
    people: People,
    size_wh: tuple[int, int],
    stride: int = 4,
    *,
    limb_width: float = 5.0,
) -> dict[str, NDArray[np.float32]]:
    """The outputs for one frame with everybody in it: masks are 1 within `limb_width` pixels of a limb's line, which has round ends."""
    shape = (size_wh[1] // stride, size_wh[0] // stride)
    cells = cells_of(people.keypoints, shape, size_wh, head.grid)
    heat = gaussians(cells, shape, SIGMA)
    channels = head.masks_of(skeleton)
    masks = np.zeros((max(channels) + 1, *shape), np.float32)
    rows, columns = np.indices(shape)
    for person in cells:
        for (first, second), channel in zip(skeleton.limbs, channels, strict=True):
            if person[first, 2] <= 0 or person[second, 2] <= 0:
                continue
            start, way = person[first, :2], person[second, :2] - person[first, :2]
            across, down = columns - start[0], rows - start[1]
            along = np.clip((across * way[0] + down * way[1]) / max(float(way @ way), 1e-9), 0, 1)
            masks[channel][np.hypot(across - along * way[0], down - along * way[1]) <= limb_width / stride] = 1
    return {
        head.outputs["heatmaps"]: (logits(heat) if head.heatmap_logits else heat)[None],
        head.outputs["masks"]: (logits(masks) if head.mask_logits else masks)[None],
    }
