"""What the teachers say of each photograph, once: people both or a sure one see, boxes in doubt, and parts where nobody is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from teachers import Detector, KeyPointTeacher, MapTeacher, box_iou

from posetrt.runtime.model.skeleton import load_skeleton

# Boxes of the detector: looked at from the first, believed alone from the second.
LEAST_BOX, SURE_BOX = 0.2, 0.45
CANDIDATE_BOX = 0.3
# Peaks of PP-TinyPose: a part from the first on, nobody's from below the second; between, and where the teachers differ, masked.
PART, NO_PART = 0.3, 0.12
# Least mean peak of a person, and of one whom the network of maps alone has seen.
PERSON = 0.3
# OKS from which two findings are the same person, and of one part from which the teachers agree on its place.
SAME, SAME_PART = 0.5, 0.25
# Share of a box in doubt that a known person's box may cover: from here on it is that person again.
COVERED = 0.6
# Parts where nobody is: tries, and their least and greatest side in px.
TRIES, EMPTY_SIDES = 80, (64, 200)
EMPTIES = 3


@dataclass(frozen=True)
class Labels:
    """Of one photograph, in its pixels.

    Attributes:
        people: (n, 18, 3): x, y, score; above 0 a part, 0 none, below 0 nobody can say.
        doubtful: (m, 4): x0, y0, x1, y1 of what may be people; masked.
        empty: (k, 4): boxes in which no teacher sees anything of a person.
    """

    people: NDArray[np.float32]
    doubtful: NDArray[np.float32]
    empty: NDArray[np.float32]


class Labeller:
    """The teachers together."""

    def __init__(self, detector: Detector, points: KeyPointTeacher, maps: MapTeacher) -> None:
        self.detector, self.points, self.maps = detector, points, maps
        self.skeleton = load_skeleton("coco18")
        self.sigmas = self.skeleton.tolerances()

    def label(self, photo: NDArray[np.uint8], rng: np.random.Generator) -> Labels:
        """What they say of a (H, W, 3) BGR photograph."""
        boxes = self.detector.boxes(photo, LEAST_BOX)
        seen, occupied = self.maps.people(photo)
        candidates = [(box[:4], float(box[4])) for box in boxes if box[4] >= CANDIDATE_BOX]
        outlines = [outline(person) for person in seen]
        candidates += [(box, 0.0) for box in outlines if all(box_iou(box, other) < 0.45 for other, _ in candidates)]
        people: list[NDArray[np.float32]] = []
        doubtful: list[NDArray[np.float32]] = [box[:4] for box in boxes if box[4] < CANDIDATE_BOX]
        for box, score in candidates:
            person = self.points.points(photo, box)
            partner = max(seen, key=lambda other: self.similarity(person, other), default=None)
            confirmed = partner is not None and self.similarity(person, partner) >= SAME
            height = float(np.sort(person[:, 2])[-8:].mean())
            if any(self.similarity(person, other) > 0.7 for other in people):
                continue
            if height < PERSON or not (confirmed or score >= SURE_BOX):
                doubtful.append(grown(box, 0.1))
                continue
            people.append(self.agreed(person, partner if confirmed else None, photo.shape))
        for person, box in zip(seen, outlines, strict=True):
            if all(self.similarity(other, person) < SAME for other in people):
                doubtful.append(grown(box, 0.15))
        labels = np.array(people, np.float32).reshape(-1, len(self.skeleton.parts), 3)
        known = [outline(person) for person in labels]
        doubtful = [box for box in doubtful if all(covered(box, other) < COVERED for other in known)]
        unsure = np.array(doubtful, np.float32).reshape(-1, 4)
        everything = [grown(box[:4], 0.15) for box in boxes] + [grown(outline(person), 0.15) for person in (*labels, *seen)]
        return Labels(labels, unsure, empty_parts(photo.shape[:2], everything, occupied, rng))

    def similarity(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
        """OKS of two people over the parts that both have."""
        both = (one[:, 2] > NO_PART) & (other[:, 2] > 0)
        if both.sum() < 3:
            return 0.0
        return float(part_oks(one, other, self.sigmas)[both].mean())

    def agreed(self, person: NDArray[np.float32], partner: NDArray[np.float32] | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Key points with what is in doubt marked by a score below 0."""
        marked = person.copy()
        marked[(person[:, 2] >= NO_PART) & (person[:, 2] < PART), 2] = -1
        marked[person[:, 2] < NO_PART, 2] = 0
        outside = (person[:, 0] < 0) | (person[:, 1] < 0) | (person[:, 0] >= shape[1]) | (person[:, 1] >= shape[0])
        marked[outside, 2] = 0
        if partner is not None:
            differ = (part_oks(person, partner, self.sigmas) < SAME_PART) & (partner[:, 2] > 0) & (marked[:, 2] > 0)
            marked[differ, 2] = -1
            marked[(marked[:, 2] == 0) & (partner[:, 2] > 0.2) & ~outside, 2] = -1
        return marked


