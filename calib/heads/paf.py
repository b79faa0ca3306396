"""Heat maps and PAFs: exact ones by the paper's formulas, and how a person shows in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.scenes.targets import draw_targets
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.heads.paf.head import PafHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

PERSON_PEAK = 0.2
"""A picture whose highest peak lies below this shows nobody."""


def shows_anybody(head: PafHead, skeleton: Skeleton, tensors: Tensors) -> bool:
    """Whether the highest peak of the parts' maps is a person's."""
    return bool(head.tensor(tensors, "heatmaps")[:, : len(skeleton.parts)].max() >= PERSON_PEAK)


def encode(head: PafHead, skeleton: Skeleton, people: Sequence[People], size_wh: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Maps by the paper's formulas; see `calib.scenes.targets`."""
    layout = head.layout(skeleton)
    drawn = [draw_targets(one.keypoints, layout, size_wh, head.stride) for one in people]
    return {
        head.outputs["heatmaps"]: np.stack([one.heatmaps for one in drawn]),
        head.outputs["pafs"]: np.stack([one.pafs for one in drawn]),
    }
