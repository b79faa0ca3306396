"""Bias correction: what rounding adds on every photograph alike goes, and what only some photographs show stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from posetrt.calib.int8.bias import bias_corrections
from posetrt.calib.int8.quantize import Corrections, quantize
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import Layout
from posetrt.export.graph.graph import Graph
from posetrt.runtime.engines.onnxruntime import open_session

# Values above it are clipped. Steps of 1/32, and of 1/512 for the weights: float16 holds both.
WIDEST = 127 / 32
NARROW = {name: Range(0, WIDEST, WIDEST, "mse", 0, 5) for name in ("x", "made", "held", "y")}


def one_layer() -> Graph:
    weights = {"w": np.full((2, 3, 1, 1), 127 / 512, np.float32), "b": np.array([1, -1], np.float32)}
    weights |= {"last": np.ones((1, 2, 1, 1), np.float32)}
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w", "b"], ["made"], "first"),
        onnx.helper.make_node("Relu", ["made"], ["held"], "relu"),
        onnx.helper.make_node("Conv", ["held", "last"], ["y"], "last"),
    ]
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size, 8, 8]) for name, size in (("x", 3), ("y", 1))]
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = onnx.helper.make_graph(nodes, "one", info[:1], info[1:], constants)
    return Graph(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), "one.onnx")


def images(reaches: list[float]) -> list[tuple[Path, np.ndarray]]:
    return [(Path(f"{index}.jpg"), np.full((1, 3, 8, 8), reach, np.float32)) for index, reach in enumerate(reaches)]


@pytest.mark.parametrize("layout", ["ort", "trt"])
def test_an_error_that_every_photograph_shows_is_taken_from_the_bias(layout: Layout) -> None:
    graph = one_layer()
    found = bias_corrections(graph, NARROW, layout, images([4.8] * 6))
    np.testing.assert_allclose(found["first"], [-0.6, -0.6], atol=0.02)
    model = quantize(graph, {**NARROW, **dict.fromkeys(("held", "y"), Range(0, 8, 8, "mse", 0, 8))}, layout, (), Corrections(found))
    session = open_session(model.SerializeToString())
    value = session.run(None, {"x": images([4.8])[0][1]})[0]
    np.testing.assert_allclose(value, 2 * 0.75 * 4.8, atol=0.1)


def test_an_error_of_few_photographs_is_left_alone() -> None:
    assert "first" not in bias_corrections(one_layer(), NARROW, "trt", images([WIDEST] * 11 + [9.0]))
