"""Candidates decoded in the graph: the best N by score, their boxes and key points in pixels. NMS stays outside, on N rows at most.

Plain operators that TensorRT 8.6 takes (TopK, GatherElements, Gather, arithmetic), all of it float32.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from posetrt.export.graph.graph_ops import GraphOps, axes
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.candidates import CandidateHead, cells_of
from posetrt.runtime.heads.rows import RowsHead

MOST_ROWS = 300
"""Rows that are kept unless asked otherwise; as many as end-to-end exporters give."""
LIMIT = 3840
"""TensorRT's limit for TopK."""
_INT64_MAX = 2**31 - 1


class CandidateGraph:
    """Writes the nodes that read one head's candidates."""

    def __init__(self, ops: GraphOps, head: CandidateHead, size_wh: tuple[int, int], most: int) -> None:
        if head.activation == "softmax" or head.box in ("priors", "circle") or head.per_cell or not head.batched or "frame" in head.values:
            raise UsageError(f"this head of kind {head.kind!r} cannot be decoded in the graph; leave --decode in-graph out")
        if head.ranked:
            raise UsageError("the graph gives its best candidates already; leave --decode in-graph out")
        if not 1 <= most <= LIMIT:
            raise UsageError(f"the graph can keep 1 to {LIMIT} rows; got {most}")
        self._ops, self._head, self._size = ops, head, size_wh
        cells = cells_of(head.strides or (8, 16, 32), size_wh)
        self.most = min(most, cells.shape[1])
        self._tensors: dict[str, str] = {}
        self.score, self._best = ops.several("TopK", 2, self._scores(), axes(self.most), axis=1, largest=1, sorted=1)
        self._cells: dict[str, str] = {}
        if head.strides:
            point = (cells[:2] + np.float32(head.cell_point)) * cells[2]
            for name, table in (("point", point), ("corner", cells[:2] * cells[2]), ("stride", cells[2:])):
                self._cells[name] = ops("Gather", np.ascontiguousarray(table.T, np.float32), self._best, axis=0)  # (N, most, 1 or 2)

    def _whole(self, role: str) -> str:
        """(N, candidates, values), or (N, values, candidates) where transposed: all levels, one behind the other."""
        if role not in self._tensors:
            head, ops = self._head, self._ops
            columns = max(start + count for name, start, count in head.values.values() if name == role)
            if head.levels:
                shape = axes(0, columns, -1) if head.transposed else axes(0, -1, columns)
                parts = [ops("Reshape", head.outputs[f"{role}/{stride}"], shape) for stride in head.levels]
                whole = ops("Concat", *parts, axis=2 if head.transposed else 1)
            else:
                whole = head.outputs[role] if head.transposed else ops("Reshape", head.outputs[role], axes(0, 0, -1))
            self._tensors[role] = whole
        return self._tensors[role]

    def _columns(self, what: str, first: int = 0, count: int | None = None) -> str:
        role, start, every = self._head.values[what]
        begin = start + first
        end = begin + (every if count is None else count)
        return self._ops("Slice", self._whole(role), axes(begin), axes(end), axes(1 if self._head.transposed else 2))

    def _scores(self) -> str:
        """(N, candidates)."""
        head, ops = self._head, self._ops
        factors = []
        if "score" in head.values:
            factors.append(self._columns("score"))
        if "classes" in head.values:
            if head.person_class is None:
                raise UsageError("decoding in the graph keeps one class: choose it with --class")
            factors.append(self._columns("classes", head.person_class, 1))
        flat = [ops("Reshape", each, axes(0, -1)) for each in factors]
        if head.activation == "sigmoid":
            flat = [ops("Sigmoid", each) for each in flat]
        return flat[0] if len(flat) == 1 else ops("Mul", *flat)

    def _chosen(self, what: str) -> str:
        """(N, most, columns) of the best."""
        ops, count = self._ops, self._head.values[what][2]
        if self._head.transposed:
            index = ops("Add", ops("Unsqueeze", self._best, axes(1)), np.zeros((1, count, 1), np.int64))
            return ops("Transpose", ops("GatherElements", self._columns(what), index, axis=2), perm=[0, 2, 1])
        index = ops("Add", ops("Unsqueeze", self._best, axes(2)), np.zeros((1, 1, count), np.int64))
        return ops("GatherElements", self._columns(what), index, axis=1)

    def _scaled(self, values: str, gain: float = 1.0, *, wide: bool = False) -> str:
        """In pixels; `wide` for (N, most, K, 2)."""
        ops, head = self._ops, self._head
        if head.unit == "fraction":
            return ops("Mul", values, np.array(self._size, np.float32) * np.float32(gain))
        if head.unit == "cells":
            stride = ops("Unsqueeze", self._cells["stride"], axes(3)) if wide else self._cells["stride"]
            values = ops("Mul", values, stride)
        return values if gain == 1 else ops("Mul", values, gain)

    def boxes(self) -> str:
        """Left, top, right, bottom (N, most, 4) in pixels."""
        ops, head = self._ops, self._head
        values = self._chosen("box")
        if head.box == "distribution":
            bins = head.values["box"][2] // 4
            share = ops("Softmax", ops("Reshape", values, axes(0, self.most, 4, bins)), axis=3)
            values = ops("ReduceSum", ops("Mul", share, np.arange(bins, dtype=np.float32)), axes(3), keepdims=0)
        if head.yx:
            values = ops("Gather", values, axes(1, 0, 3, 2), axis=2)
        first, last = (ops("Slice", values, axes(start), axes(start + 2), axes(2)) for start in (0, 2))
        if head.box == "log-size":
            last = ops("Exp", last)
        first, last = self._scaled(first), self._scaled(last)
        if head.box in ("distances", "distribution"):
            low, high = ops("Sub", self._cells["point"], first), ops("Add", self._cells["point"], last)
        else:
            first = ops("Add", first, self._cells["point"]) if head.strides else first
            if head.box == "corners":
                low, high = first, ops("Add", last, self._cells["point"]) if head.strides else last
            elif head.box == "corner-size":
                low, high = first, ops("Add", first, last)
            else:
                half = ops("Mul", last, 0.5)
                low, high = ops("Sub", first, half), ops("Add", first, half)
        return ops("Concat", low, high, axis=2)

    def key_points(self, head: RowsHead) -> str:
        """Key points (N, most, K * values) in pixels, their scores behind the activation."""
        ops = self._ops
        values = ops("Reshape", self._chosen("keypoints"), axes(0, self.most, head.parts, head.point_values))
        place = ops("Slice", values, axes(0), axes(2), axes(3))
        if head.yx:
            place = ops("Gather", place, axes(1, 0), axis=3)
        place = self._scaled(place, head.point_gain, wide=True)
        if head.strides:
            place = ops("Add", place, ops("Unsqueeze", self._cells["corner"], axes(2)))
        seen = ops("Slice", values, axes(2), axes(_INT64_MAX), axes(3)) if head.point_values == 3 else None
        if "visibility" in head.values:
            seen = ops("Unsqueeze", self._chosen("visibility"), axes(3))
        if seen is not None:
            seen = ops("Sigmoid", seen) if head.point_activation == "sigmoid" else seen
            place = ops("Concat", place, seen, axis=3)
        return ops("Reshape", place, axes(0, self.most, -1))


