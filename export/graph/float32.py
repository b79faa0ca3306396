"""A user's float16 graph as the same graph in float32: a model.onnx holds float32, and each engine's own variant halves it again."""

from __future__ import annotations

from typing import Any

import numpy as np

from posetrt.export.graph.onnx_file import ModelProto, subgraphs


def in_float32(model: ModelProto) -> ModelProto:
    """The graph with every float16 tensor in float32, its picture and outputs too; in place, and unchanged where there are none."""
    _widened(model.graph)
    return model


def _widened(graph: Any) -> None:
    from onnx import TensorProto

    half, whole = TensorProto.FLOAT16, TensorProto.FLOAT
    for tensor in graph.initializer:
        _whole(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == half:
            value.type.tensor_type.elem_type = whole
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _whole(attribute.t)
            elif attribute.name in ("to", "dtype") and attribute.i == half:
                attribute.i = whole
        for inner in subgraphs(node):
            _widened(inner)


def _whole(tensor: Any) -> None:
    from onnx import TensorProto, numpy_helper

    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
