"""Equalisation in front of dense convolutions: channels scaled to even reach, where that takes away more noise than the weights gain.

A dense convolution has one weight scale for all that it reads, so a channel made smaller in the activations is larger in the weights. It pays
where few channels reach many times further than the others, as behind a depthwise convolution without activation. Behind a ReLU the reach of
a channel says little of its usual size: many are nearly always 0.
Source: G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models", ICML 2023, equation 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
# Share of the noise of rounded weights that `rounding` leaves: .04 to .1 on RTMDet, YOLOX and BlazePose.
_LEFT = 0.1


@dataclass(frozen=True)
class Stream:
    """Tensors whose channels are scaled alike: what convolutions make without an activation, and the sums of such.

    Attributes:
        tensors: names.
        makers: the convolutions that write them.
        readers: the dense convolutions that read them; nothing else does but the sums.
    """

    tensors: tuple[str, ...]
    makers: tuple[Layer, ...]
    readers: tuple[Layer, ...]


def streams(graph: Graph) -> list[Stream]:
    """The tensors that can be scaled in front of dense convolutions, in the order of their first makers."""
    layers = {layer.output: layer for layer in graph.layers}
    group: dict[str, list[str]] = {}
    for node in graph.nodes:
        name = node.output[0]
        if node.op_type == "Add":
            joined = {id(one): one for one in (group.setdefault(each, [each]) for each in (*node.input, name))}
            together = [tensor for one in joined.values() for tensor in one]
            group.update(dict.fromkeys(together, together))
        elif name in layers:
            group.setdefault(name, [name])
    found = []
    for tensors in {id(one): one for one in group.values()}.values():
        makers = [layers.get(name) for name in tensors if name not in graph.producers or graph.producers[name].op_type != "Add"]
        nodes = [node for name in tensors for node in graph.consumers.get(name, ()) if node.op_type != "Add"]
        readers = [layers.get(node.output[0]) for node in nodes]
        made = [one for one in makers if one is not None and one.kind == "Conv" and one.activated == one.output]
        read = [one for one in readers if one is not None and one.kind == "Conv" and one.group == 1 and one.input in tensors]
        whole = len(made) == len(makers) and len(read) == len(readers) and len({one.shape[0] for one in made}) == 1
        if whole and read and not set(tensors) & set(graph.outputs):
            found.append(Stream(tuple(tensors), tuple(made), tuple(read)))
    return found


def dense_divisors(graph: Graph, peaks: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    """(C,) divisors of the channels of layers, by name, where they take away three quarters of the noise that is to be expected.

    Args:
        peaks: (photographs, C) largest magnitude of each channel, of the tensors of `streams`.
    """
    found = {}
    for stream in streams(graph):
        seen = [peaks[name] for name in stream.tensors if name in peaks]
        if not seen:
            continue
        reach = np.concatenate(seen).max(axis=0).astype(np.float64)
        weights = [np.abs(graph.constants[one.weight].astype(np.float64)).reshape(*one.shape[:2], -1) for one in stream.readers]
        heard = np.max([one.max(axis=(0, 2)) for one in weights], axis=0)
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
            found.update(dict.fromkeys((one.name for one in stream.makers), divisor.astype(np.float32).astype(np.float64)))
    return found


def _noise(weights: Sequence[NDArray[np.float64]], reach: NDArray[np.float64], divisor: NDArray[np.float64]) -> float:
    """Squared error to be expected of the readers' outputs, up to a factor: of rounded activations, and of rounded weights.

    Args:
        weights: (out, C, n) magnitudes of each reader.
        reach, divisor: (C,) of the channels.
    """
    left, noise = reach / divisor, 0.0
    for one in weights:
        scaled = one * divisor[None, :, None]
        noise += left.max() ** 2 * float(np.square(scaled).sum())
        noise += _LEFT * float(np.square(scaled.max(axis=(1, 2))).sum()) * one.shape[2] * float(np.square(_TYPICAL * left).sum())
    return noise
