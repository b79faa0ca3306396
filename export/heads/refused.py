"""Families of networks that no head reads, known by their outputs: what they are, and the way out."""

from __future__ import annotations

from posetrt.export.heads.base import GraphFacts

_LIMBS = 19
"""Of COCO's 17 parts, as OpenPifPaf joins them."""


def family_of(facts: GraphFacts) -> str | None:
    """A sentence on what the graph is and what to do; None where it is no family that is known by its outputs."""
    shapes = [tuple(output.shape) for output in facts.outputs]
    maps = [shape for shape in shapes if len(shape) == 4 and shape[0] == 1]
    channels = sorted(shape[1] for shape in maps)
    if {(1, 17, 5), (1, _LIMBS, 8)} <= {shape[:3] for shape in shapes if len(shape) == 5}:
        return "These are OpenPifPaf's composite fields, which no head here reads. YOLO-pose and RTMO do its work"
    if any(len(shape) == 5 and shape[3] == shape[4] for shape in shapes):
        return "An output of five axes holds several stages or scales: export the network with the last of them alone, (1, parts, h, w)"
    if len(maps) >= 4 and 2 in channels and any(2 * parts in channels and (parts in channels or 1 in channels) for parts in (14, 16, 17)):
        return "Centres with steps to key points are CenterNet's (or FCPose's), which no head here reads. YOLO-pose and RTMO do its work"
    if len(maps) == 2 and channels[1] == 2 * (channels[0] - 1) and channels[0] in (15, 17, 18) and len({shape[2:] for shape in maps}) == 1:
        return "Heat maps with a centre and steps from it are DEKR's, which no head here reads. HigherHRNet and RTMO do its work"
    if len(maps) == 1 and len(shapes) == 1 and channels[0] in (42, 48, 51):
        return "Three maps for each part look like UDP's heat maps with offsets: export the network with its heat maps alone"
    return None
