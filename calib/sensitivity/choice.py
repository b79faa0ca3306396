"""The fewest layers to keep in float for a budget: rankings of layers, and sets of them measured as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posetrt.calib.accuracy.agreement import agreement
from posetrt.calib.int8.plan import eight_bit_layers, layer_shares
from posetrt.calib.int8.quantize import Corrections, quantize
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import Layout
from posetrt.calib.sensitivity.judge import Judge, runner
from posetrt.calib.sensitivity.measure import LAYOUTS, LEAST_EIGHT_BIT, LayerCost, Score, map_errors, short_list
from posetrt.calib.sensitivity.ranking import from_the_end, ranked_by_measuring, ranked_by_shares
from posetrt.export.graph.graph import Graph
from posetrt.runtime.people import People

# The people are looked at again where the set has grown by this factor; ranking goes on until they reach the target.
LOOK_AGAIN = 1.3


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
    shares, last = layer_shares(base, shapes), from_the_end(base)
    kept: dict[Layout, tuple[str, ...]] = {}
    all_int8: dict[str, float] = {}
    chosen: dict[str, float] = {}
    eight_bit: dict[str, float] = {}
    for layout in layouts:
        correction, first = (corrections or {}).get(layout), list((begin_with or {}).get(layout, ()))
        sets = _Sets(base, ranges, layout, shares, correction, judge, measure, float_score - budget, say)
        orders = [
            _by_noise(sets, costs, least_eight_bit[-1], first, weighing or judge, progress),
            last,
            [*first, *(name for name in last if name not in first)],
        ]
        found = sets.best(orders[0], least_eight_bit)
        for order in orders[1:]:
            other = sets.best(order, least_eight_bit, more_than=found[1] if found[0] else 0.0)
            found = max(found, other, key=lambda one: one[:2])
        kept[layout] = found[2]
        all_int8[layout], chosen[layout] = sets.reached(()), sets.reached(kept[layout])
        eight_bit[layout] = sets.eight_bit_share(kept[layout])
    return Choice(kept, all_int8, chosen, float_score, eight_bit, {layout: chosen[layout] >= float_score - budget for layout in layouts})


@dataclass
class _Sets:
    """Sets of layers in float of one layout, each measured once.

    Attributes:
        base: the equalised float graph.
        ranges: of its tensors.
        shares: of its layers, of the multiply-adds.
        judge: photographs on which people are looked at.
        corrections: for this layout.
        measure: what is measured of the people whom the judge's photographs show.
        target: what is to be reached.
        say: called with a line for each set.
        known: what a set reached.
    """

    base: Graph
    ranges: Mapping[str, Range]
    layout: Layout
    shares: Mapping[str, float]
    corrections: Corrections | None
    judge: Judge
    measure: Score
    target: float
    say: Callable[[str], None]
    known: dict[frozenset[str], float] = field(default_factory=dict)

    def reached(self, kept: Sequence[str]) -> float:
        """What the graph with these layers in float reaches."""
        names = frozenset(kept)
        if names not in self.known:
            model: Any = quantize(self.base, self.ranges, self.layout, kept, self.corrections)
            people = self.judge.people(runner(model, self.judge.manifest, fused=self.layout == "ort"))
            self.known[names] = self.measure(people)
            count = f"{len(names)} layer{'s' * (len(names) != 1)}"
            self.say(f"{count} in float, {self.layout} layout: {self.known[names]:.4f} (target {self.target:.4f})")
        return self.known[names]

    def eight_bit_share(self, kept: Sequence[str]) -> float:
        """Share of the multiply-adds that stays in INT8 with these layers in float."""
        return sum(self.shares[name] for name in eight_bit_layers(self.base, self.layout, kept))

    def best(
        self, order: Sequence[str], least_eight_bit: Sequence[float], *, more_than: float = 0.0
    ) -> tuple[bool, float, tuple[str, ...]]:
        """The best of an order's beginnings: whether it meets the target, what it is compared by with others, and its layers.

        Of those that meet the target the one counts that leaves most in INT8, of others the one that reaches most.

        Args:
            more_than: only beginnings are tried that leave a larger share than this in INT8.
        """
        left: list[float] = []
        for count in range(len(order) + 1):
            share = self.eight_bit_share(order[:count])
            if count and (share < least_eight_bit[-1] or share <= more_than):
                break
            left.append(share)
        tops = [max(count for count, share in enumerate(left) if count == 0 or share >= least) for least in least_eight_bit]
        count = _fewest(lambda count: self.reached(order[:count]), tops, self.target)
        score = self.reached(order[:count])
        met = score >= self.target
        return met, left[count] if met else score, tuple(order[:count])


def _by_noise(
    sets: _Sets,
    costs: Sequence[LayerCost],
    least: float,
    first: Sequence[str],
    weighing: Judge,
    progress: Callable[[int, int], None],
) -> list[str]:
    """Layers in the order of what they take away of the noise for their multiply-adds, `first` before all others."""
    base, shares = sets.base, sets.shares
    if sets.layout == "trt":
        return ranked_by_shares(base, {cost.layer: cost.noise for cost in costs}, shares, "trt", least, first)
    looked = 1

    def enough(order: Sequence[str]) -> bool:
        nonlocal looked
        if len(order) < LOOK_AGAIN * looked:
            return False
        looked = len(order)
        return sets.reached(order) >= sets.target

    errors = map_errors(base, sets.ranges, "ort", weighing, sets.corrections)
    alone = {cost.layer: cost.noise_ort for cost in costs}
    order = ranked_by_measuring(base, errors, shares, "ort", least, first, progress, near=short_list(alone, shares), enough=enough)
    if max(sets.known.values(), default=0.0) >= sets.target:
        return order
    # No run of a few layers lowers the error any more: many together may.
    return ranked_by_shares(base, alone, shares, "ort", least, order)


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
