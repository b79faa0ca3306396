"""Boxes: detectors, which give a box, a score and perhaps a class for each candidate.

YOLOX, RTMDet, YOLO (v5, v8, 11, 26), NanoDet (a distribution of distances), SSD (steps from anchors, or decoded),
MediaPipe's detectors of people, palms and faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Decoder
from posetrt.runtime.heads.candidate_decoder import CandidateDecoder
from posetrt.runtime.heads.candidates import CandidateHead
from posetrt.runtime.model.skeleton import Skeleton


@dataclass(frozen=True, kw_only=True)
class BoxesHead(CandidateHead):
    """Candidates without key points. Its people have boxes and scores, and key points (N, 0, 3)."""

    kind: ClassVar[str] = "boxes"

    def __post_init__(self) -> None:
        super().__post_init__()
        if "box" not in self.values or "keypoints" in self.values:
            raise UsageError("head 'boxes' reads boxes and no key points; a network with key points is head 'rows'")
        if self.nms in ("oks", "pose"):
            raise UsageError(f"head 'boxes' has no key points, so its nms is iou or none, not {self.nms!r}")

    def check(self, skeleton: Skeleton) -> None:
        """Refuse a skeleton with parts."""
        if skeleton.parts:
            raise UsageError(f"a detector gives boxes alone; skeleton {skeleton.name!r} has {len(skeleton.parts)} parts. Leave it out")

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> Decoder:
        """See `Head.decoder`."""
        self.check(skeleton)
        return CandidateDecoder(self, skeleton, options)

    def summary(self) -> str:
        """See `Head.summary`."""
        nms = "no NMS needed" if self.nms == "none" else f"{self.nms.upper()} NMS {self.nms_threshold:g}"
        which = "any class" if self.person_class is None else f"class {self.person_class}"
        return f"boxes of {which} ({', '.join(self.outputs.values())}; {nms})"
