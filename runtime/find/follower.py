"""People between two detections: where each is looked for in the next frame, and when the detector is needed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.find.boxes import LEAST_SCORE, person_boxes
from posetrt.runtime.find.detected import Detected
from posetrt.runtime.people import People
from posetrt.runtime.sources.base import Frame
from posetrt.runtime.track.tracker import Tracker

Floats = NDArray[np.float32]

_LOST = 0.5
"""A person is lost whose parts score less than this share of what they scored when the detector last saw them."""
_SAME_BOX = 0.3
"""Intersection over union of a detected box and an expected one from which they are one person's."""
_MISSES = 1
"""Detections in a row that may miss somebody who is still well found in the expected box: detectors flicker. Whom a detector saw only once,
it must see again: most of what it sees once is nobody, and each costs a crop a frame."""
_SURE = 2
"""Detections that have seen a person, from which on some may miss them."""
_MOST_SCALING = 1.25
"""Nobody grows or shrinks by more between two detections."""


@dataclass(frozen=True)
class _Seen:
    """What is known of one person.

    Attributes:
        box: (4,) x, y, width, height: the detector's, or the expected one, when it last saw the person.
        points: (K, 3) key points in that frame, which say how the box lies about the body.
        score: the detector's.
        parts: mean score of the parts in that frame.
        now: (K, 3) key points of the frame before.
        hits: detections that have seen the person.
        misses: detections in a row that have missed the person.
    """

    box: Floats
    points: Floats
    score: float
    parts: float
    now: Floats
    hits: int
    misses: int

    def seen(self) -> _Seen:
        """After one more detection that sees the person."""
        return replace(self, hits=self.hits + 1, misses=0)

    def missed(self) -> _Seen | None:
        """After one that does not; None where the person is given up."""
        one = replace(self, misses=self.misses + 1)
        return one if one.hits >= _SURE and one.misses <= _MISSES else None


class Follower:
    """Follows the people of one source from detection to detection. Give it the frames in order.

    Args:
        stage: looks at people in boxes.
        every: the detector is due in each frame whose number is a multiple of this, as frames come here.
    """

    def __init__(self, stage: Detected, every: int) -> None:
        self._stage, self._every = stage, every
        self._tracker = Tracker(stage.network.skeleton)
        self._since = every
        self._seen: dict[int, _Seen] = {}

    @property
    def due(self) -> bool:
        """Whether the next frame needs the detector."""
        return self._since >= self._every

    def look(self, frame: Frame, detected: People | None, detect: Callable[[], People]) -> People:
        """People of a frame, with ids, best first.

        Args:
            frame: the next one.
            detected: people whom the detector found in it; None where it has not looked.
            detect: asks the detector; called where a person was lost, or two of those followed turn out to be one.

        Raises:
            PosetrtError: a network failed.
        """
        expected = self._tracker.expect(frame.time_s)
        ids, boxes = expected.ids, np.zeros((len(expected.ids), 4), np.float32)
        for number, (who, moved, doubt) in enumerate(zip(ids.tolist(), expected.moved, expected.doubt.tolist(), strict=True)):
            boxes[number] = _widened(_carried(self._seen[who]), moved, doubt)
        if detected is None:
            scores = np.array([self._seen[who].score for who in ids.tolist()], np.float32)
            people, rows = self._stage.look(frame.image, boxes, scores)
            self._since += 1
            known = [self._seen[who] for who in ids[rows].tolist()]
            well = _well(people, known)
            people, known = people.chosen(well), [one for one, is_well in zip(known, well, strict=True) if is_well]
            if len(people) == len(ids):
                return self._kept(people, known, frame)
            self._since = 1
            return self._added(frame, people, known, detect())
        self._since = 1
        return self._detected(frame, detected, ids, boxes)

    def _added(self, frame: Frame, people: People, known: list[_Seen], detected: People) -> People:
        """The people who are still well found in a frame, and those of the detector's whom none of them is."""
        assert people.boxes is not None
        boxes = person_boxes(detected)
        same = _overlaps(boxes, people.boxes) > _SAME_BOX
        new = ~same.any(axis=1)
        judged = [one.seen() if here else one.missed() for one, here in zip(known, np.asarray(same.any(axis=0)), strict=True)]
        stays = np.array([one is not None for one in judged], np.bool_)
        people, known = people.chosen(stays), [one for one in judged if one is not None]
        others, rows = self._stage.look(frame.image, boxes[new], detected.scores[new])
        both = _joined(people, others)
        known = known + [_first_seen(boxes[new][row], float(detected.scores[new][row])) for row in rows]
        order = np.argsort(-both.scores, kind="stable")
        order = order[self._stage.distinct(both.chosen(order))]
        return self._kept(both.chosen(order), [known[row] for row in order], frame)

    def _detected(self, frame: Frame, detected: People, ids: NDArray[np.int64], expected: Floats) -> People:
        """People in the detector's boxes, and those whom it missed and who are still well found where they are expected."""
        boxes = person_boxes(detected)
        same = _overlaps(expected, boxes) > _SAME_BOX
        before = [self._seen[who] for who in ids.tolist()]
        hits = np.where(same, np.array([one.hits for one in before], np.int64)[:, None], 0).max(axis=0, initial=0)
        given = [
            replace(_first_seen(box, score), hits=1 + hit)
            for box, score, hit in zip(boxes, detected.scores.tolist(), hits.tolist(), strict=True)
        ]
        judged = [None if here else one.missed() for one, here in zip(before, np.asarray(same.any(axis=1)), strict=True)]
        missed = np.array([one is not None for one in judged], np.bool_)
        given += [one for one in judged if one is not None]
        scores = np.array([one.score for one in given], np.float32)
        people, rows = self._stage.look(frame.image, np.concatenate([boxes, expected[missed]]), scores)
        of = [given[row] for row in rows.tolist()]
        stays = _well(people, of)
        return self._kept(people.chosen(stays), [one for one, stay in zip(of, stays, strict=True) if stay], frame)

    def _kept(self, people: People, known: list[_Seen], frame: Frame) -> People:
        """The people with ids, and what is known of each noted for the next frame."""
        people = self._tracker.update(people, frame.time_s)
        assert people.ids is not None
        self._seen = {}
        for who, points, one in zip(people.ids.tolist(), people.keypoints, known, strict=True):
            fresh = replace(one, points=points, parts=float(points[:, 2].mean())) if not len(one.points) else one
            self._seen[who] = replace(fresh, now=points)
        return people


