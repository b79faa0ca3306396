"""From what the outputs can be to readings with a head, the network's usual pixels and placement."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from posetrt.export.heads.base import Asked, GraphFacts, NearMiss, OutputFacts, Reading
from posetrt.export.heads.candidate_blaze import blaze_readings
from posetrt.export.heads.candidate_columns import readings_of
from posetrt.export.heads.candidate_outputs import outputs_readings
from posetrt.export.heads.candidate_table import HUMAN, anchors_missing, class_names, is_human, level_table, single_tables
from posetrt.export.heads.candidate_terms import Columns, Family, Missing, part_counts, skeleton_names
from posetrt.export.heads.refused import is_face_detector
from posetrt.runtime.heads.boxes import BoxesHead
from posetrt.runtime.heads.candidates import STRIDES, CandidateHead
from posetrt.runtime.heads.rows import RowsHead

_USUAL: dict[Family, tuple[str, str]] = {
    "yolo": ("yolo", "centre"),
    "yolo-nas": ("yolo-nas", "top-left"),
    "yolox": ("yolox", "top-left"),
    "rtmdet": ("rtmdet", "top-left"),
    "rtmo": ("yolox", "top-left"),
    "nanodet": ("rtmdet", "stretch"),
    "movenet": ("movenet", "top-left"),
    "torchvision": ("unit", "top-left"),
    "tensorflow": ("movenet", "stretch"),
    "ssd": ("unit", "stretch"),
    "detr": ("unit", "stretch"),
    "coco-detr": ("imagenet", "stretch"),
    "damo": ("movenet", "stretch"),
    "picodet": ("imagenet", "stretch"),
    "openvino": ("in-graph", "stretch"),
    "blaze": ("blaze", "centre"),
    "palms": ("mediapipe", "centre"),
}
"""Family → its normalisation and how it places a picture, as its authors' own tools do. "ssd" is also PP-YOLOE and PicoDet (PaddleDetection resizes with
keep_ratio false), "detr" RT-DETR, D-FINE and DEIM, "coco-detr" those that count COCO's classes to 90 (DETR, LW-DETR, RF-DETR), "rtmo" mmdeploy's and
rtmlib's YOLOX and RTMO. DAMO-YOLO's test transform has keep_ratio false and neither mean nor scale."""


def readings_as(kind: type[CandidateHead], facts: GraphFacts, asked: Asked) -> list[Reading | NearMiss]:
    """Every reading of the graph as that kind, rows or boxes."""
    if not set(asked.outputs) <= set(kind.roles):
        return []
    if facts.metadata.get("task") == "obb":
        return [
            NearMiss(
                kind.kind, "its file says oriented boxes, which have an angle that no head reads. Export a network of task pose or detect"
            )
        ]
    if asked.head is None and asked.skeleton is None and not asked.outputs and is_face_detector(facts):
        return []
    named = set(asked.outputs.values())
    facts = replace(facts, strides=asked.strides)
    alone = tuple(output for output in facts.outputs if output.name == asked.outputs.get("rows")) or _complete_alone(facts)
    if alone:
        facts = replace(facts, outputs=alone)
    found: list[Columns | Missing] = []
    table, blaze = level_table(facts), blaze_readings(facts)
    if blaze:
        found += blaze
    elif table is not None:
        found += [_with_outputs(one, table.outputs) for one in readings_of(table, facts, asked)]
    else:
        beside = outputs_readings(facts, asked) if len(facts.outputs) > 1 else []
        found += beside
        if not any(isinstance(one, Columns) for one in beside):
            for single in single_tables(facts):
                found += [_with_outputs(one, single.outputs) for one in readings_of(single, facts, asked)]
    alike = _alike(facts) if not found else None
    if alike is not None:
        found.append(Missing(alike))
    anchored = [output for output in facts.outputs if anchors_missing(facts, output)]
    if anchored and not found:
        shapes = ", ".join(f"{output.name} {'x'.join(map(str, output.shape))}" for output in anchored)
        found.append(
            Missing(f"{shapes} are three anchors per cell, whose sizes the graph does not hold. Export it again with its last layer")
        )
    readings: list[Reading | NearMiss] = []
    for one in found:
        if isinstance(one, Missing):
            readings.append(NearMiss(kind.kind, one.why))
        elif bool(one.parts) == (kind is RowsHead) and (not named or named & set(one.fields["outputs"].values())):
            left = _unread_points(one, facts, asked) if kind is BoxesHead and asked.head != kind.kind else None
            readings.append(_reading(kind, one, facts) if left is None else NearMiss(kind.kind, left))
        elif asked.head == kind.kind:
            other = f"{one.parts} key points each: --head rows" if one.parts else "no key points: --head boxes"
            readings.append(NearMiss(kind.kind, f"its candidates have {other} ({one.why})"))
    return readings


def _complete_alone(facts: GraphFacts) -> tuple[OutputFacts, ...]:
    """The one output with complete candidates, beside which there are only the levels that it was made of; empty where that is not so."""
    cells = {(-(-facts.size_wh[1] // stride), -(-facts.size_wh[0] // stride)) for stride in STRIDES}
    maps = [output for output in facts.outputs if len(output.shape) in (4, 5) and cells & {output.shape[2:4], output.shape[1:3]}]
    rest = [output for output in facts.outputs if output not in maps]
    if len(maps) < 2 or not rest:
        return ()
    whole = max(rest, key=lambda output: output.noise.size)
    tables = list(single_tables(replace(facts, outputs=(whole,))))
    complete = len(tables) == 1 and tables[0].strides and tables[0].kinds[:2] in ("xy", "yx") and tables[0].columns > 4
    within = all(output.shape[-1] == whole.shape[-1] and output.shape[1] < whole.shape[1] - 4 for output in rest if output is not whole)
    return (whole,) if complete and within else ()


def _alike(facts: GraphFacts) -> str | None:
    """What to say of several outputs of one form, each with complete candidates, as YOLOv9's two branches; None of anything else."""
    shapes = {output.shape for output in facts.outputs}
    if len(facts.outputs) < 2 or len(shapes) > 1 or len(facts.outputs[0].shape) != 3:
        return None
    tables = list(single_tables(replace(facts, outputs=facts.outputs[-1:])))
    if not tables or not tables[0].strides or tables[0].kinds[:2] not in ("xy", "yx"):
        return None
    last = facts.outputs[-1].name
    return f"{facts.listing()}: each holds all candidates. Choose one, as --role rows={last} (of YOLOv9's two branches the last is the main one)"


