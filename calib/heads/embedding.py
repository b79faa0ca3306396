"""Exact outputs of a head `embedding` for known people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.heads.drawing import batch, cells_of, gaussians, logits, nearest
from posetrt.runtime.heads.embedding import EmbeddingHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

SIGMA = 2.0
"""Standard deviation of the Gaussians in cells. Source: HigherHRNet, SIGMA."""

APART = 3.0
"""Between the tags of two people, in the head's threshold."""


STRIDE = 4
"""Pixels per cell; the finer heat maps have half of it. Source: HigherHRNet."""


def encode(head: EmbeddingHead, skeleton: Skeleton, people: Sequence[People], size_wh: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """The outputs of frames with everybody in them."""
    return batch([_frame(head, skeleton, everybody, size_wh) for everybody in people])


def _frame(head: EmbeddingHead, skeleton: Skeleton, people: People, size_wh: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    parts, dimensions = len(skeleton.parts), head.dimensions
    shape = (size_wh[1] // STRIDE, size_wh[0] // STRIDE)
    cells = cells_of(people.keypoints, shape, size_wh, head.grid)
    heat = gaussians(cells, shape, SIGMA)
    heat = _negated(heat) if head.negated else heat
    tags = np.zeros((parts, dimensions, *shape), np.float32)
    if len(cells):
        who, apart = nearest(cells, shape)
        # People stand on a line in the space of tags.
        tags += np.where(np.isfinite(apart), who, 0)[:, None] * (APART * head.tag_threshold / np.sqrt(dimensions))
    if head.tag_order == "dimension":
        tags = tags.swapaxes(0, 1)
    flat = tags.reshape(parts * dimensions, *shape)
    outputs = {head.outputs["heatmaps"]: logits(heat) if head.logits else heat}
    if head.outputs["tags"] == head.outputs["heatmaps"]:
        outputs[head.outputs["tags"]] = np.concatenate([outputs[head.outputs["heatmaps"]], flat])
    else:
        outputs[head.outputs["tags"]] = flat
    if "fine" in head.outputs:
        fine = (2 * shape[0], 2 * shape[1])
        drawn = gaussians(cells_of(people.keypoints, fine, size_wh, head.grid), fine, SIGMA)
        drawn = _negated(drawn) if head.negated else drawn
        outputs[head.outputs["fine"]] = logits(drawn) if head.logits else drawn
    return {name: values.astype(np.float32) for name, values in outputs.items()}


def _negated(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each value that a neighbour exceeds, negated."""
    wide = np.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    rows, columns = maps.shape[1:]
    near = np.max([wide[:, y : y + rows, x : x + columns] for y in range(3) for x in range(3)], 0)
    return np.where(maps < near, -maps, maps)
