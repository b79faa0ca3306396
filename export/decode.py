"""Peaks and line integrals as plain operators: what `runtime.peaks` and `runtime.pairs` do in NumPy, for a whole batch.

The numbers are kept in float32 throughout: float16 has no exact integers above 2048, and a map has more cells than that.
"""

from __future__ import annotations

import numpy as np

from posetrt.export.graph_ops import GraphOps, Value, axes
from posetrt.runtime.parser import ParserSettings
from posetrt.runtime.peaks import FLOOR
from posetrt.runtime.skeleton import Skeleton

_OUTSIDE = -1e30  # stands around the maps; finite, since TensorRT pads with finite numbers
_LEAST_LENGTH = 1e-6  # cells; two peaks nearer than that have no direction (runtime.pairs)
_FLOAT, _INT64 = 1, 7  # onnx.TensorProto
_TO_THE_END = 2**31 - 1

Peaks = tuple[str, str, str]


def find_peaks(ops: GraphOps, heatmaps: str, parts: int, width: Value, slots: int, settings: ParserSettings) -> Peaks:
    """x, y in cells and score, each (N, J, K) float32, best first, 0 in empty slots; ties as `PeakFinder` breaks them.

    Args:
        ops: to write with.
        heatmaps: tensor (N, J or more, h, w) float32.
        parts: J.
        width: w as float32.
        slots: K.
        settings: the parser's.
    """
    maps = ops("Slice", heatmaps, axes(0), axes(parts), axes(1))
    padded = ops("Pad", maps, axes(0, 0, 1, 1, 0, 0, 1, 1), _OUTSIDE)

    def neighbour(row: int, column: int) -> str:
        ends = axes(*(step - 1 if step < 1 else _TO_THE_END for step in (row, column)))
        return ops("Slice", padded, axes(1 + row, 1 + column), ends, axes(2, 3))

    left, right, above, below = neighbour(0, -1), neighbour(0, 1), neighbour(-1, 0), neighbour(1, 0)
    found = ops("And", ops("Greater", maps, settings.peak_threshold), ops("Less", maps, -_OUTSIDE))
    for before, after in ((left, right), (above, below)):
        found = ops("And", found, ops("And", ops("Greater", maps, before), ops("GreaterOrEqual", maps, after)))
    flat = ops("Reshape", ops("Where", found, maps, 0.0), axes(0, parts, -1))
    score, cell = ops.several("TopK", 2, flat, axes(slots), axis=2, largest=1, sorted=1)

    at = ops("Cast", cell, to=_FLOAT)
    # Half a cell more keeps the quotient off whole numbers, where a device's division might round either way.
    row = ops("Floor", ops("Div", ops("Add", at, 0.5), width))
    column = ops("Sub", at, ops("Mul", row, width))
    line = ops("Add", width, 2.0) if isinstance(width, str) else float(width) + 2.0
    centre = ops("Add", ops("Mul", ops("Add", row, 1.0), line), ops("Add", column, 1.0))
    around = [ops("Sub", centre, 1.0), ops("Add", centre, 1.0), ops("Sub", centre, line), ops("Add", centre, line)]
    places = ops("Cast", ops("Concat", *around, axis=2), to=_INT64)
    values = ops("GatherElements", ops("Reshape", padded, axes(0, parts, -1)), places, axis=2)
    logs = ops("Log", ops("Max", values, FLOOR))
    middle = ops("Log", ops("Max", score, FLOOR))
    before_x, after_x, before_y, after_y = (
        ops("Slice", logs, axes(index * slots), axes((index + 1) * slots), axes(2)) for index in range(4)
    )

    def vertex(before: str, after: str) -> str:
        bend = ops("Sub", ops("Sub", ops("Mul", middle, 2.0), before), after)
        offset = ops("Div", ops("Sub", after, before), ops("Max", ops("Mul", bend, 2.0), 1e-9))
        return ops("Min", ops("Max", offset, -0.5), 0.5)

    filled = ops("Greater", score, settings.peak_threshold)
    x, y = ops("Add", column, vertex(before_x, after_x)), ops("Add", row, vertex(before_y, after_y))
    return ops("Where", filled, x, 0.0), ops("Where", filled, y, 0.0), score


