"""From candidate limbs to people: each part once a limb, redundant limbs by score, contradictions ignored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.pairs import Pairs


@dataclass(slots=True)
class Person:
    """One person, while it grows and after.

    Attributes:
        parts: bit j is set where part j was found.
        peaks: part * slots + slot of each peak.
        limbs: number of limbs that agree on this person.
        limb_score: sum of their scores.
    """

    parts: int
    peaks: list[int]
    limbs: int
    limb_score: float


def exact_matching(pairs: Pairs) -> NDArray[np.int64]:
    """Indices of the matching of the greatest total score for each limb, best first (Hungarian method, SciPy).

    Raises:
        PosetrtError: SciPy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise PosetrtError('assignment="hungarian" needs SciPy: pip install scipy, or use assignment="greedy"') from error
    chosen = []
    for limb in np.unique(pairs.limb):
        of_limb = np.flatnonzero(pairs.limb == limb)
        firsts, rows = np.unique(pairs.first[of_limb], return_inverse=True)
        seconds, columns = np.unique(pairs.second[of_limb], return_inverse=True)
        total = np.zeros((len(firsts), len(seconds)))
        which = np.full(total.shape, -1, np.int64)
        total[rows, columns] = pairs.score[of_limb]
        which[rows, columns] = of_limb
        matched = which[linear_sum_assignment(total, maximize=True)]
        chosen.append(matched[matched >= 0])
    indices = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    best_first: NDArray[np.int64] = indices[np.argsort(-pairs.score[indices], kind="stable")]
    return best_first


def best_first(pairs: Pairs) -> NDArray[np.int64]:
    """Indices of all pairs by falling score; equal scores by limb and peaks."""
    order: NDArray[np.int64] = np.argsort(-pairs.score, kind="stable")
    return order


def assemble(pairs: Pairs, order: NDArray[np.int64], limbs: Sequence[tuple[int, int]], slots: int) -> list[Person]:
    """Join limbs into people, in the order given.

    A limb between two people that share no part makes them one; a limb that would give a person a second peak of a part
    contradicts better limbs and is ignored. Hence no peak serves a limb twice: with all pairs, best first, the pass is the greedy
    matching of every limb as well.
    Source: arXiv 1812.08008, section 3.4 (redundant PAF connections).

    Args:
        pairs: candidates.
        order: indices into them, best first.
        limbs: parts of each limb.
        slots: number of peak slots a part.
    """
    limb = pairs.limb.take(order)
    ends = np.array(limbs, np.int64).reshape(-1, 2) * slots
    starts = (ends[:, 0].take(limb) + pairs.first.take(order)).tolist()
    stops = (ends[:, 1].take(limb) + pairs.second.take(order)).tolist()
    bits = [(1 << first, 1 << second) for first, second in limbs]
    owner: dict[int, Person] = {}
    for start, stop, which, score in zip(starts, stops, limb.tolist(), pairs.score.take(order).tolist(), strict=True):
        one, other = owner.get(start), owner.get(stop)
        if one is None:
            if other is None:
                first, second = bits[which]
                owner[start] = owner[stop] = Person(first | second, [start, stop], 1, score)
                continue
            one, new, bit = other, start, bits[which][0]
        elif other is None:
            new, bit = stop, bits[which][1]
        else:
            if one is not other:
                if one.parts & other.parts:
                    continue
                one.parts |= other.parts
                one.peaks += other.peaks
                one.limbs += other.limbs
                one.limb_score += other.limb_score
                for peak in other.peaks:
                    owner[peak] = one
            one.limbs += 1
            one.limb_score += score
            continue
        if not one.parts & bit:
            owner[new] = one
            one.parts |= bit
            one.peaks.append(new)
            one.limbs += 1
            one.limb_score += score
    return list({id(person): person for person in owner.values()}.values())
