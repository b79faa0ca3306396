"""Exact maps of known people: Gaussians, and what each cell knows of the part nearest to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.heads.subpixel import Grid


def cells_of(keypoints: NDArray[np.floating], shape_hw: tuple[int, int], size_wh: tuple[int, int], grid: Grid) -> NDArray[np.float64]:
    """Key points (..., 3) in pixels of the network's input as cells of maps: what `subpixel.to_pixels` turns back."""
    cells = np.array(keypoints, np.float64)
    pixels, count = np.array(size_wh, np.float64), np.array(shape_hw[::-1], np.float64)
    if grid == "corners":
        cells[..., :2] /= (pixels - 1) / np.maximum(count - 1, 1)
    else:
        stride = pixels / count
        cells[..., :2] = (cells[..., :2] + 0.5) / stride - 0.5 if grid == "centre" else cells[..., :2] / stride
    return cells


def gaussians(cells: NDArray[np.float64], shape_hw: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    """Heat maps (K, h, w) of people (N, K, 3) in cells: of each part the greatest of all people's Gaussians, whose height is the score."""
    height, width = shape_hw
    across = np.exp(-((np.arange(width) - cells[..., :1]) ** 2) / (2 * sigma**2))
    down = np.exp(-((np.arange(height) - cells[..., 1:2]) ** 2) / (2 * sigma**2))
    maps = np.zeros((cells.shape[1], height, width))
    for person in range(len(cells)):
        np.maximum(maps, cells[person, :, 2, None, None] * down[person, :, :, None] * across[person, :, None, :], out=maps)
    return maps.astype(np.float32)


def nearest(cells: NDArray[np.float64], shape_hw: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of people (N, K, 3) in cells, for each part and cell who is nearest, (K, h, w), and how far in cells; infinite where nobody has it."""
    rows, columns = np.arange(shape_hw[0])[:, None], np.arange(shape_hw[1])
    who = np.zeros((cells.shape[1], *shape_hw), np.int64)
    square = np.full(who.shape, np.inf)
    for number, person in enumerate(cells):
        apart = (rows - person[:, 1, None, None]) ** 2 + (columns - person[:, 0, None, None]) ** 2
        apart[person[:, 2] <= 0] = np.inf
        closer = apart < square
        who[closer] = number
        square = np.minimum(square, apart)
    return who, np.sqrt(square)


def batch(frames: Sequence[dict[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
    """Outputs of frames as those of one batch."""
    return {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}


def logits(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """The logarithms of the odds; 1e-6 and 1 - 1e-6 are the ends."""
    clipped = np.clip(np.asarray(probabilities, np.float64), 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped)).astype(np.float32)
