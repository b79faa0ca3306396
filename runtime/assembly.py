"""From candidate limbs to people: each part once a limb, redundant limbs by score, contradictions ignored."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.pairs import Pairs
from posetrt.runtime.skeleton import Skeleton


@dataclass
class Person:
    """One person while it grows.

    Attributes:
        peaks: for each part found, which of its peaks.
        limb_score: sum of the scores of the limbs that agree on this person.
        limbs: their number.
    """

    peaks: dict[int, int] = field(default_factory=dict)
    limb_score: float = 0.0
    limbs: int = 0


def greedy_matching(pairs: Pairs) -> NDArray[np.int64]:
    """Indices of a matching for each limb, best first: a pair is taken unless one of its ends has gone to a better one."""
    order = np.argsort(-pairs.score, kind="stable")
    taken: set[tuple[int, int, int]] = set()
    chosen = []
    for index, limb, first, second in zip(
        order.tolist(), pairs.limb[order].tolist(), pairs.first[order].tolist(), pairs.second[order].tolist(), strict=True
    ):
        start, end = (limb, 0, first), (limb, 1, second)
        if start not in taken and end not in taken:
            taken.update((start, end))
            chosen.append(index)
    return np.array(chosen, np.int64)


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


def assemble(pairs: Pairs, chosen: NDArray[np.int64], skeleton: Skeleton) -> list[Person]:
    """Join limbs into people, in the order of `chosen`.

    A limb between two people that share no part makes them one; a limb that would give a person a second peak of a part
    contradicts better limbs and is ignored.
    Source: arXiv 1812.08008, section 3.4 (redundant PAF connections).
    """
    owner: dict[tuple[int, int], Person] = {}
    for limb, first, second, score in zip(
        pairs.limb[chosen].tolist(), pairs.first[chosen].tolist(), pairs.second[chosen].tolist(), pairs.score[chosen].tolist(), strict=True
    ):
        a, b = skeleton.limbs[limb]
        one, other = owner.get((a, first)), owner.get((b, second))
        if one is None:
            one = owner[a, first] = Person({a: first})
        if other is None:
            other = owner[b, second] = Person({b: second})
        if one is not other:
            if not one.peaks.keys().isdisjoint(other.peaks):
                continue
            if len(one.peaks) < len(other.peaks):
                one, other = other, one
            one.peaks.update(other.peaks)
            one.limb_score += other.limb_score
            one.limbs += other.limbs
            for part, peak in other.peaks.items():
                owner[part, peak] = one
        one.limb_score += score
        one.limbs += 1
    return list({id(person): person for person in owner.values()}.values())
