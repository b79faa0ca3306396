"""Families of networks that no head reads, known by their outputs: what they are, and the way out."""

from __future__ import annotations

from posetrt.export.heads.base import GraphFacts
from posetrt.export.heads.grids import named

_LIMBS = 19
"""Of COCO's 17 parts, as OpenPifPaf joins them."""
_FACE = 10
"""Values of the five points of a face: eyes, nose, corners of the mouth."""
_MOST_CLASSES = 40
"""Of DetectNet_v2, four values each: the published ones have 3 or 4 classes."""
_BOX_AND_CLASS = range(65, 145)
"""Channels of a level of YOLO v8 before its last layer: 64 of the box, and 1 to 80 classes."""


def family_of(facts: GraphFacts) -> str | None:
    """A sentence on what the graph is and what to do; None where it is no family that is known by its outputs."""
    shapes = [tuple(output.shape) for output in facts.outputs]
    maps = [shape for shape in shapes if len(shape) == 4 and shape[0] == 1]
    channels = sorted(shape[1] for shape in maps)
    if {(1, 17, 5), (1, _LIMBS, 8)} <= {shape[:3] for shape in shapes if len(shape) == 5}:
        return "These are OpenPifPaf's composite fields, which no head here reads. YOLO-pose and RTMO do its work"
    if any(len(shape) == 5 and shape[3] * facts.size_wh[0] == shape[4] * facts.size_wh[1] for shape in shapes):
        return "An output of five axes holds several stages or scales: export the network with the last of them alone, (1, parts, h, w)"
    if (
        len(maps) >= 4
        and {1, 2} & set(channels)
        and any(2 * parts in channels and (parts in channels or 1 in channels) for parts in (14, 16, 17))
    ):
        return (
            "Centres with steps to key points are CenterNet's, FCPose's or MoveNet's before its last step, which no head here reads. Export MoveNet with its "
            "last step, a YOLO-pose or an RTMO in its place"
        )
    if is_dekr(facts):
        return (
            "Heat maps with a centre and steps from it are DEKR's, which no head here reads. Export a HigherHRNet (mmpose's associative embedding) or an "
            "RTMO in its place"
        )
    if is_face_detector(facts):
        return (
            "Boxes, scores and ten more numbers for each stride or anchor are a face detector's with five points (YuNet, SCRFD, RetinaFace), which no "
            "head here reads. Export MediaPipe's face detector (BlazeFace) in its place, or a YOLO-pose of faces with --skeleton FILE.json"
        )
    if sum(shape[1] in _BOX_AND_CLASS for shape in maps) >= 2 and any(shape[2] in (2, 3) and shape[3] > shape[1] for shape in maps):
        return (
            "Boxes and scores for each stride, and the key points of all strides in one output, are a YOLO-pose as Rockchip's RKNN tools export it. "
            "Export the plain ONNX in its place: yolo export model=yolo11n-pose.pt format=onnx, with Ultralytics' own package"
        )
    if len(shapes) == 2 == len(maps) and channels[1] == 4 * channels[0] <= _MOST_CLASSES and len({shape[2:] for shape in maps}) == 1:
        return (
            "A score and four numbers of each class for each cell are DetectNet_v2's (PeopleNet, DashCamNet), which no head here reads. Export PeopleNet "
            "Transformer, an RTMDet or a YOLO in its place"
        )
    if {17, 34, 64} <= {side for shape in shapes if len(shape) == 4 for side in shape[1:]}:
        return (
            "Heat maps, short offsets and 64 maps more are a PoseNet with both displacements in one output, whose order no exporter fixes. Export it "
            "with displacement_fwd and displacement_bwd apart, 32 maps each"
        )
    if len(maps) == 1 and len(shapes) == 1 and channels[0] in (42, 48, 51):
        return "Three maps for each part look like UDP's heat maps with offsets: export the network with its heat maps alone"
    return None


def is_dekr(facts: GraphFacts) -> bool:
    """Whether the outputs are K heat maps with one of the centre, and 2 K steps, over the same cells, by no name PAFs."""
    maps = sorted(
        (output for output in facts.outputs if len(output.shape) == 4 and output.shape[0] == 1), key=lambda output: output.shape[1]
    )
    if len(maps) != 2 or maps[0].shape[2:] != maps[1].shape[2:]:
        return False
    heat, steps = (output.shape[1] for output in maps)
    return heat in (15, 17, 18) and steps == 2 * (heat - 1) and not named(maps[1].name, "paf", "limb", "field", "vec")


def is_face_detector(facts: GraphFacts) -> bool:
    """Whether as many candidates as have boxes and scores have ten numbers more."""
    columns: dict[int, set[int]] = {}
    for output in facts.outputs:
        if len(output.shape) in (2, 3) and len(output.grey.shape) == len(output.shape):
            columns.setdefault(output.shape[-2], set()).add(output.shape[-1])
    return any({4, _FACE} <= found and found & {1, 2} for found in columns.values())
