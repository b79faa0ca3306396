"""Which layer costs what in INT8, in people and not in decibels; and the fewest layers to keep in float for a budget."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posetrt.calib.agreement import agreement
from posetrt.calib.graph import Graph
from posetrt.calib.judge import Judge, Runner, runner
from posetrt.calib.quantize import Layout, eight_bit_share, layer_shares, quantize, quantize_only
from posetrt.calib.ranges import Range
from posetrt.runtime.people import People

Score = Callable[[Sequence[People]], float]
LAYOUTS: tuple[Layout, ...] = ("ort", "trt")


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs.

    Attributes:
        layer: name.
        oks_cost: 1 minus the OKS agreement between the people of FP32 and those with this layer alone in INT8 (TensorRT's rounding).
        ap_cost: the AP that FP32 loses so, where photographs are annotated; else None.
    """

    layer: str
    oks_cost: float
    ap_cost: float | None = None


@dataclass(frozen=True)
class Choice:
    """The layers to keep in float, and what the graph with them costs as measured, not as summed.

    Attributes:
        kept_float: names, the costliest first.
        all_int8, chosen: by layout: the score with every layer in INT8, and with these kept.
        float_score: what the float graph scores by the same measure: 1 for agreement, its AP where photographs are annotated.
        eight_bit: by layout: share of the multiply-adds in INT8.
        met: whether the budget was met in both layouts.
    """

    kept_float: tuple[str, ...]
    all_int8: Mapping[str, float]
    chosen: Mapping[str, float]
    float_score: float
    eight_bit: Mapping[str, float]
    met: bool


def layer_costs(
    base: Graph,
    ranges: Mapping[str, Range],
    judge: Judge,
    reference: Sequence[People],
    *,
    score: Score | None = None,
    only: Collection[str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[LayerCost]:
    """The cost of each layer by itself, the costliest first.

    Args:
        base: the equalised float graph.
        reference: the float graph's people on the judge's photographs.
        score: AP of people, where the photographs are annotated.
        only: names of the layers to measure; None for all.
    """
    costs = []
    best = score(reference) if score is not None else 0.0
    layers = [layer for layer in base.layers if only is None or layer.name in only]
    for index, layer in enumerate(layers):
        people = judge.people(runner(quantize_only(base, ranges, "trt", [layer.name]), judge.manifest))
        oks = agreement(reference, people, judge.manifest.skeleton).oks
        costs.append(LayerCost(layer.name, 1 - oks, None if score is None else best - score(people)))
        progress(index + 1, len(layers))
    return sorted(costs, key=lambda cost: -cost.oks_cost)


def choose_float(
    base: Graph,
    ranges: Mapping[str, Range],
    costs: Sequence[LayerCost],
    judge: Judge,
    reference: Sequence[People],
    budget: float,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    score: Score | None = None,
    least_eight_bit: float = 0.9,
    progress: Callable[[str], None] = lambda _what: None,
) -> Choice:
    """The smallest set of layers whose float computation meets the budget in both layouts.

    Small is what takes few multiply-adds out of INT8: layers are ranked by cost over share of the multiply-adds, those that would leave too
    few in INT8 are passed over, and prefixes of the ranking are tried by bisection, each measured as a whole.

    Args:
        budget: how far the score may stay below the float graph's, as 0.005.
        shapes: of each layer's activated tensor, as observed; they give the multiply-adds.
        score: AP of people where photographs are annotated; None takes the agreement with `reference`.
        least_eight_bit: share of the multiply-adds that must stay in INT8, in both layouts; a set that leaves less is not tried.
    """
    skeleton = judge.manifest.skeleton
    measure: Score = score if score is not None else lambda people: agreement(reference, people, skeleton).oks
    target = measure(reference) - budget
    ranking = _ranking(base, costs, shapes, least_eight_bit)
    known: dict[tuple[int, str], float] = {}

    def graph_runner(count: int, layout: Layout) -> Runner:
        model: Any = quantize(base, ranges, layout, ranking[:count])
        return runner(model, judge.manifest, fused=layout == "ort")

    def scored(count: int, layout: Layout) -> float:
        if (count, layout) not in known:
            known[count, layout] = measure(judge.people(graph_runner(count, layout)))
            progress(f"{count} layers in float, {layout} layout: {known[count, layout]:.4f} (target {target:.4f})")
        return known[count, layout]

    def shares(count: int) -> dict[str, float]:
        return {layout: eight_bit_share(base, layout, ranking[:count], shapes) for layout in LAYOUTS}

    def meets(count: int) -> bool:
        return all(scored(count, layout) >= target for layout in LAYOUTS)

    most = len(ranking)
    if meets(0):
        best = 0
    elif not meets(most):
        # No set that leaves enough in INT8 meets the budget: take the better of the two ends, and say so.
        best = max((0, most), key=lambda count: min(scored(count, layout) for layout in LAYOUTS))
    else:
        below, best = 0, most
        while best - below > 1:
            middle = (below + best) // 2
            below, best = (below, middle) if meets(middle) else (middle, best)
    return Choice(
        tuple(ranking[:best]),
        {layout: scored(0, layout) for layout in LAYOUTS},
        {layout: scored(best, layout) for layout in LAYOUTS},
        measure(reference),
        shares(best),
        meets(best),
    )


# What a boundary between INT8 and float costs beside the layer itself, as a share of all multiply-adds; without it the smallest layers
# would come first however little they cost.
_BOUNDARY = 0.005


def _ranking(base: Graph, costs: Sequence[LayerCost], shapes: Mapping[str, tuple[int, ...]], least: float) -> list[str]:
    """Layers in the order in which they are put into float, as far as the share in INT8 allows."""
    shares = layer_shares(base, shapes)
    order = sorted((cost for cost in costs if cost.oks_cost > 0), key=lambda cost: -cost.oks_cost / (shares[cost.layer] + _BOUNDARY))
    ranking: list[str] = []
    for cost in order:
        tried = [*ranking, cost.layer]
        if min(eight_bit_share(base, layout, tried, shapes) for layout in LAYOUTS) >= least:
            ranking = tried
    return ranking
