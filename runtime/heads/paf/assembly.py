"""From candidate limbs to people: each part once a limb, redundant limbs by rank, contradictions ignored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


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


class Assembler:
    """Joins limbs into people.

    Args:
        limbs: the two parts of each limb.
    """

    def __init__(self, limbs: Sequence[tuple[int, int]]) -> None:
        self._bits = [(1 << first, 1 << second) for first, second in limbs]

    def assemble(self, pairs: Iterable[tuple[int, int, int, float]], peaks: int) -> list[Person]:
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
        for which, start, stop, score in pairs:
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
