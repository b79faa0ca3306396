"""How far a quantised graph's outputs are from those of the float graph, picture by picture: what layers are ranked by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.heads.hooks import output_error, relative_error
from posetrt.calib.sensitivity.judge import Judge, Runner, runner
from posetrt.export.graph.graph import Graph
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.model.manifest import Manifest

# Name of the places of a second look, (1, K, 2) pixels of the photograph.
_PLACES = "places"
# Operators that choose: behind them a small change is nothing, or a leap to another place.
_CHOOSING = frozenset({"ArgMax", "ArgMin", "NonMaxSuppression", "NonZero", "TopK"})


class Outputs:
    """The outputs that are compared: the network's own, as its head weighs them. Where the graph itself chooses the best cells or candidates,
    its outputs change by leaps, and what its last layers write is compared in their place. Of a network that looks twice it is the places of the
    second look: an error of the first moves the crop.

    Args:
        base: the float graph.
        manifest: of the network.
    """

    def __init__(self, base: Graph, manifest: Manifest) -> None:
        self.manifest = manifest
        chooses = any(node.op_type in _CHOOSING and node.output[0] not in base.leading_to_layers for node in base.nodes)
        self.inner = _last_maps(base) if chooses else []

    def runner(self, model: Any, *, fused: bool = True) -> Runner:
        """A ModelProto on ONNX Runtime, float or quantised, as `judge.runner`; it gives the inner tensors too."""
        if not self.inner:
            return runner(model, self.manifest, fused=fused)
        import onnx

        made = {name for node in model.graph.node for name in node.output}
        read = [next(one for one in (f"{name}/dequantized", name) if one in made) for name in self.inner]
        extended = onnx.ModelProto()
        extended.CopyFrom(model)
        present = {value.name for value in model.graph.output}
        extended.graph.output.extend(onnx.ValueInfoProto(name=name) for name in read if name not in present)
        run = runner(extended, self.manifest, fused=fused, inner=read)

        def renamed(tensor: NDArray[Any]) -> Tensors:
            values = run(tensor)
            return {**values, **{name: values[other] for name, other in zip(self.inner, read, strict=True)}}

        return renamed

    def of(self, judge: Judge, run: Runner) -> list[Tensors]:
        """What is compared of each of the judge's photographs, by name."""
        if not self.manifest.head.looks_twice:
            return judge.outputs(run)
        return [{_PLACES: one.keypoints[:, :, :2]} for one in judge.people(run)]

    def errors(self, judge: Judge, run: Runner, wanted: Sequence[Tensors]) -> list[float]:
        """The error of a graph's outputs on each photograph; 0 where they are the same.

        Args:
            wanted: what `of` gives of the float graph.
        """
        head, skeleton = self.manifest.head, self.manifest.skeleton
        given = self.of(judge, run)
        if head.looks_twice:
            return [_moved(one[_PLACES], other[_PLACES]) for one, other in zip(wanted, given, strict=True)]
        if self.inner:
            return [sum(relative_error(one[name], other[name]) for name in self.inner) for one, other in zip(wanted, given, strict=True)]
        return [output_error(head, skeleton, one, other) for one, other in zip(wanted, given, strict=True)]


def _moved(wanted: NDArray[Any], given: NDArray[Any]) -> float:
    """Mean squared distance of the parts, (1, K, 2) pixels, in parts of the square of the person's longer side."""
    side = float(np.ptp(wanted, axis=1).max(initial=1.0))
    return float(np.square(wanted - given).sum(axis=2).mean() / side**2)


def _last_maps(base: Graph) -> list[str]:
    """What the last layers write, behind a sigmoid where that alone reads it."""
    found = []
    for layer in base.layers:
        if layer.output in base.leading_to_layers:
            continue
        readers = base.consumers.get(layer.output, [])
        behind = len(readers) == 1 and readers[0].op_type == "Sigmoid"
        found.append(str(readers[0].output[0]) if behind else layer.activated)
    return found
