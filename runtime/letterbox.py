"""The way from a frame to the network's input, and of key points back to the frame.

Pixel and cell centres sit at integers, so every resize is half-pixel: an image pixel x lies at
`(x + 0.5) * scale - 0.5 + pad` of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.manifest import InputSpec

PAD_VALUE = 128


@dataclass(frozen=True)
class Letterbox:
    """How a frame was placed in the network's input.

    Attributes:
        size_wh: the network's input.
        scaled_wh: size of the frame after scaling; its top left corner stands at the input's.
        scale_xy: network px per image px, by axis: `scaled_wh` is whole, so the two differ a little.
    """

    size_wh: tuple[int, int]
    scaled_wh: tuple[int, int]
    scale_xy: tuple[float, float]


def letterbox_for(frame_wh: tuple[int, int], size_wh: tuple[int, int]) -> Letterbox:
    """The largest placement of a frame in the input that keeps its proportions."""
    width, height = frame_wh
    scale = min(size_wh[0] / width, size_wh[1] / height)
    scaled = (min(size_wh[0], max(1, round(width * scale))), min(size_wh[1], max(1, round(height * scale))))
    return Letterbox(size_wh, scaled, (scaled[0] / width, scaled[1] / height))


def check_frame(frame: NDArray[np.uint8]) -> None:
    """Refuse what is not `(H, W, 3)` uint8.

    Raises:
        PosetrtError: another shape or type, or an empty frame.
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        came = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise PosetrtError(f"a frame must be a uint8 array (H, W, 3) in BGR order; got {came}")


def place(frame: NDArray[np.uint8], box: Letterbox, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Scale a frame into the network's size, padded right and below with 128.

    Args:
        frame: (H, W, 3) uint8 BGR.
        box: from `letterbox_for` with this frame's size.
        out: (h, w, 3) uint8 to write into; made where None.

    Returns:
        (h, w, 3) uint8 BGR of the network's size. Cubic interpolation, and by area where the frame shrinks below half.
    """
    import cv2

    width, height = box.size_wh
    canvas = out if out is not None else np.empty((height, width, 3), np.uint8)
    right, bottom = box.scaled_wh
    if (right, bottom) == (frame.shape[1], frame.shape[0]):
        canvas[:bottom, :right] = frame
    else:
        method = cv2.INTER_AREA if max(box.scale_xy) < 0.5 else cv2.INTER_CUBIC
        canvas[:bottom, :right] = cv2.resize(frame, (right, bottom), interpolation=method)
    canvas[bottom:] = PAD_VALUE
    canvas[:bottom, right:] = PAD_VALUE
    return canvas


def to_input(canvas: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32] | NDArray[np.uint8]:
    """The network's input tensor from a letterboxed frame.

    Args:
        canvas: (h, w, 3) uint8 BGR.
        spec: the manifest's input.

    Returns:
        `(1, 3, h, w)` float32 normalised as the manifest says, or `(1, h, w, 3)` uint8 BGR as it is.
    """
    if spec.layout == "NHWC":
        return canvas[None]
    import cv2

    tensor: NDArray[np.float32] = np.empty((1, 3, *canvas.shape[:2]), np.float32)
    planes = cv2.split(canvas)
    for channel, plane in enumerate((0, 1, 2) if spec.colour == "BGR" else (2, 1, 0)):
        tensor[0, channel] = planes[plane]
    if not spec.in_graph:
        tensor -= np.asarray(spec.mean, np.float32)[:, None, None]
        tensor *= np.asarray(spec.scale, np.float32)[:, None, None]
    return tensor


def cells_to_frame(points: NDArray[np.float32], stride: int, box: Letterbox) -> NDArray[np.float32]:
    """Map key points from heat-map cells to pixels of the frame.

    Args:
        points: (N, K, 3) float32: x, y in cells (centres at integers), score; a part with score 0 stays at 0, 0.
        stride: network px a cell.
        box: how the frame was placed.

    Returns:
        (N, K, 3) float32: x, y in pixels of the frame; score unchanged.
    """
    mapped: NDArray[np.float32] = points.copy()
    scale = np.asarray(box.scale_xy, np.float32)
    mapped[..., :2] = (points[..., :2] + np.float32(0.5)) * np.float32(stride) / scale - np.float32(0.5)
    mapped[points[..., 2] <= 0] = 0
    return mapped
