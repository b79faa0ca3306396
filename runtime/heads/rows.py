"""Rows: networks that give whole people, one row for each candidate: a box, scores and key points.

YOLO-pose (v5, v7, v8, 11, raw or end to end as 26), YOLOX-pose, YOLO-NAS, RTMO, MoveNet MultiPose, Key point R-CNN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Decoder
from posetrt.runtime.heads.candidate_decoder import CandidateDecoder
from posetrt.runtime.heads.candidates import CandidateHead, sigmoid
from posetrt.runtime.model.skeleton import Skeleton

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class RowsHead(CandidateHead):
    """Candidates with key points.

    Attributes:
        point_values: values of a key point: 2 is x and y, 3 has its score beside them.
        point_gain: what offsets from the cell are multiplied by before they count: 1, or 2 where YOLO's own layer is left out.
        point_activation: what the scores of key points still need: "none" or "sigmoid".
    """

    kind: ClassVar[str] = "rows"

    point_values: int = 3
    point_gain: float = 1.0
    point_activation: Literal["none", "sigmoid"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if "keypoints" not in self.values:
            raise UsageError("head 'rows' needs key points; a network without is a detector, head 'boxes'")
        if self.point_values not in (2, 3) or self.values["keypoints"][2] % self.point_values:
            raise UsageError(
                f"head 'rows': a key point has 2 or 3 values, and all have {self.values['keypoints'][2]}; got {self.point_values}"
            )
        if self.point_activation not in ("none", "sigmoid"):
            raise UsageError(f"head 'rows': point_activation is none or sigmoid, not {self.point_activation!r}")

    @property
    def parts(self) -> int:
        """Number of key points."""
        return self.values["keypoints"][2] // self.point_values

    def check(self, skeleton: Skeleton) -> None:
        """Refuse a skeleton of another number of parts, and OKS-NMS without sigmas."""
        if len(skeleton.parts) != self.parts:
            raise UsageError(
                f"the network gives {self.parts} key points; skeleton {skeleton.name!r} has {len(skeleton.parts)} parts. "
                "Choose one of that size with --skeleton"
            )
        if self.nms == "oks" and not skeleton.sigmas:
            raise UsageError(f"OKS-NMS needs the sigmas of skeleton {skeleton.name!r}: add them to its JSON, or use nms iou")

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> Decoder:
        """See `Head.decoder`."""
        self.check(skeleton)
        return CandidateDecoder(self, skeleton, options)

    def key_points(self, values: Floats, cells: Floats | None, scale: Floats, visibility: Floats | None) -> Floats:
        """Key points (n, K, 3) in pixels, from values (K * point_values, n)."""
        count = values.shape[1]
        split = values.reshape(self.parts, self.point_values, count)
        points = np.empty((count, self.parts, 3), np.float32)
        start = cells[:2] * cells[2] if cells is not None else None
        for axis in (0, 1):
            place = split[:, 1 - axis if self.yx else axis] * (np.float32(self.point_gain) * scale[axis])
            points[..., axis] = (place if start is None else place + start[axis]).T
        if visibility is None and self.point_values == 3:
            visibility = split[:, 2]
        if visibility is None:
            points[..., 2] = 1
        else:
            points[..., 2] = (sigmoid(visibility) if self.point_activation == "sigmoid" else visibility).T
        return points

    def summary(self) -> str:
        """See `Head.summary`."""
        nms = "no NMS needed" if self.nms == "none" else f"{self.nms.upper()} NMS {self.nms_threshold:g}"
        return f"rows of {self.parts} key points ({', '.join(self.outputs.values())}; {nms})"
