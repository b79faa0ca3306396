"""What a user can ask of a TensorRT build, and which of it a TensorRT, a device and a network can give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from posetrt.export.engine.capabilities import Capabilities
from posetrt.runtime.engines.base import Precision
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.manifest import Manifest

Shape = tuple[int, ...]
# Of the memory that a GPU shares with cameras, the desktop and this process; of a card's own memory.
_SHARED_PART, _OWN_PART = 4, 2
_TACTICS_PART = 2
SMALLEST_WORKSPACE = 64 << 20
FP8_SM = 89
"""Compute capability from which on GPUs have float8; TensorRT for RTX refuses it for sm_86."""


@dataclass(frozen=True)
class BuildRequest:
    """What the user asked for.

    Attributes:
        precision: "fp32", "fp16", "fp8" or "int8".
        tf32: let float32 layers use TF32 (ten bits of mantissa), where the GPU has it.
        explicit_qdq: INT8 from the Q/DQ graph also where ranges would do.
        workspace_mb: limit of the scratch memory of layers; None fits it to the board.
        dla: core to build for; None for the GPU.
        version_compatible: let newer TensorRTs load the engine.
        hardware_compatible: let newer GPUs than this one load it.
        timing_cache: keep and reuse measurements of layers.
        opt_level: 0 (built fast) to 5 (searched long); None leaves TensorRT's own.
        sparsity: use 2:4 sparse weights.
        min_wh, opt_wh, max_wh: of a dynamic size; None takes the manifest's.
        opt_batch, max_batch: of a dynamic batch; None takes 1 and the manifest's.
        own_calibration: TensorRT's own INT8 calibration, from "images" or a "cache"; None takes calibration.json's ranges.
        sm: TensorRT for RTX without a GPU: compute capability to build for.
    """

    precision: Precision
    tf32: bool = True
    explicit_qdq: bool = False
    workspace_mb: int | None = None
    dla: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    timing_cache: bool = True
    opt_level: int | None = None
    sparsity: bool = False
    min_wh: tuple[int, int] | None = None
    opt_wh: tuple[int, int] | None = None
    max_wh: tuple[int, int] | None = None
    opt_batch: int | None = None
    max_batch: int | None = None
    own_calibration: Literal["images", "cache"] | None = None
    sm: int | None = None


@dataclass(frozen=True)
class Ranges:
    """What the plan takes from calibration.json.

    Attributes:
        amax: largest magnitude by tensor of the int8-base graph.
        kept_float: layers that stay out of INT8, by name.
        of_model: SHA-256 of the model.onnx that they hold for as it is, since nothing was equalised; "" where they do not.
        in_graph: there are none, because another tool quantised the graphs; its Q/DQ nodes carry them.
    """

    amax: Mapping[str, float] = field(default_factory=dict)
    kept_float: tuple[str, ...] = ()
    of_model: str = ""
    in_graph: bool = False


@dataclass(frozen=True)
class Profile:
    """Shapes that the engine must take: smallest, fastest, largest."""

    smallest: Shape
    best: Shape
    largest: Shape

    @property
    def dynamic(self) -> bool:
        """Whether more than one shape is asked for."""
        return self.smallest != self.largest


def strongly_typed(offers: Capabilities, wish: BuildRequest) -> bool:
    """Whether the network is held to the graph's types: always where there are no precision flags, else for FP8 and explicit Q/DQ."""
    if not offers.weakly_typed:
        return True
    if wish.precision == "fp8":
        return True
    return wish.precision == "int8" and wish.explicit_qdq and offers.strongly_typed and wish.dla is None


