"""Q/DQ graphs from ranges: ONNX Runtime's layout (unsigned activations, int32 bias) and TensorRT's (signed, float bias, scales shared)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.channels import by_channel, steps
from posetrt.calib.int8.elu import spread_elus
from posetrt.calib.int8.plan import WRITES_FLOAT, Plan, makes_small_map
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import Layout, activation_scale, bias_of, rounded_weights
from posetrt.calib.int8.shifted import cut_by_rounding, given_back, maker_of, moved_scale
from posetrt.export.graph.canonical import in_run_order
from posetrt.export.graph.graph import Graph, Layer
from posetrt.export.graph.onnx_file import check, reads

# What a convolution writes whose channels have steps of their own: whole numbers around 0, shifted into uint8.
_COMMON_STEP = (np.float32(1), np.uint8(128))


@dataclass(frozen=True)
class Corrections:
    """What makes up for the errors of layers in INT8, by the name of the layer.

    Attributes:
        bias: (out,) what is taken from its bias, as `bias.bias_corrections` gives it for this layout.
        weights: its weights on their 8-bit grid, as `rounding.rounded_by_outputs` gives them; others are rounded to the nearest step.
    """

    bias: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def quantize(
    graph: Graph,
    ranges: Mapping[str, Range],
    layout: Layout,
    kept_float: Collection[str] = (),
    corrections: Corrections | None = None,
    *,
    move: bool = True,
) -> Any:
    """A Q/DQ ModelProto of a float graph.

    Args:
        graph: the equalised float graph.
        ranges: of at least every tensor that a quantised operator reads or writes.
        layout: "ort" puts Q/DQ around each operator, unsigned activations, int32 bias, ReLU folded into the range where 0 is its lower
            end; small layers that make the output maps compute in float from 8-bit inputs. "trt" puts Q/DQ on the inputs of
            layers and concats and on the shortcuts of residual adds alone, signed, zero point 0, float bias; what lies to one side of 0 is moved
            to the grid's middle where that costs nothing (`shifted`).
        kept_float: names of layers that stay in float.
        corrections: for this layout.
        move: False leaves every tensor of TensorRT's layout where it lies: float8 has the most levels around 0.

    Raises:
        PosetrtError: a range is missing.
    """
    layers = [layer.name for layer in graph.layers if layer.name not in set(kept_float)]
    return quantize_only(graph, ranges, layout, layers, corrections, move=move)


def quantize_only(
    graph: Graph,
    ranges: Mapping[str, Range],
    layout: Layout,
    layers: Collection[str],
    corrections: Corrections | None = None,
    *,
    move: bool = True,
) -> Any:
    """As `quantize`, with the layers named that are put into INT8 rather than those that are not."""
    model = _Writer(graph, Plan(graph, layers, layout, ranges, move=move), corrections or Corrections()).model()
    if layout == "ort":
        spread_elus(model)
    return model


def with_rounded_output(model: Any, graph: Graph, layer: Layer, ranges: Mapping[str, Range]) -> bool:
    """Round what a layer of a Q/DQ model writes as ONNX Runtime's layout rounds it, in place.

    Args:
        model: of `graph`, in which this tensor is not rounded yet.

    Returns:
        Whether anything was rounded: layers that write float readily, and those that make small maps, write no 8 bits.
    """
    from onnx import helper, numpy_helper

    name = layer.activated
    if layer.kind in WRITES_FLOAT or makes_small_map(graph, layer) or name not in ranges or name in graph.outputs:
        return False
    own = name in by_channel(graph) and bool(ranges[name].lows)
    scale, zero = steps(ranges[name]) if own else activation_scale(ranges[name], "ort")
    pair = [f"{name}/written/scale", f"{name}/written/zero_point"]
    model.graph.initializer.extend(numpy_helper.from_array(value, one) for value, one in zip((scale, zero), pair, strict=True))
    nodes = list(model.graph.node)
    for node in nodes:
        for place, one in enumerate(node.input):
            if one == name:
                node.input[place] = f"{name}/written"
    place = next(index for index, node in enumerate(nodes) if name in node.output) + 1
    nodes[place:place] = [
        helper.make_node("QuantizeLinear", [name, *pair], [f"{name}/written/quantized"]),
        helper.make_node("DequantizeLinear", [f"{name}/written/quantized", *pair], [f"{name}/written"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return True


class _Writer:
    """Writes the nodes of a quantised graph."""

    def __init__(self, graph: Graph, plan: Plan, corrections: Corrections) -> None:
        self.graph, self.plan, self.corrections = graph, plan, corrections
        self.unsigned = plan.layout == "ort"
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.replaced: dict[str, str] = {}  # float tensor -> the name that readers of the dequantised form take
        self.made_as: dict[str, str] = {}  # tensor -> the name that its producer writes, where that is another
        self.by_output = {layer.output: layer for layer in plan.eight_bit}
        # By what they write: layers whose bias takes what a moved tensor is moved by, and that.
        self.taken: dict[str, tuple[Layer, NDArray[np.float32]]] = {}
        self.dropped: set[str] = set()

    def model(self) -> Any:
        """The whole model."""
        for name in sorted(self.plan.tensors):
            self._quantise_tensor(name)
        self._drop_relu()
        for node in self.graph.nodes:
            if node.output[0] not in self.dropped:
                self.nodes.append(self._rewritten(node))
        model = self.graph.copy().model
        used = {name for node in self.nodes for name in reads(node)} | set(self.graph.outputs)
        kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
        needed = [node for node in self.nodes if any(name in used for name in node.output)]
        del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
        model.graph.node.extend(needed)
        model.graph.initializer.extend([*kept, *self.initializers])
        return check(in_run_order(model, self.graph.where), f"the INT8 graph of {self.graph.where}")

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def scale_of(self, name: str) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Scale and zero point of a tensor's 8-bit form; of a moved one as it is behind the move."""
        one = self.plan.ranges[name]
        if name in self.plan.moved:
            return moved_scale(one)[0], np.asarray(0, np.int8)
        return activation_scale(one, self.plan.layout)

    def _quantise_tensor(self, name: str) -> None:
        from onnx import helper

        scale, zero = self.scale_of(name)
        if name in self.plan.by_channel:
            scale, zero = (np.asarray(one) for one in _COMMON_STEP)
        # In ONNX Runtime's layout an output is what its Q/DQ gives; in TensorRT's it stays float and only its readers see 8 bits.
        is_output = self.unsigned and name in self.graph.outputs
        source, target = (name, f"{name}/dequantized") if not is_output else (f"{name}/float", name)
        if is_output:
            self.made_as[name] = source
        if name in self.plan.moved:
            source = self._moved(name)
        self.replaced[name] = target
        pair = [self._constant(f"{name}/scale", scale), self._constant(f"{name}/zero_point", zero)]
        self.nodes.append(helper.make_node("QuantizeLinear", [source, *pair], [f"{name}/quantized"], f"{name}/Q"))
        if name not in self.plan.by_channel:
            self.nodes.append(helper.make_node("DequantizeLinear", [f"{name}/quantized", *pair], [target], f"{name}/DQ"))
            return
        # A DequantizeLinear with a scale for each channel takes ONNX Runtime three times as long as these three.
        step, own_zero = (one.reshape(-1, 1, 1) for one in steps(self.plan.ranges[name]))
        moved = (zero.astype(np.float32) - own_zero) * step
        self.nodes += [
            helper.make_node("DequantizeLinear", [f"{name}/quantized", *pair], [f"{name}/whole"], f"{name}/DQ"),
            helper.make_node("Mul", [f"{name}/whole", self._constant(f"{name}/steps", step)], [f"{name}/stepped"], f"{name}/steps"),
            helper.make_node(
                "Add", [f"{name}/stepped", self._constant(f"{name}/moved", moved.astype(np.float32))], [target], f"{name}/moved"
            ),
        ]

    def _moved(self, name: str) -> str:
        """The tensor less what it is moved by: itself, where the layer that makes it takes that from its bias."""
        from onnx import helper

        if self.graph.producers[name].op_type == "Concat":
            return name  # of tensors that are moved
        one = self.plan.ranges[name]
        _, middle = moved_scale(one)
        readers = {*self.by_output, *(node.output[0] for node in self.plan.operators)}
        maker = maker_of(self.graph, name, one, readers, self.plan.tensors)
        if maker is None:
            middle_name = self._constant(f"{name}/middle", middle)
            self.nodes.append(helper.make_node("Sub", [name, middle_name], [f"{name}/moved"], f"{name}/moved"))
            return f"{name}/moved"
        self.taken[maker.output] = maker, middle
        node = self.graph.producers[name]
        if node.op_type in ("Relu", "Clip"):
            self.made_as[node.input[0]] = name
            self.dropped.add(name)
        return name

    def _drop_relu(self) -> None:
        """Leave out ReLUs, and clips from 0, that an unsigned range does anyhow; what makes their input then writes in their place."""
        if not self.unsigned:
            return
        for name in (*self.by_output, *(node.output[0] for node in self.plan.operators)):
            behind = self.plan.activated.get(name)
            # Who reads it in float reads what this node makes: a Gemm or a MatMul may have such a reader beside one in 8 bits.
            if behind is None or behind not in self.plan.tensors or behind in self.plan.float_read:
                continue
            if cut_by_rounding(self.graph, self.graph.producers[behind], self.plan.ranges[behind]):
                self.made_as[name] = self.made_as.get(behind, behind)
                self.dropped.add(behind)

    def _rewritten(self, node: Any) -> Any:
        """A node of the float graph as it stands in the quantised one."""
        import onnx

        layer = self.by_output.get(node.output[0])
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        eight_bit = layer is not None or any(node is one for one in self.plan.operators)
        for index, name in enumerate(node.input):
            if name in self.replaced and (eight_bit or (self.unsigned and name not in self.plan.float_read)):
                copied.input[index] = self.replaced[name]
        if layer is not None:
            self._quantise_weights(copied, layer)
        elif node.output[0] in self.taken:
            own, _ = self.taken[node.output[0]]
            self._write_float_bias(copied, own, bias_of(self.graph, own))
        for index, name in enumerate(node.output):
            copied.output[index] = self.made_as.get(name, name)
        return copied

    def _quantise_weights(self, node: Any, layer: Layer) -> None:
        bias = bias_of(self.graph, layer)
        correction = self.corrections.bias.get(layer.name)
        if bias is not None and correction is not None:
            bias = (bias - correction).astype(np.float32)
        input_scale = float(self.scale_of(layer.input)[0])
        on_grid = self.corrections.weights.get(layer.name)
        rounded, scales = rounded_weights(self.graph, layer, self.plan.layout, input_scale, on_grid)
        if not self.unsigned:
            if layer.input in self.plan.moved:
                back = moved_scale(self.plan.ranges[layer.input])[1] * given_back(rounded, scales, layer.axis)
                bias = back if bias is None else (bias + back).astype(np.float32)
            node.input[1] = self._dequantised(f"{layer.output}/weight", "int8", rounded, scales, layer.axis)
            self._write_float_bias(node, layer, bias)
            return
        if layer.activated in self.plan.by_channel:
            step, zero = steps(self.plan.ranges[layer.activated])
            scales = (scales / step).astype(np.float32)
            shift = zero.astype(np.float32) - np.float32(_COMMON_STEP[1])
            bias = shift if bias is None else (bias / step + shift).astype(np.float32)
            if len(node.input) < 3:
                node.input.append("")
        node.input[1] = self._dequantised(f"{layer.output}/weight", "int8", rounded, scales, layer.axis)
        if bias is None:
            return
        bias_scales = (np.float32(input_scale) * scales).astype(np.float32)
        whole = np.clip(np.rint(bias / bias_scales.astype(np.float64)), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        node.input[2] = self._dequantised(f"{layer.output}/bias", "int32", whole, bias_scales)

    def _write_float_bias(self, node: Any, layer: Layer, bias: NDArray[np.float32] | None) -> None:
        """The bias of a layer of TensorRT's layout, less what the moved tensor is moved by that it makes."""
        if layer.output in self.taken:
            own = np.zeros(layer.shape[layer.axis], np.float32) if bias is None else bias
            bias = (own - self.taken[layer.output][1]).astype(np.float32)
        if bias is None or (layer.bias and bias is self.graph.constants[layer.bias]):
            return
        if len(node.input) < 3:
            node.input.append("")
        node.input[2] = self._constant(f"{layer.output}/bias/corrected", bias)

    def _dequantised(self, prefix: str, kind: str, whole: NDArray[Any], scales: NDArray[np.float32], axis: int = 0) -> str:
        """The float form of a constant of whole numbers with a scale an output channel."""
        from onnx import helper

        names = [
            self._constant(f"{prefix}/{kind}", whole),
            self._constant(f"{prefix}/scale", scales),
            self._constant(f"{prefix}/zero_point", np.zeros(len(scales), whole.dtype)),
        ]
        self.nodes.append(helper.make_node("DequantizeLinear", names, [f"{prefix}/float"], f"{prefix}/DQ", axis=axis))
        return f"{prefix}/float"
