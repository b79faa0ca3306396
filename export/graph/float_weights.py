"""Q/DQ graphs with float weights: what a weakly typed TensorRT (8.6) takes where int8 initialisers behind a DequantizeLinear alone are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from posetrt.export.graph.onnx_file import check, copied, read_model, save_model
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import written_whole
from posetrt.runtime.model.folder import MADE_FROM_KEY, ModelFolder
from posetrt.runtime.model.onnx_metadata import metadata_of_onnx
from posetrt.runtime.packages import install_hint

VARIANT = "int8-trt-weak"


def float_weight_variant(folder: ModelFolder) -> Path:
    """The folder's Q/DQ graph with float weights, made from its int8-trt graph where it is not there yet.

    Raises:
        EngineMismatch: the int8-trt graph is absent or of another model or calibration.
        PosetrtError: the onnx package is missing.
    """
    source, target = folder.checked_variant("int8-trt"), folder.variant(VARIANT)
    made_from = metadata_of_onnx(source).get(MADE_FROM_KEY)
    if target.is_file() and metadata_of_onnx(target).get(MADE_FROM_KEY) == made_from:
        return target
    try:
        model = with_float_weights(read_model(source))
    except ModuleNotFoundError as error:
        raise PosetrtError(
            f"--explicit-qdq on a TensorRT without strong typing takes {target.name}, and writing it needs the onnx package: "
            f"{install_hint('onnx')}. Or leave out --explicit-qdq: the same ranges are then set on the tensors"
        ) from error
    with written_whole(target) as temporary:
        save_model(temporary, model)
    return target


def with_float_weights(quantized: Any) -> Any:
    """A copy of a Q/DQ graph whose int8 weights are float ones behind a QuantizeLinear, with the same scales along the same axis.

    Each weight becomes what its whole number stands for, so that quantising gives that number again.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = copied(quantized)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        weight = constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if weight is not None and weight.data_type == onnx.TensorProto.INT8:
            axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
            whole, scale = numpy_helper.to_array(weight), numpy_helper.to_array(constants[node.input[1]])
            along = [1] * whole.ndim
            if scale.ndim:
                along[axis] = -1
            name = f"{node.output[0]}/unrounded"
            weight.CopyFrom(numpy_helper.from_array(whole.astype(np.float32) * scale.reshape(along), name))
            rounded = f"{node.output[0]}/rounded"
            nodes.append(helper.make_node("QuantizeLinear", [name, *node.input[1:]], [rounded], f"{node.name}/Q", axis=axis))
            node.input[0] = rounded
        nodes.append(node)
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    return check(model, "the Q/DQ graph with float weights")
