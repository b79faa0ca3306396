"""Bias correction: what rounding adds to each channel on every photograph alike is taken from its bias.

Source: M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, section 4.2. Here the error of each layer by itself is measured on photographs, for its rounded input and its rounded weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.observe import open_session
from posetrt.calib.int8.plan import grids
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import Layout, activation_scale, rounded_weights
from posetrt.export.graph.graph import Graph, Layer

# Of a channel's errors on the photographs.
QUARTILES = (0.25, 0.75)
# Photographs on which the errors are measured.
PHOTOGRAPHS = 12


def bias_corrections(
    base: Graph,
    ranges: Mapping[str, Range],
    layout: Layout,
    inputs: Iterable[tuple[Path, NDArray[Any]]],
    weights: Mapping[str, NDArray[np.float32]] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """What is to be taken from the biases of the layers that have one, (out,) by the name of the layer.

    A channel's error is its mean over a photograph. Of the photographs' errors the quartile nearer to 0 is taken, and nothing where one quartile is
    above 0 and the other below: a tensor that bursts on some photographs is cut there alone.

    Args:
        base: the equalised float graph.
        ranges: of its tensors.
        inputs: path and input tensor of some photographs.
        weights: as `Corrections` has them.
    """
    layers = [layer for layer in base.layers if layer.kind == "Conv" and layer.bias and layer.input in ranges]
    session = open_session(_with_rounded_twins(base, ranges, layout, layers, weights or {}), [_error(layer) for layer in layers])
    seen = [session.run([_error(layer) for layer in layers], {base.inputs[0]: tensor}) for _, tensor in inputs] if layers else []
    if not seen:
        return {}
    found = {}
    for place, layer in enumerate(layers):
        errors = np.array([one[place].ravel() for one in seen], np.float64)
        low, high = np.quantile(errors, QUARTILES, axis=0)
        found[layer.name] = np.where(low > 0, low, np.minimum(high, 0)).astype(np.float32)
    return {name: one for name, one in found.items() if np.isfinite(one).all() and np.any(one != 0)}


def _error(layer: Layer) -> str:
    return f"{layer.output}/twin/error"


def _with_rounded_twins(
    base: Graph, ranges: Mapping[str, Range], layout: Layout, layers: list[Layer], weights: Mapping[str, NDArray[np.float32]]
) -> Graph:
    """The float graph in which each layer has a twin with the same input, rounded, and rounded weights; and the mean difference of each channel."""
    import onnx
    from onnx import helper, numpy_helper

    model = base.copy().model
    graph = model.graph

    def constant(name: str, value: NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    own = grids(base, ranges, layout)
    for name in dict.fromkeys(layer.input for layer in layers):
        scale, zero = own.get(name) or activation_scale(ranges[name], layout)
        pair = [constant(f"{name}/rounded/scale", scale), constant(f"{name}/rounded/zero_point", zero)]
        graph.node.append(helper.make_node("QuantizeLinear", [name, *pair], [f"{name}/rounded/quantized"]))
        graph.node.append(helper.make_node("DequantizeLinear", [f"{name}/rounded/quantized", *pair], [f"{name}/rounded"]))
    for layer in layers:
        input_scale = float(activation_scale(ranges[layer.input], layout)[0])
        whole, scales = rounded_weights(base, layer, layout, input_scale, on_grid=weights.get(layer.name))
        weight = constant(f"{layer.output}/twin/weight", whole.astype(np.float32) * scales.reshape(-1, 1, 1, 1))
        twin = onnx.NodeProto()
        twin.CopyFrom(base.producers[layer.output])
        twin.name, twin.input[0], twin.input[1], twin.output[0] = (
            f"{layer.name}/twin",
            f"{layer.input}/rounded",
            weight,
            f"{layer.output}/twin",
        )
        apart = f"{layer.output}/twin/apart"
        graph.node.append(twin)
        graph.node.append(helper.make_node("Sub", [f"{layer.output}/twin", layer.output], [apart]))
        graph.node.append(helper.make_node("GlobalAveragePool", [apart], [_error(layer)]))
    return Graph(model, base.where)
