"""Exact outputs of a head `simcc` for known people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.heads.simcc import SimccHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

SIGMA = 5.0
"""Standard deviation of the Gaussians in bins. Source: mmpose's RTMPose, 4.9 along x and 5.66 along y at 192 x 256."""


PERSON_SCORE = 0.3
"""Least mean of the parts' maxima where a crop shows a person. RTMPose's own drawing threshold for a part (rtmlib, kpt_thr)."""


def shows_anybody(head: SimccHead, skeleton: Skeleton, tensors: Tensors) -> bool:
    """Whether the distributions have peaks."""
    size = [round(head.tensor(tensors, role).shape[-1] / head.split_ratio) for role in head.roles]
    found = head.decoder(skeleton).decode(tensors, (size[0], size[1]))
    return any(bool(one.scores[0] >= PERSON_SCORE) for one in found)


def encode(head: SimccHead, skeleton: Skeleton, people: Sequence[People], size_wh: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """Two Gaussians for each part of the one person of each crop; their height is the part's score."""
    del skeleton
    points = np.stack([one.keypoints[0] for one in people]).astype(np.float64)
    outputs = {}
    for axis, role in enumerate(("x", "y")):
        bins = np.arange(round(size_wh[axis] * head.split_ratio))
        apart = bins - points[..., axis, None] * head.split_ratio
        outputs[head.outputs[role]] = (points[..., 2, None] * np.exp(-(apart**2) / (2 * SIGMA**2))).astype(np.float32)
    return outputs
