"""Peaks and line integrals as plain operators: what `runtime.heads.paf` does in NumPy, for a whole batch.

The numbers are kept in float32 throughout: float16 has no exact integers above 2048, and a map has more cells than that.
"""

from __future__ import annotations

import numpy as np

from posetrt.export.graph.graph_ops import GraphOps, Value, axes
from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.heads.paf.pairs import LONG, MARGIN, REACH, SHORT, SHORT_WEIGHT, TOUCHING
from posetrt.runtime.heads.paf.parser import ParserSettings
from posetrt.runtime.heads.paf.peaks import FLATTEST, FLOOR

_INFINITE = 3.4e38  # a map's value at or above it is no value
_SMALL = 1e-6  # keeps divisors off 0
_FLOAT, _INT32 = 1, 6  # onnx.TensorProto; cells are counted in int32, which is half of what int64 moves, and what 8.6 computes in
_TO_THE_END = 2**31 - 1
_BEFORE = ((-1, -1), (-1, 0), (-1, 1), (0, -1))  # neighbours that a peak must exceed, as row and column
_AFTER = ((0, 1), (1, -1), (1, 0), (1, 1))  # those that it may equal

Peaks = tuple[str, str, str]


def find_peaks(ops: GraphOps, heatmaps: str, parts: int, size: tuple[Value, Value], slots: int, settings: ParserSettings) -> Peaks:
    """x, y in cells and score, each (N, J, K) float32, best first, 0 in empty slots; ties as `PeakFinder` breaks them.

    Args:
        ops: to write with.
        heatmaps: tensor (N, J or more, h, w) float32.
        parts: J.
        size: h and w as float32.
        slots: K.
        settings: the parser's.
    """
    height, width = size
    maps = ops("Slice", heatmaps, axes(0), axes(parts), axes(1))
    padded = ops("Pad", maps, axes(0, 0, 1, 1, 0, 0, 1, 1), 0.0)

    def neighbour(row: int, column: int) -> str:
        ends = axes(*(step - 1 if step < 1 else _TO_THE_END for step in (row, column)))
        return ops("Slice", padded, axes(1 + row, 1 + column), ends, axes(2, 3))

    before, after = (ops("Max", *(neighbour(*step) for step in steps)) for steps in (_BEFORE, _AFTER))
    found = ops("And", ops("Greater", maps, settings.peak_threshold), ops("Less", maps, _INFINITE))
    found = ops("And", found, ops("And", ops("Greater", maps, before), ops("GreaterOrEqual", maps, after)))
    # A map with more peaks than that is noisy, and its peaks must be higher.
    count = ops("ReduceSum", ops("Cast", found, to=_FLOAT), axes(2, 3), keepdims=1)
    least = ops("Where", ops("Greater", count, float(settings.noisy_from)), settings.noisy_threshold, 0.0)
    found = ops("And", found, ops("Greater", maps, least))
    flat = ops("Reshape", ops("Where", found, maps, 0.0), axes(0, parts, -1))
    score, cell = ops.several("TopK", 2, flat, axes(slots), axis=2, largest=1, sorted=1)

    at = ops("Cast", cell, to=_FLOAT)
    # Half a cell more keeps the quotient off whole numbers, where a device's division might round either way.
    row = ops("Floor", ops("Div", ops("Add", at, 0.5), width))
    column = ops("Sub", at, ops("Mul", row, width))
    line = ops("Add", width, 2.0) if isinstance(width, str) else float(width) + 2.0
    centre = ops("Add", ops("Mul", ops("Add", row, 1.0), line), ops("Add", column, 1.0))
    steps = (*_BEFORE, *_AFTER)
    places = [ops("Add", centre, _offset(ops, line, *step)) for step in steps]
    indices = ops("Cast", ops("Concat", *places, axis=2), to=_INT32)
    around = ops("GatherElements", ops("Reshape", padded, axes(0, parts, -1)), indices, axis=2)
    patch = {step: ops("Slice", around, axes(i * slots), axes((i + 1) * slots), axes(2)) for i, step in enumerate(steps)}
    patch[0, 0] = score

    def profile(*cells: tuple[int, int]) -> str:
        """Logarithm of a row's or a column's sum: 1/2, 1, 1/2."""
        first, middle, last = (patch[each] for each in cells)
        total = ops("Add", ops("Mul", ops("Add", first, last), 0.5), middle)
        return ops("Log", ops("Max", total, FLOOR))

    def vertex(before: str, middle: str, after: str) -> str:
        bend = ops("Sub", ops("Sub", ops("Mul", middle, 2.0), before), after)
        offset = ops("Div", ops("Sub", after, before), ops("Max", ops("Mul", bend, 2.0), FLATTEST))
        return ops("Min", ops("Max", offset, -0.5), 0.5)

    def refined(cell: str, last: Value, offset: str) -> str:
        """A cell's place; at the map's border its centre. 0 in an empty slot."""
        inner = ops("And", ops("Greater", cell, 0.5), ops("Less", cell, ops("Sub", last, 1.5) if isinstance(last, str) else last - 1.5))
        return ops("Where", filled, ops("Add", cell, ops("Where", inner, offset, 0.0)), 0.0)

    filled = ops("Greater", score, settings.peak_threshold)
    sums = [profile(*((row, column) for row in (-1, 0, 1))) for column in (-1, 0, 1)]
    x = refined(column, width, vertex(*sums))
    sums = [profile(*((row, column) for column in (-1, 0, 1))) for row in (-1, 0, 1)]
    return x, refined(row, height, vertex(*sums)), score


