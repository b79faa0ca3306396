"""The pixels of a network's input: a frame scaled into its placement, and the tensor made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.model.manifest import InputSpec
from posetrt.runtime.placement import PAD_GREY, Placement, Resize, letterbox, whole_in
from posetrt.runtime.scaling import SHRINKS, Scratch, shrink


def place(
    frame: NDArray[np.uint8],
    placement: Placement,
    pad: int = PAD_GREY,
    out: NDArray[np.uint8] | None = None,
    scratch: Scratch | None = None,
    *,
    resize: Resize = "cubic",
) -> NDArray[np.uint8]:
    """Scale a frame into the network's input.

    Args:
        frame: (H, W, 3) uint8 BGR.
        placement: from `placement.letterbox` with this frame's size.
        pad: what the input shows beside the frame.
        out: (h, w, 3) uint8 to write into; made where None.
        scratch: keeps what lies between from frame to frame; None makes it anew.
        resize: see `Fit`.

    Returns:
        (h, w, 3) uint8 BGR of the network's size. What is cubic is averaged where it shrinks below half (`scaling`). A placement that is no
        letterbox is cut out, see `cut`.
    """
    width, height = placement.size_wh
    canvas = out if out is not None else np.empty((height, width, 3), np.uint8)
    whole = whole_pixels(placement, (frame.shape[1], frame.shape[0]))
    if whole is None:
        return cut(frame, placement, pad, canvas, scratch)
    _letterbox(frame, whole, pad, canvas, scratch or Scratch(), resize)
    return canvas


def to_input(canvas: NDArray[np.uint8], spec: InputSpec, out: NDArray[Any] | None = None, scratch: Scratch | None = None) -> NDArray[Any]:
    """The network's input tensor from a placed frame.

    Args:
        canvas: (h, w, 3) uint8 BGR; for a graph that takes a camera's frame, that frame.
        spec: the manifest's input.
        out: of the returned shape and type, to write into; made where None.
        scratch: keeps what lies between from frame to frame; None makes it anew.

    Returns:
        `spec.shape()` in the spec's type, colour order and normalisation; bytes as they are for a graph that takes them.
    """
    if spec.pixel_format == "nv12":
        tensor = out if out is not None else np.empty(spec.shape(), np.uint8)
        to_nv12(canvas, tensor[0], scratch or Scratch())
        return tensor
    if spec.takes_bytes:
        if out is None:
            return canvas[None]
        if not np.shares_memory(out, canvas):
            np.copyto(out, canvas[None])
        return out
    import cv2

    kind = np.dtype(spec.dtype)
    channels = (0, 1, 2) if spec.colour == "BGR" else (2, 1, 0)
    tensor = out if out is not None else np.empty(spec.shape(1, (canvas.shape[1], canvas.shape[0])), kind)
    planes = list((scratch or Scratch()).array("planes", (3, *canvas.shape[:2])))
    cv2.split(canvas, planes)
    for channel, plane in enumerate(channels):
        np.copyto(tensor[0, channel] if spec.layout == "NCHW" else tensor[0, ..., channel], planes[plane])
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
    return to_input(whole_picture(frame, spec, size_wh)[0], spec)


def whole_picture(frame: NDArray[np.uint8], spec: InputSpec, size_wh: tuple[int, int] | None = None) -> tuple[NDArray[np.uint8], Placement]:
    """A whole frame of any size as `to_input` takes it, and where the frame lies in the network's input.

    A graph that takes a camera's frame is shown a frame of another size as that camera would: letterboxed into it.
    """
    frame_wh = frame.shape[1], frame.shape[0]
    if spec.camera_wh is not None:
        behind = whole_in(spec.camera_wh, spec.size_wh, spec.fit.how)
        if frame_wh == spec.camera_wh:
            return frame, behind
        before = letterbox(frame_wh, spec.camera_wh)
        return place(frame, before, spec.fit.pad), before.then(behind)
    placement = whole_in(frame_wh, size_wh or spec.size_wh, spec.fit.how)
    if spec.fit.how == "crop":
        return cut(frame, placement, spec.fit.pad), placement
    return place(frame, placement, spec.fit.pad, resize=spec.fit.resize), placement


def to_nv12(frame: NDArray[np.uint8], out: NDArray[np.uint8], scratch: Scratch) -> None:
    """A (H, W, 3) uint8 BGR frame with even sides as NV12, (3 H / 2, W): BT.601, luma 16 to 235, one U, V for two by two pixels."""
    import cv2

    height, width = frame.shape[:2]
    planes = scratch.array("i420", (height * 3 // 2, width))
    cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420, dst=planes)
    i420_to_nv12(planes, out)


def i420_to_nv12(planes: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Three planes below each other, (3 H / 2, W), as NV12 of the same shape: the chroma planes interleaved."""
    import cv2

    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    out[:height] = planes[:height]
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    cv2.merge(list(chroma), dst=out[height:].reshape(height // 2, width // 2, 2))


def whole_pixels(placement: Placement, frame_wh: tuple[int, int]) -> tuple[int, int, int, int] | None:
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


def _letterbox(
    frame: NDArray[np.uint8], whole: tuple[int, int, int, int], pad: int, canvas: NDArray[np.uint8], scratch: Scratch, resize: Resize
) -> None:
    import cv2

    left, top, width, height = whole
    right, bottom = left + width, top + height
    seen = canvas[top:bottom, left:right]
    if (width, height) == (frame.shape[1], frame.shape[0]):
        seen[:] = frame
    elif resize == "cubic" and min(frame.shape[1] / width, frame.shape[0] / height) > SHRINKS:
        shrink(frame, seen, scratch)
    else:
        cv2.resize(frame, (width, height), dst=seen, interpolation=cv2.INTER_LINEAR if resize == "linear" else cv2.INTER_CUBIC)
    canvas[:top] = pad
    canvas[bottom:] = pad
    canvas[top:bottom, :left] = pad
    canvas[top:bottom, right:] = pad


def cut(
    frame: NDArray[np.uint8],
    placement: Placement,
    pad: int = 0,
    out: NDArray[np.uint8] | None = None,
    scratch: Scratch | None = None,
) -> NDArray[np.uint8]:
    """Cut a box out of a frame: bilinear, from a frame that was first made smaller where it shrinks below half.

    Args:
        frame: (H, W, 3) uint8 BGR.
        placement: from `placement.crop`; it may turn and mirror.
        pad: what the input shows outside the frame. OpenPose shows its hand and face networks black (handExtractorCaffe.cpp).
        out: (h, w, 3) uint8 to write into; made where None.
        scratch: as `place`.

    Returns:
        (h, w, 3) uint8 BGR of the network's size.
    """
    import cv2

    canvas = out if out is not None else np.empty((placement.size_wh[1], placement.size_wh[0], 3), np.uint8)
    source, origin, shrunk = _shrunk(frame, placement, scratch or Scratch())
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


def _shrunk(
    frame: NDArray[np.uint8], placement: Placement, scratch: Scratch
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """What to sample from: the frame, or the part of it under the input made smaller, so that bilinear sampling misses no pixel.

    Returns:
        The picture, its top left edge in the frame, and frame pixels per pixel of it, by axis.
    """
    factor = 1 / np.array(placement.scale_xy)
    height, width = frame.shape[:2]
    if factor.max() <= 2:
        return frame, np.zeros(2), np.ones(2)
    x, y, across, down = placement.boxes_to_frame(np.array([[0, 0, *placement.size_wh]]))[0].astype(np.float64)
    low = np.clip(np.floor([x, y]), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil([x + across, y + down]), low + 1, [width, height]).astype(int)
    part = frame[low[1] : high[1], low[0] : high[0]]
    size = np.maximum(1, np.round((high - low) / np.maximum(factor, 1))).astype(int)
    small = scratch.array("small", (int(size[1]), int(size[0]), 3))
    if min(part.shape[1] / size[0], part.shape[0] / size[1]) > SHRINKS:
        shrink(part, small, scratch)
    else:
        import cv2

        cv2.resize(part, (int(size[0]), int(size[1])), dst=small, interpolation=cv2.INTER_AREA)
    return small, low.astype(np.float64), (high - low) / size
