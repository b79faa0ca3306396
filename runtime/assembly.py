"""From candidate limbs to people: each part once a limb, redundant limbs by score, contradictions ignored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

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
    order: NDArray[np.int64] = (-pairs.score).argsort(kind="stable")
    return order


class Assembler:
    """Joins limbs into people.

    Args:
        limbs: the two parts of each limb.
    """

    def __init__(self, limbs: Sequence[tuple[int, int]]) -> None:
        self._parts = np.ascontiguousarray(np.array(limbs, np.int64).reshape(-1, 2).T)
        self._bits = [(1 << first, 1 << second) for first, second in limbs]

    def assemble(self, pairs: Pairs, order: NDArray[np.int64], slots: int) -> list[Person]:
        """Join pairs in the order given.

        A limb between two people that share no part makes them one; a limb that would give a person a second peak of a part
        contradicts better limbs and is ignored. Hence no peak serves a limb twice: with all pairs, best first, the pass is the
        greedy matching of every limb as well.
        Source: arXiv 1812.08008, section 3.4 (redundant PAF connections).

        Args:
            pairs: candidates.
            order: indices into them, best first.
            slots: number of peak slots a part.
        """
        limb = pairs.limb.take(order)
        starts, stops = self._parts.take(limb, axis=1) * slots
        starts += pairs.first.take(order)
        stops += pairs.second.take(order)
        bits = self._bits
        people: list[Person] = []
        owner: dict[int, Person] = {}
        for start, stop, which, score in zip(starts.tolist(), stops.tolist(), limb.tolist(), pairs.score.take(order).tolist(), strict=True):
            one, other = owner.get(start), owner.get(stop)
            if one is None and other is None:
                first, second = bits[which]
                owner[start] = owner[stop] = person = Person(first | second, [start, stop], 1, score)
                people.append(person)
            elif other is None or one is None:
                person, peak, bit = (one, stop, bits[which][1]) if one is not None else (cast(Person, other), start, bits[which][0])
                if not person.parts & bit:
                    owner[peak] = person
                    person.parts |= bit
                    person.peaks.append(peak)
                    person.limbs += 1
                    person.limb_score += score
            elif one is other:
                one.limbs += 1
                one.limb_score += score
            elif not one.parts & other.parts:
                one.parts |= other.parts
                one.peaks += other.peaks
                one.limbs += other.limbs + 1
                one.limb_score += other.limb_score + score
                for peak in other.peaks:
                    owner[peak] = one
                other.peaks = []
        return [person for person in people if person.peaks]
