"""Stable person ids: people of one frame are matched to those of the frames before by their key points.

The likeness is COCO's object key-point similarity (cocodataset.org, "Keypoint Evaluation") of two bodies laid over each other,
times how near somebody is to where the person should be now, moving on as before. People seen in the frame before choose first;
those who were hidden are kept in mind, and the longer, the less is expected of their place, though never of their shape.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.people import People
from posetrt.runtime.skeleton import Skeleton
from posetrt.runtime.smoothing import OneEuro

# COCO's sigma of each of its 17 key points: pycocotools, cocoeval.py.
_COCO_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float32) / 1000
_OTHER_SIGMA = 0.079
_LEAST_LIKENESS = 0.1
_FADE_S = 0.6
_NEAR = 0.08
"""Standard deviation of a person's place from one frame to the next, in body sizes; and below, how it grows a second."""
_WANDER = 0.9
_WIDENING = 2.0
"""Between two frames a person moves more than an annotator errs."""


class Tracker:
    """Ids for the people of one source. Feed it every frame, in order.

    Args:
        skeleton: of the key points.
        bridge_s: for how long a person who is not seen keeps the id.
        smooth: give key points through a One-Euro filter.
        usual_fps: the time between two frames where their times do not tell.
    """

    def __init__(self, skeleton: Skeleton, *, bridge_s: float = 2.0, smooth: bool = False, usual_fps: float = 30.0) -> None:
        parts = len(skeleton.parts)
        sigmas = np.full(parts, _OTHER_SIGMA, np.float32)
        if skeleton.coco17:
            sigmas[list(skeleton.coco17)] = _COCO_SIGMAS
        self._spread = 2 * (2 * sigmas * _WIDENING) ** 2
        self._bridge_s = bridge_s
        self._usual_s = 1 / usual_fps
        self._filter = OneEuro(parts) if smooth else None
        self._next_id = 0
        self._now_s = 0.0
        self._given_s: float | None = None
        self._ids = np.zeros(0, np.int64)
        self._points = np.zeros((0, parts, 2), np.float32)
        self._known = np.zeros((0, parts), bool)
        self._sizes = np.zeros(0, np.float32)
        self._speed = np.zeros((0, 2), np.float32)
        self._steps = np.zeros(0, np.int64)
        self._seen_s = np.zeros(0)

    def update(self, people: People, time_s: float) -> People:
        """The same people with ids.

        Args:
            people: of this frame, in pixels of the frame.
            time_s: of this frame; times that do not advance count as frames at `usual_fps`.

        Returns:
            People in the same order with `ids`, counted from 0 and never used again; smoothed where asked for.
        """
        step = self._advance(time_s)
        self._keep(self._now_s - self._seen_s <= self._bridge_s + 1e-6)
        points, found = people.keypoints[..., :2], people.keypoints[..., 2] > 0
        sizes = _sizes(points, found)
        likeness = self._likeness(points, found, sizes)
        fresh = self._seen_s >= self._now_s - step - 1e-6
        track, person = _matching(likeness * fresh[:, None])
        if len(track) < min(likeness.shape):
            likeness[track], likeness[:, person] = 0, 0
            hidden, shown = _matching(likeness)
            track, person = np.concatenate([track, hidden]), np.concatenate([person, shown])
        self._move(track, points[person], found[person], sizes[person])
        ids = np.full(len(people), -1, np.int64)
        ids[person] = self._ids[track]
        new = np.flatnonzero(ids < 0)
        ids[new] = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)
        self._begin(ids[new], points[new], found[new], sizes[new])
        keypoints = people.keypoints
        if self._filter is not None:
            keypoints = self._filter.smooth(ids, keypoints, step, self._ids)
        return replace(people, keypoints=keypoints, ids=ids)

    def _advance(self, time_s: float) -> float:
        step = time_s - self._given_s if self._given_s is not None else self._usual_s
        self._given_s = time_s
        step = step if step > 0 else self._usual_s
        self._now_s += step
        return step

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        if not kept.all():
            for name in ("_ids", "_points", "_known", "_sizes", "_speed", "_steps", "_seen_s"):
                setattr(self, name, getattr(self, name)[kept])

    def _likeness(self, points: NDArray[np.float32], found: NDArray[np.bool_], sizes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(T, N) float32, 0 to 1: how well each person fits each track."""
        likeness = np.zeros((len(self._ids), len(points)), np.float32)
        if not likeness.size:
            return likeness
        gone = (self._now_s - self._seen_s).astype(np.float32)
        # Speed fades: nobody walks on for ever unseen.
        predicted = self._points + (self._speed * (_FADE_S * (1 - np.exp(-gone / _FADE_S)))[:, None])[:, None]
        spread = _NEAR + _WANDER * gone
        # Only neighbours are compared part by part; most pairs in a crowd are none.
        centres, middles = _centres(predicted, self._known), _centres(points, found)
        size = np.maximum(self._sizes[:, None], sizes[None])
        apart = np.hypot(centres[:, None, 0] - middles[None, :, 0], centres[:, None, 1] - middles[None, :, 1])
        track, person = np.nonzero(apart < (3 * spread[:, None] + 0.3) * size)
        if not len(track):
            return likeness
        shared = (self._known[track] & found[person]).astype(np.float32)
        count = np.maximum(shared.sum(axis=1), 1e-6)
        away = points[person] - predicted[track]
        away *= shared[..., None]
        offset = away.sum(axis=1) / count[:, None]
        away -= offset[:, None]
        area = size[track, person] ** 2
        alike = (np.exp(-np.einsum("mkd,mkd->mk", away, away) / (area[:, None] * self._spread)) * shared).sum(axis=1) / (count + 0.5)
        near = np.exp(-np.einsum("md,md->m", offset, offset) / (2 * area * spread[track] ** 2))
        likeness[track, person] = alike * near
        return likeness

    def _move(self, track: NDArray[np.int64], points: NDArray[np.float32], found: NDArray[np.bool_], sizes: NDArray[np.float32]) -> None:
        if not len(track):
            return
        shared = (self._known[track] & found)[..., None]
        moved = np.where(shared, points - self._points[track], 0).sum(axis=1) / np.maximum(1, shared.sum(axis=1))
        elapsed = (self._now_s - self._seen_s[track]).astype(np.float32)[:, None]
        weight = np.maximum(0.25, 1 / (1 + self._steps[track])).astype(np.float32)[:, None]
        self._speed[track] = (1 - weight) * self._speed[track] + weight * moved / elapsed
        self._steps[track] += 1
        # A part that is hidden moves on with the body.
        self._points[track] = np.where(found[..., None], points, self._points[track] + moved[:, None])
        self._known[track] |= found
        self._sizes[track] += 0.2 * (sizes - self._sizes[track])
        self._seen_s[track] = self._now_s

    def _begin(self, ids: NDArray[np.int64], points: NDArray[np.float32], found: NDArray[np.bool_], sizes: NDArray[np.float32]) -> None:
        if not len(ids):
            return
        self._ids = np.concatenate([self._ids, ids])
        self._points = np.concatenate([self._points, points])
        self._known = np.concatenate([self._known, found])
        self._sizes = np.concatenate([self._sizes, sizes])
        self._speed = np.concatenate([self._speed, np.zeros((len(ids), 2), np.float32)])
        self._steps = np.concatenate([self._steps, np.zeros(len(ids), np.int64)])
        self._seen_s = np.concatenate([self._seen_s, np.full(len(ids), self._now_s)])


def _sizes(points: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The square root of the area of each person's box in pixels, at least half its longer side, at least 4."""
    here = known[..., None]
    size = np.where(here, points, -1e9).max(axis=1) - np.where(here, points, 1e9).min(axis=1)
    width, height = np.maximum(size[:, 0], 0), np.maximum(size[:, 1], 0)
    sizes: NDArray[np.float32] = np.maximum(np.maximum(np.sqrt(width * height), np.maximum(width, height) / 2), 4).astype(np.float32)
    return sizes


def _centres(points: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, 2) mean of the parts found."""
    count = np.maximum(known.sum(axis=1), 1)[:, None]
    centres: NDArray[np.float32] = (np.einsum("nkd,nk->nd", points, known.astype(np.float32)) / count).astype(np.float32)
    return centres


def _matching(likeness: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of track and person, each used once: greedy by likeness, then swapped while a swap of two pairs is better for both together."""
    tracks, people = np.nonzero(likeness > _LEAST_LIKENESS)
    order = np.argsort(-likeness[tracks, people], kind="stable")
    mine: dict[int, int] = {}
    taken: set[int] = set()
    for track, person in zip(tracks[order].tolist(), people[order].tolist(), strict=True):
        if track not in mine and person not in taken:
            mine[track] = person
            taken.add(person)
    track, person = np.array(list(mine), np.int64), np.array(list(mine.values()), np.int64)
    for _ in range(4):
        own = likeness[track, person]
        crossed = likeness[track[:, None], person]
        gain = crossed + crossed.T - own[:, None] - own
        if not gain.size or gain.max() <= 1e-6:
            break
        first, second = np.unravel_index(int(gain.argmax()), gain.shape)
        person[[first, second]] = person[[second, first]]
    good = likeness[track, person] > _LEAST_LIKENESS
    return track[good], person[good]