def part_oks(one: NDArray[np.float32], other: NDArray[np.float32], sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """(18,): OKS of each part by itself, at the size of the greater of two people."""
    area = max(size_of(one), size_of(other))
    squared = ((one[:, :2] - other[:, :2]) ** 2).sum(axis=1)
    return np.asarray(np.exp(-squared / (2 * area * (2 * sigmas) ** 2 + 1e-9)))


def size_of(person: NDArray[np.float32]) -> float:
    """Area of the box about the parts, in px, times COCO's usual share of a person's outline in it."""
    box = outline(person)
    return 0.6 * float(max((box[2] - box[0]) * (box[3] - box[1]), 16.0))


def outline(person: NDArray[np.float32]) -> NDArray[np.float32]:
    """x0, y0, x1, y1 about the parts, grown by a tenth of the longer side."""
    parts = person[person[:, 2] > NO_PART, :2] if (person[:, 2] > NO_PART).sum() > 1 else person[:, :2]
    low, high = parts.min(axis=0), parts.max(axis=0)
    margin = 0.1 * (high - low).max()
    return np.concatenate([low - margin, high + margin]).astype(np.float32)


def covered(box: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Share of a box that lies in another."""
    width, height = (min(box[axis + 2], other[axis + 2]) - max(box[axis], other[axis]) for axis in (0, 1))
    inside = max(0.0, float(width)) * max(0.0, float(height))
    return inside / max(float((box[2] - box[0]) * (box[3] - box[1])), 1e-6)


def grown(box: NDArray[np.floating], share: float) -> NDArray[np.float32]:
    """A box with a share of its sides more on every side."""
    more = share * np.float32([box[2] - box[0], box[3] - box[1]])
    return np.concatenate([box[:2] - more, box[2:] + more]).astype(np.float32)


def empty_parts(
    size_hw: tuple[int, ...], boxes: list[NDArray[np.float32]], occupied: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """(k, 4): boxes of the photograph that touch no box and no occupied cell of 8 px, at most EMPTIES."""
    taken = cv2.dilate(occupied.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    for box in boxes:
        x0, y0, x1, y1 = (int(value // 8) for value in np.maximum(box, 0))
        taken[y0 : y1 + 1, x0 : x1 + 1] = True
    found: list[tuple[int, int, int, int]] = []
    height, width = size_hw[:2]
    for _ in range(TRIES):
        side = np.exp(rng.uniform(*np.log(EMPTY_SIDES), 2)).astype(int)
        if side[0] >= width or side[1] >= height:
            continue
        x, y = int(rng.integers(width - side[0])), int(rng.integers(height - side[1]))
        box = (x, y, x + int(side[0]), y + int(side[1]))
        if not taken[box[1] // 8 : -(-box[3] // 8), box[0] // 8 : -(-box[2] // 8)].any():
            found.append(box)
            if len(found) == EMPTIES:
                break
    return np.array(found, np.float32).reshape(-1, 4)


def label_photographs(paths: list[Path], labeller: Labeller, target: Path, seed: int) -> Path:
    """Label photographs into `target` (.npz), whole or not at all; kept if it is there already. Read back by `load_labels`."""
    if target.is_file():
        return target
    arrays: dict[str, NDArray[np.float32]] = {}
    for index, path in enumerate(paths):
        photo = cv2.imread(str(path))
        labels = labeller.label(photo, np.random.default_rng((seed, index)))
        arrays |= {f"{path.name}/{name}": getattr(labels, name) for name in ("people", "doubtful", "empty")}
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}")
    np.savez(temporary, **arrays)  # type: ignore[arg-type]
    temporary.replace(target)
    return target


def load_labels(path: Path) -> dict[str, Labels]:
    """By file name."""
    with np.load(path) as stored:
        names = {key.rsplit("/", 1)[0] for key in stored.files}
        return {name: Labels(*(stored[f"{name}/{part}"] for part in ("people", "doubtful", "empty"))) for name in sorted(names)}
