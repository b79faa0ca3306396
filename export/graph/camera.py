"""A camera's whole frame into the graph: colour conversion and scaling in front of the network, in plain operators.

The steps are those of the CPU (`runtime.scaling`, `runtime.picture`) with OpenCV's own weights and roundings, so that in float32 people
are the same either way. Bilinear samples are gathered, which costs a GPU less than products with matrices that hold two weights a row.
The nodes are named `input/camera/…`, run in float16 where the network does, and are never put into INT8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.export.graph.graph_ops import GraphOps, axes
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.scales import cubic_weights
from posetrt.runtime.model.manifest import InputSpec, PixelFormat
from posetrt.runtime.picture import whole_pixels
from posetrt.runtime.placement import Placement, whole_in
from posetrt.runtime.scaling import SHRINKS, way_to

CAMERA_PREFIX = "input/camera/"

Size = tuple[int, int]

# B, G, R from Y - 16, U - 128, V - 128 as OpenCV's COLOR_YUV2BGR_NV12 computes them (color_yuv.simd.hpp): BT.601 of video range, in 2^20ths.
_FROM_YUV = (np.array([[1220542, 2116026, 0], [1220542, -409993, -852492], [1220542, 0, 1673527]]) / 2**20).astype(np.float32)
_BLACK, _NO_COLOUR = 16.0, 128.0
# OpenCV's bilinear resize of bytes: weights in 2048ths; what is summed along a row is cut to 128ths, and each row's share to quarters.
_WEIGHT, _ROW, _SHARE = 2048.0, 128.0, 4.0


@dataclass(frozen=True)
class Camera:
    """The frames that a graph is to take: width and height, and how their pixels are stored, as `InputSpec` has it."""

    size_wh: Size
    pixel_format: PixelFormat = "bgr"


def placed_frame(ops: GraphOps, name: str, spec: InputSpec, camera: Camera) -> str:
    """Nodes from a camera's frame to the network's picture.

    Args:
        ops: whose prefix is `CAMERA_PREFIX`.
        name: of the input, uint8.
        spec: of the network behind, of one size.
        camera: the frames.

    Returns:
        The tensor (N, 3, h, w): BGR, 0 to 255, with what the letterbox shows beside the frame.

    Raises:
        UsageError: a network whose size is open.
    """
    from onnx import TensorProto

    if spec.dynamic:
        raise UsageError("--camera places frames of one size in an input of one size: leave --dynamic out")
    # TensorRT wants the Cast first: it moves no uint8.
    scaling = _Scaling(ops, ops("Cast", name, to=TensorProto.FLOAT), camera.size_wh)
    if camera.pixel_format == "nv12":
        scaling.from_nv12()
    placement = whole_in(camera.size_wh, spec.size_wh, spec.fit.how)
    whole = whole_pixels(placement, camera.size_wh)
    if whole is None:
        scaling.cut(placement, spec.fit.pad)
    else:
        left, top, width, height = whole
        scaling.scale((width, height))
        right, bottom = spec.size_wh[0] - left - width, spec.size_wh[1] - top - height
        scaling.planar()
        if any((left, top, right, bottom)):
            pads = axes(0, 0, top, left, 0, 0, bottom, right)
            scaling.x = ops("Pad", scaling.x, pads, float(spec.fit.pad))
    scaling.planar()
    return scaling.x


class _Scaling:
    """Writes the steps one after the other. `x` is the picture so far, of `size_wh`: (N, H, W, 3) as a camera gives it, until a step
    makes it (N, 3, H, W)."""

    def __init__(self, ops: GraphOps, x: str, size_wh: Size) -> None:
        self._ops, self.x, self.size_wh = ops, x, size_wh
        self._packed = True

    def planar(self) -> None:
        """Put the channels first."""
        if self._packed:
            self.x, self._packed = self._ops("Transpose", self.x, perm=[0, 3, 1, 2]), False

    def from_nv12(self) -> None:
        """(N, 3 H / 2, W) as BGR."""
        (width, height), ops = self.size_wh, self._ops
        luma = ops("Slice", self.x, axes(0), axes(height), axes(1))
        luma = ops("Max", ops("Reshape", luma, axes(0, 1, height, width)), _BLACK)
        chroma = ops("Slice", self.x, axes(height), axes(height * 3 // 2), axes(1))
        chroma = ops("Transpose", ops("Reshape", chroma, axes(0, height // 2, width // 2, 2)), perm=[0, 3, 1, 2])
        # Two by two pixels share one colour.
        scales = np.array([1, 1, 2, 2], np.float32)
        chroma = ops("Resize", chroma, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        offset = -_FROM_YUV @ np.array([_BLACK, _NO_COLOUR, _NO_COLOUR], np.float32)
        colours = ops("Conv", ops("Concat", luma, chroma, axis=1), _FROM_YUV[:, :, None, None], offset)
        # OpenCV gives whole numbers, and what is darker than black or brighter than white is lost there too.
        self.x, self._packed = ops("Floor", ops("Add", ops("Clip", colours, 0.0, 255.0), 0.5)), False

    def scale(self, size_wh: Size) -> None:
        """As `picture.place` scales."""
        if size_wh == self.size_wh:
            return
        across, down = (old / new for old, new in zip(self.size_wh, size_wh, strict=True))
        if min(across, down) <= SHRINKS:
            columns, rows = (
                cubic_weights((np.arange(new) + 0.5) * old / new - 0.5, old, a=-0.75)
                for old, new in zip(self.size_wh, size_wh, strict=True)
            )
            self._product(rows, columns)
            # Cubic weights overshoot.
            self.x = self._ops("Round", self._ops("Clip", self.x, 0.0, 255.0))
            return
        way = way_to(self.size_wh, size_wh)
        if way == "half":
            self._halve()
            self._sample(size_wh)
            return
        if way == "rows":
            self._sample((size_wh[0], 2 * size_wh[1]))
            self._mean_of_rows()
            return
        if way == "dense of a third":
            self._thin()
        self._sample((2 * size_wh[0], 2 * size_wh[1]))
        self._halve()

    def cut(self, placement: Placement, pad: int) -> None:
        """As `picture.cut` shows a whole frame: scaled where it shrinks below half, then sampled."""
        frame_wh, factor = self.size_wh, 1 / np.array(placement.scale_xy)
        if factor.max() > SHRINKS:
            width, height = np.maximum(1, np.round(np.array(frame_wh) / np.maximum(factor, 1))).astype(int).tolist()
            self.scale((width, height))
        columns, rows = (
            _samples(
                ((np.arange(placement.size_wh[axis]) + 0.5) * placement.inverse[axis][axis] + placement.inverse[axis][2])
                * (self.size_wh[axis] / frame_wh[axis])
                - 0.5,
                self.size_wh[axis],
            )
            for axis in (0, 1)
        )
        self._product(rows, columns)
        beside = pad * (1 - np.outer(rows.sum(axis=1), columns.sum(axis=1)))
        self.x = self._ops("Round", self._ops("Add", self.x, beside.astype(np.float32)[None, None]))

    def _product(self, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> None:
        self.planar()
        self.x = self._ops("MatMul", self._ops("MatMul", rows, self.x), np.ascontiguousarray(columns.T))
        self.size_wh = len(columns), len(rows)

    def _thin(self) -> None:
        """The middle one of each three rows."""
        self.x = self._ops("Slice", self.x, axes(1), axes(self.size_wh[1]), axes(1 if self._packed else 2), axes(3))
        self.size_wh = self.size_wh[0], self.size_wh[1] // 3

    def _halve(self) -> None:
        """The mean of each two by two pixels; half a grey level goes up."""
        self.planar()
        mean = self._ops("AveragePool", self.x, kernel_shape=[2, 2], strides=[2, 2])
        self.x = self._ops("Floor", self._ops("Add", mean, 0.5))
        self.size_wh = self.size_wh[0] // 2, self.size_wh[1] // 2

    def _mean_of_rows(self) -> None:
        """The mean of each two rows; half a grey level goes to the even one."""
        self.planar()
        self.x = self._ops("Round", self._ops("AveragePool", self.x, kernel_shape=[2, 1], strides=[2, 1]))
        self.size_wh = self.size_wh[0], self.size_wh[1] // 2

    def _sample(self, size_wh: Size) -> None:
        """Bilinear samples, as `cv2.resize` takes them of bytes (resize.cpp, HResizeLinear and VResizeLinear)."""
        ops, (down, across) = self._ops, (1, 2) if self._packed else (2, 3)
        columns, rows = (_taps(old, new) for old, new in zip(self.size_wh, size_wh, strict=True))

        def weights(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
            return values.reshape([-1 if place == axis else 1 for place in range(4)])

        shares = []
        for row, row_weights in rows:
            line = ops("Gather", self.x, row, axis=down)
            near, far = (
                ops("Mul", ops("Gather", line, column, axis=across), weights(column_weights, across)) for column, column_weights in columns
            )
            # In 128ths, cut off.
            summed = ops("Div", ops("Floor", ops("Mul", ops("Add", near, far), _ROW)), _ROW)
            shares.append(ops("Floor", ops("Mul", summed, _SHARE * weights(row_weights, down))))
        self.x = ops("Floor", ops("Div", ops("Add", ops("Add", *shares), 2.0), _SHARE))
        self.size_wh = size_wh


def _taps(count: int, samples: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.float32]], tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Of each of so many bilinear samples along an axis the two pixels, with their weights as OpenCV rounds them."""
    places = ((np.arange(samples) + 0.5) * (count / samples) - 0.5).astype(np.float32)
    first = np.floor(places).astype(np.int64)
    share = np.where((first < 0) | (first >= count - 1), 0, places - first).astype(np.float32)
    first = np.clip(first, 0, count - 1)
    near, far = (np.round(weight * np.float32(_WEIGHT)) / np.float32(_WEIGHT) for weight in (1 - share, share))
    return (first, near), (np.minimum(first + 1, count - 1), far)


def _samples(places: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """(n, count): bilinear weights at n places; beyond the rim nothing counts."""
    weights = np.zeros((len(places), count), np.float32)
    first = np.floor(places).astype(np.int64)
    for at, share in ((first, 1 - (places - first)), (first + 1, places - first)):
        inside = (at >= 0) & (at < count)
        np.add.at(weights, (np.flatnonzero(inside), at[inside]), share[inside])
    return weights
