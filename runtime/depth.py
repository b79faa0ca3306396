"""Key points in space by a depth picture that lies over the colour picture pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.camera import Camera
from posetrt.runtime.errors import UsageError

PATCH = 5
"""Pixels, each way: a depth camera's holes and noise are of a pixel or two."""
LEAST_SHARE = 0.3
"""Of a patch that must have depth: less is an edge or a hole."""
NEAREST_M, FARTHEST_M = 0.1, 50.0
"""What a depth camera can mean; zeros, NaN and infinity are holes."""


def depth_in_metres(depth: NDArray[np.generic]) -> NDArray[np.float32]:
    """A depth picture in metres: uint16 holds millimetres (REP 118), float32 metres.

    Args:
        depth: (H, W).

    Raises:
        UsageError: another type or shape.
    """
    if depth.ndim != 2 or depth.dtype not in (np.uint16, np.float32):
        raise UsageError(f"a depth picture is (H, W), uint16 millimetres or float32 metres; got {depth.shape} {depth.dtype}")
    metres: NDArray[np.float32] = depth.astype(np.float32)
    return metres * np.float32(0.001) if depth.dtype == np.uint16 else metres


def depth_at(depth: NDArray[np.generic], points: NDArray[np.floating], patch: int = PATCH) -> NDArray[np.float32]:
    """Depth at each point: the median of the patch around it that is no hole.

    Args:
        depth: (H, W) uint16 in millimetres or float32 in metres.
        points: (..., 2) x, y in pixels of the depth picture.
        patch: side of the patch, an odd number of pixels; it ends at the picture's edge.

    Returns:
        (...) float32 metres; NaN outside the picture, and where less than 0.3 of the patch has depth between 0.1 and 50 m.

    Raises:
        UsageError: no depth picture, or an even patch.
    """
    if patch < 1 or patch % 2 == 0:
        raise UsageError(f"a patch has an odd side in pixels, to have a middle; got {patch}")
    if depth.ndim != 2:
        raise UsageError(f"a depth picture is (H, W); got {depth.shape}")
    height, width = depth.shape
    at = np.asarray(points, np.float64).reshape(-1, 2)
    inside = np.isfinite(at).all(axis=1) & (at >= -0.5).all(axis=1) & (at[:, 0] < width - 0.5) & (at[:, 1] < height - 0.5)
    middle = np.floor(np.where(inside[:, None], at, 0) + 0.5).astype(np.int64)
    steps = np.arange(patch) - patch // 2
    rows, columns = middle[:, 1, None] + steps, middle[:, 0, None] + steps
    there = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    taken = depth[np.clip(rows, 0, height - 1)[:, :, None], np.clip(columns, 0, width - 1)[:, None, :]]
    values = depth_in_metres(taken.reshape(len(at), -1))
    good = there.reshape(len(at), -1) & np.isfinite(values) & (values >= NEAREST_M) & (values <= FARTHEST_M)
    count = good.sum(axis=1)
    ordered = np.sort(np.where(good, values, np.float32(np.inf)), axis=1)
    # The lower of the two middle ones: a mean of foreground and background is neither.
    median = ordered[np.arange(len(at)), np.maximum(count - 1, 0) // 2] if len(at) else np.zeros(0, np.float32)
    known = inside & (count > 0) & (count >= LEAST_SHARE * there.reshape(len(at), -1).sum(axis=1))
    return np.where(known, median, np.float32(np.nan)).reshape(np.shape(points)[:-1])


def keypoints_in_space(
    keypoints: NDArray[np.float32], depth: NDArray[np.generic], camera: Camera, patch: int = PATCH
) -> NDArray[np.float32]:
    """Key points with a place in the camera's optical frame.

    Args:
        keypoints: (N, K, 3) float32: x, y in pixels of the colour picture, score.
        depth: (H, W), aligned to the colour picture, so of its size.
        camera: of the colour picture.
        patch: side in pixels of the patch whose median counts.

    Returns:
        (N, K, 4) float32: x (right), y (down), z (ahead) in metres, score; zeros for a part that was not found or has no depth.

    Raises:
        UsageError: the depth picture has another size than the camera's pictures.
    """
    if depth.ndim != 2 or (depth.shape[1], depth.shape[0]) != camera.size_wh:
        size = "x".join(str(side) for side in depth.shape[1::-1])
        raise UsageError(
            f"the depth picture is {size} and the camera's pictures are {camera.size_wh[0]}x{camera.size_wh[1]}: "
            "give depth that is aligned to colour (RealSense: align_depth.enable:=true, /aligned_depth_to_color/image_raw)"
        )
    ahead = depth_at(depth, keypoints[..., :2], patch)
    known = (keypoints[..., 2] > 0) & np.isfinite(ahead)
    rays = camera.directions(keypoints[..., :2].reshape(-1, 2)).reshape(*keypoints.shape[:2], 2)
    places = np.concatenate([rays * ahead[..., None], ahead[..., None], keypoints[..., 2:]], axis=2)
    return np.where(known[..., None], places, 0).astype(np.float32)
