"""Candidates without their places, as OpenMMLab's and YOLO's raw exports give them: outputs for each level, or for all of one grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from posetrt.export.heads.base import Asked, GraphFacts
from posetrt.export.heads.candidate_columns import BINS, YOLO_BOX, distances_of
from posetrt.export.heads.candidate_table import Level, Table, grid_of, person_of
from posetrt.export.heads.candidate_terms import Columns, Family, Missing, part_counts

_PICODET_LEVELS = 4
"""Strides of PicoDet: 8, 16, 32, 64."""


def one_grid(facts: GraphFacts) -> tuple[tuple[int, ...], list[Level]]:
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


def of_levels(levels: Mapping[int, list[Level]], strides: tuple[int, ...], facts: GraphFacts, asked: Asked) -> list[Columns | Missing]:
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
        # Beside NanoDet's PicoDet has one stride more, and PaddleDetection's pixels.
        family = "yolo" if box.channels - joint == YOLO_BOX else "picodet" if len(levels) == _PICODET_LEVELS else "nanodet"
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
    spread = [one for one in levels if one.channels % 4 == 0 and one.channels // 4 in BINS]
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
