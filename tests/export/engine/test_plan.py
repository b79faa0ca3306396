"""Which graph, flags and constraints each TensorRT gets for each precision; capabilities come from the versions' own name lists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from posetrt.export.engine.capabilities import Capabilities, capabilities_of
from posetrt.export.engine.plan import plan_build
from posetrt.export.engine.request import BuildRequest, Ranges
from posetrt.runtime.engines.driver import Gpu
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.heads.base import Head
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.model.skeleton import load_skeleton
from tests.heads import DECODED, maps_head
from tests.trt_stand_in import VERSIONS, names_of, pose_graph, stand_in

ORIN = Gpu(0, "Orin", 87, 8 << 30, integrated=True)
CARD = Gpu(0, "NVIDIA GeForce RTX 3060", 86, 12 << 30, integrated=False)
FIXED = InputSpec("image", "NCHW", (456, 256), (456, 256), (456, 256))
RANGED = InputSpec("image", "NHWC", (456, 256), (256, 256), (656, 368), max_batch=4, dtype="uint8")
MAPS = maps_head(load_layout("coco18"))
RANGES = Ranges({"image": 1.0, "heatmaps": 0.9}, ("conv1",))


def manifest(spec: InputSpec = FIXED, head: Head = MAPS) -> Manifest:
    return Manifest("onnx", load_skeleton("coco18"), spec, head)


def offers(version: str, gpu: Gpu | None = ORIN, dla_cores: int = 0) -> Capabilities:
    return capabilities_of(stand_in(version, pose_graph()), "tensorrt", version, gpu, dla_cores)


def rtx(gpu: Gpu | None = None) -> Capabilities:
    trt = pytest.importorskip("tensorrt_rtx")
    return capabilities_of(trt, "tensorrt-rtx", trt.__version__, gpu)


WEAK, STRONG = ("EXPLICIT_BATCH",), ("STRONGLY_TYPED",)
BOTH = ("STRONGLY_TYPED", "EXPLICIT_BATCH")
# version, precision, explicit Q/DQ, graph decodes → graph, network flags, builder flags, ranges, decoding held in float32
TABLE = [
    ("8.6.1", "fp32", False, False, "model", WEAK, (), False, False),
    ("8.6.1", "fp16", False, False, "model", WEAK, ("FP16",), False, False),
    ("8.6.1", "fp16", False, True, "model", WEAK, ("FP16", "OBEY_PRECISION_CONSTRAINTS"), False, True),
    ("8.6.1", "int8", False, False, "int8-base", WEAK, ("INT8", "FP16", "PREFER_PRECISION_CONSTRAINTS"), True, False),
    ("8.6.1", "int8", False, True, "int8-base", WEAK, ("INT8", "FP16", "OBEY_PRECISION_CONSTRAINTS"), True, True),
    # 8.6 has no strong typing: Q/DQ around float weights with the flags, which its parser (opset 17) reads.
    ("8.6.1", "int8", True, True, "int8-trt-weak", WEAK, ("INT8", "FP16", "OBEY_PRECISION_CONSTRAINTS"), False, True),
    ("10.3.0", "fp32", False, True, "model", WEAK, (), False, False),
    ("10.3.0", "fp16", False, True, "model", WEAK, ("FP16", "OBEY_PRECISION_CONSTRAINTS"), False, True),
    ("10.3.0", "int8", False, True, "int8-base", WEAK, ("INT8", "FP16", "OBEY_PRECISION_CONSTRAINTS"), True, True),
    ("10.3.0", "int8", True, True, "int8-trt-fp16", BOTH, (), False, False),
    ("10.13.3", "fp16", False, False, "model", WEAK, ("FP16",), False, False),
    ("10.13.3", "int8", False, False, "int8-base", WEAK, ("INT8", "FP16", "PREFER_PRECISION_CONSTRAINTS"), True, False),
    ("10.16.1", "int8", False, True, "int8-base", WEAK, ("INT8", "FP16", "OBEY_PRECISION_CONSTRAINTS"), True, True),
    ("10.16.1", "int8", True, False, "int8-trt-fp16", BOTH, (), False, False),
    ("11.4.0", "fp32", False, True, "model", STRONG, (), False, False),
    ("11.4.0", "fp16", False, True, "fp16", STRONG, (), False, False),
    ("11.4.0", "int8", False, True, "int8-trt-fp16", STRONG, (), False, False),
    ("11.4.0", "int8", True, False, "int8-trt-fp16", STRONG, (), False, False),
]


@pytest.mark.parametrize(("version", "precision", "qdq", "decodes", "graph", "network", "flags", "ranged", "head"), TABLE)
def test_each_version_and_precision_is_built_as_that_version_can(
    version: str,
    precision: Any,
    qdq: bool,
    decodes: bool,
    graph: str,
    network: tuple[str, ...],
    flags: tuple[str, ...],
    ranged: bool,
    head: bool,
) -> None:
    wish = BuildRequest(precision, explicit_qdq=qdq)
    plan = plan_build(offers(version), wish, manifest(head=DECODED if decodes else MAPS), RANGES)
    assert plan.graph == graph
    assert plan.network_flags == network
    assert plan.builder_flags == (*flags, "TF32")
    assert bool(plan.ranges) == ranged
    assert plan.kept_float == (("conv1",) if ranged else ())
    assert plan.float32_ends == head


@pytest.mark.parametrize(("version", "graph"), [("8.6.1", "int8-trt-weak"), ("10.3.0", "int8-trt"), ("11.4.0", "int8-trt")])
def test_a_graph_that_another_tool_quantised_carries_its_own_ranges(version: str, graph: str) -> None:
    plan = plan_build(offers(version), BuildRequest("int8"), manifest(), Ranges(in_graph=True), ["int8-ort", "int8-trt"])
    assert plan.graph == graph
    assert not plan.ranges


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("decodes", [False, True])
def test_no_plan_names_a_flag_that_its_version_lacks(version: str, precision: Any, decodes: bool) -> None:
    names = names_of(version)
    shape = manifest(head=DECODED if decodes else MAPS)
    for qdq in (False, True):
        wish = BuildRequest(precision, tf32=False, explicit_qdq=qdq, version_compatible=True, hardware_compatible=True, sparsity=True)
        plan = plan_build(offers(version, CARD), wish, shape, RANGES)
        assert {*plan.builder_flags, *plan.cleared_flags} <= set(names["BuilderFlag"]["enum"])
        assert set(plan.network_flags) <= set(names["NetworkDefinitionCreationFlag"]["enum"])
        assert plan.hardware_level in names["HardwareCompatibilityLevel"]["enum"]


def test_tensorrt_for_rtx_is_strongly_typed_and_named_what_it_builds_for() -> None:
    for precision, graph in (("fp32", "model"), ("fp16", "fp16"), ("int8", "int8-trt-fp16")):
        plan = plan_build(rtx(), BuildRequest(precision, sm=86), manifest(), RANGES)
        assert (plan.graph, plan.network_flags, plan.compute_capability) == (graph, STRONG, "SM86")
    assert plan_build(rtx(replace(CARD, sm=90)), BuildRequest("fp16"), manifest()).compute_capability == "CURRENT"
    with pytest.raises(UsageError, match="--sm"):
        plan_build(rtx(), BuildRequest("fp16"), manifest())
    with pytest.raises(UsageError, match="86"):
        plan_build(rtx(), BuildRequest("fp16", sm=87), manifest())


def test_int8_without_the_fp16_graph_says_that_the_rest_runs_in_float32() -> None:
    plan = plan_build(offers("11.4.0"), BuildRequest("int8"), manifest(), RANGES, variants=["int8-trt"])
    assert plan.graph == "int8-trt"
    assert any("float32" in note for note in plan.notes)


def test_tf32_is_switched_off_by_name_since_it_is_on_by_default() -> None:
    for version in VERSIONS:
        plan = plan_build(offers(version), BuildRequest("fp32", tf32=False), manifest())
        assert plan.cleared_flags == ("TF32",)
        assert "TF32" not in plan.builder_flags


def test_int8_by_ranges_says_that_its_price_is_another_graphs() -> None:
    def notes(version: str, **asked: Any) -> str:
        return " ".join(plan_build(offers(version), BuildRequest("int8", **asked), manifest(), RANGES).notes)

    assert "--explicit-qdq builds" in notes("10.3.0")
    assert "later versions build" in notes("8.6.1")
    assert "calibrate found" not in notes("10.3.0", explicit_qdq=True) + notes("11.4.0")


def test_int8_by_ranges_without_ranges_names_the_command() -> None:
    with pytest.raises(PosetrtError, match="posetrt calibrate"):
        plan_build(offers("10.3.0"), BuildRequest("int8"), manifest())


def test_tensorrts_own_calibration_is_offered_where_it_exists() -> None:
    wish = BuildRequest("int8", own_calibration="cache")
    plan = plan_build(offers("10.3.0"), wish, manifest(), RANGES)
    assert plan.own_calibration == "cache"
    assert not plan.ranges  # a range on a tensor would win over the calibrator's
    with pytest.raises(UsageError, match="no calibrator"):
        plan_build(offers("11.4.0"), wish, manifest(), RANGES)


def test_a_dynamic_network_gets_a_profile_in_its_own_layout() -> None:
    plan = plan_build(offers("10.3.0"), BuildRequest("fp16", opt_batch=2), manifest(RANGED))
    assert plan.profile.smallest == (1, 256, 256, 3)
    assert plan.profile.best == (2, 256, 456, 3)
    assert plan.profile.largest == (4, 368, 656, 3)
    narrowed = plan_build(offers("10.3.0"), BuildRequest("fp16", max_wh=(300, 300), max_batch=1), manifest(RANGED)).profile
    assert (narrowed.best, narrowed.largest) == ((1, 256, 300, 3), (1, 300, 300, 3))


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (BuildRequest("fp16", max_wh=(800, 368)), "656x368"),
        (BuildRequest("fp16", min_wh=(400, 300), max_wh=(300, 300)), "do not fit"),
        (BuildRequest("fp16", max_batch=8), "up to 4"),
        (BuildRequest("fp16", opt_batch=3, max_batch=2), "does not fit"),
        (BuildRequest("fp16", max_batch=0), "--max-batch takes 1 or more"),
        (BuildRequest("fp16", opt_level=6), "0 to 5"),
        (BuildRequest("fp16", workspace_mb=9000), "8192"),
        (BuildRequest("fp16", workspace_mb=1), "64"),
        (BuildRequest("fp16", hardware_compatible=True), "Jetson"),
        (BuildRequest("fp16", own_calibration="images"), "int8"),
        (BuildRequest("int8", own_calibration="images", explicit_qdq=True), "either"),
        (BuildRequest("fp16", sm=86), "RTX"),
        (BuildRequest("fp16", dla=0), "no DLA core"),
    ],
)
def test_what_cannot_be_is_refused_and_says_what_can(wish: BuildRequest, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        plan_build(offers("10.3.0"), wish, manifest(RANGED), RANGES)


def test_the_workspace_fits_the_memory_that_a_board_shares() -> None:
    assert plan_build(offers("10.3.0", ORIN), BuildRequest("fp16"), manifest()).workspace_bytes == 2 << 30
    assert plan_build(offers("10.3.0", CARD), BuildRequest("fp16"), manifest()).workspace_bytes == 6 << 30
    assert plan_build(offers("10.3.0"), BuildRequest("fp16", workspace_mb=512), manifest()).workspace_bytes == 512 << 20


def test_a_dla_takes_ranges_fixed_maps_and_falls_back_to_the_gpu() -> None:
    two = offers("10.3.0", dla_cores=2)
    plan = plan_build(two, BuildRequest("int8", dla=1), manifest(), RANGES)
    assert plan.dla == 1
    assert "GPU_FALLBACK" in plan.builder_flags
    assert plan.ranges
    for wish, shape, says in (
        (BuildRequest("fp16", dla=2), manifest(), "2 DLA cores"),
        (BuildRequest("fp32", dla=0), manifest(), "not fp32"),
        (BuildRequest("int8", dla=0, explicit_qdq=True), manifest(), "by ranges"),
        (BuildRequest("fp16", dla=0), manifest(head=DECODED), "cannot decode"),
        (BuildRequest("fp16", dla=0), manifest(RANGED), "one size"),
        (BuildRequest("fp16", dla=0, version_compatible=True), manifest(), "one TensorRT"),
    ):
        with pytest.raises(UsageError, match=says):
            plan_build(two, wish, shape, RANGES)
    with pytest.raises(UsageError, match="by ranges"):
        plan_build(offers("11.4.0", dla_cores=2), BuildRequest("int8", dla=0), manifest(), RANGES)


@pytest.mark.parametrize(
    ("version", "runs"),
    [
        ("8.6.1", {"from": "8.6.1", "below": "11"}),
        ("10.3.0", {"from": "10.3.0", "below": "12"}),
        ("11.4.0", {"from": "11.4.0", "below": "12"}),
    ],
)
def test_a_version_compatible_engine_names_the_versions_that_load_it(version: str, runs: dict[str, str]) -> None:
    plan = plan_build(offers(version), BuildRequest("fp16", version_compatible=True), manifest())
    assert plan.options()["runs_on"] == runs
    assert "VERSION_COMPATIBLE" in plan.builder_flags
    assert any("--trust" in note for note in plan.notes)


@pytest.mark.parametrize("version", ["10.3.0", "10.13.3", "11.4.0"])
def test_fp8_is_built_strongly_typed_from_its_own_graph_and_says_that_nobody_has_run_it(version: str) -> None:
    thor = Gpu(0, "Thor", 110, 64 << 30, integrated=True)
    plan = plan_build(offers(version, thor), BuildRequest("fp8"), manifest())
    assert (plan.graph, plan.strongly_typed) == ("fp8-trt", True)
    assert not {"FP16", "INT8"} & set(plan.builder_flags)
    assert any("not been run" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("wish", "version", "gpu", "says"),
    [
        (BuildRequest("fp8"), "10.3.0", ORIN, "sm_87 has no fp8"),
        (BuildRequest("fp8"), "8.6.1", CARD, "takes no fp8"),
    ],
)
def test_fp8_is_refused_where_there_is_none(wish: BuildRequest, version: str, gpu: Gpu, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        plan_build(offers(version, gpu), wish, manifest())
