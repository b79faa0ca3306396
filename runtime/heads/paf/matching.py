"""Which candidate limbs to believe: for each limb the matching of the greatest total rank, each peak in one pair at most.

Source: arXiv 1611.08050, equations 13 to 15. A pair worth as much as the best other pairs of its two peaks together is in a best matching,
for taking it could lose no more than those. That decides nearly all pairs. The rest fall into small groups, each solved by shortest
augmenting paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.heads.paf.pairs import Pairs

LARGEST = 256
"""Pairs. A larger group is matched best first, which bounds the work. A hundred drawn people have groups of up to 130; noise has larger ones."""
_FEW = 100
"""Pairs. Of so few or fewer, a loop costs less than another pass over arrays."""


def match_exactly(pairs: Pairs, peaks: int) -> list[int]:
    """The best matching of every limb, as rising numbers of pairs.

    Args:
        pairs: candidates, best first.
        peaks: number of peaks of the frame.
    """
    # A limb's peak by one number: the two ends of a limb are different parts, so that its first and its second peaks differ.
    limbs, rank = pairs.numbers[0], pairs.rank
    ends = pairs.numbers[1:] + limbs * peaks
    if len(rank) <= _FEW:
        firsts, seconds = ends.tolist()
        return match(limbs.tolist(), firsts, seconds, rank.tolist())
    chosen: list[int] = []
    left = np.arange(len(rank))
    while len(left) > _FEW:
        sure, undecided = _decide(ends, rank)
        chosen += left.take(sure).tolist()
        stuck = len(sure) <= len(left) // 8
        limbs, ends, rank, left = limbs.take(undecided), ends.take(undecided, axis=1), rank.take(undecided), left.take(undecided)
        if stuck:
            break
    if len(left):
        firsts, seconds = ends.tolist()
        chosen += left.take(match(limbs.tolist(), firsts, seconds, rank.tolist())).tolist()
    chosen.sort()
    return chosen


def _decide(ends: NDArray[np.int64], rank: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of many pairs are in a best matching for sure, and which of the others share no end with them."""
    nodes, index = int(ends.max()) + 1, np.arange(len(rank))
    # Of what is written to one place the last stays: backwards, that is the best.
    backwards = index[::-1].copy()
    best, second = np.zeros(nodes, np.int64), np.zeros(nodes)
    is_best = np.zeros(ends.shape, np.bool_)
    for side, first in zip(ends, is_best, strict=True):
        best[side.take(backwards)] = backwards
        np.equal(best.take(side), index, out=first)
        others = backwards.compress(np.logical_not(first.take(backwards)))
        second[side.take(others)] = rank.take(others)
    sure = is_best[0]
    sure &= is_best[1]
    sure &= rank >= second.take(ends[0]) + second.take(ends[1])
    decided = sure.nonzero()[0]
    taken = np.zeros(nodes, np.bool_)
    taken[ends.take(decided, axis=1)] = True
    closed = taken.take(ends[0])
    closed |= taken.take(ends[1])
    return decided, np.logical_not(closed, out=closed).nonzero()[0]


