"""Float16 graphs: types converted in the ONNX itself, since TensorRT 11 has no other way to ask for them.

One converter serves both: the whole network in float16 (`to_fp16`), and float16 around INT8 (`half_around_int8`). What it may convert
it asks of ONNX's own operator schemas, input by input. What normalises in front of the network and what stands behind it stays float32:
float16 has no exact integers above 2048.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.export.graph.camera import CAMERA_PREFIX
from posetrt.export.graph.canonical import canonical
from posetrt.export.graph.fused import DECODE_PREFIX, INPUT_PREFIX
from posetrt.export.graph.onnx_file import ModelProto, check, describe, first_line, read_model, save_model
from posetrt.export.graph.opset import in_opset
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import sha256_of, written_whole
from posetrt.runtime.model.folder import ModelFolder

LARGEST = float(np.finfo(np.float16).max)
# From opset 19 on QuantizeLinear and DequantizeLinear take float16 scales; IR 9 came with it.
INT8_OPSET, INT8_IR_VERSION = 19, 9
# float16's smallest normal number. `quantize` raises the scales of TensorRT's layout to it before it rounds weights by them.
SMALLEST_SCALE = float(np.finfo(np.float16).tiny)

# What a network is made of. Nodes that lead to none of these stand behind the network: they decode, and stay float32.
_LAYERS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
_ACTIVATIONS = frozenset({"Relu", "PRelu", "Elu", "LeakyRelu", "Clip"})
_HALF, _SINGLE = "tensor(float16)", "tensor(float)"
# Inputs whose schema takes float16 and that stay: a region that a resize by scales or sizes does not read.
_KEPT = {("Resize", 1)}
# Operators whose output has the type that an attribute says.
_STATED = {"Cast": "to", "ConstantOfShape": "value"}
_SCALED = frozenset({"QuantizeLinear", "DequantizeLinear"})  # their second input is the scale

Node = Any  # onnx_ir.Node
Value = Any  # onnx_ir.Value


def write_fp16(folder: ModelFolder) -> None:
    """Make `variants/fp16.onnx` of the folder's model.onnx, with the hash of what it was made from.

    Raises:
        PosetrtError: a weight that float16 cannot hold, or the disk refuses.
    """
    model = describe(to_fp16(read_model(folder.onnx)), folder.manifest().to_json(), {"model": sha256_of(folder.onnx)})
    with written_whole(folder.variant("fp16")) as temporary:
        save_model(temporary, model)


def to_fp16(model: ModelProto) -> ModelProto:
    """A copy of a float32 graph whose network runs in float16.

    Inputs and outputs keep their types, and so do the nodes that `fused` put in front of the network and behind it, and what the
    graph itself does behind its last layer: a Cast stands at each border.

    Raises:
        PosetrtError: a weight that float16 cannot hold.
    """
    return _Converter(canonical(model, "the float32 graph"), "the fp16 graph").converted()


def half_around_int8(quantized: ModelProto, where: str) -> ModelProto:
    """A Q/DQ graph whose convolutions, activations and scales are float16; inputs and outputs stay float32.

    Args:
        quantized: ModelProto in TensorRT's layout, with scales that float16 holds, as `quantize` gives it.
        where: name of the graph, for errors.

    Raises:
        PosetrtError: a weight is too large for float16 or a scale too small, or the graph cannot be expressed in opset 19, which float16 scales need.
    """
    try:
        model = in_opset(quantized, INT8_OPSET, INT8_IR_VERSION)
    except PosetrtError as error:
        raise PosetrtError(f"{where}: {error}; float16 scales need opset {INT8_OPSET}") from error
    return _Converter(canonical(model, where), where).converted()


class _Converter:
    """Converts the network's part of a canonical graph. Used once."""

    def __init__(self, model: ModelProto, where: str) -> None:
        import onnx
        import onnx_ir as ir

        try:
            typed = onnx.shape_inference.infer_shapes(model)
        except (onnx.shape_inference.InferenceError, ValueError) as error:
            raise PosetrtError(f"the types of {where} cannot be told: {first_line(error)}") from error
        self._where = where
        self._model = ir.from_proto(typed)
        self._graph = self._model.graph
        self._names = {value.name for value in (*self._graph.inputs, *self._graph.initializers.values())}
        self._names.update(value.name for node in self._graph.all_nodes() for value in node.outputs)
        self._taken: dict[Value, Value] = {}  # float32 value from outside the network → its float16 form

    def converted(self) -> ModelProto:
        """The graph with its network in float16, as far as the operators have it."""
        import onnx_ir as ir

        places = {node: self._half_places(node) for node in self._network()}
        reading = {(node, index) for node, (inputs, _) in places.items() for index in inputs}
        made = {node.outputs[index] for node, (_, outputs) in places.items() for index in outputs}
        for node, (inputs, outputs) in places.items():
            for index in inputs:
                value = node.inputs[index]
                if value not in made:
                    node.replace_input_with(index, self._half_form(value, reading))
            if outputs:
                _state_half(node)
        for node, (_, outputs) in places.items():
            for index in outputs:
                self._halve(node.outputs[index], reading)
        self._graph.sort()
        model = ir.to_proto(self._model)
        del model.graph.value_info[:]
        return check(model, self._where)

    def _network(self) -> list[Node]:
        """The nodes that lead to a layer, are one, or activate one; all that are not ours, where there is no layer.

        Not those that compute with sizes alone: a size in float16 would be another above 2048.
        """
        # A Q and its DQ are named after their tensor, and belong to the network.
        own = [
            node
            for node in self._graph
            if not (node.name or "").startswith((INPUT_PREFIX, DECODE_PREFIX))
            or (node.op_type in _SCALED and node.name.startswith(INPUT_PREFIX))
        ]
        # Whole grey levels up to 255 are exact in float16, and a camera's frame is large.
        camera = [node for node in self._graph if (node.name or "").startswith(CAMERA_PREFIX)]
        sizes = self._sizes()
        if not any(node.op_type in _LAYERS for node in own):
            return [*camera, *(node for node in own if node not in sizes)]
        inside: set[Node] = set()
        wanted: set[Value] = set()
        for node in reversed(own):
            if node.op_type in _LAYERS or any(value in wanted for value in node.outputs):
                inside.add(node)
                wanted.update(value for value in node.inputs if value is not None)
        for node in own:
            source = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
            if node.op_type in _ACTIVATIONS and source is not None and source.op_type in _LAYERS and source in inside:
                inside.add(node)
        return [*camera, *(node for node in own if node in inside and node not in sizes)]

    def _sizes(self) -> set[Node]:
        """The nodes whose outputs depend on sizes alone, and on no pixel."""
        found: set[Node] = set()
        for node in self._graph:
            sources = [value.producer() for value in node.inputs if value is not None and value.producer() is not None]
            fed = any(value is not None and value.is_graph_input() for value in node.inputs)
            if node.op_type in ("Shape", "Size") or (sources and not fed and all(source in found for source in sources)):
                found.add(node)
        return found

    def _half_places(self, node: Node) -> tuple[list[int], list[int]]:
        """Which inputs and outputs of a node, float32 now, its operator also has in float16."""
        import onnx
        import onnx_ir as ir

        values = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name]
        if any(not isinstance(value.type, ir.TensorType) for value in values):
            return [], []  # of an unknown type, a sequence, an optional
        if any(attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attribute in node.attributes.values()):
            return [], []
        try:
            schema = onnx.defs.get_schema(node.op_type, self._model.opset_imports[node.domain], node.domain)
        except (onnx.defs.SchemaError, KeyError):
            return [], []  # an operator of somebody else
        allowed = {one.type_param_str: set(one.allowed_type_strs) for one in schema.type_constraints}

        def formal(parameters: Any, index: int) -> str:
            return str(parameters[min(index, len(parameters) - 1)].type_str)

        def could(value: Value, kind: str) -> bool:
            return value is not None and value.dtype == ir.DataType.FLOAT and _HALF in allowed.get(kind, ())

        inputs = [
            index
            for index, value in enumerate(node.inputs)
            if could(value, formal(schema.inputs, index)) and (node.op_type, index) not in _KEPT
        ]
        bound = {formal(schema.inputs, index) for index in inputs}
        outputs = [
            index
            for index, value in enumerate(node.outputs)
            if could(value, formal(schema.outputs, index)) and (formal(schema.outputs, index) in bound or node.op_type in _STATED)
        ]
        return inputs, outputs

    def _half_form(self, value: Value, reading: set[tuple[Node, int]]) -> Value:
        """The float16 form of a value that the network does not make: a constant converted, or a Cast of anything else."""
        import onnx_ir as ir

        if value in self._taken:
            return self._taken[value]
        if not value.is_initializer():
            cast = ir.node("Cast", [value], {"to": ir.DataType.FLOAT16}, outputs=[self._value(f"{value.name}/half", value, half=True)])
            cast.name = self._unique(f"half/{value.name}")
            self._graph.append(cast)
            self._taken[value] = cast.outputs[0]
            return cast.outputs[0]
        uses = list(value.uses())
        scale = any(use.node.op_type in _SCALED and use.idx == 1 for use in uses)
        exact = value.const_value.numpy()
        if all(use.node.op_type == "Clip" and use.idx in (1, 2) for use in uses):
            # A bound that no float16 reaches bounds nothing; what was clipped at float32's largest number is at float16's.
            exact = np.clip(exact, -LARGEST, LARGEST)
        array = _as_half(exact, value.name, self._where, is_scale=scale)
        alone = not value.is_graph_output() and all((use.node, use.idx) in reading for use in uses)
        kept = value if alone else self._value(f"{value.name}/half", value, half=True)
        kept.const_value = ir.tensor(array, name=kept.name)
        kept.type = ir.TensorType(ir.DataType.FLOAT16)
        if not alone:
            self._graph.register_initializer(kept)
        self._taken[value] = self._taken[kept] = kept
        return kept

    def _halve(self, value: Value, reading: set[tuple[Node, int]]) -> None:
        """Make a value of the network float16; who reads it outside of the network gets it through a Cast, under its old name."""
        import onnx_ir as ir

        name = value.name
        others = [use for use in value.uses() if (use.node, use.idx) not in reading]
        graphs = [graph for graph in (self._graph, *self._graph.subgraphs()) if any(one is value for one in graph.outputs)]
        value.name = self._unique(f"{name}/half")
        if others or graphs:
            single = self._value(None, value, half=False)
            single.name = name
            cast = ir.node("Cast", [value], {"to": ir.DataType.FLOAT}, outputs=[single])
            cast.name = self._unique(f"single/{name}")
            self._graph.append(cast)
            for use in others:
                use.node.replace_input_with(use.idx, single)
            for graph in graphs:
                for index, one in enumerate(graph.outputs):
                    if one is value:
                        graph.outputs[index] = single
        value.type = ir.TensorType(ir.DataType.FLOAT16)

    def _value(self, name: str | None, like: Value, *, half: bool) -> Value:
        import onnx_ir as ir

        kind = ir.DataType.FLOAT16 if half else ir.DataType.FLOAT
        return ir.Value(name=self._unique(name) if name else None, shape=like.shape, type=ir.TensorType(kind))

    def _unique(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._names:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name)
        return name


