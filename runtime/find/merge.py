"""People that several overlapping views of a frame show: each comes out once, as whole as the views have them together.

Two people of different views are the same where both views show the same: their key points are compared by object key-point similarity
and their boxes by intersection over union, in the part of the frame that both views share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.find.boxes import person_boxes
from posetrt.runtime.find.tiles import Tile
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

Floats = NDArray[np.float32]

SAME_OKS = 0.4
"""Object key-point similarity from which two views show one person. Strangers side by side have less than 0.1."""
SAME_IOU = 0.6
"""Intersection over union from which their boxes do."""
_COMMON = 3
"""Parts that both must have for their similarity to count; with fewer the boxes decide."""
_CONTAINED = 0.7
"""Share of a cut person's box within that of a whole person, from which it is a piece of that person."""
_MARGIN_PX = 3.0
"""A box that comes so near to a view's inner edge, in pixels of the network's input, is cut by it;
"""
_MARGIN = 0.05
"""or one that comes nearer than this share of its own side."""
_BEYOND_PARTS = 0.08
"""How far a body goes on beyond its outermost key points, as a share of the longer side of their box."""
_FILLED = 0.53
"""Area of a person as a share of the box, as COCO's evaluation has it on the average."""
_TINY = np.float32(1e-6)


def merged(views: Sequence[People], tiles: Sequence[Tile], skeleton: Skeleton) -> People:
    """The people of all views, each once, best first.

    Whoever lies whole within a view comes before those whom a view's edge cuts. The best of a person's views gives the key points; parts that
    it lacks come from the others. Where each view cuts the person, each part comes from the view that is surest of it, and the box is the one
    about all of them.

    Args:
        views: people of each view, in pixels of the frame.
        tiles: where the views lie.
        skeleton: of the people.
    """
    if sum(len(each) > 0 for each in views) < 2 and not any(len(each) for each in views[1:]):
        return views[0]
    everyone = _joined(views)
    view = np.repeat(np.arange(len(views)), [len(each) for each in views])
    edges = np.array([[x, y, x + width, y + height] for x, y, width, height in (tile.box for tile in tiles)], np.float32)
    corners = _corners(everyone)
    cut = _cut(corners, view, tiles, edges)
    groups = _grouped(everyone, corners, view, edges, cut, skeleton)
    people = _one_each(everyone, groups, cut)
    return people.chosen(np.argsort(-people.scores, kind="stable"))


def _joined(views: Sequence[People]) -> People:
    def all_of(name: str) -> NDArray[Any] | None:
        given = [getattr(each, name) for each in views if len(each)]
        return None if any(one is None for one in given) else np.concatenate(given)

    keypoints, scores = all_of("keypoints"), all_of("scores")
    assert keypoints is not None
    assert scores is not None
    return replace(views[0], keypoints=keypoints, scores=scores, boxes=all_of("boxes"), classes=all_of("classes"))


def _corners(people: People) -> Floats:
    """(N, 4): left, top, right, bottom of each body; without boxes about its parts, and a little beyond them."""
    boxes = person_boxes(people)
    grow = np.float32(0) if people.boxes is not None else _BEYOND_PARTS * boxes[:, 2:].max(axis=1, keepdims=True)
    return np.concatenate([boxes[:, :2] - grow, boxes[:, :2] + boxes[:, 2:] + grow], axis=1).astype(np.float32)


def _cut(corners: Floats, view: NDArray[np.intp], tiles: Sequence[Tile], edges: Floats) -> NDArray[np.bool_]:
    """(N,) who reaches an edge of the own view beyond which the frame goes on."""
    margin = np.array([[_MARGIN_PX / each for each in tile.scale_xy * 2] for tile in tiles], np.float32)[view]
    sides = corners[:, 2:] - corners[:, :2]
    margin = np.maximum(margin, _MARGIN * np.concatenate([sides, sides], axis=1))
    inner = np.array([tile.inner for tile in tiles])[view]
    at_low = corners[:, :2] <= edges[view, :2] + margin[:, :2]
    at_high = corners[:, 2:] >= edges[view, 2:] - margin[:, 2:]
    return np.asarray((np.concatenate([at_low, at_high], axis=1) & inner).any(axis=1))


