"""What calibration asks of a head `offsets`: exact outputs for known people, and how far outputs are from others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.heads.drawing import batch, logits, nearest
from posetrt.calib.heads.hooks import relative_error
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.heads.offsets import OffsetsHead
from posetrt.runtime.heads.subpixel import probability
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

RADIUS = 32.0
"""Within this distance of a part, in pixels, its maps hold something. Source: PersonLab, section 3.1."""


def encode(head: OffsetsHead, skeleton: Skeleton, people: Sequence[People], size_wh: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """The four outputs of frames with everybody in them; their size is a multiple of the stride, and 1."""
    del skeleton
    return batch([_frame(head, everybody, size_wh) for everybody in people])


def error(head: OffsetsHead, skeleton: Skeleton, wanted: Tensors, given: Tensors) -> float:
    """The error of the probabilities, and of each way, counted by the square of the probability of the part from which it leads."""
    del skeleton
    axis = -1 if head.channels == "last" else 1

    def heat(tensors: Tensors) -> NDArray[np.float32]:
        maps = np.asarray(tensors[head.outputs["heatmaps"]], np.float32)
        return probability(maps) if head.logits else maps

    right = heat(wanted)
    total = relative_error(right, heat(given))
    parts = np.arange(right.shape[axis])
    parents, children = np.array(head.edges).T
    for role, source in (("offsets", parts), ("forward", parents), ("backward", children)):
        weight = np.square(np.take(right, np.concatenate([source, source]), axis=axis))
        name = head.outputs[role]
        total += relative_error(wanted[name], given[name], weight)
    return total


def _frame(head: OffsetsHead, people: People, size_wh: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    stride, parts = head.stride, people.keypoints.shape[1]
    shape = ((size_wh[1] - 1) // stride + 1, (size_wh[0] - 1) // stride + 1)
    cells = people.keypoints.astype(np.float64)
    cells[..., :2] /= stride
    who, apart = nearest(cells, shape) if len(cells) else (np.zeros((parts, *shape), np.int64), np.full((parts, *shape), np.inf))
    near = apart * stride <= RADIUS
    part = np.arange(parts)[:, None, None]
    height = cells[who, part, 2] if len(cells) else np.zeros(apart.shape)
    heat = np.where(near, height * np.exp(-(np.where(near, apart, 0) ** 2) / 2), 0)
    grid = np.indices(shape)[::-1]

    def channels(ways: NDArray[np.float64]) -> NDArray[np.float64]:
        """(2, C, h, w) of x and y as channels."""
        return np.concatenate(ways[::-1] if head.y_first else ways)

    def to(target: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of each part's cells the way to a part of the same person, (2, K, h, w), in pixels."""
        if not len(cells):
            return np.zeros((2, *apart.shape))
        places = cells[who, target[:, None, None]]
        return np.stack([np.where(near, (places[..., axis] - grid[axis]) * stride, 0) for axis in (0, 1)])

    def displaced(ends: list[tuple[int, int]]) -> NDArray[np.float64]:
        """Of each edge the way from its first to its second part, (2 E, h, w)."""
        ways = []
        for source, target in ends:
            if not len(cells):
                ways.append(np.zeros((2, *shape)))
                continue
            way = (cells[:, target] - cells[:, source])[who[source]]
            ways.append(np.stack([np.where(near[source], way[..., axis] * stride, 0) for axis in (0, 1)]))
        return channels(np.stack(ways, axis=1))

    maps = {
        "heatmaps": logits(heat) if head.logits else heat,
        "offsets": channels(to(np.arange(parts))),
        "forward": displaced([(parent, child) for parent, child in head.edges]),
        "backward": displaced([(child, parent) for parent, child in head.edges]),
    }
    axis = -1 if head.channels == "last" else 0
    return {head.outputs[role]: np.moveaxis(values, 0, axis).astype(np.float32) for role, values in maps.items()}
