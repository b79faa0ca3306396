"""Tables that hold the best candidates only, end to end: every way to read them that shapes and values allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from posetrt.export.heads.base import Asked, GraphFacts
from posetrt.export.heads.candidate_table import Table, class_names, person_of, point_shape
from posetrt.export.heads.candidate_terms import AGREES, Columns, Missing, masks_of, part_counts


def ranked(table: Table, facts: GraphFacts, asked: Asked) -> list[Columns | Missing]:
    """The best candidates only: end to end."""
    columns, found = table.columns, list[Columns | Missing]()
    fields: dict[str, Any] = {"transposed": table.transposed, "batched": table.batched, "box": "corners", "nms": "none", "ranked": True}
    empty = not len(table.both) or not table.both.any()
    counts, told = part_counts(facts, asked), point_shape(facts)
    if columns >= 6 and not empty and not table.transposed and table.batched and table.fraction:
        parts, rest = divmod(columns - 5, 3)
        if not rest and parts in counts and table.probabilities[columns - 1]:
            # MoveNet: y, x, score of each key point, then top, left, bottom, right and the person's score.
            read = {"keypoints": ("rows", 0, 3 * parts), "box": ("rows", 3 * parts, 4), "score": ("rows", columns - 1, 1)}
            own = fields | {"values": read, "unit": "fraction", "yx": True, "origin": "centre", "point_values": 3}
            return [Columns(own, parts, f"{table.shape}: {parts} key points as y, x, score, a box and a score", "movenet")]
    if table.transposed:
        return []
    queries = _queries(table, facts, asked, fields) if not empty else None
    if queries is not None:
        return [queries]
    framed = _class_first(table, facts, asked, fields) or _framed(table, facts, asked, fields)
    if framed:
        return framed
    masks = masks_of(facts, table, 0)
    if empty and columns > 6 + masks:
        # Nobody was found: three values for each key point are likelier than two, and then a class before them.
        for first, values in ((6, 3), (5, 3), (6, 2), (5, 2)):
            parts, rest = divmod(columns - first, values)
            if not rest and parts in counts and (told is None or told == (parts, values)):
                scores = {"score": ("rows", 4, 1)} | ({"class": ("rows", 5, 1)} if first == 6 else {})
                return [*_ended(table, facts, asked, fields, scores, parts, values)]
        return found
    if columns >= 6 and (empty or (table.probabilities[4] and table.whole(5) and (not table.batched or table.falls(4)))):
        if columns == 6 + masks:
            # Behind the class YOLO26-seg has its masks' coefficients.
            return [*_ended(table, facts, asked, fields, {"score": ("rows", 4, 1), "class": ("rows", 5, 1)}, 0, 0)]
        for values in (3, 2):
            parts, rest = divmod(columns - 6, values)
            if rest or parts not in counts or (told is not None and told != (parts, values)):
                continue
            logits = values == 3 and not table.probabilities[8::3].all() and not table.probabilities[6:].all()
            own = {"point_activation": "sigmoid"} if logits else {}
            scores = {"score": ("rows", 4, 1), "class": ("rows", 5, 1)}
            found += _ended(table, facts, asked, fields | own, scores, parts, values)
            break
    if not found and columns > 5 and not empty and table.falls(4):
        for values in (3, 2):
            parts, rest = divmod(columns - 5, values)
            if not rest and parts in counts and (told is None or told == (parts, values)):
                return [*_ended(table, facts, asked, fields, {"score": ("rows", 4, 1)}, parts, values)]
    if columns == 5 and not empty and table.falls(4):
        return [*_ended(table, facts, asked, fields, {"score": ("rows", 4, 1)}, 0, 0)]
    return found


def _queries(table: Table, facts: GraphFacts, asked: Asked, fields: Mapping[str, Any]) -> Columns | None:
    """RT-DETR's queries as Ultralytics exports them: centre and size as shares of the picture, then a probability for each class."""
    classes = table.columns - 4
    if not table.batched or classes < 2 or not table.probabilities.all() or table.whole(5) or table.falls(4):
        return None
    middle, half = table.both[:, :2], table.both[:, 2:4] / 2
    inside = float(((middle - half > -0.1) & (middle + half < 1.1)).all(axis=1).mean())
    person = person_of(facts, asked, classes)
    if inside < AGREES or person is None:
        return None
    read = {"box": ("rows", 0, 4), "classes": ("rows", 4, classes)}
    own = {**fields, "values": read, "box": "centre", "unit": "fraction", "person_class": person}
    return Columns(own, 0, f"{table.shape}: boxes as shares of the picture and {classes} classes, a query each", "detr")


