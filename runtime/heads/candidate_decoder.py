"""The decoder of rows and boxes: it reads candidates as their head says, thresholds, and drops double detections.

It looks at the scores first and touches nothing else of a candidate that is below the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Preset, Tensors
from posetrt.runtime.heads.candidates import CandidateHead, box_corners, cells_of, sigmoid
from posetrt.runtime.heads.nms import MOST_CANDIDATES, MOST_ROWS, iou_nms, oks_nms, pose_nms
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]
SCORES: Mapping[Preset, float] = {"balanced": 0.25, "precise": 0.5, "all": 0.1, "evaluate": 0.01}
"""Least score of a person: .25 is what these networks' own tools show, .01 what average precision is measured with."""
_LARGEST = np.float32(1e6)  # pixels; a larger box is no number that a network means


class CandidateDecoder:
    """Candidates to people: threshold, coordinates, NMS. Everything behind the threshold sees at most `MOST_CANDIDATES` of them."""

    def __init__(self, head: CandidateHead, skeleton: Skeleton, options: DecodeOptions | None = None) -> None:
        options = options or DecodeOptions()
        self.head = head
        self._least = np.float32(SCORES[options.preset] if options.min_score is None else options.min_score)
        with np.errstate(divide="ignore"):
            inside = min(max(float(self._least), 0.0), 1.0)
            self._least_logit = np.float32(np.log(inside) - np.log1p(-inside))
        self._parts = len(skeleton.parts) if "keypoints" in head.values else 0
        self._sigmas = np.asarray(skeleton.sigmas, np.float32)
        self._roles = {role for role, _, _ in head.values.values()}
        self._priors = np.array(head.priors, np.float32).T

    def candidates(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """What → (columns, A) of all candidates of the first frame, as the network gives them; "score" (1, A) is the person's, and 0 below the threshold."""
        views = [self._views(one, 0 if self.head.batched else None) for one in self._given(tensors)]
        scores = []
        for view in views:
            keep, score, _ = self._choose(view)
            scores.append(np.zeros(_count(view), np.float32))
            scores[-1][keep] = score
        apart = ("score", "classes", "class", "priors", "frame")
        found = {what: np.concatenate([view[what] for view in views], 1) for what in views[0] if what not in apart}
        return {**found, "score": np.concatenate(scores)[None]}

    def _given(self, tensors: Tensors) -> list[dict[str, NDArray[Any]]]:
        """The tensors by their role, of each level."""
        levels: tuple[str, ...] = tuple(f"/{stride}" for stride in self.head.levels) or ("",)
        return [{role: np.asarray(self.head.tensor(tensors, role + level)) for role in self._roles} for level in levels]

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:
        """See `Decoder.decode`."""
        head = self.head
        given = self._given(tensors)
        if head.batched:
            first = head.values["score" if "score" in head.values else "classes"][0]
            count = len(given[0][first])
            return [self._frame([self._views(one, index) for one in given], size_wh, None) for index in range(count)]
        views = [self._views(one, None) for one in given]
        if "frame" not in head.values:
            return [self._frame(views, size_wh, None)]
        number = np.concatenate([each["frame"][0] for each in views])
        # An empty batch cannot be told from an empty frame: at least one.
        return [self._frame(views, size_wh, index) for index in range(int(number.max(initial=0)) + 1)]

    def _views(self, tensors: Mapping[str, NDArray[Any]], index: int | None) -> dict[str, NDArray[Any]]:
        """What → (columns, candidates) of one frame and level; nothing is copied."""
        head, whole = self.head, {}
        for role, tensor in tensors.items():
            constant = role == "priors" and index is not None and (tensor.ndim == 2 or len(tensor) == 1)
            frame = tensor if index is None or (constant and tensor.ndim == 2) else tensor[0 if constant else index]
            if head.transposed:
                whole[role] = frame.reshape(len(frame), -1) if frame.size else frame.reshape(len(frame), 0)
            elif frame.ndim > 2 and (head.levels or role == "rows"):
                whole[role] = frame.reshape(-1, frame.shape[-1]).T
            else:
                columns = int(np.prod(frame.shape[1:]))
                whole[role] = frame.reshape(len(frame), columns).T
        views = {}
        for what, (role, start, count) in head.values.items():
            if len(whole[role]) < start + count:
                raise UsageError(
                    f"head {head.kind!r} reads {what} from columns {start} to {start + count - 1} of {role}; "
                    f"the network gave {' x '.join(map(str, tensors[role].shape))}"
                )
            views[what] = whole[role][start : start + count]
        return views

    def _frame(self, levels: list[dict[str, NDArray[Any]]], size_wh: tuple[int, int], number: int | None) -> People:
        chosen, scores, classes = [], [], []
        for views in levels:
            keep, score, label = self._choose(views)
            if number is not None:
                here = np.rint(views["frame"][0][keep]) == number
                keep, score, label = keep[here], score[here], None if label is None else label[here]
            chosen.append(keep)
            scores.append(score)
            classes.append(label)
        score = np.concatenate(scores)
        if len(score) > MOST_CANDIDATES:
            best = np.argpartition(-score, MOST_CANDIDATES)[:MOST_CANDIDATES]
            order = best[np.argsort(-score[best], kind="stable")]
        else:
            order = np.argsort(-score, kind="stable")
        label = None if classes[0] is None else np.concatenate([each for each in classes if each is not None])
        cells = self._cells(size_wh, levels) if self.head.strides else None
        return self._people(_Chosen(levels, chosen, self._priors, cells), order, score, label, size_wh)

    def _cells(self, size_wh: tuple[int, int], levels: list[dict[str, NDArray[Any]]]) -> Floats:
        cells = cells_of(self.head.strides, size_wh, self.head.per_cell)
        came = sum(_count(views) for views in levels)
        if cells.shape[1] != came:
            raise UsageError(
                f"head {self.head.kind!r}: strides {', '.join(map(str, self.head.strides))} give {cells.shape[1]} candidates at "
                f"{size_wh[0]}x{size_wh[1]}; the network gave {came}"
            )
        return cells

    def _choose(self, views: Mapping[str, NDArray[Any]]) -> tuple[Indices, Floats, NDArray[np.int64] | None]:
        """Candidates above the threshold: their numbers, scores and classes. The score's column alone is read whole."""
        head, logits = self.head, self.head.activation == "sigmoid"
        least = self._least_logit if logits else self._least
        keep: Indices | None = None
        score: Floats | None = None
        label: NDArray[np.int64] | None = None
        if "score" in views:
            column = views["score"][0]
            keep = np.flatnonzero(column > least)
            score = column[keep].astype(np.float32, copy=False)
            score = sigmoid(score) if logits else score
        if "class" in views:
            number = views["class"][0]
            label = np.rint(number if keep is None else number[keep]).astype(np.int64)
            if head.person_class is not None and keep is not None and score is not None:
                right = label == head.person_class
                keep, score, label = keep[right], score[right], label[right]
        if "classes" in views:
            keep, of_class, label = self._by_class(views["classes"], keep, least)
            if score is not None or head.activation == "softmax":
                score = of_class if score is None else score * of_class
                above = score > self._least
                keep, score, label = keep[above], score[above], label[above]
            else:
                score = of_class
        if keep is None or score is None:
            raise UsageError(f"head {head.kind!r} reads no score")
        return keep, score, label

    def _by_class(self, classes: NDArray[Any], keep: Indices | None, least: np.float32) -> tuple[Indices, Floats, NDArray[np.int64]]:
        """Class scores (C, A) of candidates: those kept so far, or all above the threshold."""
        head, person = self.head, self.head.person_class
        if head.activation == "softmax":
            values = classes.astype(np.float32) if keep is None else classes[:, keep].astype(np.float32)
            values = np.exp(values - values.max(0, initial=-np.inf))
            values /= values.sum(0)
            found = np.arange(classes.shape[1]) if keep is None else keep
            if person is None:
                if head.background >= 0:
                    values[head.background] = 0
                label = values.argmax(0)
                return found, values.max(0, initial=0), label
            return found, values[person], np.full(len(found), person, np.int64)
        if person is not None:
            column = classes[person]
            found = np.flatnonzero(column > least) if keep is None else keep
            value = column[found].astype(np.float32, copy=False)
            label = np.full(len(found), person, np.int64)
        else:
            found = np.flatnonzero(classes.max(0) > least) if keep is None else keep
            values = classes[:, found].astype(np.float32, copy=False)
            if head.background >= 0:
                values = values.copy()
                values[head.background] = -np.inf
            label = values.argmax(0)
            value = values.max(0, initial=-np.inf)
        return found, sigmoid(value) if head.activation == "sigmoid" else value, label

    def _people(self, chosen: _Chosen, order: Indices, score: Floats, label: NDArray[np.int64] | None, size_wh: tuple[int, int]) -> People:
        """People of the chosen candidates `order`, best first. Key points are read last, of those alone that stay."""
        head = self.head
        boxes = self._boxes(chosen, order, size_wh) if "box" in head.values else None
        if boxes is not None:
            boxes, order = _usable(boxes, order)
            if head.nms in ("iou", "none"):
                boxes, order = _kept(self._distinct(boxes, None, label, order), boxes, order)
        points = self._points(chosen, order, size_wh)
        if boxes is None:
            boxes = np.concatenate([points[..., :2].min(1), points[..., :2].max(1)], 1) if len(points) else np.zeros((0, 4), np.float32)
        if not np.isfinite(points.sum() + boxes.sum()):
            finite = np.isfinite(points).all((1, 2)) & np.isfinite(boxes).all(1)
            boxes, points, order = boxes[finite], points[finite], order[finite]
        if head.nms in ("oks", "pose") or "box" not in head.values:
            boxes, points, order = _kept(self._distinct(boxes, points, label, order), boxes, points, order)
        found = points[..., 2:] > 0
        points[..., :2] -= np.float32(0.5 if head.origin == "edge" else 0)
        points *= found
        boxes = boxes + np.float32(0 if head.origin == "edge" else 0.5)
        boxes[:, 2:] -= boxes[:, :2]
        sure = np.minimum(score[order], np.float32(1))
        return People(points, sure, boxes=boxes, classes=None if label is None else label[order])

    def _boxes(self, chosen: _Chosen, which: Indices, size_wh: tuple[int, int]) -> Floats:
        cells = chosen.cells_of(which)
        priors = chosen.priors_of(which) if self.head.box == "priors" else None
        return box_corners(self.head, chosen.read("box", which), priors, cells, self._scale(cells, size_wh))

    def _points(self, chosen: _Chosen, which: Indices, size_wh: tuple[int, int]) -> Floats:
        if not self._parts:
            return np.zeros((len(which), 0, 3), np.float32)
        cells = chosen.cells_of(which)
        visibility = chosen.read("visibility", which) if "visibility" in self.head.values else None
        return self.head.key_points(chosen.read("keypoints", which), cells, self._scale(cells, size_wh), visibility)

    def _scale(self, cells: Floats | None, size_wh: tuple[int, int]) -> Floats:
        """(2, 1 or n): pixels per unit of x and y."""
        if self.head.unit == "fraction":
            return np.array(size_wh, np.float32)[:, None]
        if self.head.unit == "cells" and cells is not None:
            return np.stack([cells[2], cells[2]])
        return np.ones((2, 1), np.float32)

    def _distinct(self, boxes: Floats, points: Floats | None, label: NDArray[np.int64] | None, order: Indices) -> Indices:
        """Which stay behind NMS, of candidates best first."""
        head = self.head
        if head.nms == "iou":
            return iou_nms(boxes, head.nms_threshold, label[order] if label is not None and head.person_class is None else None)
        if head.nms == "oks" and points is not None:
            areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            return oks_nms(points, areas, self._sigmas, head.nms_threshold)
        if head.nms == "pose" and points is not None:
            return pose_nms(points, boxes, head.nms_threshold)
        return np.arange(min(len(boxes), MOST_ROWS))


class _Chosen:
    """Candidates above the threshold, of all levels: their values are copied when they are asked for."""

    def __init__(self, levels: list[dict[str, NDArray[Any]]], keep: list[Indices], priors: Floats, cells: Floats | None) -> None:
        self._levels, self._keep, self._priors, self._cells = levels, keep, priors, cells
        starts = np.cumsum([0, *(_count(views) for views in levels)])
        self._place = keep[0] if len(keep) == 1 else np.concatenate([each + start for each, start in zip(keep, starts, strict=False)])

    def read(self, what: str, which: Indices) -> Floats:
        """Columns (C, n) of some of the chosen."""
        if len(self._levels) == 1:
            values = self._levels[0][what][:, self._keep[0][which]]
        else:
            values = np.concatenate([views[what][:, keep] for views, keep in zip(self._levels, self._keep, strict=True)], 1)[:, which]
        return values.astype(np.float32, copy=False)

    def cells_of(self, which: Indices) -> Floats | None:
        """Column, row and stride (3, n) of their cells, where the head has strides."""
        return None if self._cells is None else self._cells[:, self._place[which]]

    def priors_of(self, which: Indices) -> Floats:
        """Their anchors (4, n)."""
        return self.read("priors", which) if "priors" in self._levels[0] else self._priors[:, self._place[which]]


def _count(views: Mapping[str, NDArray[Any]]) -> int:
    return int(next(iter(views.values())).shape[1])


def _usable(boxes: Floats, order: Indices) -> tuple[Floats, Indices]:
    """Without boxes that are no numbers or have no area."""
    size = boxes[:, 2:] - boxes[:, :2]
    if not size.size or (size.min() > 0 and size.max() < _LARGEST):
        return boxes, order
    good = ((size > 0) & (size < _LARGEST)).all(1)
    return boxes[good], order[good]


def _kept(stays: Indices, *arrays: Any) -> Any:
    return tuple(each[stays] for each in arrays)
