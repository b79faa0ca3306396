"""The pixels of a network's input: a frame scaled into its placement, and the tensor made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.model.manifest import InputSpec
from posetrt.runtime.placement import PAD_GREY, Fit, Placement, Resize, whole_in


def place(
    frame: NDArray[np.uint8],
    placement: Placement,
    pad: int = PAD_GREY,
    out: NDArray[np.uint8] | None = None,
    *,
    resize: Resize = "cubic",
) -> NDArray[np.uint8]:
    """Scale a frame into the network's input.

    Args:
        frame: (H, W, 3) uint8 BGR.
        placement: from `placement.letterbox` with this frame's size.
        pad: what the input shows beside the frame.
        out: (h, w, 3) uint8 to write into; made where None.
        resize: see `Fit`.

    Returns:
        (h, w, 3) uint8 BGR of the network's size. What is cubic is scaled by area where it shrinks below half. A placement that is no letterbox
        is cut out, see `cut`.
    """
    width, height = placement.size_wh
    canvas = out if out is not None else np.empty((height, width, 3), np.uint8)
    whole = _whole_pixels(placement, (frame.shape[1], frame.shape[0]))
    if whole is None:
        return cut(frame, placement, pad, canvas)
    _letterbox(frame, whole, pad, canvas, resize)
    return canvas


def to_input(canvas: NDArray[np.uint8], spec: InputSpec) -> NDArray[Any]:
    """The network's input tensor from a placed frame.

    Args:
        canvas: (h, w, 3) uint8 BGR.
        spec: the manifest's input.

    Returns:
        `(1, 3, h, w)` or `(1, h, w, 3)` in the spec's type, colour order and normalisation; bytes as they are for a graph that takes them.
    """
    if spec.dtype == "uint8" and spec.layout == "NHWC" and spec.colour == "BGR":
        return canvas[None]
    import cv2

    kind = np.dtype(spec.dtype)
    channels = (0, 1, 2) if spec.colour == "BGR" else (2, 1, 0)
    shape = (1, 3, *canvas.shape[:2]) if spec.layout == "NCHW" else (1, *canvas.shape)
    tensor: NDArray[Any] = np.empty(shape, kind)
    planes = cv2.split(canvas)
    for channel, plane in enumerate(channels):
        if spec.layout == "NCHW":
            tensor[0, channel] = planes[plane]
        else:
            tensor[0, ..., channel] = planes[plane]
    if not spec.in_graph:
        shape3 = (3, 1, 1) if spec.layout == "NCHW" else (3,)
        tensor -= np.asarray(spec.mean, kind).reshape(shape3)
        tensor *= np.asarray(spec.scale, kind).reshape(shape3)
    return tensor


def network_input(frame: NDArray[np.uint8], spec: InputSpec, size_wh: tuple[int, int] | None = None) -> NDArray[Any]:
    """The network's input for a whole frame, as the runtime makes it; of a network for crops the whole frame is the crop.

    Args:
        frame: (H, W, 3) uint8 BGR.
        spec: the manifest's input.
        size_wh: of the input, where that is dynamic; None takes the usual one.
    """
    placement = whole_in((frame.shape[1], frame.shape[0]), size_wh or spec.size_wh, spec.fit.how)
    return to_input(fitted(frame, placement, spec.fit), spec)


def fitted(frame: NDArray[np.uint8], placement: Placement, fit: Fit) -> NDArray[np.uint8]:
    """The canvas (h, w, 3) uint8 BGR of a whole frame, as a network wants it: cut out for one that looks at crops, else placed."""
    if fit.how == "crop":
        return cut(frame, placement, fit.pad)
    return place(frame, placement, fit.pad, resize=fit.resize)


def _whole_pixels(placement: Placement, frame_wh: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Left, top, width and height of the frame in the input, where it lies there upright, in whole pixels and whole; else None."""
    if not placement.axis_aligned:
        return None
    (a, _, c), (_, e, f) = placement.matrix
    exact = (c, f, a * frame_wh[0], e * frame_wh[1])
    left, top, width, height = (round(value) for value in exact)
    if any(abs(value - whole) > 1e-6 for value, whole in zip(exact, (left, top, width, height), strict=True)):
        return None
    inside = left >= 0 and top >= 0 and left + width <= placement.size_wh[0] and top + height <= placement.size_wh[1]
    return (left, top, width, height) if inside and width > 0 and height > 0 else None


def _letterbox(frame: NDArray[np.uint8], whole: tuple[int, int, int, int], pad: int, canvas: NDArray[np.uint8], resize: Resize) -> None:
    import cv2

    left, top, width, height = whole
    right, bottom = left + width, top + height
    if (width, height) == (frame.shape[1], frame.shape[0]):
        canvas[top:bottom, left:right] = frame
    else:
        shrinks = max(width / frame.shape[1], height / frame.shape[0]) < 0.5
        method = cv2.INTER_LINEAR if resize == "linear" else cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        canvas[top:bottom, left:right] = cv2.resize(frame, (width, height), interpolation=method)
    canvas[:top] = pad
    canvas[bottom:] = pad
    canvas[top:bottom, :left] = pad
    canvas[top:bottom, right:] = pad


def cut(frame: NDArray[np.uint8], placement: Placement, pad: int = 0, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Cut a box out of a frame: bilinear, from a frame that was first made smaller by area where it shrinks below half.

    Args:
        frame: (H, W, 3) uint8 BGR.
        placement: from `placement.crop`; it may turn and mirror.
        pad: what the input shows outside the frame. OpenPose shows its hand and face networks black (handExtractorCaffe.cpp).
        out: (h, w, 3) uint8 to write into; made where None.

    Returns:
        (h, w, 3) uint8 BGR of the network's size.
    """
    import cv2

    canvas = out if out is not None else np.empty((placement.size_wh[1], placement.size_wh[0], 3), np.uint8)
    source, origin, shrunk = _shrunk(frame, placement)
    back = np.array(placement.inverse)
    # From centres of the input's pixels to centres of the source's.
    matrix = np.empty((2, 3))
    matrix[:, :2] = back[:, :2] / shrunk[:, None]
    matrix[:, 2] = (back[:, :2].sum(axis=1) / 2 + back[:, 2] - origin) / shrunk - 0.5
    cv2.warpAffine(
        source,
        matrix,
        placement.size_wh,
        dst=canvas,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(pad, pad, pad),
    )
    return canvas


def _shrunk(frame: NDArray[np.uint8], placement: Placement) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """What to sample from: the frame, or the part of it under the input made smaller, so that bilinear sampling misses no pixel.

    Returns:
        The picture, its top left edge in the frame, and frame pixels per pixel of it, by axis.
    """
    import cv2

    factor = 1 / np.array(placement.scale_xy)
    height, width = frame.shape[:2]
    if factor.max() <= 2:
        return frame, np.zeros(2), np.ones(2)
    x, y, across, down = placement.boxes_to_frame(np.array([[0, 0, *placement.size_wh]]))[0].astype(np.float64)
    low = np.clip(np.floor([x, y]), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil([x + across, y + down]), low + 1, [width, height]).astype(int)
    part = frame[low[1] : high[1], low[0] : high[0]]
    size = np.maximum(1, np.round((high - low) / np.maximum(factor, 1))).astype(int)
    small = np.asarray(cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA), np.uint8)
    return small, low.astype(np.float64), (high - low) / size
