"""Networks with heat maps, short offsets and displacements: PoseNet, of any size, stride and backbone."""

from __future__ import annotations

import math

from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.grids import Grid, grids_of, named
from posetrt.export.heads.part_counts import skeletons_of
from posetrt.runtime.heads.offsets import POSENET_EDGES, OffsetsHead

HEATMAPS, OFFSETS, FORWARD, BACKWARD = OffsetsHead.roles
PARTS, EDGES = len(POSENET_EDGES) + 1, len(POSENET_EDGES)


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """A reading of maps of 17, 34, 32 and 32 channels over the same cells."""
    if set(asked.outputs) - set(OffsetsHead.roles):
        return []
    maps = grids_of(facts)
    for first in maps:
        alike = [each for each in maps if each.shape_hw == first.shape_hw and each.nhwc == first.nhwc]
        chosen = {
            HEATMAPS: [each for each in alike if each.channels == PARTS],
            OFFSETS: [each for each in alike if each.channels == 2 * PARTS],
            FORWARD: [each for each in alike if each.channels == 2 * EDGES],
        }
        if not all(chosen.values()) or len(chosen[FORWARD]) < 2:
            continue
        forward, backward = _directions(chosen[FORWARD])
        names = {HEATMAPS: chosen[HEATMAPS][0], OFFSETS: chosen[OFFSETS][0], FORWARD: forward, BACKWARD: backward}
        outputs = {role: asked.outputs.get(role, each.name) for role, each in names.items()}
        return [_reading(facts, asked, first, outputs, probability=names[HEATMAPS].output.probability)]
    if {each.channels for each in maps} >= {PARTS, 2 * PARTS, 2 * EDGES}:
        why = "maps of 17, 34 and 32 channels, but not the displacements forward and backward over the same cells: name all four outputs with --role"
        return [NearMiss("offsets", why)]
    return []


def _directions(maps: list[Grid]) -> tuple[Grid, Grid]:
    """The displacements forward and backward: by their names, else in this order."""
    one, other = maps[:2]
    swapped = named(one.name, "bwd", "backward") or (named(other.name, "fwd", "forward") and not named(one.name, "fwd", "forward"))
    return (other, one) if swapped else (one, other)


def _reading(facts: GraphFacts, asked: Asked, maps: Grid, outputs: dict[str, str], *, probability: bool) -> Reading | NearMiss:
    (width, height), (rows, columns) = facts.size_wh, maps.shape_hw
    across, down = (width - 1) / (columns - 1), (height - 1) / (rows - 1)
    skeletons = skeletons_of(PARTS, asked)
    if across != down or across != int(across):
        stride = 2 ** max(0, round(math.log2(width / columns)))
        near = "x".join(str(max(1, round((side - 1) / stride)) * stride + 1) for side in (width, height))
        return NearMiss(
            "offsets",
            f"has PoseNet's maps, and at {width}x{height} their cells do not lie on whole pixels: it wants sides of {stride} n + 1, as in "
            f"--input-size {near}",
            sure=True,
        )
    if skeletons is None:
        return NearMiss("offsets", "PoseNet's edges join the 17 parts of COCO; use --skeleton coco17")
    return Reading(
        head=OffsetsHead(outputs=outputs, stride=int(across), channels="last" if maps.nhwc else "first", logits=not probability),
        skeletons=tuple(name for name in skeletons if name == "coco17") or skeletons,
        parts=PARTS,
        normalise="posenet",
        fit="top-left",
        why=f"maps of 17, 34, 32 and 32 channels over {columns}x{rows} cells: heat maps, short offsets, displacements forward and backward",
        rank=2,
    )
