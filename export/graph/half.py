"""float16 around INT8: TensorRT's Q/DQ layout for strong typing (TensorRT 11), where what is not INT8 is what the graph says."""

from __future__ import annotations

from typing import Any

import numpy as np

from posetrt.export.graph.fused import INPUT_PREFIX
from posetrt.export.graph.graph import Graph
from posetrt.runtime.errors import PosetrtError

# From opset 19 on QuantizeLinear and DequantizeLinear take float16 scales; IR 9 came with it.
OPSET, IR_VERSION = 19, 9
_SMALLEST, _LARGEST = float(np.finfo(np.float16).tiny), float(np.finfo(np.float16).max)


def half_around_int8(quantized: Any, where: str) -> Any:
    """A Q/DQ graph whose convolutions, activations and scales are float16; inputs and outputs stay float32.

    So do the nodes in front of the network (`input/…`) and what stands behind the last convolution (peaks, line integrals):
    float16 has no exact integers above 2048.

    Args:
        quantized: ModelProto in TensorRT's layout, quantised with scales that float16 holds (`quantize(..., scale_type=np.float16)`).
        where: name of the graph, for errors.

    Raises:
        PosetrtError: a weight is too large for float16 or a scale too small, or the graph cannot be expressed in opset 19.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper, version_converter

    try:
        model = version_converter.convert_version(quantized, OPSET)
    except (RuntimeError, ValueError) as error:
        raise PosetrtError(f"{where} cannot be expressed in opset {OPSET}, which float16 scales need: {error}") from error
    model.ir_version = IR_VERSION
    graph = Graph(model, where)
    inside = _network_nodes(graph)
    kinds = {value.name: value.type.tensor_type.elem_type for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    kinds.update({value.name: value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)})
    float_constants = {name for name, value in graph.constants.items() if value.dtype == np.float32}
    made_half = {name for node in graph.nodes if id(node) in inside for name in node.output if kinds.get(name) == TensorProto.FLOAT}
    nodes: list[Any] = []
    constants: dict[str, Any] = {}
    casts: dict[str, str] = {}

    def cast(name: str, kind: int) -> str:
        target = f"{name}/{'half' if kind == TensorProto.FLOAT16 else 'single'}"
        if target not in casts:
            casts[target] = name
            nodes.append(helper.make_node("Cast", [name], [target], f"{target}/cast", to=kind))
        return target

    for node in graph.nodes:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        half = id(node) in inside
        for index, name in enumerate(node.input):
            if half and name in float_constants and not (node.op_type == "Resize" and index == 2):
                constants[f"{name}/half"] = numpy_helper.from_array(_half(graph.constants[name], name, where), f"{name}/half")
                copied.input[index] = f"{name}/half"
            elif half and name in kinds and kinds[name] == TensorProto.FLOAT and name not in made_half and name not in graph.constants:
                copied.input[index] = cast(name, TensorProto.FLOAT16)
            elif name in made_half and half:
                copied.input[index] = f"{name}/half"
            elif name in made_half:
                copied.input[index] = cast(f"{name}/half", TensorProto.FLOAT)
        for index, name in enumerate(node.output):
            if name in made_half:
                copied.output[index] = f"{name}/half"
        if half and node.op_type == "Cast" and copied.attribute[0].i == TensorProto.FLOAT:
            copied.attribute[0].i = TensorProto.FLOAT16
        nodes.append(copied)
    nodes += [
        helper.make_node("Cast", [f"{name}/half"], [name], f"{name}/cast", to=TensorProto.FLOAT)
        for name in graph.outputs
        if name in made_half
    ]
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend([*kept, *constants.values()])
    onnx.checker.check_model(model, full_check=True)
    return model


def _half(value: Any, name: str, where: str) -> Any:
    """A constant in float16."""
    if np.abs(value).max(initial=0) > _LARGEST:
        raise PosetrtError(f"{name!r} of {where} holds {np.abs(value).max():g}, which float16 cannot; keep this network in float32")
    if name.endswith("/scale") and np.min(value) < _SMALLEST:
        # Raising it here would multiply the int8 weights that were rounded with the smaller one.
        raise PosetrtError(
            f"{name!r} of {where} holds {np.min(value):g}, less than float16's smallest normal number {_SMALLEST:g}: "
            "quantise the graph with scale_type=np.float16"
        )
    return value.astype(np.float16)


def _network_nodes(graph: Graph) -> set[int]:
    """The ids of the nodes that lead to a convolution, are one, or activate one, without those in front of the network."""
    inside: set[int] = set()
    wanted: set[str] = set()
    for node in reversed(graph.nodes):
        # A Q and its DQ are named after their tensor, and belong to the network.
        if node.name.startswith(INPUT_PREFIX) and node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if node.op_type == "Conv" or any(name in wanted for name in node.output):
            inside.add(id(node))
            wanted.update(node.input)
    for node in graph.nodes:
        producer = graph.producers.get(node.input[0]) if node.input else None
        if node.op_type in ("Relu", "PRelu", "Elu") and producer is not None and producer.op_type == "Conv":
            inside.add(id(node))
    return inside
