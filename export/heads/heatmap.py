"""Networks with heat maps of one thing in a crop, told by their channel count and by having nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from posetrt.export.graph.graph_ops import GraphOps, Value, axes
from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.fuse import Fused
from posetrt.export.heads.grids import Grid, grids_of, stride_of
from posetrt.export.heads.grids import named as by_name
from posetrt.export.heads.paf import map_size
from posetrt.export.heads.part_counts import skeletons_of
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.heatmap import HeatmapHead
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.heads.subpixel import FLATTEST, NOISE, PROFILES, SLOPES_AND_BENDS
from posetrt.runtime.model.format1 import LEAST_PEAK
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import built_in_skeletons

HEATMAPS, OFFSETS, _ = HeatmapHead.roles
_FLOAT, _INT32 = 1, 6  # onnx.TensorProto
_INFINITE = 3.4e38
_LOGITS_BELOW = -2.0
"""Maps that were trained as Gaussians undershoot 0 a little; logits of an empty cell lie far below."""

_OTHER_KINDS = ("offset", "paf", "tag", "embed", "displace", "mask", "seg", "vector", "limb")
"""Words in the names of outputs that heat maps alone do not explain."""

_VOC_CLASSES = 21
"""Classes of Pascal VOC with its background: the usual number of a published segmenter, and as many as a hand has parts."""
_LARGEST_HAND = 400
"""Pixels of an input: published networks of hands take 224 to 368, segmenters 512 and more."""
_NEARLY_NOTHING = 0.2
"""Greatest value of most cells of heat maps where nothing is to be found, of a peak's 1."""

_FAR_APART = 20.0
"""How many times larger the values of tags are than those of heat maps where nothing is found; stages of one network stay within a few times."""
LEAST_CELLS = 16
"""Least width and height of a heat map together, in cells: less is a classifier's last grid."""


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """A reading of the last output with as many maps as a skeleton has parts, or one more for the background."""
    named = asked.outputs.get(HEATMAPS)
    grids = [grid for grid in grids_of(facts) if sum(grid.shape_hw) >= LEAST_CELLS]
    chosen = [grid for grid in grids if named in (None, grid.name)]
    pair = _with_offsets(facts, grids, asked)
    if pair is not None:
        return [_of_pair(facts, *pair, asked)]
    if not chosen or set(asked.outputs) - {HEATMAPS}:
        return []
    grid = chosen[-1]
    told = [each for each in grids if by_name(each.name, "heatmap", "heat_map")]
    if named is None and len(told) == 1 and len(facts.outputs) == 2 and not by_name(_other(facts, told[0]), *_OTHER_KINDS):
        grid = told[0]
        grids = [grid]
    others = sorted({other.channels for other in grids} - {grid.channels})
    if others and named is None:
        # A kind with further maps would be read as half of itself.
        return [
            NearMiss(
                "heatmap",
                f"beside {grid.channels} maps there are {', '.join(map(str, others))} more channels, which heat maps alone do not explain. "
                f"Name the heat maps with --role heatmaps=NAME to leave the others out{_pair_named(grids)}",
            )
        ]
    if asked.head != HeatmapHead.kind and named is None and _unlike(grids):
        names = ", ".join(each.name for each in grids)
        return [
            NearMiss(
                "heatmap",
                f"{names} have {grid.channels} maps each, and their values are not of one kind. Name the heat maps with --role heatmaps=NAME; if others are "
                "tags, with --head embedding --role tags=NAME as well",
            )
        ]
    if asked.head != HeatmapHead.kind and named is None and _segments(facts, grid):
        return [
            NearMiss(
                "heatmap",
                f"{grid.name} gives {grid.channels} maps as a network does that tells each pixel's class (a segmenter). If they are heat maps of "
                "key points, say so with --head heatmap",
            )
        ]
    own = asked.layout or (MapLayout(asked.skeleton, (), False) if asked.skeleton is not None else None)
    known = [load_layout(name) for name in built_in_skeletons()] if own is None else [own]
    # The maps of a network whose other outputs were left out when it was exported are no network for crops, unless the user says so.
    layouts = [layout for layout in known if not layout.paf_channels or asked.head == HeatmapHead.kind or named is not None]
    fitting: dict[bool, list[MapLayout]] = {False: [], True: []}
    for layout in layouts:
        parts = len(layout.skeleton.parts)
        if parts and parts == grid.channels:
            fitting[False].append(layout)
        elif parts and parts + 1 == grid.channels and (layout.background or asked.skeleton is not None):
            fitting[True].append(layout)
    readings: list[Reading | NearMiss] = []
    for background, found in fitting.items():
        # As many maps as parts need no background to explain them.
        if found and not (background and fitting[False]):
            parts = grid.channels - int(background)
            readings.append(
                Reading(
                    head=_head(grid, stride_of(facts, grid), background),
                    skeletons=tuple(layout.skeleton.name for layout in found),
                    parts=parts,
                    normalise="openpose" if background else "imagenet",
                    fit="crop",
                    why=f"{parts} heat maps{' and a background' if background else ''} of one thing in a crop{_otherwise(grid, background and own is None)}",
                    nhwc=(grid.name,) if grid.nhwc else (),
                    rank=0,
                )
            )
    if not readings:
        wanted = "no built-in skeleton fits: give yours with --head heatmap --skeleton FILE.json"
        if asked.skeleton is not None:
            parts = len(asked.skeleton.parts)
            fits = parts in (grid.channels, grid.channels - 1)
            wanted = f"skeleton {asked.skeleton.name} has {parts} parts"
            wanted += (
                ". If they show one person in a crop, say so with --head heatmap" if fits else f": give one with {grid.channels} parts"
            )
        readings.append(NearMiss("heatmap", f"{grid.channels} heat maps, and {wanted}"))
    return readings


