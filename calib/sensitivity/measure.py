"""Which layer costs what in INT8, in people and not in decibels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.agreement import agreement
from posetrt.calib.int8.quantize import Corrections, quantize, quantize_only, with_rounded_output
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import Layout
from posetrt.calib.sensitivity.judge import Judge, runner
from posetrt.calib.sensitivity.outputs import Outputs
from posetrt.calib.sensitivity.ranking import BOUNDARY, MapErrors
from posetrt.export.graph.graph import Graph
from posetrt.runtime.people import People

Score = Callable[[Sequence[People]], float]
LAYOUTS: tuple[Layout, ...] = ("ort", "trt")
# Layers whose people are looked at, and around which sets are tried.
SHORT_LIST = 16
# Share of the multiply-adds that stays in INT8 unless the caller says otherwise.
LEAST_EIGHT_BIT = 0.9


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs.

    Attributes:
        layer: name.
        oks_cost: 1 minus the OKS agreement between the people of FP32 and those with this layer alone in INT8 (TensorRT's rounding); None where
            the layer is not on the short list, and its people were not looked at.
        ap_cost: the AP that FP32 loses so, where photographs are annotated; else None.
        noise: this layer's share of the error that all layers one by one make in the outputs (`Outputs`), mean over the photographs.
        noise_ort: the same with the layer's own output rounded too, as ONNX Runtime's layout does before what stands behind it.
    """

    layer: str
    oks_cost: float | None
    ap_cost: float | None = None
    noise: float = 0.0
    noise_ort: float = 0.0


def layer_costs(
    base: Graph,
    ranges: Mapping[str, Range],
    judge: Judge,
    *,
    glance: Judge | None = None,
    weights: Mapping[str, NDArray[np.float32]] | None = None,
    shares: Mapping[str, float] | None = None,
    score: Score | None = None,
    only: Collection[str] | None = None,
    layouts: Collection[Layout] = LAYOUTS,
    people: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[LayerCost]:
    """The cost of each layer by itself, the costliest first.

    Each layer's noise in the outputs is read from a few photographs, on which it is much the same as on many; the people, which need many, are
    looked at only for the short list: the layers with the most noise for their multiply-adds.

    Args:
        base: the equalised float graph.
        judge: photographs on which people are looked at.
        glance: the few; None takes the judge's.
        weights: of layers, as `Corrections` has them.
        shares: each layer's share of the multiply-adds; None takes the noise as it is.
        score: AP of people, where the photographs are annotated.
        only: names of the layers to measure; None for all.
        layouts: whose noise is measured; that of the other is then said to be the same.
        people: look at the people of the short list.
    """
    glance, on_grid = glance or judge, Corrections(weights=weights or {})
    outputs = Outputs(base, judge.manifest)
    wanted = outputs.of(glance, outputs.runner(base.model))
    layers = [layer for layer in base.layers if only is None or layer.name in only]
    steps = len(layers) + min(SHORT_LIST, len(layers)) * people
    errors: dict[Layout, list[list[float]]] = {layout: [] for layout in LAYOUTS}
    for index, layer in enumerate(layers):
        model = quantize_only(base, ranges, "trt", [layer.name], on_grid)
        if "trt" in layouts:
            errors["trt"].append(outputs.errors(glance, outputs.runner(model, fused=False), wanted))
        if "ort" in layouts:
            written = with_rounded_output(model, base, layer, ranges)
            known = not written and "trt" in layouts
            errors["ort"].append(errors["trt"][-1] if known else outputs.errors(glance, outputs.runner(model, fused=False), wanted))
        progress(index + 1, steps)
    noise, noise_ort = (
        dict(zip((layer.name for layer in layers), _shares(np.array(errors[one] or errors[other])).tolist(), strict=True))
        for one, other in (LAYOUTS[::-1], LAYOUTS)
    )
    costs: dict[str, tuple[float | None, float | None]] = {}
    if people:
        reference = judge.people(runner(base.model, judge.manifest))
        best = score(reference) if score is not None else 0.0
        for index, name in enumerate(short_list(noise, shares)):
            found = judge.people(runner(quantize_only(base, ranges, "trt", [name], on_grid), judge.manifest, fused=False))
            oks = 1 - agreement(reference, found, judge.manifest.skeleton).oks
            costs[name] = (oks, None if score is None else best - score(found))
            progress(len(layers) + index + 1, steps)
    found_costs = []
    for name, share in noise.items():
        oks_cost, ap_cost = costs.get(name, (None, None))
        found_costs.append(LayerCost(name, oks_cost, ap_cost, share, noise_ort[name]))
    return sorted(found_costs, key=lambda cost: (-1.0 if cost.oks_cost is None else cost.oks_cost, cost.noise), reverse=True)


def short_list(noise: Mapping[str, float], shares: Mapping[str, float] | None = None) -> list[str]:
    """The layers that promise most when they leave INT8: the most noise for the multiply-adds that leave with them, the best first."""
    return sorted(noise, key=lambda name: noise[name] / (1.0 if shares is None else shares[name] + BOUNDARY), reverse=True)[:SHORT_LIST]


def map_errors(base: Graph, ranges: Mapping[str, Range], layout: Layout, judge: Judge, corrections: Corrections | None = None) -> MapErrors:
    """The function that tells the error of the outputs on each of the judge's photographs, by the layers kept in float."""
    outputs = Outputs(base, judge.manifest)
    wanted = outputs.of(judge, outputs.runner(base.model))

    def errors(kept: Sequence[str]) -> NDArray[np.float64]:
        run = outputs.runner(quantize(base, ranges, layout, kept, corrections), fused=layout == "ort")
        return np.array(outputs.errors(judge, run, wanted))

    return errors


def _shares(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(layers,): mean over the photographs of each layer's share, so that one photograph with large errors does not decide alone.

    Args:
        errors: (layers, photographs), not below 0.
    """
    shares: NDArray[np.float64] = (errors / np.maximum(errors.sum(axis=0), 1e-300)).mean(axis=1)
    return shares
