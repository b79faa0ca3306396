"""One case per kind of head and form of output, with the people that its outputs hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.bench.heads import plain
from posetrt.calib.heads.hooks import encode
from posetrt.calib.scenes.drawn import draw_figures
from posetrt.runtime.heads.base import Head
from posetrt.runtime.heads.boxes import BoxesHead
from posetrt.runtime.heads.coordinates import CoordinatesHead
from posetrt.runtime.heads.embedding import EmbeddingHead
from posetrt.runtime.heads.heatmap import HeatmapHead
from posetrt.runtime.heads.offsets import OffsetsHead
from posetrt.runtime.heads.rows import RowsHead
from posetrt.runtime.heads.segmentation import SegmentationHead
from posetrt.runtime.heads.simcc import SimccHead
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People

DOUBLES = 15
"""Candidates above the threshold for each person in raw outputs: YOLO11n-pose gives 5 to 25 for a person of 100 to 400 pixels."""
_BOX_JITTER = 0.01
_POINT_JITTER = 0.005
"""How far the candidates of one person lie apart: standard deviations, as shares of the person's box."""


@dataclass(frozen=True)
class Case:
    """One form of output.

    Attributes:
        name: what is decoded.
        head: of it.
        skeleton: of the people.
        size_wh: of the network's input.
        raw: whether each person has several candidates, of which decoding must choose one.
        plain: the plain decoder; None where there is none.
    """

    name: str
    head: Head
    skeleton: Skeleton
    size_wh: tuple[int, int]
    raw: bool = False
    plain: plain.Plain | None = None

    @property
    def per_person(self) -> bool:
        """Whether each person is a crop of the batch."""
        return self.head.one_person

    def outputs(self, people: int, rng: np.random.Generator) -> tuple[dict[str, NDArray[Any]], People]:
        """Outputs that show `people` people, and those people.

        Args:
            people: how many: of one frame, or crops in a batch.
            rng: places them.
        """
        if self.per_person:
            shown = _in_crops(people, self.size_wh, self.skeleton, rng)
            return encode(self.head, self.skeleton, [shown.chosen(np.array([one])) for one in range(people)], self.size_wh), shown
        shown = _in_a_frame(people, self.size_wh, self.skeleton, rng)
        given = _doubled(shown, rng) if self.raw else shown
        return encode(self.head, self.skeleton, [given], self.size_wh), shown