def _otherwise(grid: Grid, assumed: bool) -> str:
    """How to say that the last map is a part too, where nobody said that it is a background."""
    return f" (if the last map is a part too, give {grid.channels} parts with --skeleton FILE.json)" if assumed else ""


def _with_offsets(facts: GraphFacts, grids: list[Grid], asked: Asked) -> tuple[Grid, Grid] | None:
    """Heat maps and short offsets of one crop, as G-RMI's: two outputs of the same cells, K channels and 2 K; None where there are none.

    Without names a person's crop is told by being upright: PersonLab's maps are of whole frames.
    """
    if set(asked.outputs) - {HEATMAPS, OFFSETS} or len(grids) < 2 or (OFFSETS not in asked.outputs and len(facts.outputs) != 2):
        return None
    for maps in grids:
        for offsets in grids:
            wanted = asked.outputs.get(HEATMAPS, maps.name), asked.outputs.get(OFFSETS, offsets.name)
            if wanted != (maps.name, offsets.name) or maps.shape_hw != offsets.shape_hw or offsets.channels != 2 * maps.channels:
                continue
            upright = facts.size_wh[1] > facts.size_wh[0] and by_name(offsets.name, "offset")
            if OFFSETS in asked.outputs or (upright and skeletons_of(maps.channels, asked)):
                return maps, offsets
    return None


def _unlike(grids: list[Grid]) -> bool:
    """Whether the values of several outputs differ by far more than those of a network's stages."""
    spreads = [float(np.abs(grid.channels_first()).mean()) for grid in grids]
    return len(grids) > 2 and max(spreads) > _FAR_APART * min(spreads)


def _pair_named(grids: list[Grid]) -> str:
    """How to name heat maps with short offsets, where there are K and 2 K maps over the same cells; else empty."""
    for maps in grids:
        for offsets in grids:
            if offsets.channels == 2 * maps.channels and offsets.shape_hw == maps.shape_hw:
                return f"; if {offsets.name} are short offsets of one person's parts, --role heatmaps={maps.name} --role offsets={offsets.name}"
    return ""


def _of_pair(facts: GraphFacts, maps: Grid, offsets: Grid, asked: Asked) -> Reading:
    head = replace(_head(maps, stride_of(facts, maps), background=False), outputs={HEATMAPS: maps.name, OFFSETS: offsets.name})
    return Reading(
        head=head,
        skeletons=skeletons_of(maps.channels, asked) or (),
        parts=maps.channels,
        normalise="imagenet",
        fit="crop",
        why=f"{maps.channels} heat maps of one thing in a crop, and short offsets along y, then x ({offsets.name})",
        nhwc=tuple(grid.name for grid in (maps, offsets) if grid.nhwc),
    )


def _other(facts: GraphFacts, grid: Grid) -> str:
    """The name of the other one of two outputs."""
    return next(output.name for output in facts.outputs if output is not grid.output)


def _segments(facts: GraphFacts, grid: Grid) -> bool:
    """Whether maps look like the classes of pixels: by their name, their size (the picture's) or their values."""
    if by_name(grid.name, "seg", "mask", "logits"):
        return True
    if by_name(grid.name, "heat", "kpt", "keypoint", "joint", "pose"):
        return False
    whole = grid.shape_hw == facts.size_wh[::-1]
    if whole or _class_wins(grid) or (grid.channels > 1 and np.allclose(grid.channels_first().sum(0), 1, atol=1e-3)):
        return True
    large = min(facts.size_wh) > _LARGEST_HAND
    return grid.channels == _VOC_CLASSES and (large or not _finds_nothing(facts, grid))


def _class_wins(grid: Grid) -> bool:
    """Whether most cells of either picture have one map far above the others, as a softmax wants it: heat maps show nothing there."""
    shares = []
    for values in grid.both_channels_first():
        best = values.max(0)
        shares.append(float(((best > 0.5) & (best > np.median(values, axis=0) + 2)).mean()))
    return grid.channels > 2 and min(shares) > 0.5


