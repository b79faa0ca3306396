"""Work captured from a stream once, and launched as one from then on.

A launch of a CUDA graph costs the CPU a few microseconds in place of one launch per kernel. pycuda has no such call, so libcuda is
asked through ctypes. Functions and numbers: cuda.h, "Stream Management" and "Graph Management".
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from posetrt.runtime.engines.driver import LIBRARY
from posetrt.runtime.errors import PosetrtError

# CUstreamCaptureMode: what other threads do meanwhile does not spoil the capture.
_THREAD_LOCAL = 1


class CudaGraph:
    """A graph that can be launched; `close` it while its context stands. Made by `capture`."""

    def __init__(self, cuda: Any, launchable: int) -> None:
        self._cuda, self._launchable = cuda, launchable

    def launch(self, stream: int) -> None:
        """Queue the whole graph on a stream, given by its address.

        Raises:
            PosetrtError: CUDA refuses.
        """
        _check(self._cuda, "cuGraphLaunch", ctypes.c_void_p(self._launchable), ctypes.c_void_p(stream))

    def close(self) -> None:
        """Free the graph; twice is harmless."""
        launchable, self._launchable = self._launchable, 0
        if launchable:
            _check(self._cuda, "cuGraphExecDestroy", ctypes.c_void_p(launchable))


def libcuda() -> Any:
    """The driver's library."""
    return ctypes.CDLL(LIBRARY)


def capture(stream: int, enqueue: Callable[[], bool], cuda: Any = None) -> CudaGraph:
    """Capture what `enqueue` puts on a stream. Nothing of it runs before the graph is launched, and the stream is usable afterwards.

    Args:
        stream: its address; its context is current.
        enqueue: puts the work on the stream; False where that failed.
        cuda: the driver's library; another one in tests.

    Raises:
        PosetrtError: the work cannot be captured; says which call failed.
    """
    cuda = cuda or libcuda()
    graph, launchable = ctypes.c_void_p(), ctypes.c_void_p()
    _check(cuda, "cuStreamBeginCapture_v2", ctypes.c_void_p(stream), ctypes.c_int(_THREAD_LOCAL))
    try:
        try:
            queued = enqueue()
        finally:
            # Also where that failed: a stream that captures takes no other work.
            code = int(cuda.cuStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph)))
        if not queued:
            raise PosetrtError("the network could not be put on a stream that captures")
        if code or not graph.value:
            raise _failed(cuda, "cuStreamEndCapture", code)
        _check(cuda, "cuGraphInstantiateWithFlags", ctypes.byref(launchable), graph, ctypes.c_ulonglong(0))
    finally:
        if graph.value:
            cuda.cuGraphDestroy(graph)
    return CudaGraph(cuda, int(launchable.value or 0))


def _check(cuda: Any, function: str, *arguments: Any) -> None:
    code = int(getattr(cuda, function)(*arguments))
    if code:
        raise _failed(cuda, function, code)


def _failed(cuda: Any, function: str, code: int) -> PosetrtError:
    text = ctypes.c_char_p()
    cuda.cuGetErrorName(ctypes.c_int(code), ctypes.byref(text))
    return PosetrtError(f"{function} failed: {text.value.decode('ascii', 'replace') if text.value else f'error {code}'}")
