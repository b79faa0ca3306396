"""What to ask of TensorRT for a precision: which graph, which flags, which constraints. Pure: capabilities and a wish in, a plan out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from posetrt.export.engine.capabilities import Capabilities
from posetrt.export.engine.request import (
    BuildRequest,
    Profile,
    Ranges,
    check,
    compute_capability_of,
    profile_of,
    strongly_typed,
    tactics_of,
    workspace_of,
)
from posetrt.runtime.engines.preflight import runs_on
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.manifest import Manifest


@dataclass(frozen=True)
class BuildPlan:
    """What to do, in TensorRT's own names.

    Attributes:
        graph: the variant to parse: "model", "fp16", "int8-base", "int8-trt", "int8-trt-fp16", "int8-trt-weak" or "fp8-trt".
        strongly_typed: the network is held to the graph's types.
        network_flags, builder_flags, cleared_flags: by name; `cleared_flags` are on by default and must go off.
        ranges: dynamic range by tensor; empty where the graph carries Q/DQ or TensorRT calibrates.
        kept_float: layers to hold above INT8.
        float32_ends: hold what stands in front of the network and what decodes behind it in float32.
        own_calibration: as requested.
        profile: shapes of the input.
        workspace_bytes: None leaves TensorRT's own.
        tactics_bytes: of all that is tried for a layer; None leaves TensorRT's own.
        dla: core, None for the GPU.
        hardware_level: name of the HardwareCompatibilityLevel; None for this GPU alone.
        compute_capability: name of the ComputeCapability; None where the library builds for the GPU that it runs on.
        opt_level: None leaves TensorRT's own.
        timing_cache: reuse and keep layer times.
        progress: the library can tell how far it is.
        runs_on: range of TensorRT versions that load the engine; None for this one alone.
        notes: what the user should know, a sentence each.
        instead_of: why this is not the first plan; "" where it is.
    """

    graph: str
    strongly_typed: bool
    network_flags: tuple[str, ...]
    builder_flags: tuple[str, ...]
    cleared_flags: tuple[str, ...]
    ranges: Mapping[str, float]
    kept_float: tuple[str, ...]
    float32_ends: bool
    own_calibration: Literal["images", "cache"] | None
    profile: Profile
    workspace_bytes: int | None
    tactics_bytes: int | None
    dla: int | None
    hardware_level: str | None
    compute_capability: str | None
    opt_level: int | None
    timing_cache: bool
    progress: bool
    runs_on: Mapping[str, str] | None
    notes: tuple[str, ...] = ()
    instead_of: str = ""

    def options(self) -> dict[str, Any]:
        """What the sidecar keeps of the plan."""
        return {
            "strongly_typed": self.strongly_typed,
            "flags": list(self.builder_flags),
            "profile": [list(self.profile.smallest), list(self.profile.best), list(self.profile.largest)],
            "version_compatible": self.runs_on is not None,
            "hardware_compatible": self.hardware_level is not None,
            **({"runs_on": dict(self.runs_on)} if self.runs_on else {}),
            **({"kept_float": list(self.kept_float)} if self.kept_float else {}),
            **({"instead_of": self.instead_of} if self.instead_of else {}),
        }


def plan_build(
    offers: Capabilities,
    wish: BuildRequest,
    manifest: Manifest,
    ranges: Ranges | None = None,
    variants: Collection[str] = ("int8-trt-fp16",),
) -> BuildPlan:
    """Decide how an engine is built.

    Args:
        offers: what the TensorRT of this device has.
        wish: what the user asked for.
        manifest: of the network.
        ranges: from calibration.json; needed for int8 by ranges.
        variants: graphs that the folder has; int8 without "int8-trt-fp16" keeps float32 around its INT8.

    Raises:
        UsageError: a combination that this TensorRT, device or network does not take; says what does work.
        PosetrtError: int8 by ranges without ranges.
    """
    if ranges is not None and ranges.in_graph and wish.own_calibration is None:
        wish = replace(wish, explicit_qdq=True)
    strong = strongly_typed(offers, wish)
    check(offers, wish, manifest, strong)
    flags: list[str] = []
    graph, used = "model", Ranges()
    if strong:
        around = "int8-trt-fp16" if "int8-trt-fp16" in variants else "int8-trt"
        graph = {"fp32": "model", "fp16": "fp16", "fp8": "fp8-trt", "int8": around}[wish.precision]
    elif wish.precision == "fp16":
        flags.append("FP16")
    elif wish.precision == "int8":
        # FP16 too: a layer that stays out of INT8 should not fall back to float32.
        flags += ["INT8", "FP16"]
        # Its parser refuses, as far as is known, int8 weights behind a DequantizeLinear alone.
        graph = "int8-trt-weak" if wish.explicit_qdq else "int8-base"
        if not wish.explicit_qdq and wish.own_calibration is None:
            if ranges is None or not ranges.amax:
                raise PosetrtError("int8 needs a range for each tensor; find them with: posetrt calibrate FOLDER --images DIR")
            used = ranges
        elif ranges is not None and not wish.explicit_qdq:
            used = Ranges(kept_float=ranges.kept_float)
    ends = (manifest.head.decoded_in_graph or manifest.input.takes_bytes) and wish.precision != "fp32" and not strong
    if ends:
        flags.append("OBEY_PRECISION_CONSTRAINTS")
    elif used.kept_float:
        flags.append("PREFER_PRECISION_CONSTRAINTS")
    if wish.dla is not None:
        flags.append("GPU_FALLBACK")
    if wish.version_compatible:
        flags.append("VERSION_COMPATIBLE")
    if wish.sparsity:
        flags.append("SPARSE_WEIGHTS")
    if wish.tf32:
        flags.append("TF32")
    network_flags = ["STRONGLY_TYPED"] if strong else []
    if "EXPLICIT_BATCH" in offers.network_flags:
        network_flags.append("EXPLICIT_BATCH")
    workspace = workspace_of(offers, wish)
    notes = _notes(offers, wish, strong)
    if graph == "int8-trt" and strong:
        notes.append("the folder has no int8-trt-fp16 graph: what stays out of int8 runs in float32")
    return BuildPlan(
        graph=graph,
        strongly_typed=strong,
        network_flags=tuple(network_flags),
        builder_flags=tuple(flags),
        cleared_flags=() if wish.tf32 else ("TF32",),
        ranges=dict(used.amax),
        kept_float=used.kept_float,
        float32_ends=ends,
        own_calibration=wish.own_calibration,
        profile=profile_of(wish, manifest),
        workspace_bytes=workspace,
        tactics_bytes=tactics_of(offers, workspace),
        dla=wish.dla,
        hardware_level="AMPERE_PLUS" if wish.hardware_compatible else None,
        compute_capability=compute_capability_of(offers, wish),
        opt_level=wish.opt_level,
        timing_cache=wish.timing_cache and offers.library == "tensorrt",
        progress=offers.progress_monitor,
        runs_on=runs_on(offers.library, offers.version, wish.version_compatible),
        notes=tuple(notes),
    )


def next_plan(plan: BuildPlan, variants: Collection[str]) -> BuildPlan | None:
    """What to try where TensorRT refuses a plan for another reason than memory; None where nothing else is known to help.

    Args:
        plan: that was refused.
        variants: graphs that the folder has.
    """
    if "OBEY_PRECISION_CONSTRAINTS" in plan.builder_flags:
        # Some version may have no way to compute a layer in the type that it is held to.
        flags = tuple(name.replace("OBEY", "PREFER") for name in plan.builder_flags)
        line = "it refuses OBEY_PRECISION_CONSTRAINTS; built with PREFER, so compare this engine's people with fp32's: posetrt eval"
        return replace(plan, builder_flags=flags, instead_of=line)
    if plan.graph == "int8-trt-fp16" and "int8-trt" in variants:
        # TensorRT issue 4832: 10.16 refuses float16 scales on SM 8.7 and takes them on SM 11.0.
        line = "it refuses float16 around int8 (int8-trt-fp16); built from int8-trt, so what stays out of int8 runs in float32"
        return replace(plan, graph="int8-trt", instead_of=line)
    return None


def _notes(offers: Capabilities, wish: BuildRequest, strong: bool) -> list[str]:
    notes = []
    if wish.explicit_qdq and wish.precision == "int8" and not strong:
        notes.append(
            f"{offers.title} with --explicit-qdq has not been tried by anyone here; without it the same ranges are set on the tensors"
        )
    if wish.precision == "int8" and not strong and not wish.explicit_qdq and wish.own_calibration is None and wish.dla is None:
        notes.append(
            "int8 set tensor by tensor, whose weights, biases and grids are not corrected: people can agree less with fp32's than calibrate found for the "
            f"graph that {'--explicit-qdq builds' if offers.strongly_typed else 'later versions build'}"
        )
    if wish.precision == "fp8":
        notes.append("fp8 has not been run on any device yet: compare its people with fp32's by posetrt eval")
    if wish.version_compatible:
        notes.append("a version-compatible engine carries code that runs on the computer's CPU: loading it needs --trust")
    if wish.precision == "int8" and strong and offers.library == "tensorrt-rtx":
        notes.append("TensorRT for RTX documents int8 for weights alone: nothing is known of its speed")
    if offers.library == "tensorrt-rtx" and compute_capability_of(offers, wish) == "CURRENT":
        notes.append(f"{offers.title} does not name sm_{offers.gpu.sm if offers.gpu else '?'}; whether it runs there has to be tried")
    return notes
