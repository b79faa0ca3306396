"""Frames on their way through the network together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Outputs
from posetrt.runtime.letterbox import Letterbox
from posetrt.runtime.sources.base import Frame


@dataclass(frozen=True)
class Batch:
    """Frames of one call of the network: one, or one each of several sources.

    Attributes:
        frames: N of them.
        boxes: how each was placed in the network's input.
        tensor: N of them in the manifest's layout.
        outputs: of the network, with N first, once it has worked.
    """

    frames: list[Frame]
    boxes: list[Letterbox]
    tensor: NDArray[np.float32] | NDArray[np.uint8]
    outputs: Outputs | None = None

    def outputs_of(self, number: int) -> Outputs:
        """The network's outputs for one of the frames, with a first axis of 1; views."""
        assert self.outputs is not None
        return Outputs(**{name: None if array is None else array[number : number + 1] for name, array in _named(self.outputs)})


def copied(outputs: Outputs) -> Outputs:
    """Copies: the engine's own buffers are filled again while the parser works."""
    return Outputs(**{name: None if array is None else array.copy() for name, array in _named(outputs)})


def all_finite(outputs: Outputs) -> bool:
    """Whether every value is a number."""
    return all(array is None or bool(np.isfinite(array).all()) for _, array in _named(outputs))


def _named(outputs: Outputs) -> Iterator[tuple[str, NDArray[np.floating] | None]]:
    return ((each.name, getattr(outputs, each.name)) for each in fields(outputs))
