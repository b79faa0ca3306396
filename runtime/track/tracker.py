"""Stable person ids: people of one frame are matched to those of the frames before by their key points.

The likeness is COCO's object key-point similarity (cocodataset.org, "Keypoint Evaluation") of two bodies laid over each other,
times how near somebody is to where the person should be now, moving on as before. People seen in the frame before choose first;
those who were hidden are kept in mind, and the longer, the less is expected of their place, though never of their shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import OTHER_SIGMA, Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.track.appearance import BINS, Appearance, alike, blended
from posetrt.runtime.track.smoothing import OneEuro

if TYPE_CHECKING:
    from posetrt.runtime.track.camera_motion import CameraMotion

_LEAST_LIKENESS = 0.1
_SURE = 0.3
"""Who was seen in the frame before chooses first where the match is at least this good: a worse one may be somebody who was hidden."""
_FAR = 0.02
"""Bodies whose places are less alike than this are not compared part by part: most pairs in a crowd are none."""
_FADE_S = 0.6
_NEAR = 0.08
"""Standard deviation of a person's place from one frame to the next, in body sizes; and below, how it grows a second."""
_WANDER = 0.9
_WIDENING = 2.0
"""Between two frames a person moves more than an annotator errs."""
_LEAST_WORTH = 0.6
"""Of a match from one frame to the next where the looks are others altogether: light and what stands before people change looks too."""
_SAME_LOOKS = 0.93
"""From here on looks alone tell who comes back, within the reach below."""
_ROAMS = 3.0
"""Body sizes a second in which somebody out of sight may have gone anywhere."""
_NEW_LOOKS = 0.3
"""Share of the newest frame in what somebody is taken to look like."""


_OF_A_BOX = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))
"""Where a box is followed that has no key points: shares of its width and height."""


@dataclass(frozen=True)
class Expected:
    """Where the people of the frame before should be now.

    Attributes:
        ids: (T,) int64.
        moved: (T, 2) float32: by how many pixels each has moved since, if they go on as before.
        doubt: (T,) float32: how far they may be from there, in pixels: one standard deviation.
    """

    ids: NDArray[np.int64]
    moved: NDArray[np.float32]
    doubt: NDArray[np.float32]


