"""The three teachers: a detector of people, a key-point network for one person in a box, and a network of maps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from photographs import required

from posetrt.runtime.heads.cells import in_pixels
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.picture import place
from posetrt.runtime.placement import letterbox

HEATMAPS = 19
# Side of RTMDet's input, its fill, and its normalisation (BGR), by the weights' README.
DETECTOR_SIZE, DETECTOR_FILL = 320, 114
DETECTOR_MEAN, DETECTOR_STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
OVERLAP = 0.6
# Width and height of PP-TinyPose's crop, how far a box is grown for it, and its normalisation (RGB, ImageNet's).
CROP_WH, GROWN = (192, 256), 1.25
CROP_MEAN, CROP_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# Sizes at which the network of maps looks: a photograph is placed in the one that fits its proportions better.
MAP_SIZES_WH = ((416, 304), (304, 416))


def session(path: Path, what: str) -> object:
    """An ONNX Runtime session on one thread.

    Raises:
        MissingData: the file is not there.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(required(path, what)), options, providers=["CPUExecutionProvider"])


class Detector:
    """RTMDet-nano: boxes of people."""

    def __init__(self, path: Path) -> None:
        self.session = session(path, "RTMDet-nano for people (OpenMMLab, Apache-2.0)")

    def boxes(self, photo: NDArray[np.uint8], least: float) -> NDArray[np.float32]:
        """(n, 5): x0, y0, x1, y1 in the photograph's pixels, score above `least`; best first, none over another."""
        scale = DETECTOR_SIZE / max(photo.shape[:2])
        resized = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        canvas = np.full((DETECTOR_SIZE, DETECTOR_SIZE, 3), DETECTOR_FILL, np.uint8)
        canvas[: resized.shape[0], : resized.shape[1]] = resized[:DETECTOR_SIZE, :DETECTOR_SIZE]
        tensor = ((canvas - np.float32(DETECTOR_MEAN)) / np.float32(DETECTOR_STD)).transpose(2, 0, 1)[None].astype(np.float32)
        found = []
        for stride, maps in zip((8, 16, 32), self.session.run(["out8", "out16", "out32"], {"images": tensor}), strict=True):  # type: ignore[attr-defined]
            scores = 1 / (1 + np.exp(-maps[0, ..., 0]))
            rows, columns = np.nonzero(scores > least)
            left, top, right, bottom = maps[0, rows, columns, 1:].T
            x, y = columns * stride, rows * stride
            found.append(np.stack([x - left, y - top, x + right, y + bottom, scores[rows, columns]], axis=1))
        rows_found = np.concatenate(found).astype(np.float32)
        rows_found[:, :4] /= scale
        limit = np.float32([photo.shape[1], photo.shape[0]] * 2)
        rows_found[:, :4] = np.clip(rows_found[:, :4], 0, limit)
        return rows_found[suppressed(rows_found)]