def check(offers: Capabilities, wish: BuildRequest, manifest: Manifest, strong: bool) -> None:
    """Refuse a combination that cannot be.

    Raises:
        UsageError: says what does work.
    """
    if strong and not offers.strongly_typed:
        what = "takes no fp8" if offers.weakly_typed else "has neither precision flags nor strongly typed networks"
        raise UsageError(f"{offers.title} {what}; posetrt drives 8.6, 10 and 11, and fp8 needs 10 or 11")
    sm = wish.sm or (offers.gpu.sm if offers.gpu else None)
    if wish.precision == "fp8" and sm is not None and sm < FP8_SM:
        raise UsageError(
            f"sm_{sm} has no fp8: GPUs have it from sm_{FP8_SM} (Ada) on, and of the Jetsons Thor. Build with --precision int8 or fp16"
        )
    if wish.own_calibration and (wish.precision != "int8" or not offers.calibrator):
        raise UsageError(
            f"{offers.title} has no calibrator of its own; take the ranges of `posetrt calibrate`"
            if not offers.calibrator
            else f"TensorRT's own calibration is for int8, not {wish.precision}"
        )
    if wish.own_calibration and wish.explicit_qdq:
        raise UsageError("the Q/DQ graph carries its ranges: give either --explicit-qdq or TensorRT's own calibration")
    if wish.own_calibration == "images" and manifest.input.takes_bytes:
        raise UsageError(
            "TensorRT's own calibrator feeds float32 images, and this network takes bytes: take the ranges of `posetrt calibrate`, "
            "or export without --input uint8, calibrate that, and give its cache"
        )
    if wish.hardware_compatible:
        if offers.library != "tensorrt" or "AMPERE_PLUS" not in offers.hardware_levels:
            raise UsageError(f"{offers.title} builds no hardware-compatible engines")
        if offers.gpu is not None and offers.gpu.integrated:
            raise UsageError("hardware-compatible engines do not run on a Jetson; build on each board, as `posetrt build` does by default")
    if wish.version_compatible and (offers.library != "tensorrt" or "VERSION_COMPATIBLE" not in offers.builder_flags):
        raise UsageError(f"{offers.title} builds no version-compatible engines")
    if wish.opt_level is not None and not 0 <= wish.opt_level <= 5:
        raise UsageError(f"--opt-level goes from 0 to 5; got {wish.opt_level}")
    if wish.sm is not None and not offers.compute_capabilities:
        raise UsageError(f"--sm is for TensorRT for RTX; {offers.title} builds for the GPU that it runs on")
    if wish.dla is not None:
        _check_dla(offers, wish, manifest, strong)


def _check_dla(offers: Capabilities, wish: BuildRequest, manifest: Manifest, strong: bool) -> None:
    if not 0 <= (wish.dla or 0) < offers.dla_cores:
        has = f"{offers.dla_cores} DLA core{'s' if offers.dla_cores > 1 else ''}, from 0" if offers.dla_cores else "no DLA core"
        raise UsageError(
            f"{offers.title} finds {has} on this device, so --dla {wish.dla} cannot be. Orin NX 16GB and AGX Orin have two, "
            "and TensorRT 10.8 to 11.3 use none"
        )
    if wish.precision in ("fp32", "fp8"):
        raise UsageError(f"a DLA computes in fp16 and int8, not {wish.precision}: build with --precision fp16 or int8")
    if wish.precision == "int8" and (strong or wish.explicit_qdq):
        raise UsageError(
            f"a DLA takes int8 by ranges, and {offers.title} takes it by Q/DQ here: build with --precision fp16, or without --dla"
        )
    if manifest.head.decoded_in_graph:
        raise UsageError("a DLA cannot decode (no TopK): export the network without --decode, and the CPU decodes its maps")
    if profile_of(wish, manifest).dynamic:
        raise UsageError("a DLA takes one size and one batch: export with a fixed size, or build without --dla")
    if wish.version_compatible or wish.hardware_compatible:
        raise UsageError("an engine for a DLA is for one TensorRT and one device: leave out --version-compatible and --hardware-compatible")