class Tracker:
    """Ids for the people of one source. Feed it every frame, in order.

    Args:
        skeleton: of the key points.
        bridge_s: for how long a person who is not seen keeps the id.
        smooth: give key points through a One-Euro filter.
        usual_fps: the time between two frames where their times do not tell.
        camera_motion: take the camera's own motion out, by optical flow between the pictures; needs OpenCV and each frame's picture.
        appearance: tell people apart by the colours of torso and legs too; needs each frame's picture.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        bridge_s: float = 2.0,
        smooth: bool = False,
        usual_fps: float = 30.0,
        camera_motion: bool = False,
        appearance: bool = False,
    ) -> None:
        # Of a detector's people the boxes are followed, by their corners and their middle.
        parts = len(skeleton.parts) or len(_OF_A_BOX)
        sigmas = np.asarray(skeleton.tolerances() if skeleton.parts else np.full(parts, OTHER_SIGMA), np.float32)
        self._sharpness = -0.5 / (2 * sigmas * _WIDENING)[:, None] ** 2
        self._bridge_s = bridge_s
        self._usual_s = 1 / usual_fps
        self._filter = OneEuro(parts) if smooth else None
        self._motion = _camera_motion() if camera_motion else None
        self._appearance = Appearance(skeleton) if appearance else None
        self._next_id = 0
        self._given: dict[int, float] = {}
        self._now_s = 0.0
        self._given_s: float | None = None
        self._ids = np.zeros(0, np.int64)
        # Tracks last, (2, K, T): NumPy is quick where the last axis is the long one. `known` is 0 or 1, to sum by multiplying matrices.
        self._points = np.zeros((2, parts, 0), np.float32)
        self._known = np.zeros((parts, 0), np.float32)
        self._sizes = np.zeros(0, np.float32)
        self._speed = np.zeros((2, 0), np.float32)
        self._steps = np.zeros(0, np.float32)
        self._seen_s = np.zeros(0)
        # Of each track what it looks like, (62, T); (0, T) serves where nobody asks.
        self._looks = np.zeros((BINS if appearance else 0, 0), np.float32)
        self._boxes = np.zeros((0, 4), np.float32)

    @property
    def needs_image(self) -> bool:
        """Whether each frame's picture is needed."""
        return self._motion is not None or self._appearance is not None

    def update(self, people: People, time_s: float, image: NDArray[np.uint8] | None = None) -> People:
        """The same people with ids.

        Args:
            people: of this frame, in pixels of the frame.
            time_s: of this frame; times that do not advance count as frames at `usual_fps`.
            image: (H, W, 3) uint8 BGR, the frame; needed for `camera_motion` and `appearance`.

        Returns:
            People in the same order with `ids`, counted from 0 and never used again, unless they have some already; smoothed where asked for.

        Raises:
            UsageError: the picture is needed and not given.
        """
        if image is None and self.needs_image:
            raise UsageError("a tracker with camera_motion or appearance needs the picture: tracker.update(people, time_s, image)")
        step = self._advance(time_s)
        if people.ids is not None:
            return self._smoothed(people, people.ids, step, self._remembered(people.ids))
        self._keep(self._now_s - self._seen_s <= self._bridge_s + 1e-6)
        columns = np.ascontiguousarray(_points_of(people).T)
        points, found = columns[:2], columns[2] > 0
        seen = found.astype(np.float32)
        sizes = _sizes(points, seen)
        if self._motion is not None and image is not None:
            self._carry(self._motion.to(image, self._boxes))
            self._boxes = _boxes(points, found)
        looks = (
            self._appearance.of(image, people)
            if self._appearance is not None and image is not None
            else np.zeros((len(people), 0), np.float32)
        )
        gone = (self._now_s - self._seen_s).astype(np.float32)
        fresh = gone <= step + 1e-5
        everybody = bool(fresh.all())
        likeness, moved = self._compare(points, seen, sizes, np.float32(step) if everybody else gone[:, None])
        if looks.size:
            same = alike(self._looks.T, looks)
            known_by_looks = (same - _SAME_LOOKS) * (np.hypot(*moved) < (1 + _ROAMS * gone[:, None]) * self._sizes[:, None])
            likeness = np.maximum(
                likeness * _worth(same, fresh), np.where(fresh[:, None] | (known_by_looks <= 0), 0, _LEAST_LIKENESS + known_by_looks)
            )
        if everybody:
            track, person = _matching(likeness)
        else:
            track, person = _matching(likeness * (fresh[:, None] & (likeness > _SURE)))
            if len(track) < min(likeness.shape):
                likeness[track], likeness[:, person] = 0, 0
                hidden, shown = _matching(likeness)
                track, person = _by_track(np.concatenate([track, hidden]), np.concatenate([person, shown]))
        if len(track):
            self._move(track, points[..., person], found[:, person], sizes[person], moved[:, track, person], gone[track])
            if looks.size:
                self._looks[:, track] = blended(self._looks[:, track].T, looks[person], _NEW_LOOKS).T
        ids = np.full(len(people), -1, np.int64)
        ids[person] = self._ids[track]
        if len(track) < len(ids):
            new = np.flatnonzero(ids < 0)
            ids[new] = np.arange(self._next_id, self._next_id + len(new))
            self._next_id += len(new)
            self._begin(ids[new], points[..., new], found[:, new], sizes[new], looks[new])
        return self._smoothed(people, ids, step, self._ids)

    def __call__(self, people: People, time_s: float, image: NDArray[np.uint8] | None = None) -> People:
        """As `update`: `people = tracker(pose(frame), time_s)`."""
        return self.update(people, time_s, image)

    def expect(self, time_s: float) -> Expected:
        """Where the people who were seen in the frame before should be in the next one; nothing is changed by asking.

        Args:
            time_s: of the next frame.
        """
        gap = time_s - self._given_s if self._given_s is not None else self._usual_s
        gap = np.float32(gap if gap > 0 else self._usual_s)
        seen = self._seen_s >= self._now_s - 1e-6
        moved = self._speed[:, seen] * (_FADE_S * (1 - np.exp(-gap / np.float32(_FADE_S))))
        return Expected(self._ids[seen], moved.T.astype(np.float32), (_WANDER * gap * self._sizes[seen]).astype(np.float32))

    def _smoothed(self, people: People, ids: NDArray[np.int64], step_s: float, remembered: NDArray[np.int64]) -> People:
        if self._filter is None or not people.keypoints.shape[1]:
            return replace(people, ids=ids)
        return replace(people, keypoints=self._filter.smooth(ids, people.keypoints, step_s, remembered), ids=ids)

    def _remembered(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids that somebody else gives, as long as they may come back."""
        self._given |= dict.fromkeys(ids.tolist(), self._now_s)
        self._given = {one: seen_s for one, seen_s in self._given.items() if self._now_s - seen_s <= self._bridge_s}
        return np.array(sorted(self._given), np.int64)

    def _advance(self, time_s: float) -> float:
        step = time_s - self._given_s if self._given_s is not None else self._usual_s
        self._given_s = time_s
        step = step if step > 0 else self._usual_s
        self._now_s += step
        return step

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        if not kept.all():
            for name in ("_ids", "_points", "_known", "_sizes", "_speed", "_steps", "_seen_s", "_looks"):
                setattr(self, name, getattr(self, name)[..., kept])

    def _compare(
        self, points: NDArray[np.float32], found: NDArray[np.float32], sizes: NDArray[np.float32], gone: NDArray[np.float32] | np.float32
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lay each person over each track.

        Args:
            points: (2, K, N) float32.
            found: (K, N) float32, 0 or 1.
            sizes: (N,) float32.
            gone: (T, 1) float32, or one for all: seconds since the track was seen.

        Returns:
            (T, N) float32, 0 to 1, how well each person fits each track; and (2, T, N) float32, by how much the body would
            have moved in pixels: the mean over the parts that both have.
        """
        shape = len(self._ids), len(sizes)
        if 0 in shape:
            return np.zeros(shape, np.float32), np.zeros((2, *shape), np.float32)
        count = self._known.T @ found
        moved = self._known.T @ (points * found)
        moved -= (self._points * self._known).transpose(0, 2, 1) @ found
        moved /= np.maximum(count, 1)
        # Speed fades: nobody walks on for ever unseen.
        offset = moved - self._speed[..., None] * (_FADE_S * (1 - np.exp(gone / -_FADE_S)))
        offset *= offset
        area = np.maximum(self._sizes[:, None], sizes)
        area *= area
        near = np.exp((offset[0] + offset[1]) * (-0.5 / (_NEAR + _WANDER * gone) ** 2) / area)
        pairs = (near > _FAR).ravel().nonzero()[0]
        track = pairs // len(sizes)
        person = pairs - track * len(sizes)
        away = points.take(person, 2)
        away -= self._points.take(track, 2)
        away -= moved.reshape(2, 1, -1).take(pairs, 2)
        away *= away
        apart = away[0] + away[1]
        apart *= self._sharpness
        apart /= area.take(pairs)
        shared = self._known.take(track, 1) * found.take(person, 1)
        shared *= np.exp(apart, out=apart)
        likeness = np.zeros(shape, np.float32)
        likeness.put(pairs, shared.sum(axis=0) / (count.take(pairs) + 0.5) * near.take(pairs))
        return likeness, moved

    def _move(
        self,
        track: NDArray[np.int64],
        points: NDArray[np.float32],
        found: NDArray[np.bool_],
        sizes: NDArray[np.float32],
        moved: NDArray[np.float32],
        gone: NDArray[np.float32],
    ) -> None:
        # Where every track goes on, in order, a slice spares the copies.
        at = slice(None) if len(track) == len(self._ids) else track
        steps, speed, before = self._steps[at], self._speed[:, at], self._sizes[at]
        self._speed[:, at] = speed + np.maximum(np.float32(0.25), 1 / (1 + steps)) * (moved / gone - speed)
        self._steps[at] = steps + 1
        # A part that is hidden moves on with the body.
        self._points[..., at] = np.where(found, points, self._points[..., at] + moved[:, None])
        self._known[:, at] = np.maximum(self._known[:, at], found)
        self._sizes[at] = before + np.float32(0.2) * (sizes - before)
        self._seen_s[at] = self._now_s

    def _carry(self, matrix: NDArray[np.float64] | None) -> None:
        """Move everybody with the picture, by what the camera did since the frame before."""
        if matrix is None or not len(self._ids):
            return
        from posetrt.runtime.track.camera_motion import carried, scalings

        count = np.maximum(self._known.sum(axis=0), 1)
        middles = (self._points * self._known).sum(axis=1) / count
        scale = scalings(matrix, middles.T)
        self._points = carried(matrix, self._points)
        self._sizes = np.where(np.isfinite(scale), self._sizes * scale, self._sizes).astype(np.float32)

    def _begin(
        self,
        ids: NDArray[np.int64],
        points: NDArray[np.float32],
        found: NDArray[np.bool_],
        sizes: NDArray[np.float32],
        looks: NDArray[np.float32],
    ) -> None:
        count = len(ids)
        self._looks = np.concatenate([self._looks, looks.T], axis=1)
        self._ids = np.concatenate([self._ids, ids])
        self._points = np.concatenate([self._points, points], axis=2)
        self._known = np.concatenate([self._known, found.astype(np.float32)], axis=1)
        self._sizes = np.concatenate([self._sizes, sizes])
        self._speed = np.concatenate([self._speed, np.zeros((2, count), np.float32)], axis=1)
        self._steps = np.concatenate([self._steps, np.zeros(count, np.float32)])
        self._seen_s = np.concatenate([self._seen_s, np.full(count, self._now_s)])


def _points_of(people: People) -> NDArray[np.float32]:
    """(N, K, 3): the key points, or those of the boxes where there are none."""
    if people.keypoints.shape[1]:
        return people.keypoints
    if people.boxes is None:
        raise UsageError("people without key points are followed by their boxes, and these have none")
    places = people.boxes[:, None, :2] + np.array(_OF_A_BOX, np.float32) * people.boxes[:, None, 2:]
    return np.concatenate([places, np.ones((*places.shape[:2], 1), np.float32)], axis=2)


def _sizes(points: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float32]:
    """The square root of the area of each person's box in pixels, at least half its longer side, at least 4."""
    away = np.float32(1e9) - np.float32(1e9) * found
    box = np.maximum.reduce(points - away, 1) - np.minimum.reduce(points + away, 1)
    width, height = np.maximum(box, 0, out=box)
    sizes: NDArray[np.float32] = np.maximum(np.sqrt(width * height), np.maximum(width, height) / 2)
    np.maximum(sizes, 4, out=sizes)
    return sizes


def _camera_motion() -> CameraMotion:
    from posetrt.runtime.track.camera_motion import CameraMotion

    return CameraMotion()


def _boxes(points: NDArray[np.float32], found: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, 4) x, y, width, height around (2, K, N) points, a tenth wider on each side."""
    low = np.where(found, points, np.float32(np.inf)).min(axis=1)
    high = np.where(found, points, np.float32(-np.inf)).max(axis=1)
    there = found.any(axis=0)
    low, high = np.where(there, low, 0), np.where(there, high, 0)
    margin = np.float32(0.1) * np.maximum(*(high - low))
    result: NDArray[np.float32] = np.concatenate([low - margin, high - low + 2 * margin]).T
    return result


def _worth(looks: NDArray[np.float32], fresh: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(T, N): what looks are worth. From one frame to the next the place says more; of somebody who was hidden, the looks do."""
    share = np.clip((looks - np.float32(0.6)) * 5, 0, 1)
    least = np.where(fresh, np.float32(_LEAST_WORTH), np.float32(_LEAST_LIKENESS))[:, None]
    result: NDArray[np.float32] = least + (1 - least) * share
    return result


def _matching(likeness: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of track and person by rising track, each used once: greedy by likeness, then swapped while a swap of two pairs is better for both together."""
    if not likeness.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # Where each is the other's best, greed takes the pair and no swap betters it: mostly that is everybody.
    best = likeness.argmax(axis=1)
    both = likeness.argmax(axis=0)[best] == np.arange(len(best))
    both &= np.maximum.reduce(likeness, 1) > _LEAST_LIKENESS
    track = both.nonzero()[0]
    person = best[track]
    if len(track) == min(likeness.shape):
        return track, person
    left = likeness > _LEAST_LIKENESS
    left[track], left[:, person] = False, False
    tracks, people = np.nonzero(left)
    if not len(tracks):
        return track, person
    order = np.argsort(-likeness[tracks, people], kind="stable")
    mine: dict[int, int] = {}
    taken: set[int] = set()
    for one, other in zip(tracks[order].tolist(), people[order].tolist(), strict=True):
        if one not in mine and other not in taken:
            mine[one] = other
            taken.add(other)
    track, person = np.append(track, list(mine)), np.append(person, list(mine.values()))
    for _ in range(4):
        own = likeness[track, person]
        crossed = likeness[track[:, None], person]
        gain = crossed + crossed.T - own[:, None] - own
        if gain.max() <= 1e-6:
            break
        first, second = np.unravel_index(int(gain.argmax()), gain.shape)
        person[[first, second]] = person[[second, first]]
    good = likeness[track, person] > _LEAST_LIKENESS
    return _by_track(track[good], person[good])


def _by_track(track: NDArray[np.int64], person: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.argsort(track)
    return track[order], person[order]
