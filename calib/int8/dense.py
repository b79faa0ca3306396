"""Equalisation in front of dense convolutions: channels scaled to even reach, where that takes away more noise than the weights gain.

A dense convolution has one weight scale for all that it reads, so a channel made smaller in the activations is larger in the weights. It pays
where few channels reach many times further than the others, as behind a depthwise convolution without activation. Behind a ReLU the reach of
a channel says little of its usual size: many are nearly always 0.
Source: G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models", ICML 2023, equation 4.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from posetrt.export.graph.graph import Graph, Layer

# How much of the reach goes from the activations into the weights.
_SHARES = (0.25, 0.5, 0.75, 1.0)
# A scale is worth it where less than this share of the noise is left: the estimate is a rough one.
_WORTH = 0.25
# A channel that reaches less than this share of the median counts as if it reached so far, as in `equalise`.
_FLOOR = 0.02
# Root mean square of a channel that reaches 1: values are many small ones and few large ones.
_TYPICAL = 0.125


def scalable(graph: Graph) -> dict[str, tuple[Layer, tuple[Layer, ...]]]:
    """Tensors that one convolution makes, without an activation, and that dense convolutions alone read: the one, and the others."""
    layers = {layer.output: layer for layer in graph.layers}
    found = {}
    for layer in graph.layers:
        name = layer.output
        if layer.activated != name:
            continue
        readers = tuple(layers.get(node.output[0]) for node in graph.consumers.get(name, ()))
        dense = tuple(one for one in readers if one is not None and one.kind == "Conv" and one.group == 1 and one.input == name)
        if layer.kind == "Conv" and dense and len(dense) == len(readers) and name not in graph.outputs:
            found[name] = (layer, dense)
    return found


def dense_divisors(graph: Graph, peaks: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    """(C,) divisors of the channels of layers, by name, where they take away three quarters of the noise that is to be expected.

    Args:
        peaks: (photographs, C) largest magnitude of each channel, of the tensors that `scalable` names.
    """
    found = {}
    for name, (layer, readers) in scalable(graph).items():
        if name not in peaks:
            continue
        reach = peaks[name].max(axis=0).astype(np.float64)
        weights = np.concatenate([np.abs(graph.constants[one.weight].astype(np.float64)) for one in readers])
        weights = weights.reshape(*weights.shape[:2], -1)
        heard = weights.max(axis=(0, 2))
        alive = (reach > 0) & (heard > 0)
        if alive.sum() < 2:
            continue
        # A channel that is nearly dead may have a large bias, which must not grow with its scale.
        reach = np.maximum(reach, _FLOOR * float(np.median(reach[alive])))
        plain = _noise(weights, reach, np.ones_like(reach))
        tried = []
        for share in _SHARES:
            divisor = np.ones_like(reach)
            divisor[alive] = reach[alive] ** share / heard[alive] ** (1 - share)
            divisor[alive] /= np.median(divisor[alive])
            tried.append((_noise(weights, reach, divisor), share, divisor))
        least, _, divisor = min(tried, key=lambda one: one[:2])
        if least < _WORTH * plain:
            # float32 as the weights are, so that a reader of calibration.json makes the same graph.
            found[layer.name] = divisor.astype(np.float32).astype(np.float64)
    return found


def _noise(weights: NDArray[np.float64], reach: NDArray[np.float64], divisor: NDArray[np.float64]) -> float:
    """Squared error to be expected of the layer's outputs, up to a factor: of rounded activations, and of rounded weights.

    Args:
        weights: (out, C, n) magnitudes.
        reach, divisor: (C,) of the channels.
    """
    scaled, left = weights * divisor[None, :, None], reach / divisor
    activations = left.max() ** 2 * float(np.square(scaled).sum())
    rounded = float(np.square(scaled.max(axis=(1, 2))).sum()) * weights.shape[2] * float(np.square(_TYPICAL * left).sum())
    return float(activations + rounded)