def _first_seen(box: Floats, score: float) -> _Seen:
    """Somebody in a detected box, before anybody has looked at it."""
    return _Seen(box, np.zeros((0, 3), np.float32), score, 0.0, np.zeros((0, 3), np.float32), 1, 0)


def _well(people: People, known: list[_Seen]) -> NDArray[np.bool_]:
    """(N,) whose parts score about as well as when the detector last saw them."""
    least = np.array([_LOST * one.parts for one in known], np.float32)
    return np.asarray(people.keypoints[..., 2].mean(axis=1) >= least)


def _joined(one: People, other: People) -> People:
    """People of two looks at one frame."""
    assert one.boxes is not None
    assert other.boxes is not None
    return People(
        np.concatenate([one.keypoints, other.keypoints]),
        np.concatenate([one.scores, other.scores]),
        boxes=np.concatenate([one.boxes, other.boxes]),
    )


def _carried(seen: _Seen) -> Floats:
    """(4,): a person's box as it lies about the body in the frame before: moved and scaled with the parts, and grown to hold them all."""
    sure, now = seen.points[:, 2] > LEAST_SCORE, seen.now[:, 2] > LEAST_SCORE
    both = sure & now
    low, high = seen.box[:2], seen.box[:2] + seen.box[2:]
    if both.any():
        before, after = seen.points[both, :2], seen.now[both, :2]
        middle, middle_now = before.mean(axis=0), after.mean(axis=0)
        spread = float(np.hypot(*(before - middle).T).sum())
        scale = float(np.hypot(*(after - middle_now).T).sum()) / spread if both.sum() > 1 and spread > 0 else 1.0
        scale = min(max(scale, 1 / _MOST_SCALING), _MOST_SCALING)
        low, high = middle_now + (low - middle) * scale, middle_now + (high - middle) * scale
        points = seen.now[now, :2] + np.float32(0.5)
        low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
    return np.concatenate([low, high - low]).astype(np.float32)


def _widened(box: Floats, moved: Floats, doubt: float) -> Floats:
    """A box where the person should be now, wider on each side by how far they may be from there."""
    return np.concatenate([box[:2] + moved - doubt, box[2:] + 2 * doubt]).astype(np.float32)


def _overlaps(one: Floats, other: Floats) -> Floats:
    """(N, M) intersection over union of boxes x, y, width, height."""
    low = np.maximum(one[:, None, :2], other[:, :2])
    high = np.minimum(one[:, None, :2] + one[:, None, 2:], other[:, :2] + other[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    areas = one[:, 2:].prod(axis=1)[:, None] + other[:, 2:].prod(axis=1)
    result: Floats = shared / np.maximum(areas - shared, np.float32(1e-9))
    return result
