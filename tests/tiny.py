"""A tiny network of known shape: what the command line's tests run on where no real weights are needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tiny_network(path: Path, *, maps: int = 19, fields: int = 38, size_wh: tuple[int, int] | None = None) -> Path:
    """Write an ONNX file: stride 8, random weights, outputs `maps_out` and `fields_out` (left out where `fields` is 0)."""
    random = np.random.default_rng(1)
    weights = {
        "stem_w": random.normal(0, 0.2, (16, 3, 8, 8)),
        "stem_b": random.normal(0, 0.1, 16),
        "maps_w": random.normal(0, 0.1, (maps, 16, 1, 1)),
        "fields_w": random.normal(0, 0.1, (fields, 16, 1, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["image", "stem_w", "stem_b"], ["stem"], strides=[8, 8], name="stem"),
        helper.make_node("Relu", ["stem"], ["features"], name="relu"),
        helper.make_node("Conv", ["features", "maps_w"], ["maps_out"], name="maps"),
    ]
    outputs = [helper.make_tensor_value_info("maps_out", TensorProto.FLOAT, ["N", maps, "h", "w"])]
    if fields:
        nodes.append(helper.make_node("Conv", ["features", "fields_w"], ["fields_out"], name="fields"))
        outputs.append(helper.make_tensor_value_info("fields_out", TensorProto.FLOAT, ["N", fields, "h", "w"]))
    width, height = size_wh or ("W", "H")
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, height, width])],
        outputs,
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items() if len(value)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path
