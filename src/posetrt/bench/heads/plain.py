"""Plain decoders, as the networks' own tools and most examples write them: a loop over people, parts or candidates in NumPy.

Each takes the outputs by name and the input's width and height, and gives key points (N, K, 3), or boxes (N, 4) where there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.heads.offsets import POSENET_EDGES
from posetrt.runtime.model.skeleton import load_skeleton

Floats = NDArray[np.floating]
Outputs = Mapping[str, NDArray[Any]]
Plain = Callable[[Outputs, tuple[int, int]], Floats]

_SURE = 0.25
_MOST = 300


def _overlap(box: Floats, others: Floats) -> Floats:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1)
    result: Floats = shared / (areas - shared)
    return result


def greedy(boxes: Floats, scores: Floats, threshold: float) -> list[int]:
    """NMS by a loop: corners (N, 4); the numbers of those that stay, best first."""
    order = np.argsort(-scores)
    kept: list[int] = []
    while len(order) and len(kept) < _MOST:
        kept.append(int(order[0]))
        order = order[1:][_overlap(boxes[order[0]], boxes[order[1:]]) <= threshold]
    return kept


def similar(points: Floats, scores: Floats, areas: Floats, sigmas: Floats, threshold: float) -> list[int]:
    """NMS by object key-point similarity, by a loop: (N, K, 2 or more)."""
    order = np.argsort(-scores)
    kept: list[int] = []
    variances = 2 * (2 * sigmas) ** 2
    while len(order) and len(kept) < _MOST:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        square = ((points[rest, :, :2] - points[best, :, :2]) ** 2).sum(axis=2)
        size = (areas[rest] + areas[best]) / 2
        order = rest[np.exp(-square / (variances * size[:, None])).mean(axis=1) <= threshold]
    return kept


def _corners(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)


def rows(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:  # noqa: ARG001 places are in pixels
    """Raw YOLO: transpose, threshold, corners, NMS."""
    found = outputs["out"][0].T
    found = found[found[:, 4] > _SURE]
    kept = greedy(_corners(found[:, :4]), found[:, 4], 0.65)
    points: Floats = found[kept, 5:].reshape(len(kept), -1, 3)
    return points


def rows_by_oks(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:  # noqa: ARG001
    """Raw YOLO with NMS by key points."""
    found = outputs["out"][0].T
    found = found[found[:, 4] > _SURE]
    points = found[:, 5:].reshape(len(found), -1, 3)
    kept = similar(points, found[:, 4], found[:, 2] * found[:, 3], np.array(load_skeleton("coco17").sigmas), 0.65)
    result: Floats = points[kept]
    return result


def ranked_rows(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:  # noqa: ARG001
    """End to end: the threshold alone."""
    found = outputs["out"][0]
    found = found[found[:, 4] > _SURE]
    points: Floats = found[:, 6:].reshape(len(found), -1, 3)
    return points


def yolox(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:
    """YOLOX: the grid is added to all candidates, then threshold and NMS."""
    found = outputs["out"][0]
    grids = []
    for stride in (8, 16, 32):
        x, y = np.meshgrid(np.arange(size_wh[0] // stride), np.arange(size_wh[1] // stride))
        grids.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], axis=1))
    cells = np.concatenate(grids)
    centre, size = (found[:, :2] + cells[:, :2]) * cells[:, 2:], np.exp(found[:, 2:4]) * cells[:, 2:]
    scores = found[:, 4] * found[:, 5]
    sure = scores > _SURE
    corners = _corners(np.concatenate([centre, size], axis=1)[sure])
    result: Floats = corners[greedy(corners, scores[sure], 0.45)]
    return result


def rtmdet(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:
    """RTMDet: level by level, the sigmoid and the box of every cell."""
    boxes, scores = [], []
    for stride in (8, 16, 32):
        level = outputs[f"out{stride}"][0]
        x, y = (axis.ravel() * stride for axis in np.meshgrid(np.arange(size_wh[0] // stride), np.arange(size_wh[1] // stride)))
        boxes.append(np.stack([x - level[:, 1], y - level[:, 2], x + level[:, 3], y + level[:, 4]], axis=1))
        scores.append(1 / (1 + np.exp(-level[:, 0])))
    every, score = np.concatenate(boxes), np.concatenate(scores)
    sure = score > _SURE
    result: Floats = every[sure][greedy(every[sure], score[sure], 0.6)]
    return result


def simcc(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:  # noqa: ARG001
    """The best bins, crop by crop."""
    found = []
    for x, y in zip(outputs["x"], outputs["y"], strict=True):
        score = np.minimum(x.max(axis=1), y.max(axis=1))
        places = np.stack([x.argmax(axis=1), y.argmax(axis=1)], axis=1) / 2.0
        found.append(np.concatenate([np.where(score[:, None] > 0, places, 0), score[:, None]], axis=1))
    return np.stack(found)


def heatmap(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:
    """The best cell of each map, moved a quarter towards the higher neighbours: a loop over crops and parts."""
    return _refined(outputs["heatmaps"], size_wh, _quarter)


def dark(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:
    """DARK: each map is blurred whole by OpenCV, then one Taylor step on its logarithm."""
    return _refined(outputs["heatmaps"], size_wh, _taylor)


def _refined(maps: NDArray[Any], size_wh: tuple[int, int], step: Callable[[NDArray[Any], int, int], Floats]) -> Floats:
    """(N, parts, 3): the best cell of each map and `step(map, x, y)` from there, in pixels of the input, with the cell's value."""
    width = maps.shape[3]
    points = np.zeros((*maps.shape[:2], 3))
    for crop in range(len(maps)):
        for part in range(maps.shape[1]):
            one = maps[crop, part]
            y, x = divmod(int(one.argmax()), width)
            place = np.array([x, y], float) + step(one, x, y)
            points[crop, part] = *((place + 0.5) * size_wh[0] / width - 0.5), one[y, x]
    return points