def _offset(ops: GraphOps, line: Value, row: int, column: int) -> Value:
    """How far a neighbour lies in the flat map."""
    if not isinstance(line, str):
        return float(row * line + column)
    return ops("Add", ops("Mul", line, float(row)), float(column))


def score_pairs(
    ops: GraphOps, pafs: str, layout: MapLayout, peaks: Peaks, size: tuple[Value, Value], slots: int, settings: ParserSettings
) -> str:
    """Line-integral scores (N, C, K, K) float32 of every two peaks that a limb could join, 0 where they do not pass.

    Args:
        ops: to write with.
        pafs: tensor (N, 2C, h, w) float32.
        layout: with PAF channels.
        peaks: from `find_peaks`.
        size: h and w as float32.
        slots: K.
        settings: the parser's.
    """
    skeleton = layout.skeleton
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

    # Beside the samples, the nine cells about the middle: the fifth is the middle itself, and short limbs take the best of all.
    way = np.append(np.linspace(MARGIN, 1 - MARGIN, samples), np.full(9, 0.5)).astype(np.float32)
    beside = {"x": np.tile([-1, 0, 1], 3), "y": np.repeat([-1, 0, 1], 3)}
    tensors = {"x": x, "y": y, "dx": dx, "dy": dy, "length": ops("Max", length, _SMALL)}
    wide = {name: ops("Unsqueeze", tensor, axes(4)) for name, tensor in tensors.items()}

    def cells(axis: str, count: Value) -> str:
        """The row or column in which each sample lies, (N, C, K, K, samples + 9)."""
        place = ops("Floor", ops("Add", ops("Add", wide[axis], 0.5), ops("Mul", wide[f"d{axis}"], way)))
        moved = ops("Add", place, np.append(np.zeros(samples), beside[axis]).astype(np.float32))
        return ops("Min", ops("Max", moved, 0.0), ops("Sub", count, 1.0) if isinstance(count, str) else float(count) - 1.0)

    height, width = size
    places = ops("Add", ops("Mul", cells("y", height), width), cells("x", width))
    places = ops("Cast", ops("Reshape", places, axes(0, limbs, -1)), to=_INT32)

    def along(component: int, step: str) -> str:
        """One component of the PAF along the way."""
        channels = axes(*(pair[component] for pair in layout.paf_channels))
        flat = ops("Reshape", ops("Gather", pafs, channels, axis=1), axes(0, limbs, -1))
        read = ops("Reshape", ops("GatherElements", flat, places, axis=2), axes(0, limbs, slots, slots, samples + 9))
        return ops("Mul", read, ops("Div", wide[step], wide["length"]))

    both = ops("Add", along(0, "dx"), along(1, "dy"))
    field, nine = (ops("Slice", both, axes(start), axes(_TO_THE_END if start else samples), axes(4)) for start in (0, samples))
    middle = ops("Gather", nine, np.array(4, np.int64), axis=4)
    mean = ops("Div", ops("ReduceSum", field, axes(4), keepdims=0), float(samples))
    share = ops("Div", height, ops("Mul", tensors["length"], 1 / float(LONG)))
    mean = ops("Add", mean, ops("Min", ops("Sub", share, 1.0), 0.0))
    number = ops("ReduceSum", ops("Cast", ops("Greater", field, settings.pair_threshold), to=_FLOAT), axes(4), keepdims=0)
    enough = ops("Greater", number, (settings.pair_share - 1e-3) * samples)
    agrees = ops("And", enough, ops("And", ops("Greater", middle, settings.middle_threshold), ops("Less", middle, _INFINITE)))
    best = ops("Mul", _largest(ops, nine), float(SHORT_WEIGHT))
    short = ops("Less", length, float(SHORT))
    close = ops("Mul", ops("Sub", float(REACH), length), float(TOUCHING))
    score = ops("Where", short, ops("Max", best, close), mean)
    # Where the PAF is no number, closeness does not help.
    agrees = ops("Or", ops("And", short, ops("Greater", best, -_INFINITE)), ops("And", ops("Not", short), agrees))
    good = ops("And", ops("And", usable, ops("Greater", length, 0.0)), agrees)
    good = ops("And", good, ops("And", ops("Greater", score, settings.pair_score), ops("Less", score, _INFINITE)))
    return ops("Where", good, score, 0.0)


def _largest(ops: GraphOps, nine: str) -> str:
    """Maximum over the last of five axes, of nine cells. ReduceMax takes its axes in another way from opset 18 on; Max does not."""
    return ops("Max", *(ops("Gather", nine, np.array(index, np.int64), axis=4) for index in range(9)))
