"""Crops of a frame for a network that looks at one thing, and the way of its points back to the frame.

Half-pixel, as everywhere: the middle of the crop's pixel u of W lies at `(u + 0.5) / W` of the box's width; a mirrored crop counts from
the box's right edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PAD_BLACK = 0
"""Outside the frame, as OpenPose shows it to its hand and face networks (handExtractorCaffe.cpp, warpAffine's border)."""


def cut(
    frame: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    mirrored: NDArray[np.bool_],
    size_wh: tuple[int, int],
    pad: int = PAD_BLACK,
) -> NDArray[np.uint8]:
    """Cut boxes out of a frame, each scaled to one size: bilinear, and by area where a box shrinks below half.

    Args:
        frame: (H, W, 3) uint8 BGR.
        boxes: (M, 4) float32 (see `boxes`), with area.
        mirrored: (M,) which are turned left to right.
        size_wh: of the crops.
        pad: value of what lies outside the frame.

    Returns:
        (M, h, w, 3) uint8 BGR.
    """
    import cv2

    width, height = size_wh
    crops = np.empty((len(boxes), height, width, 3), np.uint8)
    for crop, box, mirror in zip(crops, np.asarray(boxes, np.float64), mirrored, strict=True):
        source, origin, shrunk = _shrunk(frame, box, size_wh)
        # Frame px a crop px, then where the crop's first pixel lies, both in px of `source`.
        step = box[2:] / (width, height) / shrunk
        first = (box[:2] - origin) / shrunk + step / 2 - 0.5
        if mirror:
            first[0] += (width - 1) * step[0]
            step[0] = -step[0]
        to_source = np.array([[step[0], 0, first[0]], [0, step[1], first[1]]])
        cv2.warpAffine(
            source,
            to_source,
            (width, height),
            dst=crop,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(pad, pad, pad),
        )
    return crops


def to_frame(
    points: NDArray[np.float32], stride: int, boxes: NDArray[np.float32], mirrored: NDArray[np.bool_], size_wh: tuple[int, int]
) -> NDArray[np.float32]:
    """Map key points from heat-map cells of crops to pixels of the frame.

    Args:
        points: (M, K, 3) float32: x, y in cells (centres at integers), score; a part with score 0 is given at 0, 0.
        stride: crop px a cell.
        boxes, mirrored, size_wh: as the crops were cut.

    Returns:
        (M, K, 3) float32: x, y in pixels of the frame (centres at integers), score unchanged.
    """
    share = (points[..., :2].astype(np.float64) + 0.5) * stride / np.asarray(size_wh)
    share[mirrored, :, 0] = 1 - share[mirrored, :, 0]
    mapped: NDArray[np.float32] = points.copy()
    mapped[..., :2] = boxes[:, None, :2] + share * boxes[:, None, 2:] - 0.5
    mapped[points[..., 2] <= 0] = 0
    return mapped


def _shrunk(
    frame: NDArray[np.uint8], box: NDArray[np.float64], size_wh: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """What to sample a box from: the frame, or the part of it under the box made smaller, so that bilinear sampling misses no pixel.

    Returns:
        The picture, its top left edge in the frame, and frame px a pixel of it, by axis.
    """
    import cv2

    factor = box[2:] / np.asarray(size_wh)
    height, width = frame.shape[:2]
    if factor.max() <= 2:
        return frame, np.zeros(2), np.ones(2)
    low = np.clip(np.floor(box[:2]), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(box[:2] + box[2:]), low + 1, [width, height]).astype(int)
    part = frame[low[1] : high[1], low[0] : high[0]]
    size = np.maximum(1, np.round((high - low) / np.maximum(factor, 1))).astype(int)
    small = np.asarray(cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA), np.uint8)
    return small, low.astype(np.float64), (high - low) / size
