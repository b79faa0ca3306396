"""Two stages on video: what detecting only every few frames finds, and what it saves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from posetrt.calib.accuracy.detections import overlaps
from posetrt.runtime.find.boxes import person_boxes
from posetrt.runtime.find.detected import Detected
from posetrt.runtime.find.follower import Follower
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.people import People
from posetrt.runtime.sources.base import Frame

SAME = 0.5
"""Intersection over union of the key points' boxes from which both ways found the same person."""


@dataclass
class StagesRow:
    """One way through a clip.

    Attributes:
        every: frames between two detections.
        frames, people, crops, detections: counted.
        cpu_s: processor time of all threads, reading not included.
        found: share of the people of detection in each frame that this way finds in the same frame;
        found_sure: the same of the better half of them by score.
    """

    every: int
    frames: int = 0
    people: int = 0
    crops: int = 0
    detections: int = 0
    cpu_s: float = 0.0
    found: float = 1.0
    found_sure: float = 1.0


def bench_stages(frames: Iterable[Frame], detector: WholeFrame, stage: Detected, every: int) -> tuple[StagesRow, StagesRow]:
    """Go through a clip twice at once, frame by frame in turns: with detection in each frame, and in every Nth.

    Args:
        frames: of one source, in order.
        detector: says where people are.
        stage: looks at them in crops.
        every: 2 or more.
    """
    whole, part = StagesRow(1), StagesRow(every)
    follower = Follower(stage, every)
    hits: list[bool] = []
    scores: list[float] = []

    def timed(row: StagesRow, look: Callable[[], People]) -> People:
        looked, began = stage.looks["people"].looked, time.process_time()
        people = look()
        row.cpu_s += time.process_time() - began
        row.crops += stage.looks["people"].looked - looked
        row.frames += 1
        row.people += len(people)
        return people

    for frame in frames:

        def detect(row: StagesRow, frame: Frame = frame) -> People:
            row.detections += 1
            return detector.find_all([frame.image])[0]

        each = timed(whole, lambda frame=frame, detect=detect: stage(frame, detect(whole)))  # type: ignore[misc]
        due = follower.due
        some = timed(
            part,
            lambda frame=frame, detect=detect, due=due: follower.look(frame, detect(part) if due else None, lambda: detect(part)),  # type: ignore[misc]
        )
        hits += _found(each, some)
        scores += each.scores.tolist()
    if hits:
        sure = np.array(scores) >= np.median(scores)
        part.found, part.found_sure = float(np.mean(hits)), float(np.array(hits)[sure].mean())
    return whole, part


def _found(people: People, others: People) -> list[bool]:
    """Which of the people are among the others, each of whom is one of them at most; the nearest pairs first."""
    found = [False] * len(people)
    if not len(people) or not len(others):
        return found
    one, other = (person_boxes(People(each.keypoints, each.scores)).astype(np.float64) for each in (people, others))
    alike = overlaps(one, other)
    while alike.max() > SAME:
        row, column = np.unravel_index(int(alike.argmax()), alike.shape)
        found[int(row)] = True
        alike[row], alike[:, column] = 0, 0
    return found
