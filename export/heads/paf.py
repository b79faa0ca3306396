"""Networks with heat maps and PAFs, told by their channel counts; and their decoding inside the graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from posetrt.export.graph.graph_ops import GraphOps, Value, axes
from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, Reading
from posetrt.export.heads.fuse import MOST_SLOTS, Fused
from posetrt.export.heads.grids import Grid, grids_of, stride_of
from posetrt.export.heads.grids import named as by_name
from posetrt.export.heads.paf_graph import find_peaks, score_pairs
from posetrt.export.heads.refused import is_dekr
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.head import PafDecodedHead, PafHead
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.heads.paf.parser import ParserSettings
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import built_in_skeletons

HEATMAPS, PAFS = PafHead.roles


def recognise(facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """One reading for each skeleton whose maps and PAFs the graph has, in two outputs or in one; of several stages the last."""
    if is_dekr(facts) and not asked.outputs and asked.head is None:
        # The 15 and 28 maps of its CrowdPose networks would be an MPI network's without background, which nobody publishes.
        return []
    grids = grids_of(facts)
    known = [load_layout(name) for name in built_in_skeletons()] if asked.layout is None else [asked.layout]
    layouts = [layout for layout in known if layout.paf_channels]
    readings = [reading for layout in layouts for reading in _readings(facts, grids, layout, asked)]
    least = min((MapLayout(one.skeleton, one.paf_channels, False).heatmap_channels + one.paf_channel_count for one in layouts), default=0)
    # One output of few maps, without a skeleton named, is nothing of this kind.
    alone = asked.layout is None and len(grids) == 1
    if readings or not grids or (alone and grids[0].channels < least):
        return list(readings)
    return list(_apart(grids, layouts)) or list(_near(grids, layouts, asked))


def _apart(grids: list[Grid], layouts: list[MapLayout]) -> Iterator[NearMiss]:
    """Where the heat maps and the PAFs of a skeleton are there, in two sizes."""
    for layout in layouts:
        maps, fields = ([grid for grid in grids if grid.channels == count] for count in (layout.heatmap_channels, layout.paf_channel_count))
        if maps and fields:
            sizes = " and ".join("x".join(map(str, one.shape_hw[::-1])) for one in (maps[-1], fields[-1]))
            yield NearMiss(
                "paf",
                f"heat maps ({maps[-1].name}) and PAFs ({fields[-1].name}) as {layout.skeleton.name} has, of {sizes} cells: export the network "
                "again with both in one size",
            )
            return


def _readings(facts: GraphFacts, grids: list[Grid], layout: MapLayout, asked: Asked) -> Iterator[Reading]:
    for background in (layout.background, not layout.background):
        variant = MapLayout(layout.skeleton, layout.paf_channels, background)
        maps, fields = variant.heatmap_channels, variant.paf_channel_count
        named = asked.outputs.get(HEATMAPS), asked.outputs.get(PAFS)

        def last(channels: int, name: str | None) -> Grid | None:
            fitting = [grid for grid in grids if grid.channels == channels and name in (None, grid.name)]
            return fitting[-1] if fitting else None

        heatmaps, pafs = last(maps, named[0]), last(fields, named[1])
        apart = None
        if heatmaps is not None and pafs is not None and heatmaps is not pafs and heatmaps.shape_hw == pafs.shape_hw:
            apart = heatmaps, pafs
        joint = last(maps + fields, (named[0] if named[0] == named[1] else None) or (named[0] or named[1]))
        # Beside outputs that this skeleton does not explain, as many channels are a chance: CenterNet's 34 offsets are no car's maps.
        explained = {maps, fields, maps + fields}
        alone = len(grids) == len(facts.outputs) and all(grid.channels in explained for grid in grids)
        if apart is not None:
            # A joint output beside them holds the same again, or what the network computes of them.
            outputs, split, chosen = {HEATMAPS: apart[0].name, PAFS: apart[1].name}, {}, list(apart)
        elif joint is not None and (alone or any(named) or asked.head == PafHead.kind):
            outputs, split = {HEATMAPS: HEATMAPS, PAFS: PAFS}, {joint.name: ((HEATMAPS, maps), (PAFS, fields))}
            chosen = [joint]
        else:
            continue
        stride = stride_of(facts, chosen[0])
        yield Reading(
            head=PafHead(outputs=outputs, stride=stride, paf_channels=variant.paf_channels, background=background),
            skeletons=(layout.skeleton.name,),
            parts=len(layout.skeleton.parts),
            # NVIDIA's networks, and others with its skeleton, end torchvision's backbones.
            normalise="imagenet" if layout.skeleton.name == "trtpose18" else "openpose",
            fit="top-left",
            why=f"{maps} heat maps and {fields} PAF channels at stride {stride}, as {layout.skeleton.name} has",
            nhwc=tuple(grid.name for grid in chosen if grid.nhwc),
            split=split,
            # By the channels of one output alone, 17 heat maps with 17 tags could be a car's maps and fields.
            rank=0 if split and not layout.skeleton.coco17 and asked.skeleton is None else 1,
        )
        return


def _near(grids: list[Grid], layouts: list[MapLayout], asked: Asked) -> Iterator[NearMiss]:
    if asked.skeleton is not None and asked.layout is None:
        return
    if asked.layout is not None and layouts:
        one = layouts[0]
        wanted = f"skeleton {one.skeleton.name!r} needs {one.heatmap_channels} heat maps and {one.paf_channel_count} PAF channels"
    else:
        counts = ", ".join(f"{one.skeleton.name}: {one.heatmap_channels} + {one.paf_channel_count}" for one in layouts)
        wanted = f"no built-in skeleton fits. Heat maps + PAF channels expected: {counts}"
    yield NearMiss(
        "paf",
        f"{wanted}. Give your own skeleton with paf_channels with --skeleton FILE.json, and the outputs with --role heatmaps=NAME "
        "--role pafs=NAME",
        likely=asked.layout is not None or asked.head == PafHead.kind or any(by_name(grid.name, "paf") for grid in grids),
    )


DEFAULT_SLOTS = 32
"""Peaks kept per part with `--decode in-graph`."""


def fuse(ops: GraphOps, manifest: Manifest, slots: int | None) -> Fused:
    """Peaks (N, J, K, 3) and pair scores (N, C, K, K) in place of the maps, as the parser finds them with its default settings.

    Raises:
        UsageError: K is more than TensorRT or the smallest map can hold.
    """
    head = manifest.head
    assert isinstance(head, PafHead)
    layout, settings, kept = head.layout(manifest.skeleton), ParserSettings(), checked_slots(manifest, slots)
    heatmaps, pafs = (head.outputs[role] for role in (HEATMAPS, PAFS))
    size = map_size(ops, manifest, heatmaps)
    parts, limbs = len(manifest.skeleton.parts), len(manifest.skeleton.limbs)
    found = find_peaks(ops, heatmaps, parts, size, kept, settings)
    peaks = ops("Concat", *(ops("Unsqueeze", each, axes(3)) for each in found), axis=3)
    pairs = score_pairs(ops, pafs, layout, found, size, kept, settings)
    first, second = PafDecodedHead.roles
    return Fused(
        PafDecodedHead(outputs={first: first, second: second}, stride=head.stride, least=head.least),
        {peaks: first, pairs: second},
        {first: [parts, kept, 3], second: [limbs, kept, kept]},
    )


def checked_slots(manifest: Manifest, slots: int | None) -> int:
    """Peaks per part.

    Raises:
        UsageError: more than TensorRT or the smallest map can hold.
    """
    kept = DEFAULT_SLOTS if slots is None else slots
    cells = manifest.input.min_wh[0] * manifest.input.min_wh[1] // manifest.head.map_stride() ** 2
    if not 1 <= kept <= min(cells, MOST_SLOTS):
        raise UsageError(f"the graph can keep 1 to {min(cells, MOST_SLOTS)} peaks a part at this input size; got {kept}")
    return kept


def map_size(ops: GraphOps, manifest: Manifest, heatmaps: str) -> tuple[Value, Value]:
    """Height and width of the maps: constants, or taken from the maps where the size may change."""
    if not manifest.input.dynamic:
        width, height = manifest.input.size_wh
        stride = manifest.head.map_stride()
        return float(height // stride), float(width // stride)
    shape = ops("Cast", ops("Shape", heatmaps), to=1)
    return ops("Gather", shape, np.array(2, np.int64)), ops("Gather", shape, np.array(3, np.int64))