def _grouped(
    people: People, corners: Floats, view: NDArray[np.intp], edges: Floats, cut: NDArray[np.bool_], skeleton: Skeleton
) -> list[list[int]]:
    """Rows of each person, best first: at most one of a view."""
    variances = ((2 * skeleton.tolerances()) ** 2 * 2).astype(np.float32)
    areas = _FILLED * np.maximum(corners[:, 2:] - corners[:, :2], 0).prod(axis=1)
    seen_by = np.zeros((len(people), len(edges)), np.bool_)
    groups: list[list[int]] = []
    first = np.zeros(0, np.intp)
    for row in np.lexsort((-people.scores, cut)).tolist():
        same, inside = _compared(row, first, people, corners, areas, view, edges, variances)
        if people.classes is not None:
            same = np.where(people.classes[first] == people.classes[row], same, 0)
        free = ~seen_by[: len(first), view[row]]
        if (same * free > 0).any():
            group = int(np.argmax(same * free))
            groups[group].append(row)
            seen_by[group, view[row]] = True
        elif not (cut[row] and ((same > 0) | (inside >= _CONTAINED) & ~cut[first]).any()):
            seen_by[len(groups), view[row]] = True
            groups.append([row])
            first = np.append(first, row)
    return groups


def _compared(
    row: int,
    others: NDArray[np.intp],
    people: People,
    corners: Floats,
    areas: Floats,
    view: NDArray[np.intp],
    edges: Floats,
    variances: Floats,
) -> tuple[Floats, Floats]:
    """How alike a person is to (M,) others of other views: 0 where they are not the same; and which share of the person's box lies in theirs."""
    own, theirs = edges[view[row]], edges[view[others]]
    low, high = np.maximum(own[:2], theirs[:, :2]), np.minimum(own[2:], theirs[:, 2:])
    mine = np.concatenate([np.maximum(corners[row, :2], low), np.minimum(corners[row, 2:], high)], axis=1)
    other = np.concatenate([np.maximum(corners[others, :2], low), np.minimum(corners[others, 2:], high)], axis=1)
    shared = _area(np.maximum(mine[:, :2], other[:, :2]), np.minimum(mine[:, 2:], other[:, 2:]))
    iou = shared / np.maximum(_area(mine[:, :2], mine[:, 2:]) + _area(other[:, :2], other[:, 2:]) - shared, _TINY)
    inside = shared / np.maximum(_area(corners[row, :2], corners[row, 2:]), _TINY)
    alike = np.where(iou > SAME_IOU, iou, 0)
    if people.keypoints.shape[1] and len(others):
        a, b = people.keypoints[row], people.keypoints[others]
        both = (a[:, 2] > 0) & (b[..., 2] > 0)
        both &= ((a[:, :2] >= low[:, None]) & (a[:, :2] < high[:, None]) & (b[..., :2] >= low[:, None]) & (b[..., :2] < high[:, None])).all(
            axis=2
        )
        weight = np.where(both, np.minimum(a[:, 2], b[..., 2]), 0)
        size = np.maximum(np.maximum(areas[row], areas[others]), _TINY)
        near = np.exp(-((a[:, :2] - b[..., :2]) ** 2).sum(axis=2) / (variances * size[:, None]))
        oks = (weight * near).sum(axis=1) / np.maximum(weight.sum(axis=1), _TINY)
        alike = np.maximum(alike, np.where((both.sum(axis=1) >= _COMMON) & (oks > SAME_OKS), oks, 0))
    return np.where(view[others] == view[row], 0, alike).astype(np.float32), inside.astype(np.float32)


def _area(low: Floats, high: Floats) -> Floats:
    result: Floats = np.maximum(high - low, 0).prod(axis=-1)
    return result


def _one_each(people: People, groups: list[list[int]], cut: NDArray[np.bool_]) -> People:
    best = [group[0] for group in groups]
    result = people.chosen(np.array(best, np.intp))
    keypoints, scores = result.keypoints.copy(), result.scores.copy()
    boxes = None if result.boxes is None else result.boxes.copy()
    for number, group in enumerate(groups):
        if len(group) == 1:
            continue
        rows = np.array(group)
        # A piece of somebody is found with ease, and says little of the whole person.
        scores[number] = people.scores[rows if cut[group[0]] else rows[~cut[rows]]].max()
        parts = people.keypoints[rows]
        sure = parts[..., 2] if cut[group[0]] else parts[..., 2] > 0
        keypoints[number] = np.take_along_axis(parts, sure.argmax(axis=0)[None, :, None], axis=0)[0]
        if boxes is not None and people.boxes is not None and cut[group[0]]:
            low, high = people.boxes[rows, :2].min(axis=0), (people.boxes[rows, :2] + people.boxes[rows, 2:]).max(axis=0)
            boxes[number] = [*low, *(high - low)]
    return replace(result, keypoints=keypoints, scores=scores, boxes=boxes)
