"""Memory, streams and events on one GPU. Alone touches pycuda."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from posetrt.runtime.engines.driver import board_name, gpu, release_primary_context
from posetrt.runtime.errors import PosetrtError

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass
class Buffer:
    """A tensor's memory on both sides.

    Attributes:
        host: flat page-locked array of the largest size.
        address: of the device's side.
        shared: host and device see the same memory, so that no copy is needed.
    """

    host: NDArray[Any]
    address: int
    shared: bool
    _device: Any = None

    def view(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """The first elements as an array of `shape`, without a copy."""
        return self.host[: int(np.prod(shape))].reshape(shape)


class Cuda:
    """The primary context of one GPU, which a program shares with PyTorch, CuPy and CUDA's runtime API.

    Nothing is left current between calls: each goes through `current`, so any thread may use it, one at a time.

    Args:
        index: CUDA's ordinal of the GPU.

    Raises:
        PosetrtError: no driver, no GPU, no pycuda, or CUDA refuses.
    """

    def __init__(self, index: int = 0) -> None:
        self.gpu = gpu(index)
        self._cuda = _pycuda()
        self._buffers: list[Buffer] = []
        self._context: Any = None
        try:
            self._cuda.init()
            self._context = self._cuda.Device(index).retain_primary_context()
        except self._cuda.Error as error:
            raise _failed("open the GPU", error) from error

    @contextlib.contextmanager
    def current(self, doing: str) -> Iterator[None]:
        """Make the context this thread's own for a block; CUDA's errors in it become ours.

        Raises:
            PosetrtError: "CUDA failed to `doing`", with the call that failed.
        """
        if self._context is None:
            raise PosetrtError("this GPU was closed")
        self._context.push()
        try:
            yield
        except self._cuda.Error as error:
            raise _failed(doing, error) from error
        finally:
            self._context.pop()

    def stream(self) -> Any:
        """A stream; `handle` is its address."""
        return self._cuda.Stream()

    def event(self, *, timed: bool = False, waited_for: bool = False) -> Any:
        """An event; only a timed one measures, and it costs more. A thread that waits for one made to be waited for sleeps, and does not spin."""
        flags = self._cuda.event_flags
        return self._cuda.Event((flags.DEFAULT if timed else flags.DISABLE_TIMING) | (flags.BLOCKING_SYNC if waited_for else 0))

    def buffer(self, elements: int, dtype: DTypeLike, *, shared: bool | None = None) -> Buffer:
        """Memory for a tensor, made once: page-locked on the computer's side.

        Args:
            shared: whether both sides see the one memory, or each has its own and copies; None shares it on an integrated GPU, where
                the computer's memory is the GPU's.
        """
        if self.gpu.integrated if shared is None else shared:
            flags = self._cuda.host_alloc_flags.DEVICEMAP
            host = self._cuda.pagelocked_empty(elements, dtype, mem_flags=flags)
            buffer = Buffer(host, int(host.base.get_device_pointer()), shared=True)
        else:
            host = self._cuda.pagelocked_empty(elements, dtype)
            try:
                device = self._cuda.mem_alloc(host.nbytes)
            except self._cuda.Error:
                host.base.free()
                raise
            buffer = Buffer(host, int(device), shared=False, _device=device)
        self._buffers.append(buffer)
        return buffer

    def upload(self, buffer: Buffer, elements: int, stream: Any) -> None:
        """Queue the copy of a buffer's first elements to the device; nothing where both sides are one."""
        if not buffer.shared:
            self._cuda.memcpy_htod_async(buffer.address, buffer.host[:elements], stream)

    def download(self, buffer: Buffer, elements: int, stream: Any) -> None:
        """Queue the copy of a buffer's first elements to the host; nothing where both sides are one."""
        if not buffer.shared:
            self._cuda.memcpy_dtoh_async(buffer.host[:elements], buffer.address, stream)

    def free_bytes(self) -> int:
        """Free memory of the device, in bytes."""
        with self.current("ask for its free memory"):
            return int(self._cuda.mem_get_info()[0])

    def close(self, but: Sequence[Buffer] = ()) -> None:
        """Free the buffers, then let the context go; closing twice is harmless.

        Args:
            but: still in use; they and the context stay until it is closed again.
        """
        if self._context is None:
            return
        kept = {id(buffer) for buffer in but}
        gone = [buffer for buffer in self._buffers if id(buffer) not in kept]
        try:
            with self.current("free its memory"):
                for buffer in gone:
                    if buffer._device is not None:
                        buffer._device.free()
                    allocation: Any = buffer.host.base
                    allocation.free()
        finally:
            self._buffers = [buffer for buffer in self._buffers if id(buffer) in kept]
            if not self._buffers:
                context, self._context = self._context, None
                # pycuda's detach leaves the context on this thread's stack, and does nothing but forget it in any thread but the
                # one that made it (cuda.hpp, context::detach). So let it forget, and give the hold back ourselves.
                forgetful = threading.Thread(target=context.detach, name="posetrt-detach")
                forgetful.start()
                forgetful.join()
                release_primary_context(self.gpu.index)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _failed(doing: str, error: Exception) -> PosetrtError:
    """pycuda's message begins with the CUDA call: "cuMemAlloc failed: out of memory"."""
    hint = ""
    if "out of memory" in str(error):
        hint = ". Close other programs on the GPU, or build for a smaller size or batch"
    elif "unspecified launch failure" in str(error) or "illegal" in str(error):
        hint = ". The GPU's context is lost: start the program again"
    return PosetrtError(f"CUDA failed to {doing}: {str(error).strip()}{hint}")


def _pycuda() -> Any:
    try:
        import pycuda.driver
    except ModuleNotFoundError as error:
        raise PosetrtError(f"running on the GPU needs pycuda ({error.name} is missing). {_pycuda_hint()}") from error
    except (ImportError, OSError) as error:
        raise PosetrtError(
            f"pycuda is installed and does not load: {error}. It must be built against this CUDA. {_pycuda_hint()}"
        ) from error
    return pycuda.driver


def _pycuda_hint() -> str:
    if board_name():
        return (
            "On this board: export PATH=/usr/local/cuda/bin:$PATH CUDA_ROOT=/usr/local/cuda; "
            "sudo apt install -y build-essential python3-dev cuda-toolkit; pip install --no-cache-dir --no-binary pycuda pycuda"
        )
    return "It is built here from source: export PATH=/usr/local/cuda/bin:$PATH; pip install --no-cache-dir pycuda"
