"""A parsed graph inside TensorRT: its errors in the user's words, ranges on its tensors, precisions on its layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posetrt.export.engine.request import Profile
from posetrt.export.graph.fused import DECODE_PREFIX, INPUT_PREFIX
from posetrt.runtime.engines.trt_log import Log
from posetrt.runtime.errors import PosetrtError, UsageError

# Layers that give the values of their first input, moved or chosen, as they are.
_MOVES = ("SHUFFLE", "SLICE", "IDENTITY", "GATHER", "SQUEEZE", "UNSQUEEZE")


class BuildRefused(PosetrtError):
    """TensorRT does not take a graph as it was asked to; another plan may help. `memory`: for want of memory, where none does."""

    def __init__(self, message: str, *, memory: bool = False) -> None:
        super().__init__(message)
        self.memory = memory


def parse(trt: Any, network: Any, logger: Any, log: Log, graph: Path, title: str) -> Any:
    """Read an ONNX file into a network.

    Returns:
        The parser, which must live as long as the network: it owns the weights.

    Raises:
        BuildRefused: TensorRT does not take the graph: which node, why, and what to do.
    """
    parser = trt.OnnxParser(network, logger)
    if parser.parse_from_file(str(graph)):
        return parser
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    if not errors:
        raise BuildRefused(f"{title} cannot read {graph}: {log.reason('it gives no reason')}. Export the network again")
    raise BuildRefused(
        f"{title} does not take {graph.name}: {'; '.join(dict.fromkeys(_about(error) for error in errors[:3]))}. "
        "Export the network again with a lower --opset or another size; in a graph of your own, replace the operator, "
        "or end the graph before it"
    )


def _about(error: Any) -> str:
    """Node, operator and reason; 8.6 knows the node's number alone."""
    reason = " ".join(str(error.desc()).split())
    if hasattr(error, "node_operator"):
        return f'node "{error.node_name()}" ({error.node_operator()}): {reason}'
    return f"node number {error.node()}: {reason}"


def layers_of(network: Any) -> list[Any]:
    """All layers, in the graph's order."""
    return [network.get_layer(index) for index in range(network.num_layers)]


def outputs_of(layer: Any) -> list[Any]:
    """A layer's output tensors."""
    return [layer.get_output(index) for index in range(layer.num_outputs)]


def inputs_of(layer: Any) -> list[Any]:
    """A layer's input tensors, without those left out."""
    return [tensor for tensor in (layer.get_input(index) for index in range(layer.num_inputs)) if tensor is not None]


def check_shapes(network: Any, name: str, wanted: Profile) -> bool:
    """Whether the input needs an optimisation profile.

    Raises:
        UsageError: the graph is of one shape and another was asked for.
        PosetrtError: the graph has no input of that name.
    """
    found = {tensor.name: tensor for tensor in (network.get_input(index) for index in range(network.num_inputs))}
    if name not in found:
        raise PosetrtError(f"the graph has no input {name}, only {', '.join(found)}: it does not belong to its manifest. Export it again")
    shape = tuple(found[name].shape)
    if -1 in shape:
        return True
    if {wanted.smallest, wanted.best, wanted.largest} != {shape}:
        raise UsageError(
            f"the graph takes {shape} alone, and {wanted.smallest} to {wanted.largest} was asked for. "
            "Export it again with a range of sizes or batches"
        )
    return False


def ranges_of(trt: Any, network: Any, ranges: Mapping[str, float]) -> dict[str, float]:
    """The largest magnitude of each tensor of a network, as far as it is known; above 0.

    A tensor that TensorRT's parser put in between takes the range of what it is moved, chosen or joined from. A constant's is
    that of its largest weight, as NVIDIA's sampleINT8API does: PReLU's slopes are one, read through a SHUFFLE.

    Args:
        ranges: largest magnitude by tensor, of the calibration.
    """
    amax = {name: value for name, value in ranges.items() if value > 0}
    layers = layers_of(network)
    moves, joins = _kinds(trt, *_MOVES, "POOLING", "RESIZE"), _kinds(trt, "CONCATENATION")
    for layer in layers:
        result = layer.get_output(0).name
        if layer.type == trt.LayerType.CONSTANT:
            if is_float(trt, layer.get_output(0)):
                amax.setdefault(result, largest_weight(trt, layer))
        elif layer.type in moves and inputs_of(layer)[0].name in amax:
            amax.setdefault(result, amax[inputs_of(layer)[0].name])
        elif layer.type in joins and all(tensor.name in amax for tensor in inputs_of(layer)):
            amax.setdefault(result, max(amax[tensor.name] for tensor in inputs_of(layer)))
    for layer in reversed(layers):
        if layer.type in _kinds(trt, "SHUFFLE", "IDENTITY"):
            moved, result = inputs_of(layer)[0].name, layer.get_output(0).name
            if result in amax:
                amax.setdefault(moved, amax[result])
    return amax