def _state_half(node: Node) -> None:
    """Say float16 in the attribute that states the type of a node's output, where the operator has one."""
    import onnx_ir as ir

    name = _STATED.get(node.op_type)
    if name == "to":
        node.attributes[name] = ir.AttrInt64(name, ir.DataType.FLOAT16)
    elif name == "value":
        stated = node.attributes[name].as_tensor().numpy() if name in node.attributes else np.zeros(1)
        node.attributes[name] = ir.AttrTensor(name, ir.tensor(stated.astype(np.float16)))


def _as_half(array: NDArray[Any], name: str, where: str, *, is_scale: bool) -> NDArray[np.float16]:
    """A constant in float16.

    Raises:
        PosetrtError: a value is too large, or a scale is smaller than float16's smallest normal number.
    """
    largest = float(np.max(np.abs(array), initial=0.0))
    if largest > LARGEST:
        raise PosetrtError(
            f"{name} holds {largest:g}, more than float16's {LARGEST:g}: this network cannot run in fp16. Use fp32 or int8 ({where})"
        )
    if is_scale and array.size and np.min(array) < SMALLEST_SCALE:
        # Raising it here would multiply the int8 weights that were rounded with the smaller one.
        raise PosetrtError(
            f"{name} of {where} holds {np.min(array):g}, less than float16's smallest normal number {SMALLEST_SCALE:g}: "
            "quantise the float graph again, with scales that float16 holds"
        )
    return np.asarray(array, np.float16)
