"""Weights rounded by what comes of them: on small layers, where the inputs go together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from posetrt.calib.int8.rounding import rounded_by_outputs
from posetrt.calib.int8.scales import rounded_weights
from posetrt.export.graph.graph import Graph

CHANNELS, SIDE = 16, 12


def one_layer(group: int, kernel: int, stride: int) -> Graph:
    random = np.random.default_rng(1)
    weight = random.normal(0, 1, (CHANNELS, CHANNELS // group, kernel, kernel)).astype(np.float32)
    weight[:, 0, 0, 0] = 4  # steps are wide beside most weights
    pads = [kernel // 2] * 4
    node = helper.make_node("Conv", ["x", "w"], ["y"], "one", group=group, strides=[stride] * 2, pads=pads)
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, CHANNELS, None, None]) for name in "xy"]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    return Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "one.onnx")


def images(seed: int) -> Iterator[tuple[Path, np.ndarray]]:
    """Channels that mostly go together, and a smooth picture in each."""
    random = np.random.default_rng(seed)
    for index in range(8):
        shared = random.uniform(0, 1, (1, 1, SIDE // 4, SIDE // 4)).repeat(4, 2).repeat(4, 3)
        own = random.uniform(0, 0.2, (1, CHANNELS, SIDE, SIDE))
        yield Path(f"{index}.png"), (shared * np.linspace(0.5, 1.5, CHANNELS).reshape(1, -1, 1, 1) + own).astype(np.float32)


def output_error(graph: Graph, weight: np.ndarray) -> float:
    """Squared error of the output on other pictures. Reference: ONNX's own evaluator."""
    outputs = [ReferenceEvaluator(one.model) for one in (graph, graph.with_constants({"w": weight}))]
    pairs = [[one.run(None, {"x": tensor})[0] for one in outputs] for _, tensor in images(7)]
    return float(sum(np.square(right - made).sum() for right, made in pairs))


@pytest.mark.parametrize(("group", "kernel", "stride"), [(1, 1, 1), (1, 3, 2), (CHANNELS, 3, 1), (4, 1, 2)])
def test_outputs_come_much_nearer_than_with_the_nearest_steps(group: int, kernel: int, stride: int) -> None:
    graph = one_layer(group, kernel, stride)
    layer = graph.layers[0]
    found = rounded_by_outputs(graph, images(0))["one"]
    whole, scales = rounded_weights(graph, layer, "ort", 1.0)
    each = scales.reshape(-1, 1, 1, 1)
    assert output_error(graph, found) < 0.5 * output_error(graph, whole * each)
    steps = found / each
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    given, _ = rounded_weights(graph, layer, "ort", 1.0, on_grid=found)
    np.testing.assert_array_equal(given, np.rint(steps))
    assert np.abs(given).max() == 127


def test_weights_that_lie_on_the_grid_stay_as_they_are() -> None:
    graph = one_layer(1, 3, 1)
    whole, scales = rounded_weights(graph, graph.layers[0], "trt", 1.0)
    on_grid = graph.with_constants({"w": whole * scales.reshape(-1, 1, 1, 1)})
    np.testing.assert_allclose(rounded_by_outputs(on_grid, images(0))["one"], on_grid.constants["w"], atol=1e-5)