def match(limbs: Sequence[int], firsts: Sequence[int], seconds: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Which pairs make up the matching of the greatest total weight, as rising numbers.

    Best first, each pair whose ends are free is taken, and every other is an alternative to the first taken that stands in its way. Where
    no pair of a limb is worth less than its two best alternatives together, that is the limb's best matching. In the other limbs, what
    was taken before the first such pair stays, and the rest is solved group by group.

    Args:
        limbs: which limb each pair is of.
        firsts, seconds: the two ends of each pair; no number is an end of two limbs, or both a first and a second end.
        weights: of each pair, above 0, falling.
    """
    holder: dict[int, int] = {}
    spare = list(weights)
    rivalled: set[int] = set()
    chosen: list[int] = []
    doubtful: dict[int, int] = {}
    none = len(weights)
    for pair, (first, second) in enumerate(zip(firsts, seconds)):  # noqa: B905
        one, other = holder.get(first, none), holder.get(second, none)
        if one == other == none:
            holder[first] = holder[second] = pair
            chosen.append(pair)
            continue
        if other < one:
            one, first = other, second
        if first not in rivalled:
            rivalled.add(first)
            spare[one] -= weights[pair]
            if spare[one] < 0:
                limb = limbs[one]
                doubtful[limb] = min(one, doubtful.get(limb, one))
    if not doubtful:
        return chosen
    chosen = [pair for pair in chosen if limbs[pair] not in doubtful]
    closed: set[int] = set()
    left = []
    for pair in [pair for pair, limb in enumerate(limbs) if limb in doubtful]:
        first, second = firsts[pair], seconds[pair]
        if first not in closed and second not in closed:
            if holder.get(first) == pair and pair < doubtful[limbs[pair]]:
                closed |= {first, second}
                chosen.append(pair)
            else:
                left.append(pair)
    for group in [left] if len(left) <= LARGEST else _groups(left, firsts, seconds):
        chosen += (_best_total if len(group) <= LARGEST else _best_first)(group, firsts, seconds, weights)
    chosen.sort()
    return chosen


def _groups(pairs: Sequence[int], firsts: Sequence[int], seconds: Sequence[int]) -> Iterable[list[int]]:
    """Pairs that share ends, or do so through others."""
    leader: dict[int, int] = {}

    def find(end: int) -> int:
        above = leader.setdefault(end, end)
        while above != end:
            leader[end] = above = leader[above]
            end, above = above, leader[above]
        return end

    for pair in pairs:
        leader[find(firsts[pair])] = find(seconds[pair])
    groups: dict[int, list[int]] = {}
    for pair in pairs:
        groups.setdefault(find(firsts[pair]), []).append(pair)
    return groups.values()


def _best_first(group: Sequence[int], firsts: Sequence[int], seconds: Sequence[int], _: Sequence[float]) -> list[int]:
    taken: set[int] = set()
    chosen = []
    for pair in group:
        if firsts[pair] not in taken and seconds[pair] not in taken:
            taken |= {firsts[pair], seconds[pair]}
            chosen.append(pair)
    return chosen


def _best_total(group: Sequence[int], firsts: Sequence[int], seconds: Sequence[int], weights: Sequence[float]) -> list[int]:
    """The Hungarian method on a sparse graph: first ends join one after another, each by the path that costs least.

    A first end has a value and a second end has a price, both 0 or more, that add up to at least each pair's weight and to no more than
    that of a chosen pair. A path goes on to the first end that now holds a wanted second end, and ends at a second end that is free, or at
    a first end that can do without.
    """
    pairs_of: dict[int, list[int]] = {}
    for pair in group:
        pairs_of.setdefault(firsts[pair], []).append(pair)
    value = dict.fromkeys(pairs_of, 0.0)
    price = dict.fromkeys([seconds[pair] for pair in group], 0.0)
    of_first: dict[int, int] = {}
    of_second: dict[int, int] = {}
    for start, wanted in pairs_of.items():
        value[start], pair = max([(weights[pair] - price[seconds[pair]], pair) for pair in wanted])
        if value[start] <= 0:
            value[start] = 0.0
            continue
        second = seconds[pair]
        if second not in of_second:
            of_first[start] = of_second[second] = pair
            continue
        reached = {start: 0.0}
        settled: dict[int, tuple[float, int]] = {}
        heap: list[tuple[float, int]] = []
        at, cost, least, without = start, 0.0, value[start], start
        free = None
        while free is None:
            for pair in pairs_of[at]:
                second = seconds[pair]
                if second not in settled:
                    heappush(heap, (cost + value[at] + price[second] - weights[pair], pair))
            while heap and seconds[heap[0][1]] in settled:
                heappop(heap)
            if not heap or heap[0][0] >= least:
                break
            cost, pair = heappop(heap)
            second = seconds[pair]
            settled[second] = cost, pair
            if second not in of_second:
                free, least = second, cost
            else:
                at = firsts[of_second[second]]
                reached[at] = cost
                if cost + value[at] < least:
                    least, without = cost + value[at], at
        for first, cost in reached.items():
            value[first] -= least - cost
        for second, (cost, _) in settled.items():
            price[second] += least - cost
        if free is None:
            if without == start:
                continue
            free = seconds[of_first.pop(without)]
        while True:
            pair = settled[free][1]
            first = firsts[pair]
            before = of_first.get(first)
            of_first[first] = of_second[free] = pair
            if before is None:
                break
            free = seconds[before]
    return list(of_first.values())
