"""People: the key points of everyone in a frame, and the forms that other programs read them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import Skeleton


@dataclass(frozen=True, repr=False)
class People:
    """Everyone found in one frame, best first.

    Attributes:
        keypoints: (N, K, 3) float32: x, y, score; score 0 (and x = y = 0) for a part not found; K is 0 from a detector. The frame of
            reference is the maker's: heat-map cells from the parser, pixels of the network's input from a decoder, pixels of the frame
            from a finder.
        scores: (N,) float32: one score a person, comparable within a frame and between frames of one network.
        ids: (N,) int64 stable ids from a tracker, or None.
        boxes: (N, 4) float32: x, y, width, height; pixel i spans i to i + 1; None where the network gives none.
        classes: (N,) int64 class of each box, of detectors that tell; or None.
        extras: what else was looked at, by name: "left_hand" and "right_hand" (N, 21, 3), "face" (N, 70, 3), like `keypoints` and in pixels of
            the frame. One that was not looked at, or not found, has scores of 0.
        keypoints_3d: (N, K, 4): x, y, z in the units of the cameras' world, and score, 0 for a part not found; None where nobody
            triangulated (`runtime.triangulate`).
        skeleton: names the K parts and their limbs; None until a finder has set it.
        skeletons: of each of the extras, by its name.
    """

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    ids: NDArray[np.int64] | None = None
    boxes: NDArray[np.float32] | None = None
    classes: NDArray[np.int64] | None = None
    extras: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    keypoints_3d: NDArray[np.floating] | None = None
    skeleton: Skeleton | None = None
    skeletons: Mapping[str, Skeleton] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keypoints)

    def __repr__(self) -> str:
        name = self.skeleton.name if self.skeleton is not None else "parts without names"
        ids = "" if self.ids is None else f", ids {' '.join(map(str, self.ids.tolist()))}"
        return f"People({len(self)}: {self.keypoints.shape[1]} key points each ({name}), scores {' '.join(f'{one:.2f}' for one in self.scores)}{ids})"

    def chosen(self, rows: NDArray[Any]) -> People:
        """Those that `rows` names, as NumPy indexes: numbers or a mask."""
        of_all = {"extras", "skeleton", "skeletons"}
        one: dict[str, Any] = {name: None if value is None else value[rows] for name, value in vars(self).items() if name not in of_all}
        return replace(self, **one, extras={name: points[rows] for name, points in self.extras.items()})

    def named(self) -> Skeleton:
        """The skeleton.

        Raises:
            UsageError: nobody has set it.
        """
        if self.skeleton is None:
            raise UsageError(
                "these people do not say which skeleton they have, so their parts have no names: take them from posetrt.open(...), "
                "or set it with dataclasses.replace(people, skeleton=posetrt.load_skeleton(NAME))"
            )
        return self.skeleton

    def to_dict(self) -> list[dict[str, Any]]:
        """One dictionary per person, of plain numbers, as `json.dumps` takes them.

        Returns:
            `id` (None without a tracker); `score`; `box` as [x, y, width, height], or None; `keypoints`: name of each part that was found →
            [x, y, score]; and one such field for each of the extras.

        Raises:
            UsageError: the people have no skeleton.
        """

        def found(points: NDArray[np.float32], skeleton: Skeleton) -> dict[str, list[float]]:
            exact = np.round(points.astype(np.float64), 4).tolist()
            return {part: point for part, point in zip(skeleton.parts, exact, strict=True) if point[2] > 0}

        skeleton = self.named()
        return [
            {
                "id": None if self.ids is None else int(self.ids[index]),
                "score": round(float(self.scores[index]), 6),
                "box": None if self.boxes is None else np.round(self.boxes[index].astype(np.float64), 3).tolist(),
                "keypoints": found(self.keypoints[index], skeleton),
            }
            | {name: found(points[index], self.skeletons[name]) for name, points in self.extras.items() if name in self.skeletons}
            for index in range(len(self))
        ]

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO's result format for key points, one object per person; see `to_coco_results`.

        Raises:
            UsageError: no skeleton, or one without COCO's key points.
        """
        return to_coco_results(self, self.named(), image_id)

    def to_supervision(self) -> Any:
        """The people as the package supervision has them: `KeyPoints`; of a detector's people, `Detections`.

        `data` (of detections, `tracker_id`) holds the ids of a tracker.

        Raises:
            ModuleNotFoundError: supervision is not installed.
        """
        import supervision

        if self.boxes is not None and not self.keypoints.shape[1]:
            corners = np.concatenate([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]], axis=1)
            classes = np.zeros(len(self), np.int64) if self.classes is None else self.classes
            return supervision.Detections(corners, confidence=self.scores, class_id=classes, tracker_id=self.ids)
        # Newer versions have a confidence for the whole person beside that of its key points.
        name = "keypoint_confidence" if "keypoint_confidence" in supervision.KeyPoints.__annotations__ else "confidence"
        return supervision.KeyPoints(
            xy=self.keypoints[..., :2].copy(),
            class_id=np.zeros(len(self), np.int64),
            data={} if self.ids is None else {"tracker_id": self.ids},
            **{name: self.keypoints[..., 2].copy()},
        )


