"""Exact outputs of a head `segmentation` for known people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.heads.drawing import batch, cells_of, gaussians, logits
from posetrt.runtime.heads.segmentation import SegmentationHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

SIGMA = 1.5
"""Standard deviation of the Gaussians in cells."""


STRIDE = 4
"""Pixels per cell."""

LIMB_WIDTH = 5.0
"""Masks are 1 so near to a limb's line, in pixels."""


def encode(
    head: SegmentationHead, skeleton: Skeleton, people: Sequence[People], size_wh: tuple[int, int]
) -> dict[str, NDArray[np.float32]]:
    """The outputs of frames with everybody in them."""
    return batch([_frame(head, skeleton, everybody, size_wh) for everybody in people])


def _frame(head: SegmentationHead, skeleton: Skeleton, people: People, size_wh: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    shape = (size_wh[1] // STRIDE, size_wh[0] // STRIDE)
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
            masks[channel][np.hypot(across - along * way[0], down - along * way[1]) <= LIMB_WIDTH / STRIDE] = 1
    return {
        head.outputs["heatmaps"]: (logits(heat) if head.heatmap_logits else heat),
        head.outputs["masks"]: (logits(masks) if head.mask_logits else masks),
    }