def _unread_points(one: Columns, facts: GraphFacts, asked: Asked) -> str | None:
    """Why it is no detector, where an output that it leaves out has numbers for key points of as many candidates; else None."""
    read = set(one.fields["outputs"].values())
    cells = [math.prod(-(-side // stride) for side in facts.size_wh) for stride in one.fields.get("strides") or (8, 16, 32)]
    counts = set(part_counts(facts, asked))
    boxes = next(output for output in facts.outputs if output.name == next(iter(one.fields["outputs"].values())))
    for output in facts.outputs:
        shape = ", ".join(map(str, output.shape))
        if (
            len(output.shape) == 4
            and output.shape[0] == boxes.shape[0] != 1
            and output.shape[1] in counts
            and output.shape[2] == output.shape[3] > 16
        ):
            return (
                f"{one.why}; and {output.name} ({shape}) looks like heat maps of each box, as Detectron2's, which no head reads. Export torchvision's "
                "keypointrcnn_resnet50_fpn, which gives key points, or take it as a detector with --head boxes"
            )
        sides = [side for side in output.shape[1:] if side != sum(cells)]
        if output.name in read or output.noise.ndim < 3 or len(sides) != output.noise.ndim - 2:
            continue
        points = {math.prod(sides) // values for values in (2, 3) if math.prod(sides) % values == 0}
        if points & counts:
            return (
                f"{one.why}; and {output.name} ({shape}) looks like key points of these candidates, in a form that goes with other boxes. Export "
                "the network again with its last layer (one output), or take it as a detector with --head boxes"
            )
    return None


def _class_of(one: Columns, facts: GraphFacts) -> str:
    """The name of the class whose key points are found, where the file has one that is not simply "person"; else empty."""
    names = class_names(facts)
    index = one.fields.get("person_class") or 0
    return names[index] if index < len(names) and names[index] not in HUMAN else ""


def _skeletons(parts: int, name: str) -> tuple[str, ...]:
    """Those with so many parts. Of a class that is no person, only one that is of that class by its own name: of hands, faces, cars."""
    names = skeleton_names(parts)
    if not name or is_human(name):
        return names
    words = {word.removesuffix("s") for word in re.split(r"[^a-z]+", name)}
    return tuple(each for each in names if each.rstrip("0123456789") in words)


def _with_outputs(one: Columns | Missing, outputs: object) -> Columns | Missing:
    if isinstance(one, Missing):
        return one
    return Columns({**one.fields, "outputs": outputs}, one.parts, one.why, one.family, one.rank)


def _reading(kind: type[CandidateHead], one: Columns, facts: GraphFacts) -> Reading:
    fields = {name: value for name, value in one.fields.items() if kind is not BoxesHead or not name.startswith("point_")}
    normalise, fit = _USUAL[one.family]
    name = _class_of(one, facts)
    if one.family == "yolo-nas" and facts.dtype != "float32":
        # Super-gradients puts the pixels' preparation into such a graph, the swap to BGR too.
        normalise = "unit"
    return Reading(
        head=kind(**fields),
        skeletons=_skeletons(one.parts, name) if one.parts else ("boxes",),
        parts=one.parts,
        normalise=normalise,
        fit=fit,
        why=one.why + (f" of the class {name!r}" if one.parts and name else ""),
        swapped=one.swapped,
        rank=one.rank,
    )
