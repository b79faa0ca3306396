"""What the columns of a table of candidates are: every way to read them that shapes and values allow."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from posetrt.export.heads.base import Asked, GraphFacts
from posetrt.export.heads.candidate_ranked import ranked
from posetrt.export.heads.candidate_table import RANKED_AT_MOST, Table, class_names, person_of, point_shape
from posetrt.export.heads.candidate_terms import AGREES, Columns, Family, Missing, masks_of, part_counts

BINS = (8, 16, 17, 32)
"""Distances that a distribution has: NanoDet 8, YOLO v8 16, GFL 17."""


_BOX_SCORE_NUMBER = 6
"""Columns of raw candidates whose last is the number of a class."""
YOLO_BOX = 64
"""Values of a box of YOLO v8 and later before their last layer: 16 distances for each side."""


def readings_of(table: Table, facts: GraphFacts, asked: Asked) -> list[Columns | Missing]:
    """Every reading of a table, of people with key points and of boxes."""
    kinds = table.kinds
    levels = any("/" in role for role in table.outputs)
    if table.strides and kinds[:2] not in ("xy", "yx"):
        # As many rows as some grid has cells may be the best ones all the same.
        best = ranked(table, facts, asked) if not levels and len(table.noise) <= RANKED_AT_MOST else []
        return best or _on_the_grid(table, facts, asked, levels=levels)
    if table.strides:
        return _complete(table, facts, asked)
    if len(table.noise) <= RANKED_AT_MOST:
        found = ranked(table, facts, asked)
        if found:
            return found
    if len(table.noise) > 20 and kinds[:2] == "cc":
        return _complete(table, facts, asked)
    if len(table.noise) > RANKED_AT_MOST and table.columns in (5, 6, 56, 57, 84, 85):
        return [
            Missing(
                f"{table.shape} are {len(table.noise)} candidates without their place, and {_tried(facts)} as many cells at "
                f"{facts.size_wh[0]}x{facts.size_wh[1]}. Give the strides with --strides, as --strides 8,16,32, or the size that the network was "
                "made for with --input-size, or export it again with its last layer"
            )
        ]
    return []


def _tried(facts: GraphFacts) -> str:
    """The strides that do not fit, for an error."""
    return f"--strides {','.join(map(str, facts.strides))} does not give" if facts.strides else "no usual strides give"


def _complete(table: Table, facts: GraphFacts, asked: Asked) -> list[Columns | Missing]:
    """Raw candidates with complete coordinates: box, scores, then key points."""
    kinds, columns = table.kinds, table.columns
    place = kinds[:2]
    # Without a grid, sizes span the picture as coordinates do: centre and size is what raw exports have.
    form = {place + "--": "centre", place + place: "corners"}.get(kinds[:4]) if table.strides else "centre"
    if form is None:
        return []
    told = point_shape(facts)
    if (
        columns == _BOX_SCORE_NUMBER
        and kinds[4:] == "--"
        and _numbers(table, 5)
        and not (table.both[:, 4] == 1).all()
        and not _numbers(table, 4)
    ):
        # DeepStream-Yolo's exporters give the best class and its score for each candidate.
        fields = {"transposed": table.transposed, "box": form, "yx": place == "yx", "unit": "fraction" if table.fraction else "pixels"}
        person = person_of(facts, asked, None)
        if person is None:
            return [Missing(f"{table.shape} has classes, and none of them is named person: say which one is with --class N")]
        read = {"box": ("rows", 0, 4), "score": ("rows", 4, 1), "class": ("rows", 5, 1)}
        own = {**fields, "nms_threshold": 0.6, "values": read, "person_class": person}
        return [Columns(own, 0, f"{table.shape}: box, score and the number of the best class", "yolo")]
    ways = [(columns - 4, 0, 0)] if "x" not in kinds[4:] and "y" not in kinds[4:] and "c" not in kinds[4:] and not told else []
    for values in (3, 2):
        for scores in range(1, columns - 4 - values + 1):
            parts, rest = divmod(columns - 4 - scores, values)
            if rest or (told and (parts, values) != told):
                continue
            wanted = "-" * scores + (place + "-" * (values - 2)) * parts
            agree = float(np.mean([a == b for a, b in zip(kinds[4 + scores :], wanted[scores:], strict=True)]))
            if agree >= AGREES and kinds[4 : 4 + scores] == "-" * scores:
                ways.append((scores, parts, values))
    if asked.skeleton is not None and asked.skeleton.parts:
        ways = [way for way in ways if way[1] == len(asked.skeleton.parts)] or ways
    found: list[Columns | Missing] = []
    for scores, parts, values in ways[:1]:
        fields = {
            "transposed": table.transposed,
            "box": form,
            "yx": place == "yx",
            "unit": "fraction" if table.fraction else "pixels",
            "nms_threshold": 0.65 if parts else 0.6,
        }
        found += _with_scores(table, facts, asked, fields, first=4, scores=scores, parts=parts, values=values, family="yolo")
    return found


def _numbers(table: Table, column: int) -> bool:
    """Whether a column holds exact whole numbers; scores where nothing is found are nearly 0, and not 0."""
    values = table.both[:, column]
    whole = bool((values == np.rint(values)).all() and values.min() >= 0)
    # A score of 1 for every candidate is YOLOv6's objectness, or a class beside which there is none.
    return whole and not (values == 1).all()


def _on_the_grid(table: Table, facts: GraphFacts, asked: Asked, *, levels: bool) -> list[Columns | Missing]:
    """Candidates to which the place of their cell is not yet added."""
    columns, sure = table.columns, table.probabilities
    if table.per_cell != 1:
        return [Missing(f"{table.shape} needs the sizes of its anchors, which are not in the graph. Export it again with its last layer")]
    fields: dict[str, Any] = {"transposed": table.transposed, "strides": table.strides, "unit": "cells"}
    positive = (table.both >= 0).mean(0) > 0.95
    if columns == 5 and positive.sum() == 4:
        score = 0 if not positive[0] else 4
        first = 1 if score == 0 else 0
        fields |= distances_of(table, first) | {"activation": "none" if sure[score] else "sigmoid", "nms_threshold": 0.6}
        read = {"score": ("rows", score, 1), "box": ("rows", first, 4)}
        return [
            Columns(fields | {"values": read, "person_class": None}, 0, f"{table.shape}: a score and distances to four sides", "rtmdet")
        ]
    # A distribution of distances behind class scores, or before them.
    leading = int(np.argmin(sure)) if not sure.all() else columns
    trailing = int(np.argmin(sure[::-1])) if not sure.all() else columns
    for classes, first, start in ((leading, 0, leading), (trailing, columns - trailing, 0)):
        bins, rest = divmod(columns - classes, 4)
        if classes and not rest and bins in BINS and not sure[start : start + 4 * bins].all():
            person = person_of(facts, asked, classes)
            if person is None:
                return [Missing(f"{table.shape} has {classes} classes, and nothing tells which is a person: say so with --class N")]
            fields |= {"box": "distribution", "cell_point": 0.0 if len(table.strides) == 4 else 0.5, "nms_threshold": 0.6}
            read = {"classes": ("rows", first, classes), "box": ("rows", start, 4 * bins)}
            why = f"{table.shape}: {classes} classes and a distribution of {bins} distances to each side"
            return [Columns(fields | {"values": read, "person_class": person}, 0, why, "nanodet")]
    classes = columns - YOLO_BOX
    if classes in {1, 80, len(class_names(facts))} and not sure[:YOLO_BOX].all():
        # YOLO v8 before its last layer: four distributions, then classes, most often as logits.
        person = person_of(facts, asked, classes)
        if person is not None:
            read = {"box": ("rows", 0, YOLO_BOX), "classes": ("rows", YOLO_BOX, classes)}
            fields |= {"box": "distribution", "cell_point": 0.5, "activation": "none" if sure[YOLO_BOX:].all() else "sigmoid"}
            why = f"{table.shape}: a distribution of 16 distances to each side and {classes} classes"
            return [Columns(fields | {"values": read, "person_class": person, "nms_threshold": 0.6}, 0, why, "yolo")]
    if columns < 6:
        return []
    box = {"box": "log-size"} if not positive[:4].all() or not levels else distances_of(table, 0)
    fields |= box | {"nms_threshold": 0.65}
    tail = sure[4:]
    scores = int(np.argmin(tail)) if not tail.all() else len(tail)
    if scores == len(tail) or (scores == 0 and columns - 5 in (80, 20, 365, len(class_names(facts)))):
        fields["nms_threshold"] = 0.45
        return _with_scores(table, facts, asked, fields, first=4, scores=len(tail), parts=0, values=0, family="yolox", objectness=True)
    told, found = point_shape(facts), list[Columns | Missing]()
    counts = [(columns - 6) // values if not (columns - 6) % values else 0 for values in (3, 2)]
    ways = [(parts, values) for parts, values in zip(counts, (3, 2), strict=True) if parts in part_counts(facts, asked)]
    ways = [way for way in ways if told is None or told == way]
    if len(ways) > 1 and scores == 2 and not sure[8::3].all() and sure[6:].any():
        # Where the scores are probabilities, so is each third value of a key point, or there is no third.
        ways = ways[1:]
    for parts, values in ways[:1] if scores in (0, 2) else []:
        found += _with_scores(table, facts, asked, fields, first=4, scores=2, parts=parts, values=values, family="yolox", objectness=True)
    if not found and levels and not columns % 3 and columns // 3 >= 6:
        return [
            Missing(f"{table.shape} are three anchors per cell, whose sizes the graph does not hold. Export it again with its last layer")
        ]
    return found


def distances_of(table: Table, first: int) -> dict[str, Any]:
    """Distances to the sides, in pixels or cells: pixels where they grow with the stride, or would leave the picture as cells."""
    counts = [-(-table.size_wh[0] // stride) * -(-table.size_wh[1] // stride) for stride in table.strides]
    ends = np.cumsum([0, *counts])
    values = [table.noise[a:b, first : first + 4] for a, b in pairwise(ends.tolist())]
    means = [float(each.mean()) for each in values]
    far = max(float(each.max()) * stride for each, stride in zip(values, table.strides, strict=True)) > 4 * max(table.size_wh)
    return {"box": "distances", "unit": "pixels" if far or means[-1] > 2 * means[0] else "cells"}


def _with_scores(
    table: Table,
    facts: GraphFacts,
    asked: Asked,
    fields: Mapping[str, Any],
    *,
    first: int,
    scores: int,
    parts: int,
    values: int,
    family: Family,
    objectness: bool | None = None,
) -> list[Columns | Missing]:
    """Readings of raw candidates whose score columns start at `first`: with objectness, without, or both where nothing tells."""
    names, masks = len(class_names(facts)), masks_of(facts, table, parts)
    classes = scores - masks
    if objectness is not None and classes > 1:
        ways = [objectness]
    elif classes == 1:
        ways = [False]
    elif names:
        ways = [classes == names + 1]
    elif classes in (20, 80, 91, 365):
        ways = [False]
    elif classes - 1 in (20, 80, 91, 365) or table.per_cell == 3:
        ways = [True]
    else:
        ways = [False] if table.transposed else [True, False]
    found: list[Columns | Missing] = []
    for with_objectness in ways:
        count = classes - int(with_objectness)
        person = person_of(facts, asked, count)
        if person is None:
            found.append(Missing(f"{table.shape} has {count} classes, and nothing tells which is a person: say so with --class N"))
            continue
        read: dict[str, Any] = {"box": ("rows", 0, 4)}
        if with_objectness:
            read["score"] = ("rows", first, 1)
        read["classes"] = ("rows", first + int(with_objectness), count)
        own = dict(fields) | {"values": read, "person_class": person}
        sure = table.probabilities
        own["activation"] = "none" if sure[first : first + classes].all() else "sigmoid"
        if parts:
            start = first + scores
            read["keypoints"] = ("rows", start, parts * values)
            own["point_values"] = values
            if values == 3 and not sure[start + 2 :: 3].all():
                own["point_activation"] = "sigmoid"
        what = (
            f"objectness and {count} class{'es' if count > 1 else ''}" if with_objectness else f"{count} class{'es' if count > 1 else ''}"
        )
        why = f"{table.shape}: box, {what}" + (f" and {parts} key points of {values}" if parts else "")
        if family == "yolo" and with_objectness and table.per_cell == 1 and np.ptp(table.both[:, first]) > 0:
            # One candidate per cell and objectness: YOLOX with its places added. v5 and v7 have three; v6 an objectness of 1.
            family = "yolox"
        found.append(Columns(own, parts, why, family, _rank(facts, parts)))
    return found


def _rank(facts: GraphFacts, parts: int) -> int:
    task = facts.metadata.get("task", "")
    return 2 if (task == "pose" and parts) or (task == "detect" and not parts) else 1
