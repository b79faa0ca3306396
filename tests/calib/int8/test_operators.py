"""Residual sums, deconvolutions and matrix products in INT8, and the share of the multiply-adds that it really has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from posetrt.calib.int8.calibrate import find_ranges
from posetrt.calib.int8.observe import Observation, observe
from posetrt.calib.int8.plan import eight_bit_share, fused_activations
from posetrt.calib.int8.quantize import quantize
from posetrt.calib.int8.shares import by_operator
from posetrt.export.graph.graph import Graph
from posetrt.runtime.engines.onnxruntime import open_session
from tests.rtx import build_with_rtx


def graph_of(
    nodes: list[tuple[str, list[str], str, dict[str, Any]]], weights: dict[str, np.ndarray], shapes: dict[str, list[int]]
) -> Graph:
    made = [onnx.helper.make_node(kind, inputs, [output], output, **named) for kind, inputs, output, named in nodes]
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = onnx.helper.make_graph(made, "drawn", info[:1], info[1:], constants)
    return Graph(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), "drawn.onnx")


def residual() -> Graph:
    """A residual block with an activation behind its sum, then one whose shortcut is a convolution too, then the output."""
    random = np.random.default_rng(0)
    weights = {name: random.standard_normal((8, 8, 1, 1)).astype(np.float32) / 3 for name in "abcde"} | {
        "w": np.ones((8, 3, 1, 1), np.float32)
    }
    nodes = [
        ("Conv", ["x", "w"], "made", {}),
        ("Relu", ["made"], "stem", {}),
        ("Conv", ["stem", "a"], "inner", {}),
        ("Add", ["inner", "stem"], "sum", {}),
        ("Relu", ["sum"], "block", {}),
        ("Conv", ["block", "b"], "left", {}),
        ("Conv", ["block", "c"], "right", {}),
        ("Add", ["left", "right"], "second", {}),
        ("Relu", ["second"], "last", {}),
        ("Conv", ["last", "d"], "y", {}),
    ]
    return graph_of(nodes, {name: value for name, value in weights.items() if name != "e"}, {"x": [1, 3, 16, 16], "y": [1, 8, 16, 16]})


def products() -> Graph:
    """A deconvolution, a product of two activations, a MatMul and a Gemm."""
    random = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / 4).astype(np.float32)

    weights = {"w": weight(16, 3, 3, 3), "up": weight(16, 8, 4, 4), "right": weight(64, 32), "gemm": weight(24, 256), "bias": weight(24)}
    weights |= {"rows": np.array([1, 8, 64]), "flat": np.array([1, 256])}  # type: ignore[dict-item]
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Conv", ["x", "w"], "made", {"pads": [1] * 4, "strides": [2, 2]}),
        ("Relu", ["made"], "held", {}),
        ("ConvTranspose", ["held", "up"], "large", {"strides": [2, 2], "pads": [1] * 4}),
        ("Relu", ["large"], "maps", {}),
        ("Reshape", ["maps", "rows"], "tokens", {}),
        ("Transpose", ["tokens"], "turned", {"perm": [0, 2, 1]}),
        ("MatMul", ["tokens", "turned"], "pairs", {}),
        ("MatMul", ["pairs", "tokens"], "mixed", {}),
        ("MatMul", ["mixed", "right"], "shorter", {}),
        ("Reshape", ["shorter", "flat"], "row", {}),
        ("Gemm", ["row", "gemm", "bias"], "y", {"transB": 1}),
    ]
    return graph_of(nodes, weights, {"x": [1, 3, 8, 8], "y": [1, 24]})


def seen_by(graph: Graph, shape: tuple[int, ...]) -> tuple[Observation, list[np.ndarray]]:
    images = [np.random.default_rng(seed).standard_normal(shape).astype(np.float32) for seed in range(8)]
    return observe(
        graph, [(Path(f"{index}.jpg"), image) for index, image in enumerate(images)], unseen=set(fused_activations(graph))
    ), images


def run(model: Any, tensor: np.ndarray, optimised: Path | None = None) -> np.ndarray:
    def configure(options: Any) -> None:
        if optimised is not None:
            options.optimized_model_filepath = str(optimised)

    session = open_session(model.SerializeToString(), configure)
    return np.asarray(session.run(None, {"x": tensor})[0])


def test_the_shortcut_of_a_residual_sum_is_quantised_and_the_bare_convolution_is_not() -> None:
    graph = residual()
    seen, images = seen_by(graph, (1, 3, 16, 16))
    model = quantize(graph, find_ranges(graph, seen, "mse"), "trt")
    quantised = Graph(model, "trt")
    made_by = {name: quantised.producers[name].op_type for node in quantised.nodes if node.op_type == "Add" for name in node.input}
    assert Counter(made_by.values()) == {"Conv": 2, "DequantizeLinear": 2}, "one operand of each sum, also where both are convolutions"
    assert "inner" in made_by, "TensorRT would write the fused convolution in float if its own output were rounded"
    wanted, found = run(graph.model, images[0]), run(model, images[0])
    assert np.abs(wanted - found).mean() < 0.02 * np.ptp(wanted)
    assert build_with_rtx(model)


def test_onnx_runtime_computes_a_sum_and_its_activation_in_one_8_bit_step(tmp_path: Path) -> None:
    graph = residual()
    seen, images = seen_by(graph, (1, 3, 16, 16))
    model = quantize(graph, find_ranges(graph, seen, "mse"), "ort")
    found = run(model, images[0], tmp_path / "optimised.onnx")
    kinds = Counter(node.op_type for node in onnx.load(str(tmp_path / "optimised.onnx")).graph.node)
    assert kinds["QLinearAdd"] == 2
    assert kinds["Relu"] == 0
    wanted = run(graph.model, images[0])
    assert np.abs(wanted - found).mean() < 0.03 * np.ptp(wanted)


def test_deconvolutions_and_matrix_products_are_in_int8_where_the_engine_can(tmp_path: Path) -> None:
    graph = products()
    seen, images = seen_by(graph, (1, 3, 8, 8))
    ranges = find_ranges(graph, seen, "mse")
    wanted = run(graph.model, images[0])
    for layout in ("trt", "ort"):
        model = quantize(graph, ranges, layout)
        found = run(model, images[0], tmp_path / f"{layout}.onnx")
        assert np.abs(wanted - found).mean() < 0.03 * np.ptp(wanted), layout
    kinds = Counter(node.op_type for node in onnx.load(str(tmp_path / "ort.onnx")).graph.node)
    assert kinds["ConvTranspose"] == 1, "ONNX Runtime has no 8-bit form of it"
    model = quantize(graph, ranges, "trt")
    weights = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    axes = {
        node.op_type: weights[node.input[1]].attribute[0].i for node in model.graph.node if node.input[1:2] and node.input[1] in weights
    }
    assert axes == {"Conv": 0, "ConvTranspose": 1, "MatMul": 1, "Gemm": 0}
    assert build_with_rtx(model)


def test_the_share_in_int8_is_of_all_multiply_adds() -> None:
    graph = products()
    seen, _ = seen_by(graph, (1, 3, 8, 8))
    shapes = {name: one.shape for name, one in seen.tensors.items()}
    macs = {"Conv": 16 * 4 * 4 * 27, "ConvTranspose": 16 * 16 * 8 * 16, "MatMul": 8 * 64 * 32, "Gemm": 24 * 256}
    macs["MatMul of two activations"] = 2 * 8 * 8 * 64
    total = sum(macs.values())
    assert by_operator(graph, shapes) == pytest.approx({kind: one / total for kind, one in macs.items()})
    products_of_activations, deconvolution = macs["MatMul of two activations"], macs["ConvTranspose"]
    assert eight_bit_share(graph, "trt", (), shapes) == pytest.approx(1 - products_of_activations / total)
    assert eight_bit_share(graph, "ort", (), shapes) < 1 - (products_of_activations + deconvolution) / total + 1e-9
