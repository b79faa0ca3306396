"""Which layer costs what in INT8, in people and not in decibels; and the fewest layers to keep in float for a budget."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.agreement import agreement
from posetrt.calib.int8.plan import eight_bit_share, layer_shares
from posetrt.calib.int8.quantize import Corrections, quantize, quantize_only, with_rounded_output
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import Layout
from posetrt.calib.sensitivity.judge import Judge, runner
from posetrt.calib.sensitivity.outputs import Outputs
from posetrt.calib.sensitivity.ranking import BOUNDARY, MapErrors, from_the_end, ranked_by_measuring, ranked_by_shares
from posetrt.export.graph.graph import Graph
from posetrt.runtime.people import People

Score = Callable[[Sequence[People]], float]
LAYOUTS: tuple[Layout, ...] = ("ort", "trt")
# Layers whose people are looked at, and around which sets are tried.
SHORT_LIST = 16
# The people are looked at again where the set has grown to so many times its size; ranking goes on until they reach the target.
LOOK_AGAIN = 1.3
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


@dataclass(frozen=True)
class Choice:
    """The layers to keep in float, and what the graphs with them cost as measured, not as summed.

    Attributes:
        kept_float: by layout: names, in the order in which they were chosen.
        all_int8, chosen: by layout: the score with every layer in INT8, and with these kept.
        float_score: what the float graph scores by the same measure: 1 for agreement, its AP where photographs are annotated.
        eight_bit: by layout: share of the multiply-adds in INT8.
        met: by layout: whether the budget was met.
    """

    kept_float: Mapping[Layout, tuple[str, ...]]
    all_int8: Mapping[str, float]
    chosen: Mapping[str, float]
    float_score: float
    eight_bit: Mapping[str, float]
    met: Mapping[str, bool]


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
    weighing: Judge | None = None,
    begin_with: Mapping[Layout, Sequence[str]] | None = None,
    layouts: Collection[Layout] = LAYOUTS,
    corrections: Mapping[str, Corrections] | None = None,
    least_eight_bit: Sequence[float] = (LEAST_EIGHT_BIT,),
    say: Callable[[str], None] = lambda _what: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Choice:
    """For each layout the smallest set of layers whose float computation meets the budget.

    Small is what takes few multiply-adds out of INT8. Layers are ranked by the noise that goes with them over their share of the multiply-adds:
    people tell what a set costs, but hardly which of two good layers is better. For TensorRT's layout the noise is that of `costs`; for ONNX
    Runtime's it is measured on the graphs themselves. The layers before the outputs are another ranking (`from_the_end`), with and without those
    that are kept anyhow. Prefixes of each are tried by bisection, each measured as a whole.

    Args:
        budget: how far the score may stay below the float graph's, as 0.005.
        shapes: of each layer's activated tensor, as observed; they give the multiply-adds.
        score: AP of people where photographs are annotated; None takes the agreement with `reference`.
        weighing: photographs on which ONNX Runtime's graphs are ranked; None takes the judge's.
        begin_with: by layout, layers that are the first to be kept in float.
        layouts: for which a set is looked for.
        corrections: by layout.
        least_eight_bit: share of the multiply-adds that should stay in INT8, then what may stay if the budget cannot be met so; a set that
            leaves less than the last is not tried.
    """
    skeleton = judge.manifest.skeleton
    measure: Score = score if score is not None else lambda people: agreement(reference, people, skeleton).oks
    float_score = measure(reference)
    target = float_score - budget
    shares = layer_shares(base, shapes)
    kept: dict[Layout, tuple[str, ...]] = {}
    all_int8: dict[str, float] = {}
    chosen: dict[str, float] = {}
    eight_bit: dict[str, float] = {}
    for layout in layouts:
        first = (begin_with or {}).get(layout, ())
        known: dict[frozenset[str], float] = {}
        looked = [1]

        def reached(order: Sequence[str], layout: Layout = layout, known: dict[frozenset[str], float] = known) -> float:
            if frozenset(order) not in known:
                model: Any = quantize(base, ranges, layout, order, (corrections or {}).get(layout))
                found = known[frozenset(order)] = measure(judge.people(runner(model, judge.manifest, fused=layout == "ort")))
                say(f"{len(order)} layer{'s' * (len(order) != 1)} in float, {layout} layout: {found:.4f} (target {target:.4f})")
            return known[frozenset(order)]

        def enough(order: Sequence[str], looked: list[int] = looked, reached: Callable[..., float] = reached) -> bool:
            if len(order) < LOOK_AGAIN * looked[-1]:
                return False
            looked.append(len(order))
            return reached(order) >= target

        least = least_eight_bit[-1]
        if layout == "ort":
            errors = map_errors(base, ranges, layout, weighing or judge, (corrections or {}).get(layout))
            alone = {cost.layer: cost.noise_ort for cost in costs}
            near = short_list(alone, shares)
            order = ranked_by_measuring(base, errors, shares, layout, least, first, progress, near=near, enough=enough)
            if max(known.values(), default=0.0) < target:
                # No run of a few layers lowers the error any more: many together may.
                order = ranked_by_shares(base, alone, shares, layout, least, order)
        else:
            order = ranked_by_shares(base, {cost.layer: cost.noise for cost in costs}, shares, layout, least, first)
        last = from_the_end(base)
        orders = [order, last, [*first, *(name for name in last if name not in first)]]

        def best_of(
            order: Sequence[str], layout: Layout = layout, reached: Callable[..., float] = reached
        ) -> tuple[bool, float, tuple[str, ...]]:
            left = [eight_bit_share(base, layout, order[:count], shapes) for count in range(len(order) + 1)]
            tops = [max(count for count, share in enumerate(left) if count == 0 or share >= least) for least in least_eight_bit]
            best = _fewest(lambda count: reached(order[:count]), tops, target)
            score_of_it = reached(order[:best])
            # Of the sets that meet the budget the one that leaves most in INT8, of others the best.
            return score_of_it >= target, left[best] if score_of_it >= target else score_of_it, tuple(order[:best])

        kept[layout] = max((best_of(one) for one in orders), key=lambda one: one[:2])[2]
        all_int8[layout], chosen[layout] = reached(()), reached(kept[layout])
        eight_bit[layout] = eight_bit_share(base, layout, kept[layout], shapes)
    return Choice(kept, all_int8, chosen, float_score, eight_bit, {layout: chosen[layout] >= target for layout in layouts})


def _fewest(scored: Callable[[int], float], most: Sequence[int], target: float) -> int:
    """The smallest count whose score reaches the target, by bisection from the first quarter, from the top, that reaches it; else the best of the quarters.

    Scores of people are not monotone: that the longest set misses the target says little about those before it.

    Args:
        most: the largest count; then larger ones, to be tried where no count up to that reaches the target.
    """
    if scored(0) >= target:
        return 0
    tried = [0]
    for top in most:
        quarters = sorted({top, 3 * top // 4, top // 2, top // 4} - set(tried), reverse=True)
        reaching = next((count for count in quarters if scored(count) >= target), None)
        if reaching is not None:
            below, best = max((count for count in tried if count < reaching), default=0), reaching
            while best - below > 1:
                middle = (below + best) // 2
                below, best = (below, middle) if scored(middle) >= target else (middle, best)
            return best
        tried += quarters
    return max(sorted(tried), key=scored)
