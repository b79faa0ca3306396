"""Which precision to choose, in one sentence: the cheapest one whose accuracy is known to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posetrt.calib.sensitivity.price import FINE
from posetrt.runtime.engines.base import PRECISIONS

TOLERATED = 0.01
"""Of the main figure, 0 to 1: one point of AP, which is our choice."""


@dataclass(frozen=True)
class Cost:
    """What one precision does to the main figure.

    Attributes:
        name: of the precision, with the power mode where there is one.
        precision: fp32, fp16 or int8.
        delta, low, high: the figure less the reference's, and where 95 % of paired resamples lie; all None where it was not measured.
        oks: agreement with the reference's people; None where it was not measured.
        where: a condition under which the precision pays, for the sentence.
    """

    name: str
    precision: str
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    oks: float | None = None
    where: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the loss is surely at most `TOLERATED`: True, surely more: False, or not known: None."""
        if self.low is None or self.high is None:
            return None
        return True if self.low >= -TOLERATED else False if self.high < -TOLERATED else None

    def told(self, figure: str) -> str:
        """The difference with its interval."""
        return f"{figure} changes by {self.delta:+.3f} (95 % interval {self.low:+.3f} to {self.high:+.3f})"


def choose(costs: Sequence[Cost], figure: str, photographs: int) -> str:
    """The sentence, and where something was refused a second one that says why.

    Args:
        costs: the reference first.
        figure: name of the main figure, as in "AP".
        photographs: that it was measured on.
    """
    first, *others = costs
    if not others:
        return f"Only {first.name} was measured, so there is nothing to choose from: build int8 too, and measure again."
    others = sorted(others, key=lambda one: -PRECISIONS.index(one.precision))
    if all(one.low is None for one in others):
        return _by_agreement(first, others, photographs)
    chosen = next((one for one in others if one.holds), None)
    refused = [one for one in others if one is not chosen and not one.holds]
    why = [
        f"{one.name} is not the choice: "
        + (
            f"{one.told(figure)}, more than the {TOLERATED:g} that is tolerated."
            if one.holds is False
            else f"{one.told(figure)}, so {photographs} photographs cannot exclude a loss of more than {TOLERATED:g}; measure on more."
        )
        for one in refused
        if one.low is not None
    ]
    if chosen is None:
        return " ".join([f"Choose {first.name}: no cheaper precision is known to keep its {figure}.", *why])
    said = f"Choose {chosen.name}{chosen.where}: to {first.name}, {chosen.told(figure)} on {photographs} photographs."
    return " ".join([said, *why])


def _by_agreement(first: Cost, others: Sequence[Cost], photographs: int) -> str:
    """The sentence where nothing is annotated."""
    agree = ", ".join(f"{one.name} {one.oks:.2f}" for one in others if one.oks is not None)
    chosen = next((one for one in others if one.oks is not None and one.oks >= FINE), None)
    if chosen is None:
        return f"Choose {first.name}: on {photographs} photographs nothing cheaper finds its people (agreement, of 1: {agree})."
    return (
        f"Choose {chosen.name}{chosen.where}: on {photographs} photographs it finds the people of {first.name} (agreement, of 1: {agree}). "
        "Nothing is annotated, so this does not say whose people are right."
    )