def _framed(table: Table, facts: GraphFacts, asked: Asked, fields: Mapping[str, Any]) -> list[Columns | Missing]:
    """Rows of all pictures of the batch that begin with the picture's number: YOLO v7's and YOLO-NAS's end-to-end exports."""
    columns, seen = table.columns, bool(table.both.any())
    if table.shape.startswith("(1, 1, N"):
        return [_detection_output(table, facts, asked, fields)]
    if columns == 7 and table.batched and seen and not table.both[:, 0].any() and table.falls(5) and table.whole(6):
        # AutoML's EfficientDet; TensorFlow gives top, left, bottom, right, and counts classes from 1.
        tensorflow = facts.layout == "NHWC"
        person = 1 if tensorflow and asked.person_class is None else person_of(facts, asked, None)
        read = {"box": ("rows", 1, 4), "score": ("rows", 5, 1), "class": ("rows", 6, 1)}
        own = {**fields, "values": read, "person_class": person, "yx": tensorflow, "unit": "fraction" if table.fraction else "pixels"}
        return [Columns(own, 0, f"{table.shape}: frame, box, score and class", "tensorflow")]
    numbered = not table.both[:, 0].any() if seen else "flat" in table.outputs["rows"].lower()
    if table.batched or columns < 7 or not (numbered or columns == 7):
        return []
    read = {"frame": ("rows", 0, 1), "box": ("rows", 1, 4)}
    if columns == 7 and _class_and_score_first(table):
        return [_labelled(table, facts, asked, fields, {"frame": 0, "class": 1, "score": 2, "box": 3})]
    if columns == 7:
        # v7 gives the class before the score, YOLO-NAS behind it.
        score = 5 if seen and table.probabilities[5] and not table.whole(5) and table.whole(6) else 6
        if "flat" in table.outputs["rows"].lower():
            score = 5
        if seen and not (table.probabilities[score] and table.whole(11 - score)):
            return []
        person = person_of(facts, asked, None)
        if person is None:
            return [Missing(f"{table.shape} has classes, and none of them is named person: say which one is with --class N")]
        read |= {"class": ("rows", 11 - score, 1), "score": ("rows", score, 1)}
        return [Columns({**fields, "values": read, "person_class": person}, 0, f"{table.shape}: frame, box, class and score", "yolo")]
    # v7's give a class before the score, YOLO-NAS's none.
    first = 7 if seen and table.whole(5) and table.probabilities[6] and not table.whole(6) else 6
    for values in (3, 2):
        parts, rest = divmod(columns - first, values)
        if not rest and parts in part_counts(facts, asked) and (not seen or table.probabilities[first - 1]):
            read |= {"score": ("rows", first - 1, 1), "keypoints": ("rows", first, parts * values)}
            own = {**fields, "values": read, "person_class": None, "point_values": values}
            return [Columns(own, parts, f"{table.shape}: frame, box, score and {parts} key points of {values}", "yolo-nas")]
    return []


def _detection_output(table: Table, facts: GraphFacts, asked: Asked, fields: Mapping[str, Any]) -> Columns | Missing:
    """OpenVINO's and Caffe's DetectionOutput: the frame's number, class, score, and a box as shares of the picture."""
    found = table.both[(table.both[:, 0] >= 0) & (table.both[:, 2] > 0)]
    classes = set(np.rint(found[:, 1]).astype(int).tolist())
    person = person_of(facts, asked, None) if asked.person_class is not None or class_names(facts) else None
    if person is None and len(classes) > 1:
        return Missing(
            f"{table.shape} has classes {sorted(classes)[:5]}, and nothing tells which is a person: say so with --class N (VOC's is 15)"
        )
    read = {"frame": ("rows", 0, 1), "class": ("rows", 1, 1), "score": ("rows", 2, 1), "box": ("rows", 3, 4)}
    # 0 is the background, so that a detector of people alone calls them 1; a few count from 0.
    person = next(iter(classes), 1) if person is None else person
    own = {**fields, "values": read, "person_class": person, "unit": "fraction"}
    return Columns(own, 0, f"{table.shape}: frame, class, score and box of each", "openvino")


