"""Networks with heat maps of one thing in a crop, told by their channel count and by having nothing else."""

from __future__ import annotations

from posetrt.export.graph.graph_ops import GraphOps, axes
from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.fuse import Fused
from posetrt.export.heads.grids import grids_of, stride_of
from posetrt.export.heads.paf import checked_slots, map_size
from posetrt.export.heads.paf_graph import find_peaks
from posetrt.runtime.heads.heatmap import HeatmapHead
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.heads.paf.parser import ParserSettings
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import built_in_skeletons

HEATMAPS = HeatmapHead.roles[0]
LEAST_CELLS = 16
"""Least width and height of a heat map together, in cells: less is a classifier's last grid."""


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """A reading of the last output with as many maps as a skeleton has parts, or one more for the background."""
    named = asked.outputs.get(HEATMAPS)
    grids = [grid for grid in grids_of(facts) if sum(grid.shape_hw) >= LEAST_CELLS]
    chosen = [grid for grid in grids if named in (None, grid.name)]
    if not chosen or set(asked.outputs) - {HEATMAPS}:
        return []
    grid = chosen[-1]
    others = sorted({other.channels for other in grids} - {grid.channels})
    if others and named is None:
        # A kind with further maps would be read as half of itself.
        return [
            NearMiss(
                "heatmap",
                f"beside {grid.channels} maps there are {', '.join(map(str, others))} more channels, which heat maps alone do not explain. "
                "Name the heat maps with --role heatmaps=NAME to leave the others out",
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
        if found:
            parts = grid.channels - int(background)
            readings.append(
                Reading(
                    head=HeatmapHead(outputs={HEATMAPS: grid.name}, stride=stride_of(facts, grid), background=background),
                    skeletons=tuple(layout.skeleton.name for layout in found),
                    parts=parts,
                    normalise="openpose" if background else "imagenet",
                    fit="crop",
                    why=f"{parts} heat maps{' and a background' if background else ''} of one thing in a crop",
                    nhwc=(grid.name,) if grid.nhwc else (),
                    rank=0,
                )
            )
    if not readings:
        wanted = f"skeleton {asked.skeleton.name} has {len(asked.skeleton.parts)} parts" if asked.skeleton else "no built-in skeleton fits"
        readings.append(NearMiss("heatmap", f"{grid.channels} heat maps, and {wanted}: give yours with --skeleton FILE.json"))
    return readings


def fuse(ops: GraphOps, manifest: Manifest, slots: int | None) -> Fused:
    """Peaks (N, J, K, 3) in place of the maps, best first.

    Raises:
        UsageError: K is more than TensorRT or the smallest map can hold.
    """
    head, parts, kept = manifest.head, len(manifest.skeleton.parts), checked_slots(manifest, slots)
    assert isinstance(head, HeatmapHead)
    heatmaps = head.outputs[HEATMAPS]
    found = find_peaks(ops, heatmaps, parts, map_size(ops, manifest, heatmaps), kept, ParserSettings())
    peaks = ops("Concat", *(ops("Unsqueeze", each, axes(3)) for each in found), axis=3)
    role = HeatmapHead.roles[1]
    return Fused(HeatmapHead(outputs={role: role}, stride=head.stride, background=head.background), {peaks: role}, {role: [parts, kept, 3]})
