"""Outputs that are grids of cells over the picture: heat maps, fields, offsets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.export.heads.base import GraphFacts, OutputFacts
from posetrt.runtime.errors import UsageError

MOST_DIMENSIONS = 16
"""Most dimensions of a tag; the published networks have 1, HigherHRNet with flips 2."""


@dataclass(frozen=True)
class Grid:
    """An output with one value per channel and cell.

    Attributes:
        output: as it is.
        channels: of it.
        shape_hw: its cells.
        nhwc: whether the channels come last.
    """

    output: OutputFacts
    channels: int
    shape_hw: tuple[int, int]
    nhwc: bool

    @property
    def name(self) -> str:
        """Of the tensor."""
        return self.output.name

    def channels_first(self) -> NDArray[np.float32]:
        """(C, h, w) of the picture of noise."""
        return self.both_channels_first()[0]

    def both_channels_first(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(C, h, w) of the picture of noise and of the grey one."""
        noise, grey = (np.asarray(values[0], np.float32) for values in (self.output.noise, self.output.grey))
        return (np.moveaxis(noise, -1, 0), np.moveaxis(grey, -1, 0)) if self.nhwc else (noise, grey)


def grids_of(facts: GraphFacts) -> list[Grid]:
    """The outputs that are grids, in the graph's order: four axes, of which two have the picture's proportions."""
    found = []
    for output in facts.outputs:
        if len(output.shape) != 4 or output.shape[0] != 1 or 0 in output.shape:
            continue
        first, last = _like(facts, output.shape[2:]), _like(facts, output.shape[1:3])
        # A graph whose picture has its channels last gives its maps so as well, where both could be.
        nhwc = last and (not first or facts.layout == "NHWC")
        if first or last:
            shape = output.shape[1:3] if nhwc else output.shape[2:]
            found.append(Grid(output, output.shape[3 if nhwc else 1], (shape[0], shape[1]), nhwc))
    return found


def tag_grids(facts: GraphFacts) -> list[Grid]:
    """The outputs (1, K, h, w, dimensions): tags, whose dimensions come last."""
    return [
        Grid(output, output.shape[1], (output.shape[2], output.shape[3]), nhwc=False)
        for output in facts.outputs
        if len(output.shape) == 5 and output.shape[0] == 1 and output.shape[4] <= MOST_DIMENSIONS and _like(facts, output.shape[2:4])
    ]


def named(name: str, *words: str) -> bool:
    """Whether a tensor's name holds one of the words."""
    return any(word in name.lower() for word in words)


def _like(facts: GraphFacts, shape_hw: tuple[int, ...]) -> bool:
    """Whether cells of that shape can lie over the picture: about as many pixels to each in both directions."""
    (width, height), (rows, columns) = facts.size_wh, shape_hw
    if min(rows, columns) < 2 or rows > height or columns > width:
        return False
    across, down = width / columns, height / rows
    return abs(math.log2(across / down)) < 0.35


def stride_of(facts: GraphFacts, grid: Grid) -> int:
    """Pixels per cell.

    Raises:
        UsageError: the input's size is no multiple of it.
    """
    width, height = facts.size_wh
    stride = 2 ** max(0, round(math.log2(width / grid.shape_hw[1])))
    if (grid.shape_hw[1] * stride, grid.shape_hw[0] * stride) != (width, height):
        near = "x".join(str(max(1, round(side / stride)) * stride) for side in (width, height))
        raise UsageError(
            f"{facts.file} has stride {stride}, so the input size must be a multiple of it; {width}x{height} is not. Try {near}"
        )
    return int(stride)
