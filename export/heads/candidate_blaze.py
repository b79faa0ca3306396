"""MediaPipe's detectors of people, palms and faces (BlazeFace, arXiv 1907.05047): steps from cells that have several anchors each.

All anchors of a cell are its middle, so that no sizes are needed. The numbers are those of MediaPipe's published options (strides, layers that
share one, two anchors for each layer); a row is a box (middle, width, height) and then points, all in pixels of the input.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from posetrt.export.heads.base import GraphFacts, OutputFacts
from posetrt.export.heads.candidate_terms import Columns, Family
from posetrt.runtime.heads.candidates import cells_of

GRIDS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (((8, 16), (2, 6)), ((8, 16, 32), (2, 2, 6)), ((16, 32), (2, 6)), ((4,), (1,)))
"""Strides, and anchors in a cell of each: faces at 128 and palms at 192; people at 224 and palms at 256; faces at 256; faces at 192."""
PERSON_POINTS, FACE_POINTS, PALM_POINTS = 4, 6, 7
"""Points behind the box. Of a person the first is the middle of the hips, and the second lies on a circle around the whole body."""
_SHOWN = {PERSON_POINTS: "people", FACE_POINTS: "faces", PALM_POINTS: "palms"}
NMS_IOU = 0.3
"""MediaPipe's own least overlap of two detections of one thing."""


def blaze_readings(facts: GraphFacts) -> list[Columns]:
    """The reading of a detector of MediaPipe; none of anything else."""
    tables = [each for each in facts.outputs if each.noise.ndim == 3 and each.shape[0] == 1 and each.grey.shape == each.noise.shape]
    boxes = [each for each in tables if each.shape[2] in {4 + 2 * points for points in _SHOWN}]
    scores = [each for each in tables if each.shape[2] == 1]
    if not boxes or len(boxes) != len(scores) or len({each.shape[2] for each in boxes}) != 1:
        return []
    points = (boxes[0].shape[2] - 4) // 2
    for strides, per_cell in GRIDS:
        if len(boxes) not in (1, len(strides)):
            continue
        counts = [cells_of((stride,), facts.size_wh, (each,)).shape[1] for stride, each in zip(strides, per_cell, strict=True)]
        outputs = dict(_placed(boxes, scores, strides, counts))
        if len(outputs) == 2 * len(boxes):
            return [_reading(facts, outputs, strides, per_cell, points)]
    return []


def _placed(boxes: list[OutputFacts], scores: list[OutputFacts], strides: tuple[int, ...], counts: list[int]) -> Iterator[tuple[str, str]]:
    """Role → output, where all candidates are in one output, or those of each stride in one of its own."""
    levels = {"": sum(counts)} if len(boxes) == 1 else {f"/{stride}": count for stride, count in zip(strides, counts, strict=True)}
    for role, ones in (("boxes", boxes), ("scores", scores)):
        for level, count in levels.items():
            for each in ones:
                if each.shape[1] == count:
                    yield role + level, each.name


def _reading(facts: GraphFacts, outputs: dict[str, str], strides: tuple[int, ...], per_cell: tuple[int, ...], points: int) -> Columns:
    by_name = {each.name: each for each in facts.outputs}
    sure = all(by_name[name].probability for role, name in outputs.items() if role.startswith("scores"))
    fields: dict[str, Any] = {
        "outputs": outputs,
        "values": {"box": ("boxes", 4 if points == PERSON_POINTS else 0, 4), "score": ("scores", 0, 1)},
        "box": "circle" if points == PERSON_POINTS else "centre",
        "strides": strides,
        "per_cell": per_cell,
        "cell_point": 0.5,
        "unit": "fraction" if max(float(np.abs(by_name[name].noise).max()) for name in outputs.values()) <= 2 else "pixels",
        "activation": "none" if sure else "sigmoid",
        "person_class": None,
        "nms_threshold": NMS_IOU,
    }
    family: Family = "palms" if points == PALM_POINTS else "blaze"
    return Columns(fields, 0, f"{facts.listing()}: MediaPipe's detector of {_SHOWN[points]}", family, 2)
