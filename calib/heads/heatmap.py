"""Heat maps of one thing: exact ones, and how a person shows in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.heads.paf import PERSON_PEAK
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.heads.heatmap import HeatmapHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

SPREAD_CELLS = 2.0
"""Standard deviation of a part's peak (Xiao et al., arXiv 1804.06208: 2 cells at a quarter of the input)."""


def shows_anybody(head: HeatmapHead, skeleton: Skeleton, tensors: Tensors) -> bool:
    """Whether the highest peak is a person's."""
    if head.decoded_in_graph:
        return bool(head.tensor(tensors, "peaks")[..., 2].max() >= PERSON_PEAK)
    return bool(head.tensor(tensors, "heatmaps")[:, : len(skeleton.parts)].max() >= PERSON_PEAK)


def encode(head: HeatmapHead, skeleton: Skeleton, people: Sequence[People], size_wh: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """A Gaussian for each part that the one person of each crop has."""
    columns, rows = (np.arange(side // head.stride) for side in size_wh)
    maps = np.zeros((len(people), len(skeleton.parts) + int(head.background), len(rows), len(columns)), np.float32)
    for each, one in zip(maps, people, strict=True):
        for part, (x, y, score) in zip(each, one.keypoints[0], strict=False):
            if score > 0:
                across, down = ((place + 0.5) / head.stride - 0.5 for place in (x, y))
                part[:] = np.exp(-((columns - across) ** 2 + (rows[:, None] - down) ** 2) / (2 * SPREAD_CELLS**2))
        if head.background:
            each[-1] = 1 - each[:-1].max(axis=0)
    return {head.outputs["heatmaps"]: maps}