def nobody(parts: int) -> People:
    """No person, for a skeleton of `parts` parts."""
    return People(np.zeros((0, parts, 3), np.float32), np.zeros(0, np.float32))


def to_coco17(people: People, skeleton: Skeleton) -> NDArray[np.float32]:
    """(N, 17, 3) float32 in COCO's order.

    Raises:
        UsageError: the skeleton has no correspondence with COCO's 17 key points.
    """
    if not skeleton.coco17:
        raise UsageError(
            f"skeleton {skeleton.name!r} has no coco17 field, so its people cannot be given as COCO key points; "
            "add the 17 part numbers to the skeleton's JSON"
        )
    return people.keypoints[:, list(skeleton.coco17)]


def to_openpose(people: People) -> dict[str, Any]:
    """OpenPose's JSON object of one frame (version 1.3): person_id is -1 where no tracker gave one; hands and face are empty lists where
    nobody looked for them, and zeros where they were not found; pose_keypoints_3d likewise, x, y, z, score a part.

    Source: OpenPose, doc/02_output.md.
    """

    def flat(points: NDArray[np.floating] | None, index: int) -> list[float]:
        return [] if points is None else np.round(points[index].astype(np.float64), 4).ravel().tolist()

    return {
        "version": 1.3,
        "people": [
            {
                "person_id": [int(people.ids[index]) if people.ids is not None else -1],
                "pose_keypoints_2d": flat(people.keypoints, index),
                "face_keypoints_2d": flat(people.extras.get("face"), index),
                "hand_left_keypoints_2d": flat(people.extras.get("left_hand"), index),
                "hand_right_keypoints_2d": flat(people.extras.get("right_hand"), index),
                "pose_keypoints_3d": flat(people.keypoints_3d, index),
                "face_keypoints_3d": [],
                "hand_left_keypoints_3d": [],
                "hand_right_keypoints_3d": [],
            }
            for index in range(len(people))
        ],
    }


def to_coco_results(people: People, skeleton: Skeleton, image_id: int) -> list[dict[str, Any]]:
    """COCO's result format for key points: one object a person, category 1; of a detector's people that for boxes.

    Source: cocodataset.org, "Results Format", object detection and key-point detection.

    Raises:
        UsageError: the skeleton has parts, but no correspondence with COCO's 17 key points.
    """
    if not skeleton.parts and people.boxes is not None:
        boxes = np.round(people.boxes.astype(np.float64), 3).tolist()
        scores = people.scores.tolist()
        return [
            {"image_id": image_id, "category_id": 1, "bbox": box, "score": round(score, 6)}
            for box, score in zip(boxes, scores, strict=True)
        ]
    points = to_coco17(people, skeleton).astype(np.float64)
    points[..., 2] = points[..., 2] > 0
    return [
        {
            "image_id": image_id,
            "category_id": 1,
            "keypoints": np.round(points[index], 3).ravel().tolist(),
            "score": round(float(people.scores[index]), 6),
        }
        for index in range(len(people))
    ]