def choose_rows(ops: GraphOps, head: RowsHead, size_wh: tuple[int, int], most: int = MOST_ROWS) -> tuple[str, int, RowsHead]:
    """Write the nodes that give the best rows, each: left, top, right, bottom, score, then the key points.

    Args:
        ops: to write with.
        head: of the raw outputs.
        size_wh: of the input, which must be fixed.
        most: rows to keep, fewer where there are fewer candidates.

    Returns:
        The tensor (N, rows, 5 + K * values), the number of rows, and its head, whose output "rows" is named `rows`.

    Raises:
        UsageError: this head cannot be decoded in the graph, or need not.
    """
    graph = CandidateGraph(ops, head, size_wh, most)
    score = ops("Unsqueeze", graph.score, axes(2))
    values = 3 if head.point_values == 3 or "visibility" in head.values else 2
    rows = ops("Concat", graph.boxes(), score, graph.key_points(head), axis=2)
    return (
        rows,
        graph.most,
        replace(
            head,
            outputs={"rows": "rows"},
            values={"box": ("rows", 0, 4), "score": ("rows", 4, 1), "keypoints": ("rows", 5, values * head.parts)},
            transposed=False,
            box="corners",
            unit="pixels",
            yx=False,
            activation="none",
            strides=(),
            cell_point=0.0,
            point_values=values,
            point_gain=1.0,
            point_activation="none",
            ranked=True,
        ),
    )
