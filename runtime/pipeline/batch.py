"""Frames on their way through the network together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.placement import Placement
from posetrt.runtime.sources.base import Frame


@dataclass(frozen=True)
class Batch:
    """Frames of one call of the network: one, or one from each of several sources.

    Attributes:
        frames: N of them.
        placements: how each of their pictures was placed in the network's input, as many of each frame.
        tensor: the pictures in the manifest's layout.
        tensors: outputs of the network, one row for each picture, once it has worked.
    """

    frames: list[Frame]
    placements: list[Placement]
    tensor: NDArray[Any]
    tensors: Tensors | None = None

    def tensors_of(self, number: int) -> Tensors:
        """The network's outputs for the pictures of one of the frames; views."""
        assert self.tensors is not None
        if len(self.frames) == 1:
            return self.tensors
        return {name: array[self._of(number)] for name, array in self.tensors.items()}

    def placements_of(self, number: int) -> Sequence[Placement]:
        """How the pictures of one of the frames were placed; the first shows the whole frame."""
        return self.placements[self._of(number)]

    def _of(self, number: int) -> slice:
        each = len(self.placements) // len(self.frames)
        return slice(number * each, (number + 1) * each)


def copied(tensors: Tensors) -> Tensors:
    """Copies: the engine's own buffers are filled again while the decoder works."""
    return {name: array.copy() for name, array in tensors.items()}


def all_finite(tensors: Tensors) -> bool:
    """Whether every value is a number."""
    return all(array.dtype.kind != "f" or bool(np.isfinite(array).all()) for array in tensors.values())