def _class_and_score_first(table: Table) -> bool:
    """Whether rows are the frame's number, class, score and box, as PINTO's model zoo ends detectors."""
    rows = table.both[table.both[:, 2] > 0]
    if not len(rows):
        return "classid_score" in table.outputs["rows"].lower()
    return bool(table.whole(1) and table.probabilities[2] and not table.whole(2) and (rows[:, 5:7] >= rows[:, 3:5]).all())


def _class_first(table: Table, facts: GraphFacts, asked: Asked, fields: Mapping[str, Any]) -> list[Columns | Missing]:
    """Rows that begin with the class: PaddleDetection's of all pictures (-1 where there is nothing), score, box in pixels; DEIM's in PINTO's model
    zoo, box as shares, score."""
    if table.columns != 6:
        return []
    if table.batched:
        ordered = bool((table.both[:, 3:5] >= table.both[:, 1:3]).mean() > AGREES)
        if table.both.any() and table.whole(0) and table.probabilities[5] and not table.whole(5) and not table.whole(1) and ordered:
            return [_labelled(table, facts, asked, fields, {"class": 0, "box": 1, "score": 5})]
        return []
    rows = table.both[table.both[:, 0] >= 0]
    if not rows.any():
        # Where nothing is found, the number of finds beside the rows tells, or their name.
        paddle = "multiclass_nms" in table.outputs["rows"] or any(
            output.noise.shape == (1,) and output.noise.dtype.kind == "i" for output in facts.outputs
        )
        return [_labelled(table, facts, asked, fields, {"class": 0, "score": 1, "box": 2})] if paddle else []
    if np.abs(rows[:, 0] - np.rint(rows[:, 0])).max() > 1e-3 or rows[:, 1].min() < 0 or rows[:, 1].max() > 1:
        return []
    if not ((rows[:, 4:6] >= rows[:, 2:4]).all() and rows[:, 2:].max() > 1):
        return []
    return [_labelled(table, facts, asked, fields, {"class": 0, "score": 1, "box": 2})]


def _labelled(table: Table, facts: GraphFacts, asked: Asked, fields: Mapping[str, Any], first: Mapping[str, int]) -> Columns | Missing:
    """Rows of boxes with class and score. `first`: the first column of each."""
    person = person_of(facts, asked, None)
    if person is None:
        return Missing(f"{table.shape} has classes, and none of them is named person: say which one is with --class N")
    read = {what: ("rows", column, 4 if what == "box" else 1) for what, column in first.items()}
    places = table.both[:, first["box"] : first["box"] + 4]
    own = {**fields, "values": read, "person_class": person}
    if places.any() and np.abs(places).max() <= 2:
        own["unit"] = "fraction"
    return Columns(own, 0, f"{table.shape}: {', '.join(first)} of each", "detr")


def _ended(
    table: Table, facts: GraphFacts, asked: Asked, fields: Mapping[str, Any], scores: Mapping[str, Any], parts: int, values: int
) -> list[Columns | Missing]:
    """End-to-end rows: box, score, perhaps a class, key points."""
    person = person_of(facts, asked, None)
    if "class" in scores and person is None:
        return [Missing(f"{table.shape} has classes, and none of them is named person: say which one is with --class N")]
    first = 4 + len(scores)
    read: dict[str, Any] = {"box": ("rows", 0, 4), **scores}
    own = dict(fields) | {"values": read, "person_class": person if "class" in scores else None}
    if table.fraction and len(table.both) and table.both.any():
        own["unit"] = "fraction"
    if parts:
        read["keypoints"] = ("rows", first, parts * values)
        own["point_values"] = values
    of = f" and {parts} key points of {values}" if parts else ""
    what = "score, class" if "class" in scores else "score"
    return [Columns(own, parts, f"{table.shape}: rows of box, {what}{of}, end to end", "yolo")]
