"""Exact outputs of a head `coordinates` for known people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.heads.drawing import logits
from posetrt.runtime.heads.base import DecodeOptions, Tensors
from posetrt.runtime.heads.coordinates import CoordinatesHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

PERSON_SCORE = 0.2
"""Least score of a person that shows. Source: the head's own "balanced" preset for a frame."""


def shows_anybody(head: CoordinatesHead, skeleton: Skeleton, tensors: Tensors) -> bool:
    """Whether the best score is a person's; places say nothing."""
    found = head.decoder(skeleton, DecodeOptions("evaluate")).decode(tensors, (1, 1))
    return any(len(one) and bool(one.scores.max() >= PERSON_SCORE) for one in found)


def encode(head: CoordinatesHead, skeleton: Skeleton, people: Sequence[People], size_wh: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """The numbers of the one person of each crop or frame: (N, rows, columns), scores (N, rows), presence (N, 1)."""
    points = np.stack([one.keypoints[0] for one in people]).astype(np.float64)
    count, parts = points.shape[:2]
    rows = head.rows or len(skeleton.parts)
    table = np.zeros((count, rows, len(head.columns)))
    for axis, name in enumerate(("x", "y")):
        place = points[..., axis] + (0.5 if head.origin == "edge" else 0.0)
        table[:, :parts, head.columns.index(name)] = place / size_wh[axis] if head.unit == "input" else place
    score = logits(points[..., 2]) if head.score_logits else points[..., 2]
    outputs: dict[str, NDArray[np.float32]] = {}
    if "score" in head.columns:
        table[:, :parts, head.columns.index("score")] = score
    elif "scores" in head.outputs:
        own = np.zeros((count, rows))
        own[:, :parts] = score
        outputs[head.outputs["scores"]] = own.astype(np.float32)
    if "presence" in head.outputs:
        there = np.ones((count, 1))
        outputs[head.outputs["presence"]] = logits(there) if head.presence_logits else there.astype(np.float32)
    outputs[head.outputs["points"]] = table.astype(np.float32)
    return outputs
