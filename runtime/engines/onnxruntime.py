"""ONNX Runtime on the CPU: the engine of computers without TensorRT. Alone imports onnxruntime in the runtime."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine, Precision
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.sidecar import Sidecar
from posetrt.runtime.packages import install_hint

# ONNX Runtime's kernels for x86 without VNNI add two products of 8 bits in 16, which overflow: PP-TinyPose lost a fifth of its agreement with FP32.
# With this they do not, and take up to 1.7 times as long. With VNNI the sums are exact without it, and with it 3 times as slow.
_EXACT_SUMS = ("session.x64quantprecision", "1")
_X86 = ("x86_64", "AMD64", "i686")
_VNNI = frozenset({"avx512_vnni", "avx_vnni"})

# Instruction sets that change which kernels ONNX Runtime bakes into an optimised graph.
_KERNEL_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm", "sve")


def version() -> str:
    """ONNX Runtime's own version."""
    import onnxruntime

    return str(onnxruntime.__version__)


# It would put layers that were left in float, between 8-bit tensors, back into INT8.
_UNWANTED = ("WeightBiasQuantization",)


def open_session(model: str | bytes, configure: Callable[[Any], None] = lambda _options: None) -> Any:
    """An InferenceSession on the CPU whose INT8 gives the same on every processor, where ONNX Runtime can do that with this graph.

    Args:
        model: path or content of an ONNX file.
        configure: sets further SessionOptions.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail

    def opened(*entry: str) -> Any:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4 if entry else 3
        if entry:
            options.add_session_config_entry(*entry)
        configure(options)
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(_UNWANTED))

    if _VNNI & set(device()["features"]) or device()["machine"] not in _X86:
        return opened()
    try:
        return opened(*_EXACT_SUMS)
    except Fail:  # scales that layers share, as other tools write them, stop it at these sums
        return opened()


@cache
def device() -> dict[str, Any]:
    """This CPU, as far as it decides whether an optimised graph fits: architecture and instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))), set())
    return {"machine": platform.machine(), "features": [feature for feature in _KERNEL_FEATURES if feature in flags]}


def mismatch(sidecar: Sidecar) -> str | None:
    """Why an engine of ours does not fit this computer, as the rest of a sentence; None where it fits."""
    return differs(sidecar, version(), device())


def differs(sidecar: Sidecar, library_version: str, cpu: dict[str, Any]) -> str | None:
    """As `mismatch`, for a computer with that ONNX Runtime and that CPU."""
    if sidecar.library_version != library_version:
        return f"was built by ONNX Runtime {sidecar.library_version}; this computer has {library_version}"
    if dict(sidecar.device) != cpu:
        return f"was built for {_cpu(sidecar.device)}; this computer is {_cpu(cpu)}"
    return None


def _cpu(described: Any) -> str:
    return f"{described.get('machine', '?')} with {', '.join(described.get('features', [])) or 'no vector extensions'}"


class OnnxRuntimeEngine(Engine):
    """A graph on ONNX Runtime's CPU provider.

    Args:
        graph: an ONNX file: the float32 model, a variant, or the optimised graph that `posetrt build` wrote.
        manifest: of the network.
        precision: what the graph is, for tables.
        threads: of one call; 0 takes all cores.
        built: `posetrt build` has optimised the graph; False lets ONNX Runtime optimise it at load.
        as_written: run each operator as it stands. A Q/DQ graph then computes in float, with each value rounded to its 8-bit grid.

    Raises:
        PosetrtError: the package is missing, or the graph does not load.
    """

    backend = "onnxruntime"

    def __init__(
        self,
        graph: Path,
        manifest: Manifest,
        precision: Precision,
        *,
        threads: int = 0,
        built: bool = False,
        as_written: bool = False,
    ) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise PosetrtError(f"running on the CPU needs the package onnxruntime: {install_hint('onnxruntime')}") from error
        self.manifest = manifest
        self.precision = precision
        self.built = built

        def configure(options: Any) -> None:
            options.intra_op_num_threads = threads
            # A plan of all activations beside the arena that the first call filled: more memory, and no faster.
            options.enable_mem_pattern = False
            if built or as_written:
                options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL

        self._names = list(dict.fromkeys(manifest.head.outputs.values()))
        try:
            self._session = open_session(str(graph), configure)
        except Exception as error:  # ONNX Runtime raises a dozen types without a common base
            raise PosetrtError(f"ONNX Runtime cannot load {graph}: {str(error).splitlines()[0]}") from error

    def infer(self, inputs: NDArray[Any]) -> Tensors:
        """Run the network; see `Engine.infer`."""
        if self._session is None:
            raise PosetrtError("this engine was closed")
        try:
            values = self._session.run(self._names, {self.manifest.input.name: inputs})
        except Exception as error:  # ONNX Runtime raises a dozen types without a common base
            spec = self.manifest.input
            raise PosetrtError(
                f"the network failed on input {inputs.dtype} {inputs.shape}; it takes {spec.layout} of {spec.size_wh[0]}x{spec.size_wh[1]}: "
                f"{str(error).splitlines()[0]}"
            ) from error
        return dict(zip(self._names, values, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


def open_built(engine: Path, sidecar: Sidecar, *, threads: int = 0, trust: bool = False, cuda_graph: bool = True) -> Engine:
    """Open an optimised graph that `posetrt build` wrote and that was checked to fit; it carries no code to trust, and runs on no GPU."""
    del trust, cuda_graph
    return OnnxRuntimeEngine(engine, sidecar.manifest, sidecar.precision, threads=threads, built=True)
