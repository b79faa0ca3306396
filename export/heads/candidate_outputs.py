"""Candidates whose boxes, scores and key points are outputs of their own: all candidates in each, or one set for each level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from posetrt.export.heads.base import Asked, GraphFacts, OutputFacts
from posetrt.export.heads.candidate_columns import YOLO_BOX, Columns, Family, Missing, distances_of, part_counts
from posetrt.export.heads.candidate_table import RANKED_AT_MOST, Level, Table, grid_of, levels_of, person_of

_BINS = (8, 16, 17, 32)
DETR_CLASSES = 92
"""COCO's 91 numbers and one for nothing, as the original DETR has."""
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
        return _of_levels(levels, tuple(levels), facts, asked)
    found: list[Columns | Missing] = []
    turned = _turned(facts)
    for seen, transposed in ((facts, False), *([(turned, True)] if turned is not None else [])):
        for boxes in seen.outputs:
            shape = boxes.shape
            if len(shape) in (2, 3) and shape[-1] in (4, 5) and (len(shape) == 2 or shape[0] == 1):
                one = _beside(boxes, seen, asked)
                if isinstance(one, Columns):
                    return [replace(one, fields={**one.fields, "transposed": True}) if transposed else one]
                found += [one] if one is not None else []
    strides, whole = _one_grid(facts)
    return (_of_levels({0: whole}, strides, facts, asked) if len(whole) > 1 else []) or found[:1]


def _turned(facts: GraphFacts) -> GraphFacts | None:
    """The outputs (1, values, candidates) of one grid as (1, candidates, values); None where there are no two."""
    turned = [
        replace(output, noise=output.noise.transpose(0, 2, 1), grey=output.grey.transpose(0, 2, 1))
        for output in facts.outputs
        if len(output.shape) == 3 and output.grey.shape == output.shape and grid_of(output.shape[2], facts)[0]
    ]
    same = {output.shape[1] for output in turned}
    return replace(facts, outputs=tuple(turned)) if len(turned) > 1 and len(same) == 1 else None


def _one_grid(facts: GraphFacts) -> tuple[tuple[int, ...], list[Level]]:
    """The outputs that hold all levels of one grid, and its strides."""
    for transposed in (True, False):
        axis = 2 if transposed else 1
        like = [output for output in facts.outputs if len(output.shape) == 3 and output.grey.shape == output.shape]
        for count in {output.shape[axis] for output in like}:
            strides, per_cell = grid_of(count, facts)
            one = [Level(output, 0, output.shape[3 - axis], transposed) for output in like if output.shape[axis] == count]
            if strides and per_cell == 1 and len(one) > 1:
                return strides, one
    return (), []


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
        outputs["scores"], values["score"] = single[0].name, ("scores", 0, 1)
    elif tables:
        classes = shapes[tables[0].name][0]
        outputs["scores"], values["classes"] = tables[0].name, ("scores", 0, classes)
    else:
        return None
    table = _table(boxes, facts, batched=batched)
    score = next(one for one in facts.outputs if one.name == outputs["boxes" if boxes.shape[-1] == 5 else "scores"])
    fields |= {"outputs": outputs, "values": values}
    fields |= _person(facts, asked, classes, labelled=labels is not None)
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
    if parts and any("pred_" in output.name for output in facts.outputs):
        return "yolo-nas"
    if parts and not fields.get("ranked"):
        return "yolo"
    if classes > 1:
        return "detr" if fields.get("nms") == "none" else "ssd"
    if fields.get("yx"):
        return "tensorflow"
    if not fields["batched"]:
        return "torchvision"
    # OpenMMLab's detectors give boxes and labels. YOLOX, and RTMO with its trunk, take every other pixel of the picture first.
    return "rtmdet" if labelled and not parts and "Slice" not in facts.stem else "rtmo"


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


def _person(facts: GraphFacts, asked: Asked, classes: int, *, labelled: bool) -> dict[str, Any]:
    if classes > 1:
        return {"person_class": person_of(facts, asked, classes)}
    if labelled:
        # torchvision and TensorFlow count classes from 1; 0 is the background there.
        ones = not any(word in facts.producer.lower() for word in ("mmdeploy",)) and (
            facts.layout == "NHWC" or any(output.noise.dtype == np.int64 and output.noise.ndim == 1 for output in facts.outputs)
        )
        person = person_of(facts, asked, None)
        return {"person_class": 1 if person == 0 and ones and asked.person_class is None else person}
    return {"person_class": None}


def _raw(table: Table, score: OutputFacts, classes: int, facts: GraphFacts, asked: Asked, fields: dict[str, Any]) -> Missing | None:
    """Fill in how raw boxes beside raw scores read."""
    values, kinds = table.both[:, :4], table.kinds[:4]
    if not score.probability:
        fields["activation"] = "softmax" if classes > 1 else "sigmoid"
    sums = np.asarray(score.noise, np.float32).reshape(len(table.noise), -1).sum(1)
    if classes > 1 and (fields.get("activation") == "softmax" or np.allclose(sums, 1, atol=1e-2)):
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


