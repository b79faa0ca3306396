"""float16 around INT8: what a scale that float16 cannot hold does to its weights, and what stays float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, numpy_helper

from posetrt.calib.int8.quantize import quantize
from posetrt.calib.int8.ranges import Range
from posetrt.export.graph.float16 import half_around_int8, to_fp16
from posetrt.export.graph.fused import with_uint8_input
from posetrt.export.graph.graph import Graph
from posetrt.runtime.errors import PosetrtError
from tests.rtx import build_with_rtx
from tests.tiny_model import tiny_graph, tiny_manifest

# float16's smallest normal number, in which a scale must be.
SMALLEST = float(np.finfo(np.float16).tiny)


def quantized(model: Any) -> Any:
    graph = Graph(model, "tiny")
    return quantize(graph, {name: Range(-1.0, 1.0, 1.0, "minmax", -1.0, 1.0) for name in graph.float_tensors}, "trt")


def with_dead_filters() -> Any:
    """The tiny graph, whose first convolution has filters of 1e-6, 1e-4, 1e-3 and 1e-2 as their largest weight."""
    model = tiny_graph()
    for weight in model.graph.initializer:
        if weight.name == "w1":
            value = numpy_helper.to_array(weight).copy()
            for index, largest in enumerate((1e-6, 1e-4, 1e-3, 1e-2)):
                value[index] *= largest / np.abs(value[index]).max()
            weight.CopyFrom(numpy_helper.from_array(value, "w1"))
    return model


def test_a_filter_whose_scale_float16_raises_keeps_its_size() -> None:
    """Raised behind the rounding, the scale made dead filters up to 27 times as large."""
    model = with_dead_filters()
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}["w1"]
    half = Graph(half_around_int8(quantized(model), "tiny"), "tiny")
    whole = half.constants["c1/weight/int8"].astype(np.float32)
    scale = half.constants["c1/weight/scale"].astype(np.float32)
    assert scale.min() >= SMALLEST
    written = whole * scale[:, None, None, None]
    assert (np.abs(written - weights).max(axis=(1, 2, 3)) <= 0.5001 * scale).all(), "each weight is rounded to the nearest step"
    assert not whole[0].any(), "weights below half of a step are 0"


def test_scales_that_float16_does_not_hold_are_refused_and_not_raised() -> None:
    model = quantized(with_dead_filters())
    for one in model.graph.initializer:
        if one.name == "c1/weight/scale":
            one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one) / np.float32(4), one.name))
    with pytest.raises(PosetrtError, match=r"c1/weight/scale.*quantise the float graph again"):
        half_around_int8(model, "tiny")


def test_what_stands_in_front_of_the_network_stays_float32() -> None:
    model, _ = with_uint8_input(tiny_graph(), tiny_manifest())
    half = half_around_int8(quantized(model), "tiny")
    types = {value.name: value.type.tensor_type.elem_type for value in onnx.shape_inference.infer_shapes(half).graph.value_info}
    front = [name for node in half.graph.node if node.name.startswith("input/") and "Linear" not in node.op_type for name in node.output]
    assert front
    assert {types[name] for name in front if not name.endswith("/half")} == {TensorProto.FLOAT}
    convolutions = [node for node in half.graph.node if node.op_type == "Conv"]
    assert {types[node.output[0]] for node in convolutions} == {TensorProto.FLOAT16}
    build_with_rtx(half)


def test_a_clip_at_float32s_largest_number_does_not_keep_a_network_from_float16() -> None:
    """RTMPose's ScaleNorm clips so in some exports: a bound that bounds nothing."""
    nodes = [
        onnx.helper.make_node("Conv", ["image", "w"], ["sum"], "c", pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Clip", ["sum", "least", "most"], ["clipped"], "clip"),
        onnx.helper.make_node("Conv", ["clipped", "v"], ["out"], "d"),
    ]
    constants = {
        "w": np.full((4, 3, 3, 3), 0.1, np.float32),
        "v": np.full((2, 4, 1, 1), 0.5, np.float32),
        "least": np.array(1e-4, np.float32),
        "most": np.array(np.finfo(np.float32).max, np.float32),
    }
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    image = onnx.helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    out = onnx.helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 2, 8, 8])
    graph = onnx.helper.make_graph(nodes, "clips", [image], [out], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)
    whole, half = (onnx.reference.ReferenceEvaluator(one).run(None, {"image": picture})[0] for one in (model, to_fp16(model)))
    assert np.allclose(whole, half, atol=2e-3)
