"""Candidates whose boxes, scores and key points are outputs of their own: all candidates in each, or one set for each level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from posetrt.export.heads.base import Asked, GraphFacts, OutputFacts
from posetrt.export.heads.candidate_levels import of_levels, one_grid
from posetrt.export.heads.candidate_table import RANKED_AT_MOST, Table, grid_of, levels_of, person_of
from posetrt.export.heads.candidate_terms import Columns, Family, Missing, part_counts

_LARGEST_SHARE = 2.0
"""Greatest coordinate that is still a share of the picture: those of pixels reach further."""
DETR_CLASSES = 92
"""COCO's 91 numbers and one for nothing, as the original DETR has."""
_COCO_COUNTS = (91, DETR_CLASSES)
"""Classes of networks that count COCO's as its files do."""
_SAID = {
    "boxes": ("box", "det"),
    "classes": ("label", "class"),
    "scores": ("score", "conf", "det"),
    "keypoints": ("keypoint", "kpt", "pose", "joint"),
}
"""Role → what the names of such outputs contain."""


def outputs_readings(facts: GraphFacts, asked: Asked) -> list[Columns | Missing]:
    """Every reading of a graph with several outputs."""
    levels = levels_of(facts)
    if levels and len(next(iter(levels.values()))) > 1:
        return of_levels(levels, tuple(levels), facts, asked)
    found: list[Columns | Missing] = []
    facts, swapped = _aligned(replace(facts, outputs=tuple(_without_ones(output) for output in facts.outputs)))
    turned = _turned(facts)
    for seen, transposed in ((facts, False), *([(turned, True)] if turned is not None else [])):
        for boxes in seen.outputs:
            shape = boxes.shape
            if len(shape) in (2, 3) and shape[-1] in (4, 5) and (len(shape) == 2 or shape[0] == 1):
                one = _beside(boxes, seen, asked)
                if isinstance(one, Columns):
                    used = tuple(name for name in swapped if name in one.fields["outputs"].values())
                    return [replace(one, fields={**one.fields, "transposed": True}) if transposed else _across(one, used)]
                found += [one] if one is not None else []
    alone = None if found else _points_alone(facts, asked)
    if alone is not None:
        return [alone]
    strides, whole = one_grid(facts)
    return (of_levels({0: whole}, strides, facts, asked) if len(whole) > 1 else []) or found[:1]


def _across(one: Columns, swapped: tuple[str, ...]) -> Columns:
    """With scores across the boxes, as PP-YOLOE gives them, where there are some."""
    return replace(one, swapped=swapped, family="ssd") if swapped else one


def _without_ones(output: OutputFacts) -> OutputFacts:
    """Boxes (1, candidates, 1, 4) as (1, candidates, 4)."""
    if len(output.shape) != 4 or output.shape[2:] != (1, 4) or output.grey.shape[2:] != (1, 4):
        return output
    return replace(output, noise=output.noise[:, :, 0], grey=output.grey[:, :, 0])


def _aligned(facts: GraphFacts) -> tuple[GraphFacts, tuple[str, ...]]:
    """With outputs (1, values, candidates) as (1, candidates, values) where others are so, as PP-YOLOE's boxes and scores; and their names."""
    tables = [one for one in facts.outputs if len(one.shape) == 3 and one.grey.shape == one.shape]
    for count in {one.shape[1] for one in tables if one.shape[1] > RANKED_AT_MOST}:
        across = [one for one in tables if one.shape[2] == count != one.shape[1]]
        if across:
            as_rows = {one.name: replace(one, noise=one.noise.transpose(0, 2, 1), grey=one.grey.transpose(0, 2, 1)) for one in across}
            return replace(facts, outputs=tuple(as_rows.get(one.name, one) for one in facts.outputs)), tuple(as_rows)
    return facts, ()


