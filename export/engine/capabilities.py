"""What a TensorRT offers, asked by name: the builder follows this, never the version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from posetrt.runtime.engines.driver import Gpu
from posetrt.runtime.engines.library import LibraryName, version_numbers

# The names of IBuilderConfig that a plan may set only where they exist.
_CONFIG_NAMES = (
    "builder_optimization_level",
    "int8_calibrator",
    "progress_monitor",
    "num_compute_capabilities",
    "hardware_compatibility_level",
)


@dataclass(frozen=True)
class Capabilities:
    """A TensorRT and the device that it builds for.

    Attributes:
        library, version: which product, and its version as numbers, for the sidecar and for sentences.
        builder_flags, network_flags, hardware_levels, compute_capabilities: names of the enumerations' values.
        config: those of IBuilderConfig's names that not every version has.
        dynamic_ranges: a tensor can be given a range (implicit INT8).
        layer_precision: a layer can be told its precision.
        calibrator: TensorRT's own INT8 calibration.
        progress_monitor: a build tells how far it is.
        gpu: None on a machine without one, where only TensorRT for RTX builds.
        dla_cores: that TensorRT can use here.
    """

    library: LibraryName
    version: tuple[int, ...]
    builder_flags: frozenset[str]
    network_flags: frozenset[str]
    hardware_levels: frozenset[str] = frozenset()
    compute_capabilities: frozenset[str] = frozenset()
    config: frozenset[str] = frozenset()
    dynamic_ranges: bool = False
    layer_precision: bool = False
    calibrator: bool = False
    progress_monitor: bool = False
    gpu: Gpu | None = None
    dla_cores: int = 0

    @property
    def title(self) -> str:
        """For sentences: "TensorRT 10.3.0"."""
        return f"{'TensorRT' if self.library == 'tensorrt' else 'TensorRT for RTX'} {'.'.join(map(str, self.version))}"

    @property
    def weakly_typed(self) -> bool:
        """Whether builder flags choose precisions; where not, the types are what the graph says."""
        return self.layer_precision and {"FP16", "INT8"} <= self.builder_flags

    @property
    def strongly_typed(self) -> bool:
        """Whether a network can be held to the graph's types; its parser then reads float16 scales (opset 19) too."""
        return "STRONGLY_TYPED" in self.network_flags


def capabilities_of(trt: Any, library: LibraryName, version: str, gpu: Gpu | None = None, dla_cores: int = 0) -> Capabilities:
    """Ask a TensorRT module what it has. Touches no driver: only the names of its classes."""
    return Capabilities(
        library=library,
        version=version_numbers(version),
        builder_flags=_names(trt, "BuilderFlag"),
        network_flags=_names(trt, "NetworkDefinitionCreationFlag"),
        hardware_levels=_names(trt, "HardwareCompatibilityLevel"),
        compute_capabilities=_names(trt, "ComputeCapability"),
        config=frozenset(name for name in _CONFIG_NAMES if hasattr(trt.IBuilderConfig, name)),
        dynamic_ranges=hasattr(trt.ITensor, "set_dynamic_range"),
        layer_precision=hasattr(trt.ILayer, "precision"),
        calibrator=hasattr(trt, "IInt8EntropyCalibrator2") and hasattr(trt.IBuilderConfig, "int8_calibrator"),
        progress_monitor=hasattr(trt, "IProgressMonitor") and hasattr(trt.IBuilderConfig, "progress_monitor"),
        gpu=gpu,
        dla_cores=dla_cores,
    )


def _names(trt: Any, enumeration: str) -> frozenset[str]:
    return frozenset(getattr(getattr(trt, enumeration, None), "__members__", ()))
