"""Pixel and cell centres sit at integers, in NumPy, OpenCV and ONNX alike."""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from posetrt.runtime.heads.cells import in_pixels
from posetrt.runtime.people import People
from posetrt.runtime.picture import place
from posetrt.runtime.placement import letterbox

STRIDE = 8


def _cell_of(x_frame: float, scale: float) -> float:
    """The formulas of DESIGN, forwards, in float64."""
    return ((x_frame + 0.5) * scale - 0.5 + 0.5) / STRIDE - 0.5


@given(
    width=st.integers(16, 2000),
    height=st.integers(16, 2000),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    size=st.sampled_from([(456, 256), (656, 368), (256, 256)]),
)
def test_a_cell_survives_the_way_to_the_image_and_back(width: int, height: int, x: float, y: float, size: tuple[int, int]) -> None:
    box = letterbox((width, height), size)
    point = np.array([x * (width - 1), y * (height - 1)])
    cell = [_cell_of(point[0], box.scale_xy[0]), _cell_of(point[1], box.scale_xy[1])]
    found = in_pixels(People(np.array([[[*cell, 1.0]]], np.float32), np.ones(1, np.float32)), STRIDE)
    back = box.people_to_frame(found).keypoints[0, 0]
    assert np.allclose(back[:2], point, atol=1e-3 * max(width, height) / 100)


def _blob(width: int, height: int, x: float, y: float, sigma: float) -> NDArray[np.float32]:
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * sigma**2)).astype(np.float32)


def _centre(image: NDArray[np.float32]) -> tuple[float, float]:
    down, across = np.indices(image.shape)
    return float((across * image).sum() / image.sum()), float((down * image).sum() / image.sum())


def test_opencv_letterboxes_a_blob_to_where_the_formula_says() -> None:
    blob = _blob(640, 480, 301.0, 222.0, 12)
    frame = np.repeat((blob * 127).astype(np.uint8)[..., None], 3, axis=2)
    box = letterbox((640, 480), (456, 256))
    seen = place(frame, box)[: round(480 * box.scale_xy[1]), : round(640 * box.scale_xy[0]), 0].astype(np.float32)
    x, y = _centre(seen)
    assert x == pytest.approx((301 + 0.5) * box.scale_xy[0] - 0.5, abs=0.05)
    assert y == pytest.approx((222 + 0.5) * box.scale_xy[1] - 0.5, abs=0.05)


def _onnx_resize(image: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear", coordinate_transformation_mode="half_pixel")],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, *image.shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "scales")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": image[None, None]})[0][0, 0], np.float32)


def test_onnx_and_opencv_resize_to_the_same_pixels() -> None:
    image = np.random.default_rng(0).random((32, 57)).astype(np.float32)
    ours = cv2.resize(image, (57 * STRIDE, 32 * STRIDE), interpolation=cv2.INTER_LINEAR)
    assert np.abs(_onnx_resize(image, STRIDE) - ours).max() < 1e-5


def test_a_peak_of_the_maps_lies_in_the_upsampled_map_where_the_formula_says() -> None:
    peak = _blob(57, 32, 20.0, 11.0, 1.5)
    x, y = _centre(_onnx_resize(peak, STRIDE))
    assert x == pytest.approx((20 + 0.5) * STRIDE - 0.5, abs=0.05)
    assert y == pytest.approx((11 + 0.5) * STRIDE - 0.5, abs=0.05)
