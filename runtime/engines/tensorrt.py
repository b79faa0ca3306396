"""TensorRT on the GPU: an engine loaded after its sidecar was checked, with buffers made once and frames in flight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines import driver
from posetrt.runtime.engines.base import Engine, Precision
from posetrt.runtime.engines.cuda import Cuda
from posetrt.runtime.engines.launch import Graphs, Launch
from posetrt.runtime.engines.library import Library, LibraryName, installed
from posetrt.runtime.engines.preflight import Here, reason
from posetrt.runtime.engines.rtx_cache import RuntimeCache, cache_path, context_with_cache
from posetrt.runtime.engines.slots import Slot, Slots
from posetrt.runtime.engines.trt_log import Log, started
from posetrt.runtime.errors import EngineMismatch, PosetrtError
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.sidecar import Sidecar

FRAMES_IN_FLIGHT = 2


def mismatch(sidecar: Sidecar) -> str | None:
    """Why a TensorRT engine does not fit this device, as the rest of a sentence; None where it fits. Loads no engine."""
    try:
        gpu = driver.gpu()
        library = installed(cast(LibraryName, sidecar.backend))
        cores = _dla_cores(library) if sidecar.device.get("dla") is not None else None
    except PosetrtError as error:
        return f"needs a GPU with TensorRT: {str(error).rstrip('.')}"
    return reason(sidecar, Here(library.name, library.text, gpu.sm, gpu.name, cores))


def open_built(engine: Path, sidecar: Sidecar, *, threads: int = 0, trust: bool = False, cuda_graph: bool = True) -> Engine:
    """Open an engine whose sidecar fits this device.

    Args:
        threads: of a CPU; the GPU has no use for it.
        trust: let a version-compatible engine bring code that runs on this computer's CPU.
        cuda_graph: launch the network as one CUDA graph where the engine allows it.

    Raises:
        EngineMismatch: a version-compatible engine and no trust, or TensorRT refuses the file.
    """
    del threads
    host_code = bool(sidecar.options.get("version_compatible"))
    if host_code and not trust:
        raise EngineMismatch(
            f"{engine.name} is version-compatible: it carries code that would run on this computer. "
            "If you trust where it comes from, load it with --trust; else build one here with: posetrt build"
        )
    return TensorRTEngine(
        engine,
        sidecar.manifest,
        sidecar.precision,
        library=installed(cast(LibraryName, sidecar.backend)),
        dla=sidecar.device.get("dla"),
        host_code=host_code,
        shared=sidecar.options.get("shared"),
        own_graphs=bool(sidecar.options.get("own_graphs")),
        cuda_graph=cuda_graph and bool(sidecar.options.get("cuda_graph", True)),
    )


def _dla_cores(library: Library) -> int:
    trt = library.module
    with Log().listening() as log:
        runtime = started(trt.Runtime, trt, log, library.title)
        return int(runtime.num_DLA_cores)


@dataclass(frozen=True)
class Tensor:
    """An input or output of the engine: what it is, its type and its largest shape."""

    name: str
    dtype: np.dtype[Any]
    largest: tuple[int, ...]


class TensorRTEngine(Engine):
    """An engine on one GPU.

    A frame is copied to the device on one stream, computed on a second and copied back on a third, so that the copies
    of one frame run beside the computing of another. There is one slot more than frames in flight, since what `collect`
    gave stays valid while the next ones are submitted, and one for each input that may be lent, made when the first is asked for.

    Args:
        path: the engine, checked against its sidecar by the caller.
        manifest: of the network.
        precision: as asked of `build`.
        library: TensorRT or TensorRT for RTX.
        device: CUDA's ordinal of the GPU.
        dla: the DLA core that it was built for.
        host_code: allow the code inside a version-compatible engine.
        outputs: names of the tensors to copy to the host; None copies all of the head's. The others stay on the device.
        frames_in_flight: batches that may be submitted before the first is collected.
        shared: names of the tensors whose memory the GPU and the computer share; None shares all on an integrated GPU and none elsewhere.
        own_graphs: let TensorRT for RTX capture the network into a CUDA graph itself.
        cuda_graph: capture the network of each slot into a CUDA graph when it runs for the second time, and launch that from then on.
        say: told in a line why there are no CUDA graphs, where they were asked for; None gives a Python warning.

    Raises:
        PosetrtError: no driver, no pycuda, too little memory, or CUDA fails.
        EngineMismatch: TensorRT refuses the engine.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        precision: Precision,
        *,
        library: Library,
        device: int = 0,
        dla: int | None = None,
        host_code: bool = False,
        outputs: Collection[str] | None = None,
        frames_in_flight: int = FRAMES_IN_FLIGHT,
        shared: Collection[str] | None = None,
        own_graphs: bool = False,
        cuda_graph: bool = True,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.manifest = manifest
        self.precision = precision
        self.backend = library.name
        self.frames_in_flight = frames_in_flight
        self._library = library
        self._log = Log()
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._cache: RuntimeCache | None = None
        self._shared, self._own_graphs = shared, own_graphs
        self._graphs = Graphs(cuda_graph and not own_graphs, say)
        self._streams: list[Any] = []
        self._pending: deque[Slot] = deque()
        self._shape: tuple[int, ...] | None = None
        self._wanted = {name for name in manifest.head.outputs.values() if outputs is None or name in outputs}
        self._cuda = Cuda(device)
        self._slots = Slots(self._cuda)
        try:
            with self._cuda.current(f"load {path.name}"), self._log.listening():
                self._load(path, dla, host_code)
                self._streams = [self._cuda.stream() for _ in range(3)]
                self._slots.add(self._slot, frames_in_flight + 1)
                self._graphs.check(dla, self._smallest, self._input.largest)
        except BaseException:
            self.close()
            raise

    def _load(self, path: Path, dla: int | None, host_code: bool) -> None:
        trt = self._library.module
        # Held by `self` from the start and by no variable: what fails here is freed by `close`, in order, while the context stands.
        self._runtime = started(trt.Runtime, trt, self._log, self._library.title)
        if host_code:
            self._runtime.engine_host_code_allowed = True
        if dla is not None:
            self._runtime.DLA_core = dla
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            why = self._log.reason("it gives no reason")
            raise EngineMismatch(f"{self._library.title} refuses {path.name}: {why}. Build it again on this device with: posetrt build")
        self._context, self._cache = context_with_cache(trt, self._engine, cache_path(path), own_graphs=self._own_graphs)
        if self._context is None:
            need, free = engine_memory(self._engine), self._cuda.free_bytes()
            raise PosetrtError(
                f"{path.name} needs {need / 1e6:.0f} MB to run and {free / 1e6:.0f} MB are free: "
                f"{self._log.reason('no room for its layers')}. Close other programs, or build for a smaller size or batch"
            )
        self._input, self._outputs = self._tensors()

    def _tensors(self) -> tuple[Tensor, list[Tensor]]:
        trt = self._library.module
        wanted = list(dict.fromkeys(self.manifest.head.outputs.values()))
        types = {
            # Not trt.nptype: that of 8.6 asks NumPy for np.bool, which NumPy 1.24 to 1.26 have not.
            trt.DataType.FLOAT: np.float32,
            trt.DataType.HALF: np.float16,
            trt.DataType.UINT8: np.uint8,
            trt.DataType.INT32: np.int32,
        }
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        missing = {self.manifest.input.name, *wanted} - set(names)
        if missing or len(inputs) != 1:
            raise EngineMismatch(
                f"the engine has the tensors {', '.join(names)}, and its manifest names {', '.join(sorted(missing)) or 'one input'}: "
                "they do not belong together. Build again with: posetrt build"
            )
        name = inputs[0]
        shape = tuple(self._engine.get_tensor_shape(name))
        largest = shape
        if -1 in shape:
            self._smallest, _, largest = (tuple(one) for one in self._engine.get_tensor_profile_shape(name, 0))
            self._context.set_input_shape(name, largest)
        else:
            self._smallest = shape
        outputs = [
            Tensor(one, np.dtype(types[self._engine.get_tensor_dtype(one)]), tuple(self._context.get_tensor_shape(one))) for one in wanted
        ]
        return Tensor(name, np.dtype(types[self._engine.get_tensor_dtype(name)]), largest), outputs

    def _slot(self) -> Slot:
        buffers = {
            one.name: self._cuda.buffer(
                int(np.prod(one.largest)), one.dtype, shared=None if self._shared is None else one.name in self._shared
            )
            for one in (self._input, *self._outputs)
        }
        into = buffers[self._input.name]
        return Slot(into, buffers, self._cuda.event(), self._cuda.event(), self._cuda.event(waited_for=True), {}, Launch(self._graphs))

    def lend_input(self, shape: tuple[int, ...]) -> NDArray[Any] | None:
        """Page-locked memory that the GPU reads; see `Engine.lend_input`."""
        return self._slots.lend(shape, self._slot) if self._takes(shape) else None

    def return_input(self, inputs: NDArray[Any]) -> None:
        """See `Engine.return_input`."""
        self._slots.take_back(inputs)

    def submit(self, inputs: NDArray[Any]) -> None:
        """Queue a batch: copy in, compute, copy out; see `Engine.submit`."""
        if self._cuda is None:
            self.return_input(inputs)
        self._open()
        if len(self._pending) >= self.frames_in_flight:
            raise PosetrtError(
                f"{len(self._pending)} frames are in flight, as many as this engine takes: collect one before the next submit"
            )
        self._check(inputs)
        slot = self._slots.take(inputs)
        try:
            with self._cuda.current("run the network"), self._log.listening():
                self._log.settle()
                self._queue(slot, inputs)
        except BaseException:
            self._slots.free(slot)
            raise
        self._pending.append(slot)

    def _queue(self, slot: Slot, inputs: NDArray[Any]) -> None:
        into, compute, out = self._streams
        own = slot.input.view(inputs.shape)
        if own.ctypes.data != inputs.ctypes.data:
            np.copyto(own, inputs)
        self._cuda.upload(slot.input, inputs.size, into)
        slot.uploaded.record(into)
        compute.wait_for_event(slot.uploaded)
        if inputs.shape != self._shape:
            if not self._context.set_input_shape(self._input.name, inputs.shape):
                raise PosetrtError(f"TensorRT refuses the input shape {inputs.shape}: {self._log.reason('it gives no reason')}")
            self._shape = inputs.shape
        for name, buffer in slot.buffers.items():
            self._context.set_tensor_address(name, buffer.address)
        if not slot.launch.run(compute.handle, lambda: bool(self._context.execute_async_v3(compute.handle))):
            # What was queued may still write into the buffers: it must end before anyone uses or frees them.
            compute.synchronize()
            raise PosetrtError(f"TensorRT failed to start the network (execute_async_v3): {self._log.reason('it gives no reason')}")
        slot.computed.record(compute)
        out.wait_for_event(slot.computed)
        slot.shapes = {one.name: tuple(self._context.get_tensor_shape(one.name)) for one in self._outputs}
        for one in self._outputs:
            if one.name in self._wanted:
                self._cuda.download(slot.buffers[one.name], int(np.prod(slot.shapes[one.name])), out)
        slot.downloaded.record(out)

    def collect(self) -> Tensors:
        """Wait for the oldest batch; see `Engine.collect`."""
        self._open()
        if not self._pending:
            raise PosetrtError("nothing is in flight: submit a batch before collecting")
        slot = self._pending.popleft()
        self._slots.give(slot)
        with self._cuda.current("run the network"):
            slot.downloaded.synchronize()
        return {one.name: slot.buffers[one.name].view(slot.shapes[one.name]) for one in self._outputs if one.name in self._wanted}

    def infer(self, inputs: NDArray[Any]) -> Tensors:
        """Run the network on one batch; see `Engine.infer`."""
        if self._pending:
            raise PosetrtError("frames are in flight: collect them before infer")
        self.submit(inputs)
        return self.collect()

    def parts_ms(self, inputs: NDArray[Any]) -> dict[str, float]:
        """Time of each part of one batch, one after the other, in ms: "upload", "network" and "download" by the GPU's own clock, and "enqueue",
        what this thread needs to put the network on its stream: kernel by kernel, or as one CUDA graph."""
        self._open()
        self._check(inputs)
        self.infer(inputs)
        slot, stream = self._slots.next_free, self._streams[1]
        np.copyto(slot.input.view(inputs.shape), inputs)
        with self._cuda.current("time the network"), self._log.listening():
            marks = [self._cuda.event(timed=True) for _ in range(4)]
            marks[0].record(stream)
            self._cuda.upload(slot.input, inputs.size, stream)
            marks[1].record(stream)
            for name, buffer in slot.buffers.items():
                self._context.set_tensor_address(name, buffer.address)
            began = time.perf_counter()
            if not slot.launch.run(stream.handle, lambda: bool(self._context.execute_async_v3(stream.handle))):
                stream.synchronize()
                raise PosetrtError(f"TensorRT failed to start the network (execute_async_v3): {self._log.reason('it gives no reason')}")
            enqueue_ms = (time.perf_counter() - began) * 1000
            marks[2].record(stream)
            for one in self._outputs:
                if one.name in self._wanted:
                    self._cuda.download(slot.buffers[one.name], int(np.prod(self._context.get_tensor_shape(one.name))), stream)
            marks[3].record(stream)
            marks[3].synchronize()
            times = [float(marks[index].time_till(marks[index + 1])) for index in range(3)]
        return {**dict(zip(("upload", "network", "download"), times, strict=True)), "enqueue": enqueue_ms}

    @property
    def max_batch(self) -> int:
        """See `Engine.max_batch`; of the profile that it was built for."""
        return int(self._input.largest[0])

    def free_bytes(self) -> int:
        """Free memory of the device, in bytes."""
        self._open()
        return self._cuda.free_bytes()

    def _wait(self) -> None:
        # In a frame of its own: a stream that a variable still names would outlive its context.
        for stream in self._streams:
            stream.synchronize()

    def _open(self) -> None:
        if self._cuda is None:
            raise PosetrtError("this engine was closed")

    def _takes(self, shape: tuple[int, ...]) -> bool:
        low, high = self._smallest, self._input.largest
        return len(shape) == len(high) and all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True))

    def _check(self, inputs: NDArray[Any]) -> None:
        if inputs.dtype != self._input.dtype or not self._takes(inputs.shape):
            low, high = self._smallest, self._input.largest
            takes = f"{self._input.dtype} {high}" if low == high else f"{self._input.dtype} between {low} and {high}"
            raise PosetrtError(
                f"the engine takes {takes}; got {inputs.dtype} {inputs.shape}. "
                "For other sizes or batches build again with --min-size, --max-size and --max-batch"
            )

    def close(self) -> None:
        """Wait for the GPU, then free in order: CUDA graphs, context, engine, runtime, events and streams, buffers; twice is harmless.

        Inputs that are lent may be being written in another thread: they are freed when the last of them comes back.
        """
        if not self._slots.stop_lending():
            return
        cuda, self._cuda = self._cuda, cast(Cuda, None)
        try:
            with cuda.current("free the engine"):
                self._wait()
        finally:
            try:
                with cuda.current("free the engine"), self._log.listening():
                    try:
                        for slot in self._slots.all:
                            slot.launch.close()
                        if self._cache is not None:
                            self._cache.keep()
                    finally:
                        self._cache = None
                        self._context = None
                        self._engine = None
                        self._runtime = None
                        self._streams = []
                        for slot in self._slots.all:
                            slot.uploaded = slot.computed = slot.downloaded = None
            finally:
                self._pending.clear()
                self._slots.close()


def engine_memory(engine: Any) -> int:
    """Memory that an engine's layers need, in bytes: `device_memory_size_v2`, which 8.6 has not, and 11 alone has."""
    return int(engine.device_memory_size_v2 if hasattr(engine, "device_memory_size_v2") else engine.device_memory_size)