def _finds_nothing(facts: GraphFacts, grid: Grid) -> bool:
    """Whether maps are nearly 0 almost everywhere, or their logits negative, in cells of whole pixels; DeepLab's input is one pixel larger."""
    values = np.stack(grid.both_channels_first())
    far = facts.size_wh[0] % grid.shape_hw[1] or facts.size_wh[1] % grid.shape_hw[0]
    return not far and bool(
        (values < _NEARLY_NOTHING).mean() > 0.9 and ((np.abs(values) < _NEARLY_NOTHING).mean() > 0.9 or values.mean() < -1)
    )


def _head(grid: Grid, stride: int, background: bool) -> HeatmapHead:
    """Maps with a background are drawn as OpenPose draws them; those without as SimpleBaseline, HRNet and most since."""
    outputs = {HEATMAPS: grid.name}
    if background:
        return HeatmapHead(outputs=outputs, stride=stride, background=True, least=LEAST_PEAK)
    return HeatmapHead(
        outputs=outputs, stride=stride, grid="origin", logits=not grid.output.probability and grid.output.low < _LOGITS_BELOW
    )


def fuse(ops: GraphOps, manifest: Manifest, slots: int | None) -> Fused:
    """Peaks (N, J, 1, 3) in place of the maps: the best point of each part, as `best_points` finds it.

    Raises:
        UsageError: slots were asked for, or the head refines in a way that a graph of plain operators does not.
    """
    if slots is not None:
        raise UsageError("--slots says how many candidates are kept, and a network for crops keeps the best of each part; leave it out")
    head, parts = manifest.head, len(manifest.skeleton.parts)
    assert isinstance(head, HeatmapHead)
    if head.refinement not in ("none", "parabola") or "offsets" in head.outputs:
        raise UsageError("heat maps with short offsets, or refined by DARK, are decoded on the CPU alone; leave --decode in-graph out")
    heatmaps = head.outputs[HEATMAPS]
    height, width = map_size(ops, manifest, heatmaps)
    flat = ops("Reshape", ops("Slice", heatmaps, axes(0), axes(parts), axes(1)), axes(0, parts, -1))
    value, cell = ops.several("TopK", 2, flat, axes(1), axis=2, largest=1, sorted=1)
    at = ops("Cast", cell, to=_FLOAT)
    # Half a cell more keeps the quotient off whole numbers, where a device's division might round either way.
    row = ops("Floor", ops("Div", ops("Add", at, 0.5), width))
    column = ops("Sub", at, ops("Mul", row, width))
    if head.logits:
        value = ops("Sigmoid", value)
    places = [column, row]
    if head.refinement == "parabola":
        patch = _patch(ops, flat, (row, column), (height, width))
        if head.logits:
            patch = ops("Sigmoid", patch)
        sums = ops("MatMul", patch, np.ascontiguousarray(PROFILES.T))
        fit = ops("MatMul", ops("Log", ops("Max", sums, float(NOISE))), np.ascontiguousarray(SLOPES_AND_BENDS.T))
        for axis in (0, 1):
            slope, bend = (ops("Slice", fit, axes(at_), axes(at_ + 1), axes(2)) for at_ in (axis, axis + 2))
            offset = ops("Div", slope, ops("Max", bend, float(FLATTEST)))
            places[axis] = ops("Add", places[axis], ops("Min", ops("Max", offset, -0.5), 0.5))
    found = ops("And", ops("Greater", value, 0.0), ops("Less", value, _INFINITE))
    kept = [ops("Where", found, each, 0.0) for each in (*places, ops("Min", value, 1.0))]
    peaks = ops("Concat", *(ops("Unsqueeze", each, axes(3)) for each in kept), axis=3)
    role = HeatmapHead.roles[2]
    return Fused(replace(head, outputs={role: role}), {peaks: role}, {role: [parts, 1, 3]})


def _patch(ops: GraphOps, flat: str, place: tuple[str, str], size: tuple[Value, Value]) -> str:
    """(N, J, 9): the nine cells around each best one; at the border the cell nearest to the one outside."""
    (row, column), (height, width) = place, size

    def clipped(at: str, step: int, cells: Value) -> str:
        last = cells - 1.0 if isinstance(cells, float) else ops("Sub", cells, 1.0)
        return ops("Min", ops("Max", ops("Add", at, float(step)), 0.0), last)

    near = []
    for down in (-1, 0, 1):
        start = ops("Mul", clipped(row, down, height), width)
        near += [ops("Add", start, clipped(column, right, width)) for right in (-1, 0, 1)]
    return ops("GatherElements", flat, ops("Cast", ops("Concat", *near, axis=2), to=_INT32), axis=2)
