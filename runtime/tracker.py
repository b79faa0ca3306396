"""Stable person ids: people of one frame are matched to those of the frames before by their key points.

The likeness is COCO's object key-point similarity (cocodataset.org, "Keypoint Evaluation") between where a person should be
now, moving on as before, and where somebody is; a person not seen for a while is kept in mind, with growing tolerance.
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
_LEAST_LIKENESS = 0.12
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

    def __init__(self, skeleton: Skeleton, *, bridge_s: float = 1.5, smooth: bool = False, usual_fps: float = 30.0) -> None:
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
        track, person = _matching(self._likeness(points, found))
        self._move(track, points[person], found[person])
        ids = np.full(len(people), -1, np.int64)
        ids[person] = self._ids[track]
        new = np.flatnonzero(ids < 0)
        ids[new] = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)
        self._begin(ids[new], points[new], found[new])
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
            for name in ("_ids", "_points", "_known", "_speed", "_steps", "_seen_s"):
                setattr(self, name, getattr(self, name)[kept])

    def _likeness(self, points: NDArray[np.float32], found: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(T, N) float32, 0 to 1: how well each person stands where each track should be."""
        if not len(self._ids) or not len(points):
            return np.zeros((len(self._ids), len(points)), np.float32)
        gone = (self._now_s - self._seen_s).astype(np.float32)
        # Speed fades: nobody walks on for ever unseen.
        predicted = self._points + (self._speed * (0.6 * (1 - np.exp(-gone / 0.6)))[:, None])[:, None]
        area = np.maximum(_areas(self._points, self._known)[:, None], _areas(points, found)[None])
        area *= (1 + 2 * np.maximum(0, gone - self._usual_s))[:, None] ** 2
        away = predicted[:, None] - points[None]
        shared = self._known[:, None] & found[None]
        alike = np.exp(-np.einsum("tnkd,tnkd->tnk", away, away) / (area[..., None] * self._spread)) * shared
        count = shared.sum(axis=2)
        likeness: NDArray[np.float32] = alike.sum(axis=2) / (count + 0.5)
        return likeness

    def _move(self, track: NDArray[np.int64], points: NDArray[np.float32], found: NDArray[np.bool_]) -> None:
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
        self._seen_s[track] = self._now_s

    def _begin(self, ids: NDArray[np.int64], points: NDArray[np.float32], found: NDArray[np.bool_]) -> None:
        if not len(ids):
            return
        self._ids = np.concatenate([self._ids, ids])
        self._points = np.concatenate([self._points, points])
        self._known = np.concatenate([self._known, found])
        self._speed = np.concatenate([self._speed, np.zeros((len(ids), 2), np.float32)])
        self._steps = np.concatenate([self._steps, np.zeros(len(ids), np.int64)])
        self._seen_s = np.concatenate([self._seen_s, np.full(len(ids), self._now_s)])


def _areas(points: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Area of each person's box in square pixels, at least that of a square over its longer side's half."""
    here = known[..., None]
    size = np.where(here, points, -np.inf).max(axis=1) - np.where(here, points, np.inf).min(axis=1)
    size = np.where(np.isfinite(size), size, 0)
    longest = size.max(axis=1)
    area: NDArray[np.float32] = np.maximum(np.maximum(size[:, 0] * size[:, 1], longest * longest / 4), 16).astype(np.float32)
    return area


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
        crossed = likeness[np.ix_(track, person)]
        gain = np.triu(crossed + crossed.T - own[:, None] - own[None], 1)
        if not gain.size or gain.max() <= 1e-6:
            break
        first, second = np.unravel_index(int(gain.argmax()), gain.shape)
        person[[first, second]] = person[[second, first]]
    good = likeness[track, person] > _LEAST_LIKENESS
    return track[good], person[good]
