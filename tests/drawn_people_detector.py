"""A detector that really sees: it boxes each heap of the dots that `drawn_hands.draw` draws."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.heads.boxes import BoxesHead
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.model.skeleton import load_skeleton
from tests.drawn_hands import SEES_FROM

MOST = 8
SCORE = 0.8
REACH = 61
"""Pixels between dots of one person at most."""


class Boxes(Engine):
    """Gives a row for each heap: left, top, right, bottom, score.

    Args:
        size_wh: of its input.
        blind: takes the number of the call, and says whether it sees nobody in it.
        frames_in_flight: 2 makes the pipeline treat it as a GPU, and batch frames of several sources.
    """

    backend = "stand-in"
    precision = "fp32"

    def __init__(
        self,
        size_wh: tuple[int, int] = (1000, 480),
        *,
        blind: Callable[[int], bool] = lambda _: False,
        frames_in_flight: int = 1,
    ) -> None:
        spec = InputSpec("image", "NHWC", size_wh, size_wh, size_wh, max_batch=8, dtype="uint8")
        values = {"box": ("rows", 0, 4), "score": ("rows", 4, 1)}
        head = BoxesHead(outputs={"rows": "rows"}, values=values, box="corners", person_class=None)
        self.manifest = Manifest("heaps", load_skeleton("boxes"), spec, head)
        self.frames_in_flight = frames_in_flight
        self.batches: list[int] = []
        self._blind = blind

    def infer(self, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> Tensors:
        rows = np.zeros((len(inputs), MOST, 5), np.float32)
        if not self._blind(len(self.batches)):
            for place, image in zip(rows, inputs, strict=True):
                seen = (image[..., 2] >= SEES_FROM).astype(np.uint8)
                count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(seen, np.ones((REACH, REACH), np.uint8)))
                for number, (left, top, width, height, _) in enumerate(stats[1:count]):
                    inner = seen[top : top + height, left : left + width]
                    y, x = np.nonzero(inner)
                    place[number] = left + x.min(), top + y.min(), left + x.max() + 1, top + y.max() + 1, SCORE
        self.batches.append(len(inputs))
        return {"rows": rows}

    def close(self) -> None:
        pass
