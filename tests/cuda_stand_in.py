"""A pycuda.driver that runs what is queued as late as it may: only when somebody waits for it.

So a buffer that is written again before its copy has run, a missing wait between streams, or memory that is freed while
it is in use gives wrong numbers or an error here, as it would at some time on a GPU. Every call is recorded.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np

# CUevent_flags of cuda.h.
BLOCKING_SYNC, DISABLE_TIMING = 1, 2


class Error(Exception):
    """As pycuda.driver.Error: begins with the call that failed."""


class Cuda:
    """The state behind the module: memory by address, calls in order, the stack of contexts."""

    def __init__(self, *, integrated: bool = False, memory: int = 1 << 30) -> None:
        self.calls: list[str] = []
        self.waited: list[int] = []  # flags of the events that the computer waited for
        self.memory: dict[int, np.ndarray[Any, Any]] = {}
        self.pinned: set[int] = set()  # where page-locked memory of the computer begins
        self.fail_at: dict[str, str] = {}
        self.current = 0
        self.free = memory
        self.streams: dict[int, Any] = {}
        self._next = 0x1000

    def call(self, name: str, *, inside: bool = True) -> None:
        """Record a call; fail where a test asks for it, or where no context is current."""
        self.calls.append(name)
        if inside and self.current <= 0:
            raise Error(f"{name} failed: invalid device context")
        if name in self.fail_at:
            raise Error(f"{name} failed: {self.fail_at[name]}")

    def address(self, data: np.ndarray[Any, Any]) -> int:
        """Put an array into device memory."""
        self._next += 0x100000
        self.memory[self._next] = data
        return self._next

    def at(self, address: int) -> np.ndarray[Any, Any]:
        """What stands at an address; an error where it was freed."""
        if address not in self.memory:
            raise AssertionError(f"memory at {address:#x} is used after it was freed")
        return self.memory[address]


def module(cuda: Cuda) -> Any:
    """The module pycuda.driver on that state."""
    driver: Any = types.ModuleType("pycuda.driver")

    class Context:
        def push(self) -> None:
            cuda.current += 1

        @staticmethod
        def pop() -> None:
            cuda.current -= 1

        def detach(self) -> None:
            """As pycuda's: in the thread that made the context it leaves it on that thread's stack."""
            if threading.get_ident() == self.thread:
                cuda.current += 1

        def __init__(self) -> None:
            self.thread = threading.get_ident()

    class Device:
        def __init__(self, index: int) -> None:
            self.index = index

        def retain_primary_context(self) -> Context:
            cuda.call("cuDevicePrimaryCtxRetain", inside=False)
            return Context()

    class Stream:
        def __init__(self) -> None:
            cuda.call("cuStreamCreate")
            self._queue: list[Callable[[], None]] = []
            self.captured: list[Callable[[], None]] | None = None
            self.handle = len(cuda.streams) + 1
            cuda.streams[self.handle] = self

        @property
        def queue(self) -> list[Callable[[], None]]:
            """Where work goes: while the stream captures, into the graph."""
            return self._queue if self.captured is None else self.captured

        def run(self, until: int | None = None) -> None:
            if self.captured is not None:
                raise Error("cuStreamSynchronize failed: operation not permitted when stream is capturing")
            count = len(self._queue) if until is None else until
            work, self._queue[:count] = self._queue[:count], [_nothing] * count
            for one in work:
                one()

        def synchronize(self) -> None:
            cuda.call("cuStreamSynchronize")
            self.run()

        def wait_for_event(self, event: Event) -> None:
            cuda.call("cuStreamWaitEvent")
            stream, mark = event.stream, event.mark
            self.queue.append(lambda: stream.run(mark) if stream is not None else None)

    class Event:
        def __init__(self, flags: int = 0) -> None:
            cuda.call("cuEventCreate")
            self.stream: Stream | None = None
            self.mark, self.flags = 0, flags

        def record(self, stream: Stream) -> None:
            cuda.call("cuEventRecord")
            self.stream, self.mark = stream, len(stream.queue)

        def synchronize(self) -> None:
            cuda.call("cuEventSynchronize")
            cuda.waited.append(self.flags)
            if self.stream is not None:
                self.stream.run(self.mark)

        def time_till(self, other: Event) -> float:
            return 1.5

    class Allocation:
        def __init__(self, data: np.ndarray[Any, Any]) -> None:
            self.address = cuda.address(data)

        def __int__(self) -> int:
            return self.address

        def free(self) -> None:
            cuda.call("cuMemFree")
            del cuda.memory[self.address]

    class Pinned:
        """What `array.base` is of a page-locked array."""

        def __init__(self, data: np.ndarray[Any, Any]) -> None:
            self.data = data
            self.address: int | None = None
            cuda.pinned.add(data.ctypes.data)
            self.__array_interface__ = data.__array_interface__

        def get_device_pointer(self) -> int:
            cuda.call("cuMemHostGetDevicePointer")
            self.address = cuda.address(self.data)
            return self.address

        def free(self) -> None:
            cuda.call("cuMemFreeHost")
            cuda.pinned.remove(self.data.ctypes.data)
            if self.address is not None:
                del cuda.memory[self.address]

    def pagelocked_empty(elements: int, dtype: Any, mem_flags: int = 0) -> Any:
        cuda.call("cuMemHostAlloc")
        return np.asarray(Pinned(np.zeros(elements, dtype)))

    def mem_alloc(size: int) -> Allocation:
        cuda.call("cuMemAlloc")
        if size > cuda.free:
            raise Error("cuMemAlloc failed: out of memory")
        return Allocation(np.zeros(size, np.uint8))

    def memcpy_htod_async(address: int, host: np.ndarray[Any, Any], stream: Stream) -> None:
        cuda.call("cuMemcpyHtoDAsync")

        def copy() -> None:
            cuda.at(address)[: host.nbytes] = host.view(np.uint8)

        stream.queue.append(copy)

    def memcpy_dtoh_async(host: np.ndarray[Any, Any], address: int, stream: Stream) -> None:
        cuda.call("cuMemcpyDtoHAsync")

        def copy() -> None:
            host.view(np.uint8)[:] = cuda.at(address)[: host.nbytes]

        stream.queue.append(copy)

    driver.Error = Error
    driver.Device, driver.Stream, driver.Event = Device, Stream, Event
    driver.event_flags = types.SimpleNamespace(DEFAULT=0, BLOCKING_SYNC=BLOCKING_SYNC, DISABLE_TIMING=DISABLE_TIMING)
    driver.host_alloc_flags = types.SimpleNamespace(DEVICEMAP=2)
    driver.init = lambda: cuda.call("cuInit", inside=False)
    driver.pagelocked_empty, driver.mem_alloc = pagelocked_empty, mem_alloc
    driver.memcpy_htod_async, driver.memcpy_dtoh_async = memcpy_htod_async, memcpy_dtoh_async
    driver.mem_get_info = lambda: (cuda.free, cuda.free)
    return driver


class Libcuda:
    """What ctypes finds in libcuda for CUDA graphs, on the same state; `fails` gives the code of a call that fails."""

    def __init__(self, cuda: Cuda, **fails: int) -> None:
        self.cuda, self.fails = cuda, fails
        self.graphs: dict[int, list[Callable[[], None]]] = {}

    def _call(self, name: str) -> int:
        self.cuda.call(name)
        return self.fails.get(name, 0)

    def cuStreamBeginCapture_v2(self, stream: Any, mode: Any) -> int:  # noqa: N802
        code = self._call("cuStreamBeginCapture_v2")
        if not code:
            self.cuda.streams[stream.value].captured = []
        return code

    def cuStreamEndCapture(self, stream: Any, graph: Any) -> int:  # noqa: N802
        work, self.cuda.streams[stream.value].captured = self.cuda.streams[stream.value].captured, None
        code = self._call("cuStreamEndCapture")
        if not code:
            graph._obj.value = 0x7F0000000000 + len(self.graphs)
            self.graphs[graph._obj.value] = work
        return code

    def cuGraphInstantiateWithFlags(self, launchable: Any, graph: Any, flags: Any) -> int:  # noqa: N802
        launchable._obj.value = graph.value + 0x1000
        self.graphs[launchable._obj.value] = self.graphs[graph.value]
        return self._call("cuGraphInstantiateWithFlags")

    def cuGraphLaunch(self, launchable: Any, stream: Any) -> int:  # noqa: N802
        self.cuda.streams[stream.value].queue.extend(self.graphs[launchable.value])
        return self._call("cuGraphLaunch")

    def cuGraphDestroy(self, graph: Any) -> int:  # noqa: N802
        return self._call("cuGraphDestroy")

    def cuGraphExecDestroy(self, launchable: Any) -> int:  # noqa: N802
        del self.graphs[launchable.value]
        return self._call("cuGraphExecDestroy")

    def cuGetErrorName(self, code: Any, text: Any) -> int:  # noqa: N802
        text._obj.value = b"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED" if code.value == 901 else b"CUDA_ERROR_UNKNOWN"
        return 0


def _nothing() -> None:
    """Stands for work that has been done."""