def score_pairs(
    ops: GraphOps, pafs: str, skeleton: Skeleton, peaks: Peaks, size: tuple[Value, Value], slots: int, settings: ParserSettings
) -> str:
    """Line-integral scores (N, C, K, K) float32 of every two peaks that a limb could join, 0 where they do not pass.

    Args:
        ops: to write with.
        pafs: tensor (N, 2C, h, w) float32.
        skeleton: with PAF channels.
        peaks: from `find_peaks`.
        size: h and w as float32.
        slots: K.
        settings: the parser's.
    """
    limbs, samples = len(skeleton.limbs), settings.samples
    first, second = (axes(*(limb[end] for limb in skeleton.limbs)) for end in (0, 1))

    def ends(tensor: str) -> tuple[str, str]:
        """Of each limb the first part's peaks (N, C, K, 1) and the second's (N, C, 1, K)."""
        a, b = (ops("Gather", tensor, parts, axis=1) for parts in (first, second))
        return ops("Unsqueeze", a, axes(3)), ops("Unsqueeze", b, axes(2))

    (x, x_end), (y, y_end), (score, score_end) = (ends(tensor) for tensor in peaks)
    dx, dy = ops("Sub", x_end, x), ops("Sub", y_end, y)
    length = ops("Sqrt", ops("Add", ops("Mul", dx, dx), ops("Mul", dy, dy)))
    threshold = settings.peak_threshold
    usable = ops("And", ops("Greater", score, threshold), ops("Greater", score_end, threshold))
    usable = ops("And", usable, ops("Greater", length, _LEAST_LENGTH))

    way = np.linspace(0, 1, samples, dtype=np.float32)
    wide = {name: ops("Unsqueeze", tensor, axes(4)) for name, tensor in (("x", x), ("y", y), ("dx", dx), ("dy", dy), ("length", length))}

    def cells(start: str, step: str, count: Value) -> str:
        """The nearest row or column of each sample, (N, C, K, K, S)."""
        nearest = ops("Round", ops("Add", wide[start], ops("Mul", wide[step], way)))
        return ops("Min", ops("Max", nearest, 0.0), ops("Sub", count, 1.0) if isinstance(count, str) else float(count) - 1.0)

    height, width = size
    places = ops("Add", ops("Mul", cells("y", "dy", height), width), cells("x", "dx", width))
    places = ops("Cast", ops("Reshape", places, axes(0, limbs, -1)), to=_INT64)

    def along(axis: int) -> str:
        channels = axes(*(pair[axis] for pair in skeleton.paf_channels))
        flat = ops("Reshape", ops("Gather", pafs, channels, axis=1), axes(0, limbs, -1))
        return ops("Reshape", ops("GatherElements", flat, places, axis=2), axes(0, limbs, slots, slots, samples))

    inner = ops("Add", ops("Mul", along(0), wide["dx"]), ops("Mul", along(1), wide["dy"]))
    field = ops("Div", inner, ops("Max", wide["length"], _LEAST_LENGTH))
    counts = ops("And", ops("Greater", field, settings.pair_threshold), ops("Less", field, -_OUTSIDE))
    total = ops("ReduceSum", ops("Where", counts, field, 0.0), axes(4), keepdims=0)
    number = ops("ReduceSum", ops("Cast", counts, to=_FLOAT), axes(4), keepdims=0)
    # Counts are whole numbers: a quarter less than the share keeps the comparison off float32's rounding of 0.8 × 10.
    enough = ops("Greater", number, float(np.ceil(settings.pair_share * samples - 1e-6)) - 0.25)
    return ops("Where", ops("And", usable, enough), ops("Div", total, ops("Max", number, 1.0)), 0.0)
