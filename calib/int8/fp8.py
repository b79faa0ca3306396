"""FP8 for GPUs from Ada on, Thor among them: the Q/DQ graph of TensorRT's layout with float8 (E4M3) in place of int8.

Where the layers are, and which stay in float, is as in INT8. A float8 value has four significant bits over a wide reach (448 down to 2^-9), so that a
range need not be clipped, channels need not be equal, and no bias is corrected: the largest value seen lands on the largest that there is.
Source: P. Micikevicius et al., "FP8 Formats for Deep Learning", arXiv 2209.05433.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.quantize import quantize
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import as_float16_holds
from posetrt.export.graph.float16 import INT8_IR_VERSION, INT8_OPSET
from posetrt.export.graph.graph import Graph
from posetrt.export.graph.onnx_file import check
from posetrt.export.graph.opset import in_opset

LARGEST = 448.0
"""The largest number of E4M3."""


def quantize_fp8(graph: Graph, ranges: Mapping[str, Range], kept_float: Collection[str] = ()) -> Any:
    """A Q/DQ ModelProto of a float graph with float8 tensors and weights, scales that float16 holds, and everything else in float32.

    Args:
        graph: the float graph, equalised or not.
        ranges: of every tensor that a quantised layer reads; what it held on the photographs counts.
        kept_float: names of layers that stay in float.

    Raises:
        PosetrtError: a range is missing, or the graph cannot be expressed in opset 19, which float8 needs.
    """
    import onnx
    from onnx import numpy_helper

    model = in_opset(quantize(graph, ranges, "trt", kept_float, move=False), INT8_OPSET, INT8_IR_VERSION)
    layers = {f"{layer.output}/weight": layer for layer in graph.layers}
    made: dict[str, Any] = {}

    def scalar_pair(name: str) -> None:
        widest = max(-ranges[name].seen_low, ranges[name].seen_high)
        made[f"{name}/scale"] = numpy_helper.from_array(as_float16_holds(np.asarray(widest / LARGEST)), f"{name}/scale")
        made[f"{name}/zero_point"] = _float8(np.zeros(()), f"{name}/zero_point")

    for node in model.graph.node:
        name = node.name.rpartition("/")[0]
        if node.op_type == "QuantizeLinear":
            scalar_pair(name)
        elif node.op_type == "DequantizeLinear" and name in layers:
            layer = layers[name]
            weight = graph.constants[layer.weight]
            reach = np.abs(np.moveaxis(weight, layer.axis, 0).reshape(weight.shape[layer.axis], -1)).max(axis=1)
            scales = as_float16_holds(np.where(reach > 0, reach / LARGEST, 1.0))
            each = scales.reshape([-1 if axis == layer.axis else 1 for axis in range(weight.ndim)])
            made[f"{name}/int8"] = _float8(weight / each, f"{name}/int8")
            made[f"{name}/scale"] = numpy_helper.from_array(scales, f"{name}/scale")
            made[f"{name}/zero_point"] = _float8(np.zeros(len(scales)), f"{name}/zero_point")
    kept = [made.get(tensor.name, tensor) for tensor in model.graph.initializer]
    del model.graph.initializer[:], model.graph.value_info[:]
    model.graph.initializer.extend(kept)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8:
            raise AssertionError(f"{tensor.name} is still int8")
    return check(model, f"the FP8 graph of {graph.where}")


def _float8(values: NDArray[np.floating[Any]], name: str) -> Any:
    """A tensor of float8, rounded to the nearest; what is too large becomes the largest."""
    import ml_dtypes
    import onnx

    rounded = np.clip(np.asarray(values, np.float32), -LARGEST, LARGEST).astype(ml_dtypes.float8_e4m3fn)
    return onnx.TensorProto(
        name=name, data_type=onnx.TensorProto.FLOAT8E4M3FN, dims=rounded.shape, raw_data=np.ascontiguousarray(rounded).tobytes()
    )