def largest_weight(trt: Any, layer: Any) -> float:
    """The largest magnitude that a constant layer holds; 1 where all are 0, since a scale of 0 says nothing."""
    constant = layer
    constant.__class__ = trt.IConstantLayer  # the bindings give every layer as an ILayer, and document this way to its own members
    return float(np.abs(np.asarray(constant.weights, np.float32)).max(initial=0)) or 1.0


def float_tensors(trt: Any, network: Any) -> list[Any]:
    """Every tensor of a network that holds floats: inputs, constants and layers' outputs."""
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    tensors += [tensor for layer in layers_of(network) for tensor in outputs_of(layer)]
    return [tensor for tensor in tensors if is_float(trt, tensor)]


def is_float(trt: Any, tensor: Any) -> bool:
    """Whether a tensor holds float32 or float16."""
    return tensor.dtype in (trt.DataType.FLOAT, trt.DataType.HALF)


def set_ranges(trt: Any, network: Any, ranges: Mapping[str, float]) -> list[str]:
    """Give each float tensor its dynamic range.

    Args:
        ranges: largest magnitude by tensor.

    Returns:
        Names of float tensors that have none; layers around them run in a higher precision.
    """
    amax = ranges_of(trt, network, ranges)
    without = []
    if hasattr(trt.ITensor, "set_dynamic_range"):
        for tensor in float_tensors(trt, network):
            if tensor.name in amax:
                tensor.set_dynamic_range(-amax[tensor.name], amax[tensor.name])
            else:
                without.append(tensor.name)
    return without


def ends_of(trt: Any, network: Any, *, decodes: bool) -> list[Any]:
    """Layers in front of the network and behind it, which stay float32 in every precision.

    They are known by the names that `export.fused` gives their nodes. A graph that decodes has helpers of the parser's
    own there too, without such names: all that no convolution follows.
    """
    layers = layers_of(network)
    chosen = {layer.name for layer in layers if layer.name.startswith((INPUT_PREFIX, DECODE_PREFIX))}
    if decodes:
        needed: set[str] = set()
        for layer in reversed(layers):
            names = {tensor.name for tensor in outputs_of(layer)}
            if layer.type in _kinds(trt, "CONVOLUTION", "DECONVOLUTION") or names & needed:
                needed |= {tensor.name for tensor in inputs_of(layer)}
            else:
                chosen.add(layer.name)
    return [layer for layer in layers if layer.name in chosen]


def hold(trt: Any, layers: Collection[Any], precision: Any) -> set[str]:
    """Hold layers that compute floats to a precision, with their outputs.

    What only moves values keeps the type that it is given, a Cast, a Q and a DQ state their own, and a shape tensor has none to choose: a
    constraint on those is one more that TensorRT can refuse.

    Returns:
        Names of the float tensors that these layers give, moved ones included: they have no use for an INT8 range.
    """
    given: set[str] = set()
    if hasattr(trt.ILayer, "precision"):
        for layer in layers:
            floats = [index for index, tensor in enumerate(outputs_of(layer)) if is_float(trt, tensor) and not tensor.is_shape_tensor]
            given |= {tensor.name for tensor in outputs_of(layer) if is_float(trt, tensor)}
            if not floats or layer.type in _kinds(trt, *_MOVES, "CONCATENATION", "CONSTANT", "CAST", "QUANTIZE", "DEQUANTIZE"):
                continue
            layer.precision = precision
            for index in floats:
                layer.set_output_type(index, precision)
    return given


def named(network: Any, names: Collection[str]) -> tuple[list[Any], list[str]]:
    """The layers that names stand for, their own or their outputs', and the names that no layer has."""
    chosen = [layer for layer in layers_of(network) if layer.name in names or any(t.name in names for t in outputs_of(layer))]
    found = {layer.name for layer in chosen} | {tensor.name for layer in chosen for tensor in outputs_of(layer)}
    return chosen, sorted(set(names) - found)


def not_on_dla(config: Any, network: Any) -> list[str]:
    """Names of layers that cannot run on the DLA and fall back to the GPU."""
    return [layer.name for layer in layers_of(network) if not config.can_run_on_DLA(layer)]


def _kinds(trt: Any, *names: str) -> set[Any]:
    """Those of LayerType's values that this version has."""
    return {getattr(trt.LayerType, name) for name in names if hasattr(trt.LayerType, name)}