def profile_of(wish: BuildRequest, manifest: Manifest) -> Profile:
    """Shapes for the request, within what the manifest allows.

    Raises:
        UsageError: sizes or batches that the network does not take.
    """
    spec = manifest.input
    low, best, high = wish.min_wh or spec.min_wh, wish.opt_wh, wish.max_wh or spec.max_wh
    if best is None:
        best = (min(max(spec.size_wh[0], low[0]), high[0]), min(max(spec.size_wh[1], low[1]), high[1]))
    for axis in (0, 1):
        if not spec.min_wh[axis] <= low[axis] <= best[axis] <= high[axis] <= spec.max_wh[axis]:
            smallest, largest = _size(spec.min_wh), _size(spec.max_wh)
            takes = f"sizes from {smallest} to {largest}" if spec.dynamic else f"{largest} alone; export it again with a range of sizes"
            raise UsageError(f"sizes {_size(low)}, {_size(best)}, {_size(high)} (min, opt, max) do not fit: this network takes {takes}")
    for option, batch in (("--opt-batch", wish.opt_batch), ("--max-batch", wish.max_batch)):
        if batch is not None and batch < 1:
            raise UsageError(f"{option} takes 1 or more images, not {batch}")
    most = wish.max_batch or spec.max_batch or max(wish.opt_batch or 1, 1)
    usual = wish.opt_batch or 1
    if not 1 <= usual <= most or (spec.max_batch and most > spec.max_batch):
        raise UsageError(f"batch {usual} up to {most} does not fit: this network takes batches up to {spec.max_batch or 'any size'}")

    def shape(batch: int, size: tuple[int, int]) -> Shape:
        return spec.shape(batch, size)

    return Profile(shape(1, low), shape(usual, best), shape(most, high))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def workspace_of(offers: Capabilities, wish: BuildRequest) -> int | None:
    """Bytes of scratch memory: as asked, else a share of the board's memory; None where no GPU is known.

    Raises:
        UsageError: more than the device has, or too little for any layer.
    """
    memory = offers.gpu.memory_bytes if offers.gpu else None
    if wish.workspace_mb is not None:
        asked = wish.workspace_mb << 20
        if asked < SMALLEST_WORKSPACE or (memory is not None and asked > memory):
            most = f" to {memory >> 20}" if memory is not None else ""
            raise UsageError(f"--workspace {wish.workspace_mb} does not fit: give MB from {SMALLEST_WORKSPACE >> 20}{most}")
        return asked
    if offers.gpu is None:
        return None
    return max(SMALLEST_WORKSPACE, offers.gpu.memory_bytes // (_SHARED_PART if offers.gpu.integrated else _OWN_PART))


def tactics_of(offers: Capabilities, workspace_bytes: int | None) -> int | None:
    """Bytes that all ways to compute a layer may take while they are tried, where the GPU shares the computer's memory; None elsewhere.

    TensorRT itself would take three quarters of a memory that a camera, a desktop and this process live in too.
    """
    if offers.gpu is None or not offers.gpu.integrated or workspace_bytes is None:
        return None
    return max(workspace_bytes, offers.gpu.memory_bytes // _TACTICS_PART)


def compute_capability_of(offers: Capabilities, wish: BuildRequest) -> str | None:
    """What TensorRT for RTX builds for, by name; None for a TensorRT that builds for the GPU it runs on.

    Raises:
        UsageError: one that it does not know, or none given without a GPU.
    """
    if "num_compute_capabilities" not in offers.config:
        return None
    sm = wish.sm or (offers.gpu.sm if offers.gpu else None)
    known = sorted((name for name in offers.compute_capabilities if name[2:].isdigit()), key=lambda name: int(name[2:]))
    if sm is None:
        raise UsageError(
            f"without a GPU, {offers.title} must be told what to build for: --sm, one of {', '.join(name[2:] for name in known)}"
        )
    if f"SM{sm}" in known:
        return f"SM{sm}"
    if wish.sm is not None:
        raise UsageError(f"{offers.title} does not build for --sm {sm}; it knows {', '.join(name[2:] for name in known)}")
    return "CURRENT"
