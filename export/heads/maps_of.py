"""Outputs that are maps: channels over a grid of cells that lies over the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from posetrt.export.heads.base import GraphFacts, OutputFacts


@dataclass(frozen=True)
class Maps:
    """One such output.

    Attributes:
        output: as it is.
        channels: of it.
        shape_hw: its cells.
        last: whether the channels come last.
    """

    output: OutputFacts
    channels: int
    shape_hw: tuple[int, int]
    last: bool

    @property
    def name(self) -> str:
        """Of the tensor."""
        return self.output.name


def maps_of(facts: GraphFacts) -> list[Maps]:
    """The outputs with four axes of which two have the picture's proportions, in the graph's order."""
    found = []
    for output in facts.outputs:
        if len(output.shape) != 4 or output.shape[0] != 1:
            continue
        first, last = (_over(facts.size_wh, shape) for shape in (output.shape[2:], output.shape[1:3]))
        if first or last:
            # Where both could be, channels are where the picture has them.
            behind = last and (not first or facts.layout == "NHWC")
            rows, columns = output.shape[1:3] if behind else output.shape[2:]
            found.append(Maps(output, output.shape[3 if behind else 1], (rows, columns), behind))
    return found


def _over(size_wh: tuple[int, int], shape_hw: tuple[int, ...]) -> bool:
    (width, height), (rows, columns) = size_wh, shape_hw
    if min(rows, columns) < 2 or rows > height or columns > width:
        return False
    return abs(math.log2(width / columns * rows / height)) < 0.35


def named(name: str, *words: str) -> bool:
    """Whether a tensor's name holds one of the words."""
    return any(word in name.lower() for word in words)
