"""An ONNX graph as the calibration reads and rewrites it: nodes by tensor, constants, convolutions, channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from posetrt.export.graph.canonical import canonical
from posetrt.export.graph.fused import INPUT_PREFIX
from posetrt.export.graph.onnx_file import copied, read_model, reads
from posetrt.runtime.errors import PosetrtError

# Operators that multiply and add, and that have an 8-bit form in at least one engine.
LAYER_KINDS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product with constant weights: the unit that is put into INT8 or kept in float.

    Attributes:
        name: of the node, or of its output where the node has none.
        input, output: tensors; `activated` is the tensor behind its ReLU, or its clip from 0, where that alone reads `output`, else `output`.
        weight, bias: names of the constants; no bias is "".
        group: groups of channels; equal to the number of input channels for a depthwise convolution.
        shape: of the weight: (out, in / group, kh, kw) for Conv, (in, out, kh, kw) for ConvTranspose, (in, out) or (out, in) for Gemm, (in, out) for MatMul.
        kind: the operator: "Conv", "ConvTranspose", "Gemm" or "MatMul".
        axis: of the weight that counts the output channels.
    """

    name: str
    input: str
    output: str
    activated: str
    weight: str
    bias: str
    group: int
    shape: tuple[int, ...]
    kind: str = "Conv"
    axis: int = 0

    @property
    def depthwise(self) -> bool:
        """Whether each input channel has filters of its own, so that its scale can be chosen freely."""
        return self.kind == "Conv" and self.group > 1 and self.shape[1] == 1


class Graph:
    """A float32 ONNX graph, held as a ModelProto with its constants (initialisers) as arrays. `model` must not be changed from outside.

    Raises:
        PosetrtError: the nodes are not in an order in which they can run, or a tensor is made twice.
    """

    def __init__(self, model: Any, where: str) -> None:
        from onnx import numpy_helper

        self.model = model
        self.where = where
        self.constants: dict[str, NDArray[Any]] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.producers: dict[str, Any] = {}
        self.consumers: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in node.output:
                if name in self.producers:
                    raise PosetrtError(f"{where}: two nodes make the tensor {name!r}, so this is no valid ONNX graph; export it again")
                if name:  # an output that nobody wants has none
                    self.producers[name] = node
            for name in reads(node):
                self.consumers.setdefault(name, []).append(node)

    @property
    def nodes(self) -> list[Any]:
        """The nodes, in an order in which they can run."""
        return list(self.model.graph.node)

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs that a caller feeds."""
        return [value.name for value in self.model.graph.input if value.name not in self.constants]

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return [value.name for value in self.model.graph.output]

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The convolutions and matrix products that can be quantised, in the order in which they run."""
        return tuple(layer for node in self.nodes if (layer := self._layer(node)) is not None)

    def _layer(self, node: Any) -> Layer | None:
        """The layer that a node is, or None where INT8 has no form for it: computed weights, a deconvolution in groups, a bias that is no row."""
        if (node.name or "").startswith(INPUT_PREFIX):
            return None  # it makes the network's picture: rounded to 8 bits, that would lose all that a camera shows in the dark
        if node.op_type not in LAYER_KINDS or len(node.input) < 2 or node.input[1] not in self.constants:
            return None
        bias = node.input[2] if len(node.input) > 2 else ""
        shape = self.constants[node.input[1]].shape
        if node.op_type in ("Conv", "ConvTranspose") and len(shape) != 4:
            return None  # of a signal or a volume
        number = {one.name: one.i if one.type == one.INT else one.f for one in node.attribute if one.type in (one.INT, one.FLOAT)}
        group = int(number.get("group", 1))
        axis = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0 if number.get("transB") else 1, "MatMul": 1}[node.op_type]
        scaled = number.get("alpha", 1.0) != 1 or number.get("beta", 1.0) != 1 or number.get("transA", 0) != 0
        if (bias and bias not in self.constants) or (axis == 1 and group > 1) or scaled or (node.op_type == "MatMul" and len(shape) != 2):
            return None
        if bias and self.constants[bias].size != shape[axis]:
            return None
        output = node.output[0]
        return Layer(
            node.name or output, node.input[0], output, self.activated(output), node.input[1], bias, group, shape, node.op_type, axis
        )

    def activated(self, name: str) -> str:
        """The tensor behind the ReLU, or the clip from 0, that alone reads a tensor, which every engine computes as one with what makes it; else the tensor."""
        readers = self.consumers.get(name, [])
        if len(readers) != 1 or name in self.outputs:
            return name
        node = readers[0]
        low = self.clip_bounds(node)[0] if node.op_type == "Clip" else None
        return str(node.output[0]) if node.op_type == "Relu" or low == 0 else name

    def clip_bounds(self, node: Any) -> tuple[float | None, float | None]:
        """Lowest and highest value that a Clip lets pass; None where it has none, or it is no constant."""
        ends = [self.constants.get(name) for name in [*node.input[1:], "", ""][:2]]
        low, high = (None if one is None or one.size != 1 else float(one.reshape(())) for one in ends)
        return low, high

    @cached_property
    def leading_to_layers(self) -> frozenset[str]:
        """Names of the tensors from which a way leads into a layer."""
        leading = {layer.input for layer in self.layers}
        for node in reversed(self.nodes):
            if any(name in leading for name in node.output):
                leading.update(reads(node))
        return frozenset(leading)

    @cached_property
    def float_tensors(self) -> tuple[str, ...]:
        """Names of the tensors that depend on the input and hold floats: the fed inputs first, then in the order of the nodes."""
        import onnx

        typed = onnx.shape_inference.infer_shapes(self.model).graph
        kinds = {value.name: value.type.tensor_type.elem_type for value in (*typed.input, *typed.value_info, *typed.output)}
        live = set(self.inputs)
        ordered = [name for name in self.inputs if kinds.get(name) == onnx.TensorProto.FLOAT]
        for node in self.nodes:
            if any(name in live for name in reads(node)):
                live.update(name for name in node.output if name)
                ordered += [name for name in node.output if name and kinds.get(name) == onnx.TensorProto.FLOAT]
        return tuple(ordered)

    def copy(self) -> Graph:
        """An independent copy."""
        return Graph(copied(self.model), self.where)

    def with_constants(self, changed: Mapping[str, NDArray[Any]]) -> Graph:
        """A copy in which some constants have other values of the same shape."""
        from onnx import numpy_helper

        other = self.copy()
        for tensor in other.model.graph.initializer:
            if tensor.name in changed:
                tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name], tensor.name))
        return Graph(other.model, self.where)


def load_graph(path: Path) -> Graph:
    """Read an ONNX file, in the one form that `canonical` gives every graph.

    Raises:
        PosetrtError: missing, truncated or no ONNX file.
    """
    return Graph(canonical(read_model(path), path.name), path.name)