def suppressed(boxes: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which of (n, 5) boxes stay: by falling score, those that overlap no better one by more than OVERLAP."""
    order = np.argsort(-boxes[:, 4])
    kept: list[int] = []
    for index in order.tolist():
        if all(box_iou(boxes[index], boxes[other]) <= OVERLAP for other in kept):
            kept.append(index)
    return np.array(kept, np.intp)


def box_iou(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    inside = max(0.0, float(width)) * max(0.0, float(height))
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (one, other)]
    return inside / max(sum(areas) - inside, 1e-6)


class KeyPointTeacher:
    """PP-TinyPose: the 17 key points of one person in a box."""

    def __init__(self, path: Path) -> None:
        self.session = session(path, "PP-TinyPose 256x192 (PaddleDetection, Apache-2.0)")

    def points(self, photo: NDArray[np.uint8], box: NDArray[np.floating]) -> NDArray[np.float32]:
        """(18, 3) of coco18: x, y in the photograph's pixels, height of the peak; the neck is the middle of the shoulders."""
        centre = np.float64([box[0] + box[2], box[1] + box[3]]) / 2
        width, height = CROP_WH
        size = max((box[2] - box[0]) / width, (box[3] - box[1]) / height) * GROWN
        scale = 1 / max(float(size), 1e-3)
        shift = np.float64([width - 1, height - 1]) / 2 - scale * centre
        matrix = np.float64([[scale, 0, shift[0]], [0, scale, shift[1]]])
        crop = cv2.warpAffine(photo, matrix, CROP_WH, flags=cv2.INTER_LINEAR)
        tensor = ((crop[:, :, ::-1] - np.float32(CROP_MEAN)) / np.float32(CROP_STD)).transpose(2, 0, 1)[None]
        maps = self.session.run(None, {"image": np.ascontiguousarray(tensor, np.float32)})[0][0]  # type: ignore[attr-defined]
        points = np.zeros((17, 3), np.float32)
        step = np.float64([(width - 1) / (maps.shape[2] - 1), (height - 1) / (maps.shape[1] - 1)])
        for part, heatmap in enumerate(maps):
            row, column = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
            place_xy = (np.float64([column, row]) + taylor(heatmap, int(row), int(column))) * step
            points[part] = (*((place_xy - shift) / scale), heatmap[row, column])
        return as_coco18(points)


def taylor(heatmap: NDArray[np.float32], row: int, column: int) -> NDArray[np.float64]:
    """How far the maximum lies from the greatest cell, by a Taylor step on the log of the blurred map (DARK, arXiv 1910.06278)."""
    offset = np.zeros(2)
    if 2 <= row < heatmap.shape[0] - 2 and 2 <= column < heatmap.shape[1] - 2:
        window = cv2.GaussianBlur(heatmap, (11, 11), 0)[row - 1 : row + 2, column - 1 : column + 2]
        log = np.log(np.maximum(window, 1e-6)).astype(np.float64)
        slope = np.array([(log[1, 2] - log[1, 0]) / 2, (log[2, 1] - log[0, 1]) / 2])
        across, down = log[1, 2] - 2 * log[1, 1] + log[1, 0], log[2, 1] - 2 * log[1, 1] + log[0, 1]
        mixed = (log[2, 2] - log[2, 0] - log[0, 2] + log[0, 0]) / 4
        if across * down - mixed**2 > 1e-9:
            offset = np.clip(-np.linalg.solve(np.array([[across, mixed], [mixed, down]]), slope), -1, 1)
    return offset


def as_coco18(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(18, 3) from COCO's 17 points; the neck, as high as the lower shoulder, is the middle of the shoulders."""
    skeleton = load_skeleton("coco18")
    assert skeleton.coco17 is not None
    whole = np.zeros((len(skeleton.parts), 3), np.float32)
    whole[list(skeleton.coco17)] = points
    shoulders = whole[[skeleton.parts.index("RShoulder"), skeleton.parts.index("LShoulder")]]
    whole[skeleton.parts.index("Neck")] = (*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min())
    return whole


class MapTeacher:
    """human-pose-estimation-0001: heat maps and PAFs of a whole picture, and the people in them."""

    def __init__(self, path: Path) -> None:
        self.session = session(path, "human-pose-estimation-0001 (Open Model Zoo, Apache-2.0)")
        self.parser = PafParser(load_layout("coco18"))

    def maps(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(57, h, w), heat maps first, of a (H, W, 3) BGR picture, H and W multiples of 8."""
        tensor = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
        return np.concatenate([one[0] for one in self.session.run(["Mconv7_stage2_L2", "Mconv7_stage2_L1"], {"data": tensor})])  # type: ignore[attr-defined]

    def people(self, photo: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(n, 18, 3) in the photograph's pixels, and (h, w) whether a cell of 8 network px holds anything of a person, with its scale.

        The second is resized to one cell an 8 px square of the photograph.
        """
        landscape = photo.shape[1] >= photo.shape[0]
        box = letterbox((photo.shape[1], photo.shape[0]), MAP_SIZES_WH[0 if landscape else 1])
        maps = self.maps(place(photo, box))
        found = self.parser.parse(maps[:HEATMAPS], maps[HEATMAPS:])
        people = box.people_to_frame(in_pixels(found, 8)).keypoints
        strongest = maps[: HEATMAPS - 1].max(axis=0)[
            : -(-round(photo.shape[0] * box.scale_xy[1]) // 8), : -(-round(photo.shape[1] * box.scale_xy[0]) // 8)
        ]
        grid = cv2.resize(strongest, (-(-photo.shape[1] // 8), -(-photo.shape[0] // 8)), interpolation=cv2.INTER_LINEAR)
        return people.astype(np.float32), grid > 0.1
