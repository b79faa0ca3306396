"""How a picture is placed in a network's input: one affine with an exact inverse, for letterbox, stretching, crops, tiles and drawing.

Inside, coordinates are continuous: pixel i spans i to i + 1, and its centre lies at i + 0.5. Key points count centres at integers, so they are
moved by half a pixel on the way in and out; boxes are continuous as they are. Every resize of the project is half-pixel in this sense.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.people import People

How = Literal["top-left", "centre", "stretch", "crop"]
Resize = Literal["cubic", "linear"]
RESIZES: tuple[Resize, ...] = ("cubic", "linear")
HOWS: tuple[How, ...] = ("top-left", "centre", "stretch", "crop")

PAD_GREY = 128
"""What a letterbox shows beside the picture, unless the network was trained with something else."""

PERSON_GROW = 1.25
"""How much wider than the person a top-down network's crop is (Xiao et al., arXiv 1804.06208, and most since)."""

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Fit:
    """How a network wants its picture; part of the manifest.

    Attributes:
        how: "top-left": the largest size that keeps proportions, at the top left corner; "centre": the same, in the middle; "stretch": the
            whole input, whatever the proportions; "crop": one thing in a box, which is widened to the input's proportions.
        pad: value of all three channels where the input shows nothing of the picture.
        grow: by how much a box is grown before it is cut out; for "crop".
        resize: how a whole picture is scaled: as the network's own tools do it, since small people hang on it. Crops are bilinear.
    """

    how: How = "top-left"
    pad: int = PAD_GREY
    grow: float = PERSON_GROW
    resize: Resize = "cubic"

    def __post_init__(self) -> None:
        if self.how not in HOWS:
            raise UsageError(f"a picture is placed {', '.join(HOWS)}; not {self.how!r}")
        if self.resize not in RESIZES:
            raise UsageError(f"a picture is scaled {', '.join(RESIZES)}; not {self.resize!r}")
        if not isinstance(self.pad, int) or not 0 <= self.pad <= 255:
            raise UsageError(f"pad is a pixel's value, 0 to 255; got {self.pad!r}")
        if not 0.1 <= self.grow <= 10:
            raise UsageError(f"a box is grown by a factor between 0.1 and 10 before it is cut out; got {self.grow:g}")


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in a network's input.

    Attributes:
        size_wh: the network's input, in pixels.
        matrix: picture → input, in continuous coordinates: ((a, b, c), (d, e, f)) takes x, y to a x + b y + c, d x + e y + f.
    """

    size_wh: tuple[int, int]
    matrix: Matrix

    @cached_property
    def _forward(self) -> NDArray[np.float64]:
        return np.array(self.matrix, np.float64)

    @cached_property
    def _back(self) -> NDArray[np.float64]:
        """Input → picture: (2, 3)."""
        turn = self._forward[:, :2]
        back = np.linalg.inv(turn)
        return np.concatenate([back, -back @ self._forward[:, 2:]], axis=1)

    @cached_property
    def inverse(self) -> Matrix:
        """Input → picture, in continuous coordinates."""
        (a, b, c), (d, e, f) = self._back.tolist()
        return (a, b, c), (d, e, f)

    @property
    def axis_aligned(self) -> bool:
        """Whether the picture is neither turned nor mirrored."""
        (a, b, _), (d, e, _) = self.matrix
        return b == 0 and d == 0 and a > 0 and e > 0

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Input pixels per picture pixel, along the picture's axes."""
        (a, b, _), (d, e, _) = self.matrix
        return float(np.hypot(a, d)), float(np.hypot(b, e))

    def then(self, other: Placement) -> Placement:
        """Where the picture lies in the input of `other`, whose picture is this one's input."""
        first, second = np.vstack([self._forward, [0, 0, 1]]), np.vstack([other._forward, [0, 0, 1]])
        (a, b, c), (d, e, f) = (second @ first)[:2].tolist()
        return Placement(other.size_wh, ((a, b, c), (d, e, f)))

    def to_frame(self, keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
        """Key points in pixels of the input as key points in pixels of the picture.

        Args:
            keypoints: (..., 3) float32: x, y (centres at integers), score.

        Returns:
            The same with x, y in pixels of the picture; a part with score 0 stays at 0, 0.
        """
        return _mapped(keypoints, self._back)

    def to_network(self, keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
        """Key points in pixels of the picture as key points in pixels of the input; as `to_frame`."""
        return _mapped(keypoints, self._forward)

    def boxes_to_frame(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Boxes (N, 4): x, y, width, height in pixels of the input, as the least upright boxes about them in the picture."""
        return _mapped_boxes(boxes, self._back)

    def boxes_to_network(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Boxes of the picture in pixels of the input."""
        return _mapped_boxes(boxes, self._forward)

    def people_to_frame(self, people: People) -> People:
        """People in pixels of the input as people in pixels of the picture."""
        boxes = None if people.boxes is None else self.boxes_to_frame(people.boxes)
        return replace(people, keypoints=self.to_frame(people.keypoints), boxes=boxes)


def letterbox(frame_wh: tuple[int, int], size_wh: tuple[int, int], how: How = "top-left") -> Placement:
    """The largest placement of a picture in the input that keeps its proportions; "stretch" fills the input.

    The picture comes to whole pixels, so its scale differs a little between the axes.

    Raises:
        UsageError: "crop", which needs a box.
    """
    width, height = frame_wh
    if how == "crop":
        raise UsageError("a network for crops has no place for a whole frame: give it boxes")
    if how == "stretch":
        scaled = size_wh
    else:
        scale = min(size_wh[0] / width, size_wh[1] / height)
        scaled = (min(size_wh[0], max(1, round(width * scale))), min(size_wh[1], max(1, round(height * scale))))
    left, top = ((size_wh[0] - scaled[0]) // 2, (size_wh[1] - scaled[1]) // 2) if how == "centre" else (0, 0)
    return Placement(size_wh, ((scaled[0] / width, 0.0, float(left)), (0.0, scaled[1] / height, float(top))))


def whole_in(frame_wh: tuple[int, int], size_wh: tuple[int, int], how: How) -> Placement:
    """Where a whole picture lies: a letterbox, or for a network for crops the crop that just holds all of it."""
    if how != "crop":
        return letterbox(frame_wh, size_wh, how)
    unit = max(frame_wh[0] / size_wh[0], frame_wh[1] / size_wh[1])
    width, height = unit * size_wh[0], unit * size_wh[1]
    return crop(((frame_wh[0] - width) / 2, (frame_wh[1] - height) / 2, width, height), size_wh)


def crop(box: Sequence[float], size_wh: tuple[int, int], *, mirrored: bool = False, degrees: float = 0.0) -> Placement:
    """The placement that shows a box as the whole input.

    Args:
        box: x, y, width, height in pixels of the picture, with area.
        size_wh: the network's input; proportions that differ from the box's stretch it.
        mirrored: show it mirrored, left to right.
        degrees: the box is turned about its centre by so much, clockwise as seen; what was turned in the picture stands upright in the input.
    """
    x, y, width, height = (float(value) for value in box)
    across, down = size_wh[0] / width, size_wh[1] / height
    cos, sin = (1.0, 0.0) if degrees == 0 else (float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees))))
    # From the centre of the box: turn back, scale, then to the input's centre.
    turn = np.array([[across * cos, across * sin], [-down * sin, down * cos]])
    if mirrored:
        turn[0] = -turn[0]
    if degrees == 0:
        # Exact where a box begins at a whole pixel.
        shift = np.array([size_wh[0] + x * across if mirrored else -x * across, -y * down])
    else:
        shift = np.asarray(size_wh) / 2 - turn @ np.array([x + width / 2, y + height / 2])
    return Placement(
        size_wh, ((float(turn[0, 0]), float(turn[0, 1]), float(shift[0])), (float(turn[1, 0]), float(turn[1, 1]), float(shift[1])))
    )


def closer(size_wh: tuple[int, int], x: float, y: float, side: float, angle: float) -> Placement | None:
    """From a crop to the one in it that a network asks for.

    Args:
        size_wh: of the network's input: both crops'.
        x, y, side, angle: as `Head.next_crop` gives them, in pixels of the first crop and in radians.

    Returns:
        None where it asks for none.
    """
    if side <= 0:
        return None
    tall = side * size_wh[1] / size_wh[0]
    # The key point at x, y is the centre of a pixel; a crop's box counts from that pixel's edge.
    return crop((x + 0.5 - side / 2, y + 0.5 - tall / 2, side, tall), size_wh, degrees=math.degrees(angle))


def crops_to_frame(keypoints: NDArray[np.float32], placements: Sequence[Placement]) -> NDArray[np.float32]:
    """Key points (M, K, 3) of M crops, each in pixels of its own input, in pixels of the picture; as `Placement.to_frame`."""
    if not placements:
        return np.zeros_like(keypoints)
    return _mapped(keypoints, np.stack([placement._back for placement in placements]))


def check_frame(frame: NDArray[np.uint8]) -> None:
    """Refuse what is not `(H, W, 3)` uint8.

    Raises:
        PosetrtError: another shape or type, or an empty frame.
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        came = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        more = ", which is what cv2.imread gives for a file that it cannot read" if frame is None else ""
        raise PosetrtError(f"a frame must be a uint8 array (H, W, 3) in BGR order; got {came}{more}")


def _mapped(keypoints: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """`matrix` is (2, 3), or (M, 2, 3) for the first axis of the key points."""
    mapped: NDArray[np.float32] = keypoints.copy()
    places = keypoints[..., :2] + 0.5
    mapped[..., :2] = places @ matrix[..., :2].swapaxes(-1, -2) + (matrix[..., None, :, 2] if matrix.ndim == 3 else matrix[:, 2]) - 0.5
    mapped[keypoints[..., 2] <= 0] = 0
    return mapped


def _mapped_boxes(boxes: NDArray[np.floating], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    corners = np.stack([low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)], axis=1)
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    least, most = moved.min(axis=1), moved.max(axis=1)
    return np.concatenate([least, most - least], axis=1).astype(np.float32)
