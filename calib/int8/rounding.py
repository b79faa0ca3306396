"""Weights rounded by what comes of them: each is rounded in turn, and those of its filter that are still to come make up for its error.

Rounding each weight to the nearest step makes errors that add up where inputs go together, as channels behind a ReLU do. Source: E. Frantar,
S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023, section 3,
with the order of columns by their inputs' squares that the authors' code has (act-order).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.observe import open_session
from posetrt.calib.int8.scales import weight_scales
from posetrt.export.graph.graph import Graph, Layer

PHOTOGRAPHS = 24
"""Photographs from which the layers' inputs are taken."""
PLACES = 256
"""Places of each photograph at which a layer's input is taken, drawn at random."""
MOST_COLUMNS = 2400
"""Weights of a filter up to which it is rounded so: time and memory grow with the cube and the square."""
DAMPING = 0.01
"""What is added to the squares of the inputs, in parts of their mean. Source: the paper, section 3.3."""


def rounded_by_outputs(base: Graph, inputs: Iterable[tuple[Path, NDArray[Any]]]) -> dict[str, NDArray[np.float32]]:
    """The weights of each layer on their 8-bit grid, in their own shape and unit, by the name of the layer.

    Args:
        base: the equalised float graph.
        inputs: path and input tensor of some photographs.
    """
    layers = [layer for layer in base.layers if layer.kind != "ConvTranspose" and _columns(layer) <= MOST_COLUMNS]
    names = list(dict.fromkeys(layer.input for layer in layers))
    squares: dict[str, NDArray[np.float64]] = {}
    if not layers:
        return {}
    session, random = open_session(base, names), np.random.default_rng(0)
    for _, tensor in inputs:
        values = dict(zip(names, session.run(names, {base.inputs[0]: tensor}), strict=True))
        for layer in layers:
            seen = _filter_inputs(base, layer, values[layer.input], random)
            product = (seen.transpose(0, 2, 1) @ seen).astype(np.float64)
            squares[layer.name] = squares[layer.name] + product if layer.name in squares else product
    return {layer.name: _rounded(base, layer, squares[layer.name]) for layer in layers if layer.name in squares}


def _columns(layer: Layer) -> int:
    """Weights of one filter."""
    return int(np.prod(layer.shape)) // layer.shape[layer.axis]


def _filter_inputs(base: Graph, layer: Layer, value: NDArray[Any], random: np.random.Generator) -> NDArray[np.float32]:
    """What the filters of a layer are multiplied with at some places: (groups, places, weights of a filter)."""
    value = np.asarray(value, np.float32)
    if layer.kind != "Conv":
        rows = value.reshape(-1, value.shape[-1])
        return rows[random.permutation(len(rows))[:PLACES]][None]
    attributes: Mapping[str, Sequence[int]] = {one.name: list(one.ints) for one in base.producers[layer.output].attribute if one.ints}
    high, wide = layer.shape[2:]
    down, across = attributes.get("strides", (1, 1))
    dilated = attributes.get("dilations", (1, 1))
    reach = ((high - 1) * dilated[0] + 1, (wide - 1) * dilated[1] + 1)
    padded = np.pad(value[0], ((0, 0), *_padding(base.producers[layer.output], value.shape[2:], reach, (down, across))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    windows = windows[:, ::down, ::across, :: dilated[0], :: dilated[1]]
    places = random.permutation(windows.shape[1] * windows.shape[2])[:PLACES]
    taken = windows[:, places // windows.shape[2], places % windows.shape[2]]
    grouped = taken.reshape(layer.group, -1, len(places), high * wide)
    return np.ascontiguousarray(grouped.transpose(0, 2, 1, 3).reshape(layer.group, len(places), -1))


def _padding(node: Any, size: Sequence[int], reach: Sequence[int], steps: Sequence[int]) -> list[tuple[int, int]]:
    """Zeros before and behind rows and columns, of a convolution whose filter reaches so far. Source: ONNX's description of Conv."""
    pads = next((list(one.ints) for one in node.attribute if one.name == "pads"), [0, 0, 0, 0])
    own = next((one.s for one in node.attribute if one.name == "auto_pad"), b"NOTSET")
    if own not in (b"SAME_UPPER", b"SAME_LOWER"):
        return [(pads[0], pads[2]), (pads[1], pads[3])] if own == b"NOTSET" else [(0, 0), (0, 0)]
    missing = [max(0, (-(-side // step) - 1) * step + far - side) for side, step, far in zip(size, steps, reach, strict=True)]
    halves = [(one // 2, one - one // 2) for one in missing]
    return halves if own == b"SAME_UPPER" else [(behind, before) for before, behind in halves]


def _rounded(base: Graph, layer: Layer, squares: NDArray[np.float64]) -> NDArray[np.float32]:
    """A layer's weights on their grid.

    Args:
        squares: (groups, columns, columns): sums of products of the inputs.
    """
    first = np.moveaxis(base.constants[layer.weight], layer.axis, 0)
    scales = weight_scales(first, None, 1.0).astype(np.float64)
    groups, columns = squares.shape[:2]
    weight = first.reshape(groups, -1, columns).astype(np.float64)
    step = scales.reshape(groups, -1)
    diagonal = np.einsum("gii->gi", squares)
    diagonal += DAMPING * diagonal.mean(axis=1, keepdims=True) + 1e-12
    order = np.argsort(-diagonal, axis=1, kind="stable")
    squares = np.take_along_axis(np.take_along_axis(squares, order[:, :, None], 1), order[:, None, :], 2)
    weight = np.take_along_axis(weight, order[:, None, :], 2)
    # The upper Cholesky factor of the inverse: its row says how the columns behind make up for one.
    upper = np.linalg.cholesky(np.linalg.inv(squares)).transpose(0, 2, 1)
    rounded = np.empty_like(weight)
    for column in range(columns):
        rounded[:, :, column] = np.clip(np.rint(weight[:, :, column] / step), -127, 127) * step
        error = (weight[:, :, column] - rounded[:, :, column]) / upper[:, column, column, None]
        weight[:, :, column + 1 :] -= error[:, :, None] * upper[:, None, column, column + 1 :]
    back = np.take_along_axis(rounded, np.argsort(order, axis=1)[:, None, :], 2)
    return np.moveaxis(back.reshape(first.shape), 0, layer.axis).astype(np.float32)