def cases() -> list[Case]:
    """All of them."""
    coco, nothing = load_skeleton("coco17"), load_skeleton("boxes")
    whole = load_skeleton("coco-wholebody133")
    yolo = {"box": ("rows", 0, 4), "classes": ("rows", 4, 1), "keypoints": ("rows", 5, 51)}
    best = {"box": ("rows", 0, 4), "score": ("rows", 4, 1), "class": ("rows", 5, 1), "keypoints": ("rows", 6, 51)}
    rtmdet = {"score": ("rows", 0, 1), "box": ("rows", 1, 4)}
    yolox = {"box": ("rows", 0, 4), "score": ("rows", 4, 1), "classes": ("rows", 5, 80)}
    maps, both = {"heatmaps": "heatmaps"}, {"x": "x", "y": "y"}
    crop, tall = (192, 256), (288, 384)
    posenet = {role: role for role in OffsetsHead.roles}
    return [
        Case(
            "rows, raw YOLO (1,56,8400)",
            RowsHead(outputs={"rows": "out"}, values=yolo, transposed=True),
            coco,
            (640, 640),
            True,
            plain.rows,
        ),
        Case(
            "rows, the same, OKS NMS",
            RowsHead(outputs={"rows": "out"}, values=yolo, transposed=True, nms="oks"),
            coco,
            (640, 640),
            True,
            plain.rows_by_oks,
        ),
        Case(
            "rows, end to end (1,300,57)",
            RowsHead(outputs={"rows": "out"}, values=best, box="corners", nms="none", ranked=True),
            coco,
            (640, 640),
            False,
            plain.ranked_rows,
        ),
        Case(
            "boxes, YOLOX (1,3549,85)",
            BoxesHead(outputs={"rows": "out"}, values=yolox, box="log-size", unit="cells", strides=(8, 16, 32), nms_threshold=0.45),
            nothing,
            (416, 416),
            True,
            plain.yolox,
        ),
        Case(
            "boxes, RTMDet, 3 maps",
            BoxesHead(
                outputs={f"rows/{stride}": f"out{stride}" for stride in (8, 16, 32)},
                values=rtmdet,
                box="distances",
                strides=(8, 16, 32),
                activation="sigmoid",
                nms_threshold=0.6,
            ),
            nothing,
            (320, 320),
            True,
            plain.rtmdet,
        ),
        Case("simcc, 17 parts 192x256", SimccHead(outputs=both), coco, crop, plain=plain.simcc),
        Case("simcc, 133 parts 288x384", SimccHead(outputs=both), whole, tall, plain=plain.simcc),
        Case("heatmap, parabola, 17 of 48x64", HeatmapHead(outputs=maps, stride=4), coco, crop, plain=plain.heatmap),
        Case("heatmap, quarter", HeatmapHead(outputs=maps, stride=4, refinement="quarter"), coco, crop, plain=plain.heatmap),
        Case("heatmap, dark", HeatmapHead(outputs=maps, stride=4, refinement="dark"), coco, crop, plain=plain.dark),
        Case(
            "coordinates (1,1,17,3)",
            CoordinatesHead(outputs={"points": "out"}, columns=("y", "x", "score"), unit="input"),
            coco,
            (192, 192),
            plain=plain.coordinates,
        ),
        Case("offsets, PoseNet 513x385", OffsetsHead(outputs=posenet, channels="last"), coco, (513, 385), plain=plain.offsets),
        Case("embedding, 17 of 128x128", EmbeddingHead(outputs={"heatmaps": "h", "tags": "t"}), coco, (512, 512), plain=plain.embedding),
        Case("segmentation, 17 of 128x128", SegmentationHead(outputs={"heatmaps": "h", "masks": "m"}), coco, (512, 512)),
    ]


def _in_crops(count: int, size_wh: tuple[int, int], skeleton: Skeleton, rng: np.random.Generator) -> People:
    """One person in each crop, parts anywhere but at its border."""
    points = np.ones((count, len(skeleton.parts), 3), np.float32)
    points[..., :2] = rng.uniform(0.1, 0.9, points[..., :2].shape) * np.array(size_wh)
    points[..., 2] = rng.uniform(0.4, 0.95, points.shape[:2])
    return People(points, points[..., 2].mean(axis=1))


def _in_a_frame(count: int, size_wh: tuple[int, int], skeleton: Skeleton, rng: np.random.Generator) -> People:
    """Drawn people, whole, with boxes; of a detector without key points."""
    body = skeleton if skeleton.parts else load_skeleton("coco17")
    points = draw_figures(count, body, size_wh, rng, hidden=0).astype(np.float32)
    points[..., :2] = points[..., :2].clip(0, np.array(size_wh, np.float32) - 1)
    points[..., 2] = rng.uniform(0.5, 0.95, points.shape[:2])
    low, high = points[..., :2].min(axis=1) + 0.5, points[..., :2].max(axis=1) + 0.5
    scores = np.sort(rng.uniform(0.6, 0.95, count))[::-1].astype(np.float32)
    if not skeleton.parts:
        points = points[:, :0]
    return People(points, scores, boxes=np.concatenate([low, np.maximum(high - low, 4)], axis=1))


def _doubled(people: People, rng: np.random.Generator) -> People:
    """Each person as often as raw outputs have them: the first as given, the others less sure, and a little beside."""
    many = people.chosen(np.repeat(np.arange(len(people)), DOUBLES))
    assert many.boxes is not None
    later = np.tile(np.arange(DOUBLES), len(people))
    side = many.boxes[:, 2:].max(axis=1)[:, None] * (later > 0)[:, None]
    boxes = many.boxes + side * rng.normal(0, _BOX_JITTER, many.boxes.shape).astype(np.float32)
    points = many.keypoints.copy()
    points[..., :2] += side[..., None] * rng.normal(0, _POINT_JITTER, points[..., :2].shape).astype(np.float32)
    scores = (many.scores * (1 - later / (2 * DOUBLES))).astype(np.float32)
    return replace(many, keypoints=points, scores=scores, boxes=boxes.astype(np.float32))
