"""What TensorRT for RTX compiles on the device when an engine first runs: kept beside the engine, for the next start.

Its engines hold kernels that are finished by a compiler on the GPU at hand (IRuntimeCache, TensorRT for RTX 1.1 and later). Another
TensorRT compiles when it builds, and has no such cache.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import written_whole


@dataclass
class RuntimeCache:
    """A cache in use.

    Attributes:
        path: of its file.
        held: TensorRT's object.
        read: what the file held; b"" where there was none or TensorRT refused it.
    """

    path: Path
    held: Any
    read: bytes

    def keep(self) -> None:
        """Write what was compiled since, where anything was. A folder that cannot be written costs the next start its time, no more."""
        data = bytes(self.held.serialize())
        if data and data != self.read:
            with contextlib.suppress(PosetrtError, OSError), written_whole(self.path) as temporary:
                temporary.write_bytes(data)
            self.read = data


def cache_path(built: Path) -> Path:
    """`engines/x.engine` → `engines/x.engine.cache`."""
    return built.with_name(built.name + ".cache")


def context_with_cache(trt: Any, engine: Any, path: Path, *, own_graphs: bool) -> tuple[Any, RuntimeCache | None]:
    """An execution context, and the cache that it compiles into; None where this TensorRT has none.

    Args:
        trt: the module.
        engine: loaded.
        path: of the cache's file.
        own_graphs: let TensorRT for RTX capture the network into a CUDA graph itself.

    Returns:
        The context, None where there is no room for it.
    """
    if not hasattr(trt, "IRuntimeCache"):
        return engine.create_execution_context(), None
    runtime_config = engine.create_runtime_config()
    if own_graphs:
        runtime_config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    runtime_cache = runtime_config.create_runtime_cache()
    read = path.read_bytes() if path.is_file() else b""
    if read and not runtime_cache.deserialize(read):
        read = b""
    runtime_config.set_runtime_cache(runtime_cache)
    return engine.create_execution_context(runtime_config), RuntimeCache(path, runtime_cache, read)
