"""What calibration asks of a head of rows or boxes: exact outputs for people that are known, and how far outputs are from others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.heads.hooks import relative_error
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Tensors
from posetrt.runtime.heads.candidate_decoder import CandidateDecoder
from posetrt.runtime.heads.candidates import CandidateHead, cells_of
from posetrt.runtime.heads.rows import RowsHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

RANKED_ROWS = 300
"""Rows of an output that holds the best candidates alone."""
_NEVER = -30.0  # a logit that no threshold lets pass


def encode(
    head: CandidateHead,
    skeleton: Skeleton,  # noqa: ARG001 the people have its parts
    people: Sequence[People],
    size_wh: tuple[int, int],
) -> dict[str, NDArray[np.float32]]:
    """What a network with this head gives when it sees exactly these people, one candidate for each.

    Args:
        head: of rows or boxes.
        skeleton: of the people.
        people: of each of the batch, in pixels of the network's input; without boxes, those around the key points are taken.
        size_wh: of the input.

    Raises:
        UsageError: several pictures for a head without a batch.
    """
    if not head.batched and len(people) != 1:
        raise UsageError(f"this head of kind {head.kind!r} takes one picture at a time; got {len(people)}")
    frames = [_frame(head, one, size_wh) for one in people]
    return {name: np.stack([frame[name] for frame in frames]) if head.batched else frames[0][name] for name in frames[0]}


def error(head: CandidateHead, skeleton: Skeleton, wanted: Tensors, given: Tensors) -> float:
    """The error of the scores, and of what else a candidate holds, each candidate counted by the square of the score that it should have.

    Nearly all candidates are of nothing, and nobody reads where those lie.
    """
    decoder = CandidateDecoder(head, skeleton, DecodeOptions(min_score=0.0))
    right, made = decoder.candidates(wanted), decoder.candidates(given)
    score = right.pop("score")
    total = relative_error(score, made["score"])
    return total + sum(relative_error(values, made[what], score**2) for what, values in right.items())


def _frame(head: CandidateHead, people: People, size_wh: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    boxes = _corners(people)
    points = people.keypoints.astype(np.float32)
    if head.origin == "edge":
        points = points + np.array([0.5, 0.5, 0], np.float32)
    else:
        boxes = boxes - np.float32(0.5)
    cells = cells_of(head.strides or (8, 16, 32), size_wh, head.per_cell)
    count = RANKED_ROWS if head.ranked and not head.strides else len(head.priors) or cells.shape[1]
    at = _places(head, boxes, cells, count)
    own = cells[:, at] if head.strides else None
    scale = np.array(size_wh, np.float32) if head.unit == "fraction" else np.ones(2, np.float32)
    unit = own[2, :, None] if head.unit == "cells" and own is not None else scale
    tensors: dict[str, NDArray[np.float32]] = {}
    sizes = {role: max(start + n for name, start, n in head.values.values() if name == role) for role, _, _ in head.values.values()}
    for role, columns in sizes.items():
        tensors[role] = np.zeros((columns, count), np.float32)

    def put(what: str, values: NDArray[Any]) -> None:
        role, start, columns = head.values[what]
        tensors[role][start : start + columns, at] = values

    _put_scores(head, people, tensors, at)
    if "box" in head.values:
        put("box", _box(head, boxes, own, unit, scale, tensors, at).T)
    if isinstance(head, RowsHead):
        place = points[..., :2] if own is None else points[..., :2] - own[:2].T[:, None] * own[2, :, None, None]
        place = place / (np.asarray(unit)[..., None, :] * head.point_gain)
        seen = _activated(points[..., 2:], head.point_activation)
        place = place[..., ::-1] if head.yx else place
        put("keypoints", np.concatenate([place, seen][: head.point_values - 1], 2).reshape(len(points), head.values["keypoints"][2]).T)
        if "visibility" in head.values:
            put("visibility", seen[..., 0].T)
    return _written(head, tensors, cells)


def _corners(people: People) -> NDArray[np.float32]:
    if people.boxes is not None:
        return np.concatenate([people.boxes[:, :2], people.boxes[:, :2] + people.boxes[:, 2:]], 1).astype(np.float32)
    if not len(people):
        return np.zeros((0, 4), np.float32)
    return np.concatenate([people.keypoints[..., :2].min(1), people.keypoints[..., :2].max(1) + 1], 1).astype(np.float32)


def _places(head: CandidateHead, boxes: NDArray[np.float32], cells: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """A candidate of its own for each box: near its middle, where candidates have cells."""
    if not head.strides:
        return np.linspace(0, count - 1, len(boxes)).astype(np.intp) if not head.ranked else np.arange(len(boxes))
    free = np.ones(cells.shape[1], bool)
    at = np.zeros(len(boxes), np.intp)
    centre = (cells[:2] + np.float32(head.cell_point)) * cells[2]
    for index, box in enumerate(boxes):
        away = np.hypot(*(centre - ((box[:2] + box[2:]) / 2)[:, None]))
        usable = free.copy()
        if head.box == "distribution":
            furthest = np.maximum(np.abs(centre - box[:2, None]), np.abs(centre - box[2:, None])).max(0)
            usable &= furthest <= (head.values["box"][2] // 4 - 1) * cells[2]
        at[index] = np.flatnonzero(usable)[away[usable].argmin()]
        free[at[index]] = False
    return at


def _box(
    head: CandidateHead,
    boxes: NDArray[np.float32],
    cells: NDArray[np.float32] | None,
    unit: NDArray[np.float32],
    scale: NDArray[np.float32],
    tensors: dict[str, NDArray[np.float32]],
    at: NDArray[np.intp],
) -> NDArray[np.float32]:
    low, high = boxes[:, :2], boxes[:, 2:]
    point = ((cells[:2] + np.float32(head.cell_point)) * cells[2]).T if cells is not None else np.zeros((len(boxes), 2), np.float32)
    centre, size = (low + high) / 2 - point, high - low
    if head.box == "priors":
        prior = (
            np.array(head.priors, np.float32).reshape(-1, 4)[at] if head.priors else np.concatenate([centre, size], 1) / np.tile(scale, 2)
        )
        if "priors" in head.values:
            role, start, _ = head.values["priors"]
            tensors[role][start : start + 4, at] = prior.T
        step = (centre / scale - prior[:, :2]) / prior[:, 2:] / head.variances[0]
        return np.concatenate([step, np.log(size / scale / prior[:, 2:]) / head.variances[1]], 1)
    forms = {
        "centre": (centre / unit, size / unit),
        "corners": ((low - point) / unit, (high - point) / unit),
        "corner-size": ((low - point) / unit, size / unit),
        "log-size": (centre / unit, np.log(size / unit)),
        "circle": (centre / unit, (centre - np.array([0, 0.5]) * size.max(axis=1, keepdims=True, initial=0)) / unit),
    }
    first, last = forms.get(head.box, ((point - low) / unit, (high - point) / unit))
    values = np.concatenate([first, last], 1)
    if head.yx:
        values = values[:, [1, 0, 3, 2]]
    if head.box != "distribution":
        return values
    # Two neighbouring bins whose mean is the distance.
    bins = head.values["box"][2] // 4
    below = np.minimum(np.floor(values), bins - 2)
    logits = np.full((*values.shape, bins), _NEVER, np.float32)
    for offset, share in enumerate((1 - (values - below), values - below)):
        np.put_along_axis(logits, (below + offset).astype(np.intp)[..., None], np.log(np.maximum(share, 1e-12))[..., None], 2)
    return logits.reshape(len(values), 4 * bins)


def _put_scores(head: CandidateHead, people: People, tensors: dict[str, NDArray[np.float32]], at: NDArray[np.intp]) -> None:
    person: int = head.person_class or 0
    if head.activation == "sigmoid":
        for what in {"score", "classes"} & head.values.keys():
            role, start, count = head.values[what]
            tensors[role][start : start + count] = _NEVER
    if "classes" in head.values:
        role, start, count = head.values["classes"]
        if head.activation == "softmax":
            other = head.background if head.background >= 0 else (person + 1) % count
            tensors[role][start : start + count] = _NEVER
            tensors[role][start + other] = 0
            tensors[role][start + person, at] = np.log(people.scores / (1 - people.scores))
        else:
            alone = "score" not in head.values
            tensors[role][start + person, at] = _activated(people.scores if alone else np.ones_like(people.scores), head.activation)
    if "score" in head.values:
        role, start, _ = head.values["score"]
        tensors[role][start, at] = _activated(people.scores, head.activation)
    if "class" in head.values:
        role, start, _ = head.values["class"]
        tensors[role][start, at] = person


def _activated(values: NDArray[np.float32], activation: str) -> NDArray[np.float32]:
    """What gives these values behind the activation."""
    if activation != "sigmoid":
        return values
    inside = np.clip(values, 1e-7, 1 - 1e-7).astype(np.float64)
    return np.asarray(np.log(inside / (1 - inside)), np.float32)


def _written(head: CandidateHead, tensors: dict[str, NDArray[np.float32]], cells: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The tensors by their names, in the network's layout."""
    written = {}
    for role, values in tensors.items():
        for stride in head.levels or (0,):
            part = values[:, cells[2] == stride] if stride else values
            part = part if head.transposed else part.T
            if not head.transposed and not stride and part.shape[1] == 1:
                part = part[:, 0]
            written[head.outputs[f"{role}/{stride}" if stride else role]] = np.ascontiguousarray(part)
    return written
