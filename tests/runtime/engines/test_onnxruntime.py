"""ONNX Runtime as the project opens it."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from posetrt.runtime.engines.onnxruntime import open_session


def test_int8_sums_do_not_overflow_on_processors_without_vnni() -> None:
    """Two products of 8 bits leave 16: 2 * 255 * 127. Reference: the sum itself."""
    total = 8 * 9 * 255 * 127
    constants = {
        "one": np.float32(1),
        "zero": np.uint8(0),
        "weight/int8": np.full((8, 8, 3, 3), 127, np.int8),
        "weight/zero": np.int8(0),
        "step": np.float32(total / 200),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["x/8"]),
        helper.make_node("DequantizeLinear", ["x/8", "one", "zero"], ["x/float"]),
        helper.make_node("DequantizeLinear", ["weight/int8", "one", "weight/zero"], ["weight"]),
        helper.make_node("Conv", ["x/float", "weight"], ["sums"]),
        helper.make_node("QuantizeLinear", ["sums", "step", "zero"], ["y/8"]),
        helper.make_node("DequantizeLinear", ["y/8", "step", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 8, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 8, 6, 6])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = open_session(model.SerializeToString())
    (found,) = session.run(["y"], {"x": np.full((1, 8, 8, 8), 255, np.float32)})
    np.testing.assert_allclose(found, total, rtol=0.005)
