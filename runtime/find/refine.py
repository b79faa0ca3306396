"""Hands and faces of the people whom a body network has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.choose import EngineOptions
from posetrt.runtime.find.boxes import BoxFinder, inside
from posetrt.runtime.find.top_down import TopDown, open_crop_network
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pipeline.counts import Looks
from posetrt.runtime.sources.base import Frame

HAND_PARTS, FACE_PARTS = 21, 70

LEAST_HAND_PX = 20.0
"""Least side of a hand's box: the hand in it is about half as wide, and a few pixels show no fingers."""

LEAST_FACE_PX = 40.0
"""Least side of a face's box (OpenPose, faceExtractorCaffe.cpp)."""


class Refiner:
    """Looks at hands and faces, each in one pass for all people of a frame. Use from one thread at a time.

    Args:
        body: skeleton of the network that found the people.
        hands: network of the right hand, closed with this object; left hands are shown to it mirrored. None: no hands.
        face: closed with this object; None: no faces.
        least_hand_px, least_face_px: boxes with a shorter side, in pixels of the frame, are passed over and counted.

    Attributes:
        looks: "hands" and "face", those that are looked at: how often.

    Raises:
        UsageError: the body's skeleton lacks the parts that place them.
    """

    def __init__(
        self,
        body: Skeleton,
        hands: TopDown | None = None,
        face: TopDown | None = None,
        *,
        least_hand_px: float = LEAST_HAND_PX,
        least_face_px: float = LEAST_FACE_PX,
    ) -> None:
        self._boxes = BoxFinder(body)
        if hands is not None:
            self._boxes.check_hands()
        if face is not None:
            self._boxes.check_face()
        self.hands, self.face = hands, face
        self._least_hand_px, self._least_face_px = least_hand_px, least_face_px
        self.looks = {name: Looks() for name, network in (("hands", hands), ("face", face)) if network is not None}

    @property
    def networks(self) -> Mapping[str, TopDown]:
        """Those that are looked with: "hands", "face"."""
        return {name: network for name, network in (("hands", self.hands), ("face", self.face)) if network is not None}

    @property
    def manifest(self) -> Manifest | None:
        """The people keep the body's key points."""
        return None

    @property
    def skeletons(self) -> Mapping[str, Skeleton]:
        """Of "left_hand", "right_hand" and "face"."""
        names = {"hands": ("left_hand", "right_hand"), "face": ("face",)}
        return {name: network.skeleton for what, network in self.networks.items() for name in names[what]}

    def __call__(self, frame: Frame, people: People) -> People:
        """The same people with "left_hand", "right_hand" and "face" among their extras; with nobody in view the cost is zero.

        Raises:
            PosetrtError: a network failed.
        """
        count = len(people)
        extras, skeletons = dict(people.extras), {**people.skeletons, **self.skeletons}
        if not count:
            extras |= {name: np.zeros((0, len(skeleton.parts), 3), np.float32) for name, skeleton in self.skeletons.items()}
            return replace(people, extras=extras, skeletons=skeletons)
        if self.hands is not None:
            boxes = self._boxes.hands(people.keypoints).transpose(1, 0, 2).reshape(-1, 4)
            left = np.arange(2 * count) < count
            found = self._look(self.hands, frame, boxes, left, "hands", self._least_hand_px)
            extras |= {"left_hand": found[:count], "right_hand": found[count:]}
        if self.face is not None:
            boxes = self._boxes.faces(people.keypoints)
            extras["face"] = self._look(self.face, frame, boxes, np.zeros(count, np.bool_), "face", self._least_face_px)
        return replace(people, extras=extras, skeletons=skeletons)

    def _look(
        self, network: TopDown, frame: Frame, boxes: NDArray[np.float32], mirrored: NDArray[np.bool_], kind: str, least_px: float
    ) -> NDArray[np.float32]:
        """(M, K, 3) of all boxes: zero for those that are passed over."""
        found = np.zeros((len(boxes), len(network.skeleton.parts), 3), np.float32)
        seen = (boxes[:, 2] > 0) & inside(boxes, frame.image.shape)
        large = seen & (boxes[:, 2] >= least_px)
        looks = self.looks[kind]
        looks.looked += int(large.sum())
        looks.small += int((seen & ~large).sum())
        looks.unseen += int((~seen).sum())
        if large.any():
            found[large] = network.look(frame.image, boxes[large], mirrored[large])
        return found

    def close(self) -> None:
        """Free both engines."""
        for network in self.networks.values():
            network.close()


def open_refiner(
    body: Skeleton,
    hands: str | Path | None = None,
    face: str | Path | None = None,
    *,
    hands_options: EngineOptions | None = None,
    face_options: EngineOptions | None = None,
) -> Refiner | None:
    """Open the networks that are given; None where none is.

    Args:
        body: skeleton of the network that finds the people.
        hands, face: a model folder, a bare .onnx or an engine each.
        hands_options, face_options: which engine of each, and how it runs.

    Raises:
        UsageError: a network of something else than is asked for, or a body that does not show where hands or face are.
        EngineMismatch: no engine fits this device.
    """
    # What the body's skeleton lacks is told before an engine is loaded.
    finder = BoxFinder(body)
    if hands is not None:
        finder.check_hands()
    if face is not None:
        finder.check_face()
    opened: list[TopDown | None] = []
    try:
        for path, what, parts, options in ((hands, "hand", HAND_PARTS, hands_options), (face, "face", FACE_PARTS, face_options)):
            opened.append(None if path is None else open_crop_network(path, what, parts, options))
    except BaseException:
        for network in opened:
            if network is not None:
                network.close()
        raise
    return Refiner(body, *opened) if any(network is not None for network in opened) else None
