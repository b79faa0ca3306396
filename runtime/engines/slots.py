"""Who has which slot of an engine: free, lent to be written, in flight, or given to the caller of `collect`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from posetrt.runtime.engines.cuda import Buffer, Cuda
from posetrt.runtime.engines.launch import Launch

LENT = 2
"""Inputs that may be lent at once: one is written while another waits for the network."""


@dataclass
class Slot:
    """The buffers and events of one frame, and how the network is launched on them.

    Attributes:
        input: the buffer of the network's input, which is one of `buffers` too.
        buffers: by the name of the tensor.
        uploaded, computed, downloaded: events.
        shapes: of the outputs, in the frame that was queued last.
        launch: of the network on these buffers.
    """

    input: Buffer
    buffers: dict[str, Buffer]
    uploaded: Any
    computed: Any
    downloaded: Any
    shapes: dict[str, tuple[int, ...]]
    launch: Launch


class Slots:
    """The slots of one engine. Inputs are lent and come back in other threads than the one that drives the network.

    Args:
        cuda: the GPU that the buffers are of; `close` closes it.

    Attributes:
        all: the slots, whoever has them.
    """

    def __init__(self, cuda: Cuda) -> None:
        self.all: list[Slot] = []
        self._cuda = cuda
        self._free: deque[Slot] = deque()
        self._given: Slot | None = None
        self._lent: dict[int, Slot] = {}  # by the address of the input
        self._lends = True
        self._made_for_lending = self._closed = False
        self._changing = threading.Lock()

    def add(self, make: Callable[[], Slot], count: int) -> None:
        """Make slots, which are free; the GPU's context is current."""
        more = [make() for _ in range(count)]
        self.all += more
        self._free.extend(more)

    @property
    def next_free(self) -> Slot:
        """The slot that `take` would give for an input of the caller's own."""
        return self._free[0]

    def lend(self, shape: tuple[int, ...], make: Callable[[], Slot]) -> NDArray[Any] | None:
        """The input of a free slot, to be written; None where as many are lent as may be, or after `stop_lending`."""
        with self._changing:
            if not self._lends or len(self._lent) >= LENT:
                return None
            if not self._made_for_lending:
                # Asked for the first time, and before the first frame: nobody else uses the GPU now.
                with self._cuda.current("make room for inputs"):
                    self.add(make, LENT)
                self._made_for_lending = True
            slot = self._free.popleft()
            lent = slot.input.view(shape)
            self._lent[lent.ctypes.data] = slot
        return lent

    def take_back(self, inputs: NDArray[Any]) -> None:
        """Free the slot whose input was lent; any other array is left alone. The last that comes back after `close` lets the GPU go."""
        with self._changing:
            slot = self._lent.pop(inputs.ctypes.data, None)
            if slot is None:
                return
            if not self._closed:
                self._free.append(slot)
            elif not self._lent:
                self._cuda.close()

    def take(self, inputs: NDArray[Any]) -> Slot:
        """The slot that a batch goes through: its own where its input was lent, else a free one."""
        with self._changing:
            return self._lent.pop(inputs.ctypes.data, None) or self._free.popleft()

    def free(self, slot: Slot) -> None:
        """Take a slot back."""
        with self._changing:
            self._free.append(slot)

    def give(self, slot: Slot) -> None:
        """Let the caller read a slot's outputs; the one that was given before is free."""
        with self._changing:
            if self._given is not None:
                self._free.append(self._given)
            self._given = slot

    def stop_lending(self) -> bool:
        """Lend nothing any more; False where that was so before."""
        with self._changing:
            stopped, self._lends = self._lends, False
        return stopped

    def close(self) -> None:
        """Free the buffers and let the GPU go, but for inputs that are lent: they may be being written, and go when the last comes back."""
        with self._changing:
            self._closed, self._given = True, None
            self._free.clear()
            self._cuda.close([slot.input for slot in self._lent.values()])