def _quarter(one: NDArray[Any], x: int, y: int) -> Floats:
    height, width = one.shape
    if not (0 < x < width - 1 and 0 < y < height - 1):
        return np.zeros(2)
    return 0.25 * np.sign([one[y, x + 1] - one[y, x - 1], one[y + 1, x] - one[y - 1, x]])


def _taylor(one: NDArray[Any], x: int, y: int) -> Floats:
    height, width = one.shape
    log = np.log(np.maximum(cv2.GaussianBlur(one, (11, 11), 0), 1e-10))
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return np.zeros(2)
    slope = np.array([log[y, x + 1] - log[y, x - 1], log[y + 1, x] - log[y - 1, x]]) / 2
    across = (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2]) / 4
    down = (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x]) / 4
    both = (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]) / 4
    bend = np.array([[across, both], [both, down]])
    return -np.linalg.solve(bend, slope) if np.linalg.det(bend) > 0 else np.zeros(2)


def coordinates(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:
    """MoveNet's y, x and score."""
    found = outputs["out"].reshape(-1, 17, 3)
    result: Floats = np.stack([found[..., 1] * size_wh[0] - 0.5, found[..., 0] * size_wh[1] - 0.5, found[..., 2]], axis=2)
    return result


def offsets(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:  # noqa: ARG001
    """PoseNet: local maxima, best first, each grown along the tree unless it is part of a person that was found before."""
    stride, radius = 16, 20.0
    heat, short = 1 / (1 + np.exp(-outputs["heatmaps"][0])), outputs["offsets"][0]
    forward, backward = outputs["forward"][0], outputs["backward"][0]
    rows_, columns, parts = heat.shape
    queue = []
    for y in range(rows_):
        for x in range(columns):
            near = heat[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max(axis=(0, 1))
            queue += [(heat[y, x, part], part, y, x) for part in np.flatnonzero((heat[y, x] > 0.3) & (heat[y, x] >= near)).tolist()]
    queue.sort(key=lambda one: -one[0])

    def cell(point: Floats) -> tuple[int, int]:
        x, y = np.rint(point / stride).astype(int)
        return min(max(y, 0), rows_ - 1), min(max(x, 0), columns - 1)

    def refined(part: int, y: int, x: int) -> Floats:
        return np.array([x * stride + short[y, x, part + parts], y * stride + short[y, x, part]], float)

    found: list[Floats] = []
    edges = len(POSENET_EDGES)
    for score, part, y, x in queue:
        root = refined(part, y, x)
        if any(np.hypot(*(root - person[part, :2])) <= radius for person in found):
            continue
        person = np.zeros((parts, 3))
        person[part] = *root, score
        reached = {part}
        while len(reached) < parts:
            for edge, (parent, child) in enumerate(POSENET_EDGES):
                ways = ((parent, child, forward), (child, parent, backward))
                for source, target, way in ways:
                    if source in reached and target not in reached:
                        at = cell(person[source, :2])
                        point = person[source, :2] + way[at][[edge + edges, edge]]
                        for _ in range(2):
                            point = refined(target, *cell(point))
                        person[target] = *point, heat[cell(point)][target]
                        reached.add(target)
        found.append(person)
    return np.array(found).reshape(-1, parts, 3)


def embedding(outputs: Outputs, size_wh: tuple[int, int]) -> Floats:
    """Associative embedding: the peaks of one part after the other go to the person of the nearest mean tag, nearest pair first; no sub-pixel step."""
    maps, tags = outputs["h"][0], outputs["t"][0]
    parts, _, width = maps.shape
    people: list[tuple[dict[int, tuple[float, float, float]], list[float]]] = []
    for part in range(parts):
        one = maps[part]
        peak = (one >= cv2.dilate(one, np.ones((5, 5), np.uint8))) & (one > 0.3)
        found = [(x, y, float(one[y, x]), float(tags[part, y, x])) for y, x in np.argwhere(peak)]
        pairs = sorted(
            (abs(peak[3] - np.mean(who[1])), person, number) for number, peak in enumerate(found) for person, who in enumerate(people)
        )
        taken: set[int] = set()
        given: set[int] = set()
        for apart, person, number in pairs:
            if apart < 1 and person not in given and number not in taken:
                people[person][0][part] = found[number][:3]
                people[person][1].append(found[number][3])
                taken.add(number)
                given.add(person)
        people += [({part: peak[:3]}, [peak[3]]) for number, peak in enumerate(found) if number not in taken]
    points = np.zeros((len(people), parts, 3))
    for person, (own, _) in enumerate(people):
        for part, (x, y, score) in own.items():
            points[person, part] = ((x + 0.5) * size_wh[0] / width - 0.5, (y + 0.5) * size_wh[0] / width - 0.5, score)
    return points