def _points_alone(facts: GraphFacts, asked: Asked) -> Columns | None:
    """Key points of candidates beside scores, without boxes: PETR, DETRPose. Whoever has key points is a person, whatever the label."""
    counts = part_counts(facts, asked)
    for points in facts.outputs:
        columns = int(np.prod(points.shape[2:]))
        said = any(word in points.name.lower() for word in _SAID["keypoints"])
        ways = [per for per in (2, 3) if columns % per == 0 and columns // per in counts]
        ways = [per for per in ways if (points.shape[-1] == per if len(points.shape) == 4 else said)]
        beside = [one for one in facts.outputs if one is not points and one.shape[:2] == points.shape[:2] and not _is_label(one)]
        scores = next((one for one in beside if len(one.shape) == 2 or (len(one.shape) == 3 and one.shape[2] <= DETR_CLASSES)), None)
        if points.shape[:1] != (1,) or not ways or scores is None:
            continue
        values = {
            "keypoints": ("keypoints", 0, columns),
            ("score" if scores.noise.size == points.shape[1] else "classes"): ("scores", 0, 1),
        }
        if "classes" in values:
            values["classes"] = ("scores", 0, scores.shape[2])
        reach = max(float(np.abs(np.asarray(each)[..., :2]).max(initial=0)) for each in (points.noise, points.grey))
        fields: dict[str, Any] = {
            "outputs": {"keypoints": points.name, "scores": scores.name},
            "values": values,
            "point_values": ways[0],
            "person_class": asked.person_class,
            "activation": "none" if scores.probability else "sigmoid",
            "unit": "fraction" if reach <= _LARGEST_SHARE else "pixels",
            "nms": "none",
            "ranked": scores.probability,
        }
        return Columns(fields, columns // ways[0], f"{facts.listing()}: {columns // ways[0]} key points and scores, without boxes", "detr")
    return None


def _turned(facts: GraphFacts) -> GraphFacts | None:
    """The outputs (1, values, candidates) of one grid as (1, candidates, values); None where there are no two."""
    turned = [
        replace(output, noise=output.noise.transpose(0, 2, 1), grey=output.grey.transpose(0, 2, 1))
        for output in facts.outputs
        if len(output.shape) == 3 and output.grey.shape == output.shape and grid_of(output.shape[2], facts)[0]
    ]
    same = {output.shape[1] for output in turned}
    return replace(facts, outputs=tuple(turned)) if len(turned) > 1 and len(same) == 1 else None


def _beside(boxes: OutputFacts, facts: GraphFacts, asked: Asked) -> Columns | Missing | None:
    """The outputs that go with an output of boxes: those with as many candidates."""
    batched = len(boxes.shape) == 3
    axis = 1 if batched else 0
    count = boxes.shape[axis]
    rest = {one.name: one for one in facts.outputs if one is not boxes and len(one.shape) > axis and one.shape[axis] == count}
    if batched:
        rest = {name: one for name, one in rest.items() if one.shape[0] == 1}
    shapes = {name: one.shape[axis + 1 :] for name, one in rest.items()}
    outputs, values = {"boxes": boxes.name}, {"box": ("boxes", 0, 4)}
    fields: dict[str, Any] = {"batched": batched}
    parts = 0
    points = next((name for name, shape in shapes.items() if len(shape) == 2 and shape[1] in (2, 3) and shape[0] > 1), None)
    if points is not None:
        parts = shapes[points][0]
        fields["point_values"] = shapes[points][1]
    else:
        for name, per in ((name, per) for name in rest if len(shapes[name]) == 1 for per in (3, 2)):
            columns = shapes[name][0]
            said = any(word in name.lower() for word in _SAID["keypoints"]) and columns // per in part_counts(facts, asked)
            if columns % per == 0 and columns > 2 * per and (said or _places(_table(rest[name], facts, batched=batched), per)):
                points, parts, fields["point_values"] = name, columns // per, per
                break
    if points is not None:
        outputs["keypoints"] = points
        if fields["point_values"] == 3 and len(shapes[points]) == 1 and _constant(rest[points], 2 * parts):
            # ED-Pose and GroupPose give all x, y, then as many ones.
            fields["point_values"] = 2
        values["keypoints"] = ("keypoints", 0, parts * fields["point_values"])
        del rest[points]
        seen = next((name for name in rest if shapes[name] == (parts,)), None)
        if seen is not None:
            outputs["visibility"], values["visibility"] = seen, ("visibility", 0, parts)
            if not rest[seen].probability:
                fields["point_activation"] = "sigmoid"
            del rest[seen]
    single = [one for one in rest.values() if shapes[one.name] in ((), (1,))]
    labels = next((one for one in single if _is_label(one)), None)
    if labels is None and len(single) > 1 and single[0].noise.size:
        # Without telling names: whole numbers beside a score.
        whole = [one for one in single if _whole(one)]
        labels = whole[0] if whole and len(whole) < len(single) else None
    if labels is not None:
        outputs["classes"], values["class"] = labels.name, ("classes", 0, 1)
        single.remove(labels)
    tables = [one for one in rest.values() if len(shapes[one.name]) == 1 and shapes[one.name][0] > 1]
    classes = 0
    if boxes.shape[-1] == 5:
        values["score"] = ("boxes", 4, 1)
    elif single:
        # The numbers of TensorFlow's anchors are no scores.
        score = next((one for one in single if one.probability and not _whole(one)), single[0])
        outputs["scores"], values["score"] = score.name, ("scores", 0, 1)
    elif tables:
        classes = shapes[tables[0].name][0]
        outputs["scores"], values["classes"] = tables[0].name, ("scores", 0, classes)
    else:
        return None
    table = _table(boxes, facts, batched=batched)
    if boxes.shape[-1] == 5:
        score = replace(boxes, noise=boxes.noise[..., 4:], grey=boxes.grey[..., 4:])
    else:
        score = next(one for one in facts.outputs if one.name == outputs["scores"])
    fields |= {"outputs": outputs, "values": values}
    fields |= _person(facts, asked, classes, labels, apart=boxes.shape[-1] == 4)
    if classes == 2 and asked.person_class is None and fields["person_class"] is None and (parts or _add_up(score)):
        # Class 0 is the background, or the number that COCO leaves out.
        fields["person_class"] = 1
    if fields["person_class"] is None and (classes > 1 or labels is not None):
        return Missing(f"{facts.listing()}: nothing tells which class is a person: say so with --class N")
    if _is_ranked(boxes, score, table, classes):
        fields |= {"box": "corners", "nms": "none", "ranked": True}
        fields |= {"unit": "fraction"} if len(table.both) and table.both[:, :4].any() and table.fraction else {}
        if fields.get("unit") == "fraction" and facts.layout == "NHWC" and labels is not None:
            # TensorFlow's detectors give top, left, bottom, right.
            fields["yx"] = True
    else:
        fields |= {"nms_threshold": 0.65 if parts else 0.5}
        told = _raw(table, score, classes, facts, asked, fields)
        if told is not None:
            return told
    family = _family(facts, fields, classes, parts, labelled=labels is not None)
    words = [_SAID[role] for role in outputs if role in _SAID]
    named = [any(word in name.lower() for word in _SAID[role]) for role, name in outputs.items() if role in _SAID]
    why = f"{facts.listing()}: boxes{f', {parts} key points' if parts else ''} and scores{', end to end' if fields.get('ranked') else ''}"
    return Columns(fields, parts, why, family, 2 if words and all(named) else 1)


def _family(facts: GraphFacts, fields: Mapping[str, Any], classes: int, parts: int, *, labelled: bool) -> Family:
    """Whose network it is, which tells its usual pixels."""
    if parts and fields.get("unit") == "fraction" and fields.get("nms") == "none" and classes:
        return "detr"
    if parts and any("pred_" in output.name for output in facts.outputs):
        return "yolo-nas"
    joint = fields["values"].get("score", ("",))[0] == "boxes"
    if (parts or labelled) and not fields.get("ranked"):
        return "rtmo" if joint and parts else "yolo"
    if classes > 1 and fields.get("nms") == "none":
        return "coco-detr" if classes in _COCO_COUNTS else "detr"
    if classes > 1:
        return _of_classes(facts, fields)
    if fields.get("yx"):
        return "tensorflow"
    if labelled and any(_is_count(output) for output in facts.outputs):
        # EfficientNMS and its like stand behind YOLO v5 to 12.
        return "yolo"
    if not fields["batched"]:
        return "torchvision"
    if labelled and not joint and not parts:
        # RT-DETR, D-FINE, and YOLO behind NMS: boxes, scores and labels apart.
        return "detr"
    # OpenMMLab's detectors give boxes with scores, and labels. YOLOX, and RTMO with its trunk, take every other pixel of the picture first.
    return "rtmdet" if labelled and not parts and "Slice" not in facts.stem else "rtmo"


def _of_classes(facts: GraphFacts, fields: Mapping[str, Any]) -> Family:
    """Whose raw boxes beside class scores are: corners in pixels and probabilities are of a YOLO, or of DAMO-YOLO, which gives the scores first."""
    if fields.get("box") != "corners" or fields.get("unit") != "pixels" or "background" in fields:
        return "ssd"
    first = facts.outputs[0].name
    return "damo" if first == "output" == fields["outputs"]["scores"] else "yolo"


def _is_count(output: OutputFacts) -> bool:
    """Whether an output says how many of the rows are detections."""
    return output.noise.size == 1 and _whole(output) and "num" in output.name.lower()


def _table(output: OutputFacts, facts: GraphFacts, *, batched: bool) -> Table:
    noise, grey = _rows(output, batched=batched)
    strides, per_cell = grid_of(len(noise), facts)
    return Table({"rows": output.name}, noise, grey, False, batched, facts.size_wh, strides, per_cell, str(output.shape))


def _places(table: Table, values: int) -> bool:
    """Whether the columns are places that follow the grid, of key points with so many values."""
    wanted = ("xy" + "-" * (values - 2)) * (table.columns // values)
    return bool(table.strides) and float(np.mean([a == b for a, b in zip(table.kinds, wanted, strict=True)])) > 0.9


def _rows(output: OutputFacts, *, batched: bool) -> tuple[Any, Any]:
    both = (output.noise[0], output.grey[0]) if batched else (output.noise, output.grey)
    return np.asarray(both[0], np.float32), np.asarray(both[1], np.float32)


def _constant(output: OutputFacts, first: int) -> bool:
    """Whether the columns from `first` on are one number."""
    tail = np.concatenate([np.asarray(each, np.float32)[..., first:].ravel() for each in (output.noise, output.grey)])
    return bool(len(tail) and np.ptp(tail) == 0)


def _add_up(score: OutputFacts) -> bool:
    """Whether the class scores of each candidate add up to 1."""
    return bool(np.allclose(np.asarray(score.noise, np.float32).sum(-1), 1, atol=1e-2))


def _is_label(output: OutputFacts) -> bool:
    if output.noise.dtype.kind in "iu":
        return True
    return _whole(output) and any(word in output.name.lower() for word in _SAID["classes"]) and "score" not in output.name.lower()


def _whole(output: OutputFacts) -> bool:
    values = np.concatenate([output.noise.ravel(), output.grey.ravel()])
    return bool(np.all(np.abs(values - np.rint(values)) < 1e-4))


def _is_ranked(boxes: OutputFacts, score: OutputFacts, table: Table, classes: int) -> bool:
    """Whether the graph gives the best alone: few, sorted, or a number that depends on the picture."""
    if boxes.noise.shape != boxes.grey.shape or not boxes.noise.size:
        return True
    if len(table.noise) > RANKED_AT_MOST or classes > 1:
        return False
    sure = [np.asarray(each, np.float32).reshape(len(table.noise), -1)[:, -1] for each in (score.noise, score.grey)]
    return all(bool(np.all(np.diff(each) <= 1e-5)) for each in sure)


def _person(facts: GraphFacts, asked: Asked, classes: int, labels: OutputFacts | None, *, apart: bool) -> dict[str, Any]:
    """`apart`: scores are an output beside the boxes, as torchvision and TensorFlow give them; OpenMMLab's stand behind the box."""
    if classes > 1:
        return {"person_class": person_of(facts, asked, classes)}
    if labels is not None:
        # torchvision and TensorFlow count classes from 1; 0 is the background there. TensorFlow Lite's own last operator counts from 0.
        ones = apart and (
            facts.layout == "NHWC" or any(output.noise.dtype == np.int64 and output.noise.ndim == 1 for output in facts.outputs)
        )
        ones = ones and all(np.all(values != 0) for values in (labels.noise, labels.grey))
        person = person_of(facts, asked, None)
        return {"person_class": 1 if person == 0 and ones and asked.person_class is None else person}
    return {"person_class": None}


def _raw(table: Table, score: OutputFacts, classes: int, facts: GraphFacts, asked: Asked, fields: dict[str, Any]) -> Missing | None:
    """Fill in how raw boxes beside raw scores read."""
    values, kinds = table.both[:, :4], table.kinds[:4]
    if not score.probability:
        fields["activation"] = "softmax" if classes > 1 else "sigmoid"
    if classes > 1 and (fields.get("activation") == "softmax" or _add_up(score)):
        fields["background"] = 0
    ordered = bool(((values[:, 2] >= values[:, 0]) & (values[:, 3] >= values[:, 1])).mean() > 0.95)
    spans = bool(np.ptp(values, 0).min() > (0.3 if table.fraction else 0.3 * min(table.size_wh)))
    if kinds in ("xyxy", "yxyx") or (ordered and spans and not kinds.startswith(("xy-", "yx-"))):
        fields |= {"box": "corners", "unit": "fraction" if table.fraction else "pixels", "yx": kinds == "yxyx"}
        return None
    if kinds in ("xy--", "yx--"):
        fields |= {"box": "centre", "unit": "fraction" if table.fraction else "pixels", "yx": kinds == "yx--"}
        return None
    for output in facts.outputs:
        constant = output.noise.shape == output.grey.shape and np.array_equal(output.noise, output.grey)
        if constant and output.shape[-2:] == (len(table.noise), 4) and output.name != fields["outputs"]["boxes"]:
            if output.high > _LARGEST_SHARE:
                return Missing(
                    f"{facts.listing()}: boxes are steps from anchors in pixels ({output.name}), as EfficientDet's and RetinaNet's, whose forms "
                    "differ. Export the network with its boxes decoded"
                )
            fields["outputs"] = {**fields["outputs"], "priors": output.name}
            fields["values"] = {**fields["values"], "priors": ("priors", 0, 4)}
            fields |= {"box": "priors", "unit": "fraction"}
            return None
    if asked.anchors and len(asked.anchors) == len(table.noise):
        fields |= {"box": "priors", "unit": "fraction", "priors": asked.anchors}
        return None
    if len(values) and values.min() >= 0 and values.max() <= 1 and len(table.noise) <= RANKED_AT_MOST:
        # DETR's queries; the original has a last class for nothing, those since have a sigmoid for each class.
        fields |= {"box": "centre", "unit": "fraction", "nms": "none"}
        fields |= {"activation": "softmax", "background": classes - 1} if classes == DETR_CLASSES else {"background": -1}
        if fields.get("activation") == "softmax" and classes != DETR_CLASSES:
            fields["activation"] = "sigmoid"
        return None
    given = f"; --anchors gives {len(asked.anchors)}" if asked.anchors else ""
    return Missing(
        f"{facts.listing()}: boxes are steps from anchors that the graph does not give{given}. Export the network with its boxes decoded, or "
        f"give the {len(table.noise)} anchors (centre x, y, width, height, as fractions) with --anchors FILE"
    )
