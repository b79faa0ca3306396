"""Heads of rows and boxes as the networks that people deploy have them."""

from __future__ import annotations

from posetrt.runtime.heads.boxes import BoxesHead
from posetrt.runtime.heads.rows import RowsHead
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton

COCO = load_skeleton("coco17")
BOXES = Skeleton("boxes", (), ())

ROWS = {
    "yolo11": RowsHead(
        outputs={"rows": "output0"},
        values={"box": ("rows", 0, 4), "classes": ("rows", 4, 1), "keypoints": ("rows", 5, 51)},
        transposed=True,
    ),
    "yolo7": RowsHead(
        outputs={"rows": "output"},
        values={"box": ("rows", 0, 4), "score": ("rows", 4, 1), "classes": ("rows", 5, 1), "keypoints": ("rows", 6, 51)},
    ),
    "two classes, logits, no visibility": RowsHead(
        outputs={"rows": "output0"},
        values={"box": ("rows", 0, 4), "classes": ("rows", 4, 2), "keypoints": ("rows", 6, 34)},
        transposed=True,
        activation="sigmoid",
        point_values=2,
        person_class=1,
    ),
    "yolo26": RowsHead(
        outputs={"rows": "output0"},
        values={"box": ("rows", 0, 4), "score": ("rows", 4, 1), "class": ("rows", 5, 1), "keypoints": ("rows", 6, 51)},
        box="corners",
        nms="none",
        ranked=True,
    ),
    "yolox-pose": RowsHead(
        outputs={"rows": "output"},
        values={"box": ("rows", 0, 4), "score": ("rows", 4, 1), "classes": ("rows", 5, 1), "keypoints": ("rows", 6, 51)},
        box="log-size",
        unit="cells",
        strides=(8, 16, 32),
        point_activation="sigmoid",
    ),
    "yolo8 before its last layer": RowsHead(
        outputs={f"{role}/{stride}": f"{role}_{stride}" for stride in (8, 16, 32) for role in ("boxes", "classes", "keypoints")},
        values={"box": ("boxes", 0, 64), "classes": ("classes", 0, 1), "keypoints": ("keypoints", 0, 51)},
        transposed=True,
        box="distribution",
        unit="cells",
        strides=(8, 16, 32),
        cell_point=0.5,
        point_gain=2.0,
        activation="sigmoid",
        point_activation="sigmoid",
    ),
    "yolo-nas": RowsHead(
        outputs={"boxes": "boxes", "scores": "scores", "keypoints": "poses", "visibility": "pose_scores"},
        values={"box": ("boxes", 0, 4), "score": ("scores", 0, 1), "keypoints": ("keypoints", 0, 34), "visibility": ("visibility", 0, 17)},
        box="corners",
        point_values=2,
    ),
    "yolo11 in three outputs": RowsHead(
        outputs={"boxes": "a", "scores": "b", "keypoints": "c"},
        values={"box": ("boxes", 0, 4), "score": ("scores", 0, 1), "keypoints": ("keypoints", 0, 51)},
        transposed=True,
    ),
    "yolo11 before its last layer, all levels together": RowsHead(
        outputs={"boxes": "a", "keypoints": "b"},
        values={"box": ("boxes", 0, 64), "classes": ("boxes", 64, 1), "keypoints": ("keypoints", 0, 51)},
        transposed=True,
        box="distribution",
        unit="cells",
        strides=(8, 16, 32),
        cell_point=0.5,
        point_gain=2.0,
        activation="sigmoid",
        point_activation="sigmoid",
    ),
    "yolox-pose as mmpose trains it": RowsHead(
        outputs={
            f"{role}/{stride}": f"{name}_{stride}"
            for stride in (8, 16, 32)
            for role, name in (("classes", "cls"), ("objectness", "obj"), ("boxes", "bbox"), ("keypoints", "kpt"), ("visibility", "vis"))
        },
        values={
            "box": ("boxes", 0, 4),
            "score": ("objectness", 0, 1),
            "classes": ("classes", 0, 1),
            "keypoints": ("keypoints", 0, 34),
            "visibility": ("visibility", 0, 17),
        },
        transposed=True,
        box="log-size",
        unit="cells",
        strides=(8, 16, 32),
        activation="sigmoid",
        point_values=2,
        point_activation="sigmoid",
    ),
    "rtmo": RowsHead(
        outputs={"boxes": "dets", "keypoints": "keypoints"},
        values={"box": ("boxes", 0, 4), "score": ("boxes", 4, 1), "keypoints": ("keypoints", 0, 51)},
        box="corners",
        nms="none",
        ranked=True,
    ),
    "movenet": RowsHead(
        outputs={"rows": "output_0"},
        values={"box": ("rows", 51, 4), "score": ("rows", 55, 1), "keypoints": ("rows", 0, 51)},
        box="corners",
        unit="fraction",
        yx=True,
        origin="centre",
        nms="none",
        ranked=True,
    ),
    "key point r-cnn": RowsHead(
        outputs={"boxes": "boxes", "classes": "labels", "scores": "scores", "keypoints": "keypoints", "visibility": "keypoints_scores"},
        values={
            "box": ("boxes", 0, 4),
            "class": ("classes", 0, 1),
            "score": ("scores", 0, 1),
            "keypoints": ("keypoints", 0, 51),
            "visibility": ("visibility", 0, 17),
        },
        batched=False,
        box="corners",
        person_class=1,
        nms="none",
        ranked=True,
        point_activation="sigmoid",
    ),
}

DETECTORS = {
    "yolox": BoxesHead(
        outputs={"rows": "output"},
        values={"box": ("rows", 0, 4), "score": ("rows", 4, 1), "classes": ("rows", 5, 80)},
        box="log-size",
        unit="cells",
        strides=(8, 16, 32),
    ),
    "rtmdet": BoxesHead(
        outputs={"rows/8": "out8", "rows/16": "out16", "rows/32": "out32"},
        values={"score": ("rows", 0, 1), "box": ("rows", 1, 4)},
        box="distances",
        strides=(8, 16, 32),
        activation="sigmoid",
    ),
    "yolo11": BoxesHead(outputs={"rows": "output0"}, values={"box": ("rows", 0, 4), "classes": ("rows", 4, 80)}, transposed=True),
    "yolo26": BoxesHead(
        outputs={"rows": "output0"},
        values={"box": ("rows", 0, 4), "score": ("rows", 4, 1), "class": ("rows", 5, 1)},
        box="corners",
        nms="none",
        ranked=True,
    ),
    "nanodet": BoxesHead(
        outputs={"rows": "output"},
        values={"classes": ("rows", 0, 80), "box": ("rows", 80, 32)},
        box="distribution",
        unit="cells",
        strides=(8, 16, 32, 64),
    ),
    "several anchors per cell": BoxesHead(
        outputs={"boxes": "boxes", "scores": "scores"},
        values={"box": ("boxes", 0, 4), "score": ("scores", 0, 1)},
        strides=(8, 16),
        per_cell=(2, 6),
        cell_point=0.5,
        activation="sigmoid",
    ),
    "ssd": BoxesHead(
        outputs={"boxes": "boxes", "scores": "scores"},
        values={"box": ("boxes", 0, 4), "classes": ("scores", 0, 21)},
        box="priors",
        unit="fraction",
        activation="softmax",
        background=0,
        person_class=15,
        priors=tuple((x / 20, y / 20, size, size) for y in range(1, 20) for x in range(1, 20) for size in (0.2, 0.5)),
    ),
}