def _of_levels(levels: Mapping[int, list[Level]], strides: tuple[int, ...], facts: GraphFacts, asked: Asked) -> list[Columns | Missing]:
    """Boxes, scores and key points without their places, as OpenMMLab's and YOLO's raw exports give them: for each level, or (as level 0)
    for all of one grid."""
    first = next(iter(levels.values()))
    box = _box_of(first) or next((one for one in first if one.channels - YOLO_BOX in (1, 80)), None)
    joint = 0 if box is None or box.channels not in (YOLO_BOX + 1, YOLO_BOX + 80) else box.channels - YOLO_BOX
    if box is None or len({one.transposed for one in first}) != 1:
        return []
    roles: dict[str, int] = {"boxes": box.channels}
    rest = sorted((one.channels for one in first if one is not box), reverse=True)
    values: dict[str, tuple[str, int, int]] = {"box": ("boxes", 0, box.channels - joint)}
    fields: dict[str, Any] = {"transposed": first[0].transposed, "strides": strides, "unit": "cells"}
    parts = 0
    for count in part_counts(facts, asked):
        if 3 * count in rest or (2 * count in rest and count in rest):
            parts = count
            break
    if parts:
        per = 3 if 3 * parts in rest else 2
        roles["keypoints"], values["keypoints"] = per * parts, ("keypoints", 0, per * parts)
        rest.remove(per * parts)
        fields["point_values"] = per
        if per == 2:
            roles["visibility"], values["visibility"] = parts, ("visibility", 0, parts)
            rest.remove(parts)
    if joint:
        # Boxes and classes in one output, as YOLO v8 has them before its last layer.
        rest = [*rest, joint]
    if not 1 <= len(rest) <= 2 or (len(rest) == 2 and rest[1] != 1):
        return []
    person = person_of(facts, asked, rest[0])
    if person is None:
        return [Missing(f"{facts.listing()}: {rest[0]} classes, and nothing tells which is a person: say so with --class N")]
    if joint:
        values["classes"] = ("boxes", YOLO_BOX, joint)
    else:
        roles["classes"], values["classes"] = rest[0], ("classes", 0, rest[0])
    if len(rest) == 2:
        roles["objectness"], values["score"] = 1, ("objectness", 0, 1)
    outputs = _named(levels, roles)
    by_name = {output.name: output for output in facts.outputs}
    sure = not joint and all(by_name[name].probability for role, name in outputs.items() if role.startswith(("classes", "objectness")))
    fields |= {"outputs": outputs, "values": values, "activation": "none" if sure else "sigmoid", "person_class": person}
    fields["nms_threshold"] = 0.65
    family: Family = "yolox" if len(rest) == 2 else "rtmdet"
    if box.channels > 4:
        fields |= {"box": "distribution", "cell_point": 0.5}
        family = "yolo" if box.channels == 64 else "nanodet"
        if parts:
            # YOLO's own layer doubles the offsets before it adds the cell.
            fields["point_gain"] = 2.0
    else:
        ones = [next(one for one in each if one.output.name in outputs.values() and one.channels == 4) for each in levels.values()]
        noise, grey = (np.concatenate([one.rows(getattr(one.output, which)) for one in ones]) for which in ("noise", "grey"))
        table = Table({}, noise, grey, False, True, facts.size_wh, strides, 1, "")
        fields |= distances_of(table, 0) if (noise >= 0).mean() > 0.95 else {"box": "log-size"}
    if parts:
        seen = [by_name[name] for role, name in outputs.items() if role.startswith("visibility" if "visibility" in values else "keypoints")]
        logits = not all(output.probability for output in seen) or "visibility" not in values
        fields["point_activation"] = "sigmoid" if logits else "none"
    why = f"{facts.listing()}: boxes, scores{' and key points' if parts else ''} of the strides {', '.join(map(str, strides))}"
    return [Columns(fields, parts, why, family)]


def _box_of(levels: list[Level]) -> Level | None:
    """The boxes among a level's outputs: four channels, or four distributions."""
    four = [one for one in levels if one.channels == 4]
    if len(four) == 1:
        return four[0]
    spread = [one for one in levels if one.channels % 4 == 0 and one.channels // 4 in _BINS]
    said = [one for one in spread if any(word in one.output.name.lower() for word in ("box", "reg", "dis", "dfl"))]
    return next(iter([*said, *spread]), None)


def _named(levels: Mapping[int, list[Level]], roles: Mapping[str, int]) -> dict[str, str]:
    """Role and stride → output, by channels; of several alike in the graph's order (classes before objectness)."""
    outputs = {}
    for stride, ones in levels.items():
        left = list(ones)
        for role, channels in roles.items():
            one = next(each for each in left if each.channels == channels)
            left.remove(one)
            outputs[f"{role}/{stride}" if stride else role] = one.output.name
    return outputs
