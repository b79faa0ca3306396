"""What rows and boxes have in common: a network that gives many candidates, each with a box, scores and perhaps key points.

A head states where each value of a candidate lies and in which form; one decoder reads them all (`candidate_decoder.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import Head

Floats = NDArray[np.float32]
BoxForm = Literal["centre", "corners", "corner-size", "distances", "log-size", "distribution", "priors", "circle"]
BOX_FORMS = ("centre", "corners", "corner-size", "distances", "log-size", "distribution", "priors", "circle")
NMS = ("none", "iou", "oks", "pose")
STRIDES = (4, 8, 16, 32, 64, 128)
"""Strides that a level can have: a role "rows/8" is that of the level of stride 8."""
TENSORS = ("rows", "boxes", "scores", "objectness", "classes", "keypoints", "visibility", "priors")


@dataclass(frozen=True, kw_only=True)
class CandidateHead(Head):
    """How a candidate reads.

    Attributes:
        values: what → tensor's role, first column, number of columns. What there can be: "box" (4, or 4 distributions), "score" (of the
            person; or objectness, where there are class scores too), "classes" (a score for each), "class" (its number), "keypoints",
            "visibility" (a score for each part), "priors" (centre and size of each anchor), "frame" (number in the batch).
        transposed: the candidates are the last axis, `(N, values, candidates)`, or maps `(N, values, h, w)`; else
            `(N, candidates, values)` or `(N, h, w, values)`.
        batched: the first axis is the batch. Else all candidates are of one frame, or "frame" tells of which.
        box: "centre": x, y, width, height. "corners": left, top, right, bottom. "corner-size": left, top, width, height. "distances":
            to the left, top, right and bottom from the cell's point. "log-size": the centre's offset from the cell's point and the
            logarithm of the size. "distribution": logits over distances of 0, 1, 2 … cells, for each side. "priors": SSD's steps
            from the anchors. "circle": the middle of a person and a point of the circle around them, as x, y each; the box is the square
            around that circle.
        unit: of coordinates: "pixels" of the input, "fraction" of its size, "cells" of the candidate's stride.
        yx: y comes before x, in boxes and key points.
        origin: where 0 lies: at the "edge" of the first pixel, or at its "centre".
        activation: what the scores still need: "none", "sigmoid", or "softmax" over the classes.
        background: number of the class that is nothing; -1 where there is none.
        person_class: number of the class that is kept; None keeps all.
        strides: where the candidates are cells to which their place is not yet added: the levels' strides, in the order of the
            candidates. Empty where coordinates are complete.
        per_cell: how many candidates each cell of a stride has, one after the other; empty where each has one.
        cell_point: the point of a cell that distances and offsets count from: 0 its corner, .5 its middle.
        variances: of box form "priors": of centre and of size.
        priors: centre x, y, width, height of each anchor as fractions, where the graph does not give them.
        ranked: the graph gives the best candidates only, as end-to-end exports do; else all that it has.
        nms: what is still to do against double detections: "none", "iou", "oks" or "pose" (RMPE's).
        nms_threshold: of it.
    """

    roles: ClassVar[tuple[str, ...]] = TENSORS + tuple(f"{role}/{stride}" for role in TENSORS for stride in STRIDES)
    quantities: ClassVar[tuple[str, ...]] = ("box", "score", "classes", "class", "keypoints", "visibility", "priors", "frame")

    values: Mapping[str, tuple[str, int, int]]
    transposed: bool = False
    batched: bool = True
    box: BoxForm = "centre"
    unit: Literal["pixels", "fraction", "cells"] = "pixels"
    yx: bool = False
    origin: Literal["edge", "centre"] = "edge"
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    background: int = -1
    person_class: int | None = 0
    strides: tuple[int, ...] = ()
    per_cell: tuple[int, ...] = ()
    cell_point: float = 0.0
    variances: tuple[float, float] = (0.1, 0.2)
    priors: tuple[tuple[float, float, float, float], ...] = ()
    ranked: bool = False
    nms: Literal["none", "iou", "oks", "pose"] = "iou"
    nms_threshold: float = 0.65

    def __post_init__(self) -> None:
        super().__post_init__()
        values = {what: (str(place[0]), int(place[1]), int(place[2])) for what, place in self.values.items()}
        object.__setattr__(self, "values", values)
        problems = [f"there is no value {what!r}" for what in values if what not in self.quantities]
        have = {role.partition("/")[0] for role in self.outputs}
        problems += [f"{what} is read from {role!r}, which is no output" for what, (role, _, _) in values.items() if role not in have]
        problems += [f"{what} has columns {start} to {start + n - 1}" for what, (_, start, n) in values.items() if start < 0 or n < 1]
        if not {"score", "classes"} & values.keys():
            problems.append("a score or class scores are needed")
        if not {"box", "keypoints"} & values.keys():
            problems.append("a box or key points are needed")
        for name, known in (("box", BOX_FORMS), ("nms", NMS), ("unit", ("pixels", "fraction", "cells")), ("origin", ("edge", "centre"))):
            if getattr(self, name) not in known:
                problems.append(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        if self.activation not in ("none", "sigmoid", "softmax"):
            problems.append(f"activation is none, sigmoid or softmax, not {self.activation!r}")
        if "box" in values and (values["box"][2] % 4 or (self.box != "distribution" and values["box"][2] != 4)):
            problems.append(f"a box has 4 values, or 4 distributions, not {values['box'][2]}")
        if self.person_class is not None and "classes" in values and not 0 <= self.person_class < values["classes"][2]:
            problems.append(f"person_class is 0 to {values['classes'][2] - 1}, not {self.person_class}")
        if any(stride not in STRIDES for stride in self.strides):
            problems.append(f"strides are of {', '.join(map(str, STRIDES))}; got {self.strides}")
        if self.per_cell and (len(self.per_cell) != len(self.strides) or any(count not in range(1, 17) for count in self.per_cell)):
            problems.append(f"per_cell has 1 to 16 for each of the strides {self.strides}; got {self.per_cell}")
        if not self.strides and (self.box in ("distances", "log-size", "distribution") or self.unit == "cells"):
            problems.append("values that count from a cell need the strides")
        if self.box == "priors" and not (self.priors or "priors" in values):
            problems.append("box form priors needs the anchors, as an output or as priors")
        if not 0 <= self.nms_threshold <= 100:
            problems.append(f"nms_threshold is 0 or more; got {self.nms_threshold}")
        if problems:
            raise UsageError(f"head {self.kind!r}: " + "; ".join(problems))

    @property
    def decoded_in_graph(self) -> bool:
        """Whether the outputs are the best candidates, with complete coordinates."""
        return self.ranked and not self.strides

    @property
    def levels(self) -> tuple[int, ...]:
        """Strides of the levels that have outputs of their own; empty where one output holds all candidates."""
        return self.strides if any("/" in role for role in self.outputs) else ()

    def key_points(self, values: Floats, cells: Floats | None, scale: Floats, visibility: Floats | None) -> Floats:  # noqa: ARG002
        """Key points (n, K, 3) in pixels of chosen candidates, from values (columns, n); none where the head has none."""
        return np.zeros((values.shape[1], 0, 3), np.float32)


@lru_cache(maxsize=16)
def cells_of(strides: tuple[int, ...], size_wh: tuple[int, int], per_cell: tuple[int, ...] = (), grids: int = 1) -> Floats:
    """(3, A) float32: column, row and stride of each candidate: level by level, and in each row by row.

    Args:
        strides: of the levels.
        size_wh: of the network's input.
        per_cell: as in `CandidateHead`.
        grids: how often each level comes, one whole grid after the other.
    """
    found = []
    for stride, each in zip(strides, per_cell or (1,) * len(strides), strict=True):
        width, height = (-(-side // stride) for side in size_wh)
        row, column = np.mgrid[:height, :width].reshape(2, -1).astype(np.float32).repeat(each, axis=1)
        found.append(np.tile(np.stack([column, row, np.full_like(row, stride)]), (1, grids)))
    cells = np.concatenate(found, 1)
    cells.flags.writeable = False
    return cells


def sigmoid(values: Floats) -> Floats:
    """The logistic function, without overflow."""
    result: Floats = np.float32(0.5) * (np.tanh(np.float32(0.5) * values) + np.float32(1))
    return result


def box_corners(head: CandidateHead, values: Floats, priors: Floats | None, cells: Floats | None, scale: Floats) -> Floats:
    """Left, top, right, bottom (n, 4) in pixels of candidates.

    Args:
        head: how they read.
        values: (4 or more, n), as the network gave them.
        priors: (4, n) centre and size of their anchors, of box form "priors".
        cells: (3, n) column, row and stride, where the head has strides.
        scale: (2, 1 or n) pixels per unit of x and y.
    """
    two = np.float32(0.5)
    if head.box == "distribution":
        bins = len(values) // 4
        share = values.reshape(4, bins, -1)
        share = np.exp(share - share.max(1, keepdims=True))
        values = (share * np.arange(bins, dtype=np.float32)[:, None]).sum(1) / share.sum(1)
    if head.yx:
        values = values[[1, 0, 3, 2]]
    first, last = values[:2], values[2:]
    if head.box == "priors" and priors is not None:
        centre, size = priors[:2], priors[2:]
        centre = centre + first * np.float32(head.variances[0]) * size
        size = size * np.exp(last * np.float32(head.variances[1]))
        low, high = centre - two * size, centre + two * size
        return np.ascontiguousarray(np.concatenate([low * scale, high * scale]).T)
    start = (cells[:2] + np.float32(head.cell_point)) * cells[2] if cells is not None else np.float32(0)
    if head.box == "circle":
        radius = np.hypot(*((last - first) * scale))
        low, high = start + first * scale - radius, start + first * scale + radius
    elif head.box in ("distances", "distribution"):
        low, high = start - first * scale, start + last * scale
    elif head.box == "log-size":
        centre, size = start + first * scale, np.exp(np.minimum(last, np.float32(20))) * scale
        low, high = centre - two * size, centre + two * size
    elif head.box == "corners":
        low, high = start + first * scale, start + last * scale
    elif head.box == "corner-size":
        low = start + first * scale
        high = low + last * scale
    else:
        centre, size = start + first * scale, last * scale
        low, high = centre - two * size, centre + two * size
    return np.ascontiguousarray(np.concatenate([low, high]).T)
