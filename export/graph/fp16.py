"""A float16 graph: types converted in the ONNX itself, since TensorRT 11 has no other way to ask for it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from posetrt.export.graph.fused import DECODE_PREFIX, INPUT_PREFIX
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import sha256_of, written_whole
from posetrt.runtime.model.folder import MADE_FROM_KEY, ModelFolder

ModelProto = Any  # onnx.ModelProto
LARGEST = 65504.0  # of float16
# Inputs whose type the operator fixes at float32, by position (onnx, Operators.md).
_FIXED_FLOAT = {"Resize": {1, 2}, "Upsample": {1}}


def write_fp16(folder: ModelFolder) -> None:
    """Make `variants/fp16.onnx` of the folder's model.onnx, with the hash of what it was made from.

    Raises:
        PosetrtError: a weight that float16 cannot hold, or the disk refuses.
    """
    import onnx

    model = to_fp16(onnx.load(str(folder.onnx)))
    model.metadata_props.append(onnx.StringStringEntryProto(key=MADE_FROM_KEY, value=json.dumps({"model": sha256_of(folder.onnx)})))
    with written_whole(folder.variant("fp16")) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def to_fp16(model: ModelProto) -> ModelProto:
    """A copy of a float32 graph whose network runs in float16.

    Inputs and outputs keep their types, and so do the nodes that `fused` put in front of the network and behind it: a
    Cast stands at each border.

    Raises:
        PosetrtError: a weight that float16 cannot hold.
    """
    import onnx
    from onnx import TensorProto, helper

    half = type(model)()
    half.CopyFrom(model)
    graph = half.graph
    types = _types(model)
    network = [node for node in graph.node if not node.name.startswith((INPUT_PREFIX, DECODE_PREFIX))]
    inside = {name for node in network for name in node.output}
    outputs = {value.name for value in graph.output}
    _halve_weights(graph, network)

    names: dict[str, str] = {}  # float32 tensor → the name of its float16 form
    casts: list[Any] = []
    weights = {tensor.name for tensor in graph.initializer}

    def halved(name: str) -> str:
        """The float16 form of a float32 tensor; a Cast makes it where it comes from outside the network."""
        if name not in names:
            names[name] = f"{name}/half"
            if name not in inside:
                casts.append(helper.make_node("Cast", [name], [names[name]], name=f"fp16/{name}", to=TensorProto.FLOAT16))
        return names[name]

    for node in network:
        fixed = _FIXED_FLOAT.get(node.op_type, set())
        for index, name in enumerate(node.input):
            if name and name not in weights and types.get(name) == TensorProto.FLOAT and index not in fixed:
                node.input[index] = halved(name)
        for index, name in enumerate(node.output):
            if types.get(name) == TensorProto.FLOAT:
                node.output[index] = halved(name)
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            elif attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(_half(attribute.t, node.name))

    wanted = outputs | {name for node in graph.node if node.name.startswith(DECODE_PREFIX) for name in node.input}
    casts += [
        helper.make_node("Cast", [names[name]], [name], name=f"fp32/{name}", to=TensorProto.FLOAT)
        for name in sorted(wanted & inside)
        if name in names
    ]
    _sort(graph, [*graph.node, *casts])
    del graph.value_info[:]
    onnx.checker.check_model(half, full_check=True)
    return half


def _types(model: ModelProto) -> dict[str, int]:
    """Element type of every tensor."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _halve_weights(graph: Any, network: list[Any]) -> None:
    """Convert the float32 weights that the network alone reads; one that others read too is doubled."""
    from onnx import TensorProto

    ours: dict[str, list[tuple[Any, int]]] = {}
    others = {name for node in graph.node if node.name.startswith((INPUT_PREFIX, DECODE_PREFIX)) for name in node.input}
    for node in network:
        for index, name in enumerate(node.input):
            if index in _FIXED_FLOAT.get(node.op_type, set()):
                others.add(name)
            else:
                ours.setdefault(name, []).append((node, index))
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or tensor.name not in ours:
            continue
        converted = _half(tensor, tensor.name)
        if tensor.name in others:
            converted.name = f"{tensor.name}/half"
            graph.initializer.append(converted)
            for node, index in ours[tensor.name]:
                node.input[index] = converted.name
        else:
            tensor.CopyFrom(converted)


def _half(tensor: Any, where: str) -> Any:
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    largest = float(np.max(np.abs(array), initial=0.0))
    if largest > LARGEST:
        raise PosetrtError(f"{where} holds {largest:g}, more than float16's {LARGEST:g}: this network cannot run in fp16. Use fp32 or int8")
    return numpy_helper.from_array(array.astype(np.float16), tensor.name)


def _sort(graph: Any, nodes: list[Any]) -> None:
    """Put nodes in an order in which each stands behind what it reads."""
    produced = {name for node in nodes for name in node.output}
    ready = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | {""}
    readers: dict[str, list[int]] = {}
    waiting = []
    for index, node in enumerate(nodes):
        missing = {name for name in node.input if name in produced and name not in ready}
        waiting.append(len(missing))
        for name in missing:
            readers.setdefault(name, []).append(index)
    queue = [index for index, count in enumerate(waiting) if count == 0]
    ordered = []
    for index in queue:
        ordered.append(nodes[index])
        for name in nodes[index].output:
            for reader in readers.get(name, ()):
                waiting[reader] -= 1
                if waiting[reader] == 0:
                    queue.append(reader)
    del graph.node[:]
    graph.node.extend(ordered)
