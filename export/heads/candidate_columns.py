"""What the columns of a table of candidates are: every way to read them that shapes and values allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from posetrt.export.heads.base import Asked, GraphFacts
from posetrt.export.heads.candidate_table import RANKED_AT_MOST, Table, class_names, person_of, point_shape
from posetrt.runtime.model.skeleton import built_in_skeletons, load_skeleton

Family = Literal[
    "yolo",
    "yolo-nas",
    "yolox",
    "rtmdet",
    "rtmo",
    "nanodet",
    "movenet",
    "torchvision",
    "tensorflow",
    "ssd",
    "detr",
    "coco-detr",
    "damo",
    "picodet",
    "openvino",
    "blaze",
    "palms",
]
_AGREES = 0.9
"""Share of the columns that must be of the kind that a reading expects."""
BINS = (8, 16, 17, 32)
"""Distances that a distribution has: NanoDet 8, YOLO v8 16, GFL 17."""


_BOX_SCORE_NUMBER = 6
"""Columns of raw candidates whose last is the number of a class."""
YOLO_BOX = 64
"""Values of a box of YOLO v8 and later before their last layer: 16 distances for each side."""


@dataclass(frozen=True)
class Columns:
    """One way to read a table.

    Attributes:
        fields: of the head.
        parts: key points; 0 for a detector.
        why: in a few words.
        family: of networks, which tells their usual pixels and placement.
        rank, swapped: see `Reading`.
    """

    fields: Mapping[str, Any]
    parts: int
    why: str
    family: Family
    rank: int = 1
    swapped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing:
    """What a table lacks, and the option that supplies it."""

    why: str


def part_counts(facts: GraphFacts, asked: Asked) -> tuple[int, ...]:
    """Numbers of key points that the network can have: what is said of it, else those of the skeletons that are built in."""
    if asked.skeleton is not None:
        return (len(asked.skeleton.parts),)
    told = point_shape(facts)
    return (told[0],) if told else tuple(sorted({len(load_skeleton(name).parts) for name in skeleton_names()}))


def skeleton_names(parts: int | None = None) -> tuple[str, ...]:
    """Built-in skeletons with so many parts, COCO's first."""
    found = [name for name in built_in_skeletons() if parts is None or len(load_skeleton(name).parts) == parts]
    return tuple(sorted((name for name in found if load_skeleton(name).parts), key=lambda name: (not name.startswith("coco17"), name)))


def readings_of(table: Table, facts: GraphFacts, asked: Asked) -> list[Columns | Missing]:
    """Every reading of a table, of people with key points and of boxes."""
    kinds = table.kinds
    levels = any("/" in role for role in table.outputs)
    if table.strides and kinds[:2] not in ("xy", "yx"):
        # As many rows as some grid has cells may be the best ones all the same.
        best = _ranked(table, facts, asked) if not levels and len(table.noise) <= RANKED_AT_MOST else []
        return best or _on_the_grid(table, facts, asked, levels=levels)
    if table.strides:
        return _complete(table, facts, asked)
    if len(table.noise) <= RANKED_AT_MOST:
        found = _ranked(table, facts, asked)
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
            if agree >= _AGREES and kinds[4 : 4 + scores] == "-" * scores:
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


def _ranked(table: Table, facts: GraphFacts, asked: Asked) -> list[Columns | Missing]:
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
    masks = _masks(facts, table, 0)
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
    if inside < _AGREES or person is None:
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
        ordered = bool((table.both[:, 3:5] >= table.both[:, 1:3]).mean() > _AGREES)
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
    names, masks = len(class_names(facts)), _masks(facts, table, parts)
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


def _masks(facts: GraphFacts, table: Table, parts: int) -> int:
    """Columns of mask coefficients behind the classes, of a network that segments too: as many as it has mask prototypes."""
    if parts:
        return 0
    names = set(table.outputs.values())
    others = [output.shape[1] for output in facts.outputs if output.name not in names and len(output.shape) == 4 and output.shape[1] == 32]
    return others[0] if others else 0


def _rank(facts: GraphFacts, parts: int) -> int:
    task = facts.metadata.get("task", "")
    return 2 if (task == "pose" and parts) or (task == "detect" and not parts) else 1
