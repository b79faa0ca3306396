"""From candidate limbs to people: each part once a limb, redundant limbs by rank, contradictions ignored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.heads.paf.pairs import Pairs


@dataclass(slots=True)
class Person:
    """One person, while it grows and after.

    Attributes:
        parts: bit j is set where part j was found.
        peaks: number of each peak, counted through all parts.
        limb_score: sum of the scores of the limbs that agree on this person.
    """

    parts: int
    peaks: list[int]
    limb_score: float


def exact_matching(pairs: Pairs) -> Pairs:
    """The matching of the greatest total rank for each limb, best first (Hungarian method, SciPy).

    Raises:
        PosetrtError: SciPy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise PosetrtError('assignment="hungarian" needs SciPy: pip install scipy, or use assignment="greedy"') from error
    chosen = []
    limbs, first, second = pairs.numbers
    for limb in np.unique(limbs):
        of_limb = np.flatnonzero(limbs == limb)
        firsts, rows = np.unique(first[of_limb], return_inverse=True)
        seconds, columns = np.unique(second[of_limb], return_inverse=True)
        total = np.zeros((len(firsts), len(seconds)))
        which = np.full(total.shape, -1, np.int64)
        total[rows, columns] = pairs.rank[of_limb]
        which[rows, columns] = of_limb
        matched = which[linear_sum_assignment(total, maximize=True)]
        chosen.append(matched[matched >= 0])
    # Pairs are best first already, so that their order among themselves is that of their numbers.
    indices = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)
    return pairs.take(indices)


class Assembler:
    """Joins limbs into people.

    Args:
        limbs: the two parts of each limb.
    """

    def __init__(self, limbs: Sequence[tuple[int, int]]) -> None:
        self._bits = [(1 << first, 1 << second) for first, second in limbs]

    def assemble(self, pairs: Pairs, peaks: int) -> list[Person]:
        """Join pairs, best first.

        A limb between two people that share no part makes them one; a limb that would give a person a second peak of a part
        contradicts better limbs and is ignored. Hence no peak serves a limb twice: with all pairs, best first, the pass is the
        greedy matching of every limb as well.
        Source: arXiv 1812.08008, section 3.4 (redundant PAF connections).

        Args:
            pairs: candidates, best first.
            peaks: number of peaks of the frame.
        """
        bits = self._bits
        people: list[Person] = []
        owner: list[Person | None] = [None] * peaks
        for which, start, stop, score in zip(*pairs.numbers.tolist(), pairs.score.tolist()):  # noqa: B905
            one, other = owner[start], owner[stop]
            if one is None:
                first, second = bits[which]
                if other is None:
                    owner[start] = owner[stop] = person = Person(first | second, [start, stop], score)
                    people.append(person)
                elif not other.parts & first:
                    owner[start] = other
                    other.parts |= first
                    other.peaks.append(start)
                    other.limb_score += score
            elif other is None:
                second = bits[which][1]
                if not one.parts & second:
                    owner[stop] = one
                    one.parts |= second
                    one.peaks.append(stop)
                    one.limb_score += score
            elif one is other:
                one.limb_score += score
            elif not one.parts & other.parts:
                one.parts |= other.parts
                one.peaks += other.peaks
                one.limb_score += other.limb_score + score
                for peak in other.peaks:
                    owner[peak] = one
                other.peaks = []
        return [person for person in people if person.peaks]
