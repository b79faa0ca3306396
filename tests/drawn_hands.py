"""Pictures with key points that a stand-in network really sees: dots whose colour says which part they are.

Each part is a round dot of 255 red at its middle; blue and green as shares of red number it. The network below finds the dots in the
crop that it is given, tells them apart by colour, and draws the paper's heat map round each. A hand network knows right hands alone: to
a left hand, which is the mirror image, it is blind.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from tests.heads import maps_head

# A right hand seen from behind, thumb to the left, in shares of its box: the wrist, then each finger from its root.
_FINGERS = (
    (0.22, 0.62, -0.5, -0.9),
    (0.36, 0.45, -0.22, -1.0),
    (0.48, 0.42, -0.03, -1.0),
    (0.60, 0.44, 0.15, -1.0),
    (0.71, 0.50, 0.35, -0.95),
)
RIGHT_HAND = np.array([(0.5, 0.8)] + [(x + 0.085 * step * dx, y + 0.085 * step * dy) for x, y, dx, dy in _FINGERS for step in range(4)])
LEFT_HAND = np.array([1, 0]) + RIGHT_HAND * np.array([-1, 1])
FACE = np.array([(0.15 + 0.075 * (k % 10) + 0.004 * k // 10, 0.2 + 0.09 * (k // 10)) for k in range(70)])
SEES_FROM = 25


def colour(part: int) -> NDArray[np.float64]:
    """Blue, green, red: of 81 different parts."""
    return np.array([(part % 9 + 1) / 10, (part // 9 + 1) / 10, 1.0]) * 255


def draw(frame: NDArray[np.uint8], points: NDArray[np.floating], spread: float = 1.3) -> None:
    """Draw a dot for each of (K, 2) points into a frame, between its pixels too; what lies outside is left out."""
    reach = int(4 * spread) + 1
    for part, (x, y) in enumerate(points):
        left, top = max(0, int(x) - reach), max(0, int(y) - reach)
        place = frame[top : max(0, int(y) + reach + 1), left : max(0, int(x) + reach + 1)]
        rows, columns = np.arange(top, top + place.shape[0])[:, None], np.arange(left, left + place.shape[1])
        near = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * spread**2))
        np.maximum(place, np.round(near[..., None] * colour(part)).astype(np.uint8), out=place)


def in_box(shape: NDArray[np.float64], box: Sequence[float]) -> NDArray[np.float64]:
    """A shape given in shares of a box, in pixels of the frame (centres at integers)."""
    x, y, width, height = box
    return np.array([x, y]) + shape * np.array([width, height]) - 0.5


class Sees(Engine):
    """Finds the dots of `draw` in each crop.

    Args:
        skeleton: a built-in name.
        size_wh: of the crops.
        max_batch: crops a call; what it was given is noted in `batches`.
        right_hands_alone: blind to hands whose index finger lies right of the little finger, seen from the wrist.
    """

    backend = "stand-in"
    precision = "fp32"

    def __init__(
        self, skeleton: str | Skeleton, size_wh: tuple[int, int] = (368, 368), *, max_batch: int = 8, right_hands_alone: bool = False
    ) -> None:
        given = load_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
        spec = InputSpec("image", "NCHW", size_wh, size_wh, size_wh, in_graph=True, max_batch=max_batch)
        self.manifest = Manifest(f"sees-{given.name}", given, spec, maps_head(MapLayout(given)))
        self.batches: list[int] = []
        self.closed = False
        self._right_hands_alone = right_hands_alone

    def infer(self, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> Tensors:
        spec = self.manifest.input
        assert inputs.dtype == np.float32
        assert inputs.shape[1:] == (3, spec.size_wh[1], spec.size_wh[0])
        assert len(inputs) <= spec.max_batch
        self.batches.append(len(inputs))
        return {"heatmaps": np.stack([self._maps(crop) for crop in inputs])}

    def _maps(self, crop: NDArray[np.floating]) -> NDArray[np.float32]:
        parts, (width, height) = len(self.manifest.skeleton.parts), self.manifest.input.size_wh
        maps = np.zeros((parts + 1, height // 8, width // 8), np.float32)
        found = self.points(crop)
        if self._right_hands_alone and {0, 5, 17} <= found.keys():
            index, little = found[5] - found[0], found[17] - found[0]
            if index[0] * little[1] - index[1] * little[0] < 0:
                found = {}
        rows, columns = (np.arange(height // 8) + 0.5) * 8 - 0.5, (np.arange(width // 8) + 0.5) * 8 - 0.5
        for part, (x, y) in found.items():
            if part < parts:
                maps[part] = np.exp(-((rows[:, None] - y) ** 2 + (columns - x) ** 2) / 7.0**2)
        maps[-1] = 1 - maps[:-1].max(axis=0)
        return maps

    @staticmethod
    def points(crop: NDArray[np.floating]) -> dict[int, NDArray[np.float64]]:
        """Part → x, y in pixels of the crop (3, h, w), of the dots that are whole."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats((crop[2] >= SEES_FROM).astype(np.uint8))
        found = {}
        for label in range(1, count):
            x, y, width, height, _ = stats[label]
            if x == 0 or y == 0 or x + width == crop.shape[2] or y + height == crop.shape[1]:
                continue
            rows, columns = (
                places + low for places, low in zip(np.nonzero(labels[y : y + height, x : x + width] == label), (y, x), strict=True)
            )
            red = crop[2, rows, columns].astype(np.float64)
            blue, green = (crop[channel, rows, columns].sum() / red.sum() * 10 for channel in (0, 1))
            found[round(float(green) - 1) * 9 + round(float(blue) - 1)] = np.array([red @ columns, red @ rows]) / red.sum()
        return found

    def close(self) -> None:
        self.closed = True
