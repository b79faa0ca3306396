"""Two stages: a network that finds everybody gives boxes, and a network for crops finds the person in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.find.boxes import inside, person_boxes
from posetrt.runtime.find.cropped import CropStage
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.heads.nms import pose_nms
from posetrt.runtime.people import People
from posetrt.runtime.sources.base import Frame


class Detected(CropStage):
    """Finds one person in the box of each person whom another network has found.

    A person's score is the detector's times the mean of the parts'. Of two boxes that show one person, the pose NMS of RMPE (Fang et al.
    2017) keeps the better one. Boxes without area or outside the frame are counted as not in view, and nobody is looked for in them.

    Args:
        network: for crops; closed with this object.
        distinct: drop double people.
    """

    def __init__(self, network: TopDown, *, distinct: bool = True) -> None:
        super().__init__(network)
        self._distinct = distinct

    def __call__(self, frame: Frame, people: People) -> People:
        """One person in each box of another network's people, best first; ids stay.

        Raises:
            PosetrtError: the network failed.
        """
        return self.look(frame.image, person_boxes(people), people.scores, people.ids)[0]

    def look(
        self, image: NDArray[np.uint8], boxes: NDArray[np.float32], scores: NDArray[np.float32], ids: NDArray[np.int64] | None = None
    ) -> tuple[People, NDArray[np.intp]]:
        """As a call, of boxes that come from anywhere.

        Args:
            image: (H, W, 3) uint8 BGR.
            boxes: (M, 4) float32: x, y, width, height in pixels of the frame.
            scores: (M,) float32: how sure it is that each box shows somebody.
            ids: (M,) int64, or None.

        Returns:
            People, best first, without those of whom no part was found; and the number of each one's box.

        Raises:
            PosetrtError: the network failed.
        """
        looks = self.looks["people"]
        seen = np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0) & inside(boxes, image.shape)
        rows = np.flatnonzero(seen)
        looks.looked += len(rows)
        looks.unseen += len(seen) - len(rows)
        found = self.network(image, boxes[rows], ids=None if ids is None else ids[rows])
        found = replace(found, scores=(found.scores * scores[rows]).astype(np.float32))
        order = np.argsort(-found.scores, kind="stable")
        order = order[found.keypoints[order, :, 2].any(axis=1)]
        order = order[self.distinct(found.chosen(order))]
        return found.chosen(order), rows[order]

    def distinct(self, people: People) -> NDArray[np.intp]:
        """Numbers of those who stay of people with boxes, best first, where double people are dropped; of all where they are not."""
        if not self._distinct or len(people) < 2 or people.boxes is None:
            return np.arange(len(people))
        corners = np.concatenate([people.boxes[:, :2], people.boxes[:, :2] + people.boxes[:, 2:]], axis=1)
        return pose_nms(people.keypoints, corners)
