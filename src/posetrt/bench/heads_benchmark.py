"""How long heads take to decode outputs of known people, beside plain decoders, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.bench.heads.cases import Case
from posetrt.bench.heads.plain import similar
from posetrt.runtime.heads.nms import MOST_ROWS, oks_nms
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People

FRAMES = 8
"""Different outputs that take turns. Each is written to the same memory just before it is decoded, as a network writes its outputs."""
_NEAR_PX = 2.0
"""A part is found that lies so near to where it was drawn."""


@dataclass(frozen=True)
class HeadRow:
    """One case with a number of people.

    Attributes:
        name: what was decoded.
        people: in a frame, or crops in a batch.
        ms: median of decoding one frame or batch, milliseconds of processor time.
        plain_ms: the plain decoder's, in turns with it; None where there is none.
        per_person_us: `ms` for each crop, in microseconds; None where a frame is decoded as a whole.
        recall: share of the drawn parts (of a detector: boxes) that were found within 2 pixels.
        error_px: median distance of those; None where none was found.
        plain_recall: of the plain decoder.
    """

    name: str
    people: int
    ms: float
    plain_ms: float | None
    per_person_us: float | None
    recall: float
    error_px: float | None
    plain_recall: float | None


@dataclass(frozen=True)
class NmsRow:
    """NMS by OKS of 300 people.

    Attributes:
        people: how the people lie.
        stay: how many stay.
        ms, plain_ms: medians of processor time, taken in turns.
    """

    people: str
    stay: int
    ms: float
    plain_ms: float


def time_case(case: Case, people: int, repeats: int, seed: int = 0) -> HeadRow:
    """Decode outputs of `people` people, `repeats` times each of `FRAMES` frames or batches."""
    rng = np.random.default_rng(seed)
    shown = [case.outputs(people, rng) for _ in range(FRAMES)]
    decoder = case.head.decoder(case.skeleton)
    plain = case.plain
    given = {name: values.copy() for name, values in shown[0][0].items()}
    works: list[Callable[[], object]] = [lambda: decoder.decode(given, case.size_wh)]
    if plain is not None:
        works.append(lambda: plain(given, case.size_wh))
    ms = in_turns(works, repeats, [partial(write, given, tensors) for tensors, _ in shown])
    found = [_places(decoder.decode(tensors, case.size_wh), bool(case.skeleton.parts)) for tensors, _ in shown]
    truth = [_places([drawn], bool(case.skeleton.parts)) for _, drawn in shown]
    recall, error = _judged(found, truth)
    theirs = None if plain is None else _judged([_plain_places(plain(tensors, case.size_wh)) for tensors, _ in shown], truth)[0]
    each = ms[0] * 1000 / people if case.per_person and people else None
    return HeadRow(case.name, people, ms[0], ms[1] if plain is not None else None, each, recall, error, theirs)


def time_oks_nms(repeats: int, seed: int = 0) -> list[NmsRow]:
    """NMS by OKS of as many people as it takes: all apart, twenty people many times, one person many times."""
    rng = np.random.default_rng(seed)
    sigmas = np.array(load_skeleton("coco17").sigmas, np.float32)
    rows = []
    for name, distinct in (("all apart", MOST_ROWS), ("20 people, 15 times each", 20), ("one person", 1)):
        places = np.stack(np.divmod(np.arange(distinct), 20), axis=1)[:, None] * np.array([120, 80])
        bodies = (rng.uniform(0, 1, (distinct, 17, 2)) * np.array([60, 100]) + places)[np.arange(MOST_ROWS) % distinct]
        points = (bodies + rng.normal(0, 1, bodies.shape)).astype(np.float32)
        scores, areas = np.linspace(0.95, 0.3, MOST_ROWS).astype(np.float32), np.full(MOST_ROWS, 6000, np.float32)

        def ours(points: NDArray[np.float32] = points, areas: NDArray[np.float32] = areas) -> NDArray[np.intp]:
            return oks_nms(points, areas, sigmas, 0.65)

        def theirs(
            points: NDArray[np.float32] = points, areas: NDArray[np.float32] = areas, scores: NDArray[np.float32] = scores
        ) -> list[int]:
            return similar(points, scores, areas, sigmas, 0.65)

        ms, plain_ms = in_turns([ours, theirs], repeats)
        rows.append(NmsRow(name, len(ours()), ms, plain_ms))
    return rows


def write(given: Mapping[str, NDArray[Any]], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write one frame's outputs where they are decoded from."""
    for name, values in tensors.items():
        np.copyto(given[name], values)


def in_turns(works: Sequence[Callable[[], object]], repeats: int, before: Sequence[Callable[[], object]] = (lambda: None,)) -> list[float]:
    """Medians of processor time in milliseconds of each of the works, which take turns; the first round is not counted.

    Time of all the process's threads counts, so that a library that starts some gains nothing by it.

    Args:
        works: timed.
        repeats: rounds that count.
        before: done in each round, one after the other, before each of the works; not timed.
    """
    spent: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for prepare in before:
            for work, times in zip(works, spent, strict=True):
                prepare()
                began = time.process_time_ns()
                work()
                if turn:
                    times.append((time.process_time_ns() - began) / 1e6)
    return [float(np.median(times)) for times in spent]


def _places(found: Sequence[People], parts: bool) -> NDArray[np.float64]:
    """(N, K, 2): key points, infinitely far where not found; of a detector the corners of the boxes."""
    if parts:
        points = np.concatenate([one.keypoints for one in found]).astype(np.float64)
        return np.where(points[..., 2:] > 0, points[..., :2], np.inf)
    boxes = np.concatenate([one.boxes for one in found if one.boxes is not None])
    return np.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).astype(np.float64)


def _plain_places(found: NDArray[np.floating]) -> NDArray[np.float64]:
    if found.ndim == 2:
        return found.reshape(-1, 2, 2).astype(np.float64)
    return np.where(found[..., 2:] > 0, found[..., :2], np.inf)


def _judged(found: Sequence[NDArray[np.float64]], truth: Sequence[NDArray[np.float64]]) -> tuple[float, float | None]:
    """Share of the true parts within `_NEAR_PX` of the person found who has most of them, and the median distance of those."""
    near: list[float] = []
    count = 0
    for ours, theirs in zip(found, truth, strict=True):
        count += theirs.shape[0] * theirs.shape[1]
        for person in theirs if len(ours) else ():
            apart = np.linalg.norm(ours - person, axis=2)
            best = apart[int((apart < _NEAR_PX).sum(axis=1).argmax())]
            near += best[best < _NEAR_PX].tolist()
    return (len(near) / count if count else 1.0), (float(np.median(near)) if near else None)
