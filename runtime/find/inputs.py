"""Memory that networks are fed from: made once, written again, and page-locked where the engine lends its own."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine
from posetrt.runtime.picture import input_shape

_KEPT = 4
"""Arrays that wait to be used again: a frame is written, one waits, and a GPU works on two."""


class Inputs:
    """Input tensors of one engine. They may be taken and given back in different threads.

    Args:
        engine: may lend its own memory; what it does not lend comes from here.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._free: list[NDArray[Any]] = []
        self._taken: dict[int, NDArray[Any]] = {}

    def take(self, size_wh: tuple[int, int], count: int) -> NDArray[Any]:
        """A tensor for `count` pictures of a size, in the manifest's layout and type; what it holds is left over."""
        spec = self._engine.manifest.input
        shape = input_shape(spec, size_wh, count)
        lent = self._engine.lend_input(shape)
        if lent is not None:
            return lent
        with self._lock:
            for place, tensor in enumerate(self._free):
                if tensor.shape == shape:
                    del self._free[place]
                    break
            else:
                tensor = np.empty(shape, np.dtype(spec.dtype))
            # One that is never given back, after an error, may be freed like any other array.
            self._taken = dict(list(self._taken.items())[-_KEPT:])
            self._taken[id(tensor)] = tensor
        return tensor

    def give_back(self, tensor: NDArray[Any]) -> None:
        """Let a tensor be taken again: one that the network has taken in, or that nobody will show it."""
        self._engine.return_input(tensor)
        with self._lock:
            if self._taken.pop(id(tensor), None) is not None:
                self._free = [*self._free, tensor][-_KEPT:]
