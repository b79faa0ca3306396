"""What the builder says to each TensorRT, recorded by a stand-in that has that version's names and no other."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from posetrt.calib.int8.cache import cache_text
from posetrt.calib.int8.quantize import quantize
from posetrt.calib.int8.ranges import Range
from posetrt.export.engine.calibrator import cache_header, calibrator_for, read_cache
from posetrt.export.engine.request import BuildRequest
from posetrt.export.engine.tensorrt import Built, OwnCalibration, build_engine
from posetrt.export.graph.graph import load_graph
from posetrt.runtime.engines import driver
from posetrt.runtime.engines.driver import Gpu
from posetrt.runtime.engines.library import Library, version_numbers
from posetrt.runtime.engines.trt_log import logger_for
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.files import sha256_of
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.shipped import shipped_model
from posetrt.runtime.model.sidecar import read_sidecar, sidecar_path
from tests.running import run_onnx
from tests.tiny_model import save, tiny_folder, tiny_graph
from tests.trt_stand_in import VERSIONS, GraphData, LayerData, TensorData, names_of, pose_graph, stand_in

ALL = ("fp16", "int8-base", "int8-trt", "int8-trt-fp16")


@pytest.fixture(autouse=True)
def _on_an_orin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "gpu", lambda index=0: Gpu(0, "Orin", 87, 8 << 30, integrated=True))


def build(version: str, folder: ModelFolder, wish: BuildRequest, graph: GraphData | None = None, **behaviour: Any) -> tuple[Any, Built]:
    own = behaviour.pop("own", None)
    show = behaviour.pop("show", None)
    report = behaviour.pop("report", None)
    # The tiny manifest's size, and the stand-in's tensors.
    trt = stand_in(version, graph or pose_graph(decodes=folder.manifest().head.decoded_in_graph), **behaviour)
    library = Library("tensorrt", trt, version, version_numbers(version))
    return trt, build_engine(folder, wish, library=library, own_calibration=own, report=report, show=show)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("decodes", [False, True])
def test_every_version_builds_every_precision_with_the_names_it_has(tmp_path: Path, version: str, precision: Any, decodes: bool) -> None:
    folder = tiny_folder(tmp_path / "m", decodes=decodes, variants=ALL)
    wish = BuildRequest(precision, tf32=False, opt_level=2, sparsity=True)
    trt, built = build(version, folder, wish)
    assert built.engine.read_bytes() == b"an engine"
    assert built.engine.name == f"orin-sm87_trt{version}_{precision}.engine"
    strong = version.startswith("11")
    flags = names_of(version)["NetworkDefinitionCreationFlag"]["enum"]
    assert ("create_network", 1 << flags["STRONGLY_TYPED" if strong else "EXPLICIT_BATCH"]) in trt.calls
    assert ("clear_flag", "TF32") in trt.calls
    assert (("set_flag", "FP16") in trt.calls) == (precision != "fp32" and not strong)
    assert (("set_flag", "INT8") in trt.calls) == (precision == "int8" and not strong)
    assert ("set_memory_pool_limit", "WORKSPACE", 2 << 30) in trt.calls
    graph = {"fp32": "model", "fp16": "fp16" if strong else "model", "int8": "int8-trt-fp16" if strong else "int8-base"}[precision]
    assert ("parse", f"{graph}.onnx") in trt.calls
    assert bool(trt.ranges) == (precision == "int8" and not strong)
    sidecar = read_sidecar(built.engine)
    assert sidecar.device == {"sm": 87, "name": "Orin", "dla": None}
    assert (sidecar.backend, sidecar.precision, sidecar.library_version) == ("tensorrt", precision, version)
    assert ("calibration" in sidecar.made_from) == (precision == "int8")


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "10.16.1"])
def test_what_scales_and_decodes_is_held_in_float32_and_what_calibration_keeps_in_float16(tmp_path: Path, version: str) -> None:
    folder = tiny_folder(tmp_path / "m", decodes=True, variants=("int8-base",))
    trt, _ = build(version, folder, BuildRequest("int8"))
    full, half = trt.DataType.FLOAT, trt.DataType.HALF
    # is_peak gives booleans and "where" holds cell numbers: neither is a float to be held. What joins values as they are
    # and what holds a shape need no constraint, and each is one more that TensorRT may refuse.
    assert trt.precisions == {"input/Mul_0": full, "conv1": half, "peak_max": full, "choose": full, "best": full}
    assert trt.output_types == {"scaled": full, "conv1_out": half, "highest": full, "chosen": full, "peaks": full}


def test_every_float_tensor_gets_a_range_or_is_listed(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", variants=("int8-base",))
    graph = pose_graph()
    graph.layers.append(LayerData("moved", "SHUFFLE", ["heatmaps"], [TensorData("moved_out")]))
    graph.layers.append(LayerData("strange", "UNARY", ["moved_out"], [TensorData("strange_out")]))
    graph.layers.append(LayerData("count", "SHAPE", ["moved_out"], [TensorData("shape_out", "INT32")]))
    said: list[str] = []
    trt, built = build("10.3.0", folder, BuildRequest("int8"), graph, show=lambda level, line: said.append(line))
    # The parser's own shuffle takes the range of what it moves, a constant that of its largest weight; an integer needs none.
    # PReLU reads its slopes through both: without a range there it would fall out of int8.
    assert trt.ranges == {
        "image": (-1.0, 1.0),
        "scaled": (-0.5, 0.5),
        "w": (-1.0, 1.0),
        "slope": (-0.25, 0.25),
        "slope_out": (-0.25, 0.25),
        "conv1_out": (-4.0, 4.0),
        "relu1_out": (-3.0, 3.0),
        "heatmaps": (-0.9, 0.9),
        "moved_out": (-0.9, 0.9),
    }
    assert built.without_range == ("strange_out",)
    assert read_sidecar(built.engine).options["without_range"] == ["strange_out"]
    assert any("strange_out" in line for line in said)


def test_a_dynamic_graph_gets_a_profile_and_a_fixed_one_none(tmp_path: Path) -> None:
    trt, _ = build("10.3.0", tiny_folder(tmp_path / "fixed"), BuildRequest("fp32"))
    assert not [call for call in trt.calls if call[0] == "add_optimization_profile"]
    graph = pose_graph()
    graph.inputs[0].shape = (-1, 3, -1, -1)
    trt, _ = build("10.3.0", tiny_folder(tmp_path / "ranged", dynamic=True), BuildRequest("fp32"), graph)
    assert ("set_shape", "image", (1, 3, 32, 32), (1, 3, 64, 64), (2, 3, 96, 96)) in trt.calls
    with pytest.raises(UsageError, match="range of sizes"):
        build("10.3.0", tiny_folder(tmp_path / "lied", dynamic=True), BuildRequest("fp32"), pose_graph())


def test_a_dla_build_says_what_runs_on_the_gpu(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", variants=("int8-base",))
    trt, built = build("10.3.0", folder, BuildRequest("int8", dla=1), dla_cores=2, not_on_dla=("relu1",))
    assert ("set", "DLA_core", 1) in trt.calls
    assert ("set", "default_device_type", trt.DeviceType.DLA) in trt.calls
    assert ("set_flag", "GPU_FALLBACK") in trt.calls
    assert built.fell_back == ("relu1",)
    assert built.engine.name == "orin-sm87-dla1_trt10.3.0_int8.engine"


@pytest.mark.parametrize(
    ("version", "says"), [("8.6.1", "node number 7: no importer"), ("10.3.0", 'node "find" \\(NonZero\\): no importer')]
)
def test_an_operator_that_tensorrt_lacks_is_named_with_what_to_do(tmp_path: Path, version: str, says: str) -> None:
    graph = pose_graph()
    graph.errors = [("find", "NonZero", "no importer")]
    with pytest.raises(PosetrtError, match=f"{says}.*Export the network again"):
        build(version, tiny_folder(tmp_path / "m"), BuildRequest("fp32"), graph)
    assert not (tmp_path / "m" / "engines").exists()


def test_a_build_without_room_says_the_workspace_to_try(tmp_path: Path) -> None:
    line = "Could not find any implementation for node {conv1} due to insufficient workspace. See verbose log for requested sizes."
    with pytest.raises(PosetrtError, match=r"workspace.*--workspace 1024"):
        build("10.3.0", tiny_folder(tmp_path / "m"), BuildRequest("fp16"), engine=None, log=[(1, line)])
    assert not (tmp_path / "m" / "engines").exists()


def test_a_driver_that_is_too_old_is_named(tmp_path: Path) -> None:
    with pytest.raises(PosetrtError, match=r"does not start: the NVIDIA driver is older.*newer JetPack"):
        build("10.3.0", tiny_folder(tmp_path / "m"), BuildRequest("fp16"), old_driver=True)


def test_the_timing_cache_is_kept_for_this_tensorrt_and_gpu_and_given_to_the_next_build(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    trt, _ = build("8.6.1", folder, BuildRequest("fp32"))
    assert ("create_timing_cache", b"") in trt.calls
    trt, _ = build("8.6.1", folder, BuildRequest("fp16"))
    assert ("create_timing_cache", b"timing") in trt.calls
    trt, _ = build("10.3.0", folder, BuildRequest("fp16"))
    assert ("create_timing_cache", b"") in trt.calls, "layer times of another TensorRT are of no use"
    assert sorted(path.name for path in folder.path.glob("*.cache")) == ["timing_trt10.3.0_sm87.cache", "timing_trt8.6.1_sm87.cache"]
    trt, _ = build("8.6.1", folder, BuildRequest("fp16", timing_cache=False))
    assert not [call for call in trt.calls if call[0] == "create_timing_cache"]


@pytest.mark.parametrize(("version", "expected"), [("8.6.1", []), ("10.3.0", [0.0, 0.25, 0.5, 0.75, 1.0])])
def test_progress_is_told_where_the_version_tells_it(tmp_path: Path, version: str, expected: list[float]) -> None:
    told: list[float] = []
    build(version, tiny_folder(tmp_path / "m"), BuildRequest("fp32"), steps=4, report=lambda share, _: told.append(share))
    assert told == expected


def test_ctrl_c_ends_a_build_at_its_next_step_and_writes_nothing(tmp_path: Path) -> None:
    import signal

    steps = 0

    def report(share: float, phase: str) -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        build("10.3.0", tiny_folder(tmp_path / "m"), BuildRequest("fp32"), steps=50, report=report)
    assert steps == 3
    assert not (tmp_path / "m" / "engines").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_report_that_raises_costs_the_report_and_not_the_engine(tmp_path: Path) -> None:
    """The bindings take an exception for "stop", and TensorRT then gives no reason."""
    said: list[str] = []

    def report(share: float, phase: str) -> None:
        raise BrokenPipeError("the terminal is gone")

    _, built = build("10.3.0", tiny_folder(tmp_path / "m"), BuildRequest("fp32"), report=report, show=lambda level, line: said.append(line))
    assert built.engine.read_bytes() == b"an engine"
    assert [line for line in said if "the terminal is gone" in line] == [said[-1]]


def test_an_error_that_was_dealt_with_is_not_told_as_the_reason_of_a_later_failure(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    trt = stand_in("10.3.0", pose_graph(), engine=None, log=[(1, "4: [network.cpp] Error Code 4: conv1 has no weights")])
    library = Library("tensorrt", trt, "10.3.0", (10, 3, 0))

    def create(self: Any, data: bytes) -> Any:
        logger_for(trt).log(trt.ILogger.ERROR, "Invalid timing cache, the version does not match")

    trt.IBuilderConfig.create_timing_cache = create
    with pytest.raises(PosetrtError, match="conv1 has no weights") as refused:
        build_engine(folder, BuildRequest("fp32"), library=library)
    assert "timing cache" not in str(refused.value)


def test_an_error_before_the_build_is_its_reason_where_the_build_gives_none(tmp_path: Path) -> None:
    trt = stand_in("10.3.0", pose_graph(), engine=None)

    def set_flag(self: Any, flag: Any) -> None:
        logger_for(trt).log(trt.ILogger.ERROR, "3: setFlag: FP16 is not supported on this platform")

    trt.IBuilderConfig.set_flag = set_flag
    with pytest.raises(PosetrtError, match="FP16 is not supported on this platform"):
        build_engine(tiny_folder(tmp_path / "m"), BuildRequest("fp16"), library=Library("tensorrt", trt, "10.3.0", (10, 3, 0)))


def test_tensors_without_a_range_are_counted_in_one_line_and_held_ones_not_told(tmp_path: Path) -> None:
    said: list[str] = []
    missing = [(2, f"Missing scale and zero-point for tensor {name}, expect fall back to non-int8") for name in ("chosen", "a", "b", "a")]
    folder = tiny_folder(tmp_path / "m", decodes=True, variants=("int8-base",))
    build("10.3.0", folder, BuildRequest("int8"), log=missing, show=lambda level, line: said.append(line))
    assert [line for line in said if "range" in line] == [
        "TensorRT found no INT8 range for 2 tensors, so the layers around them run in a higher precision: a, b"
    ]


def flags_of(calls: Any) -> list[str]:
    """The precision constraints that were set, in order."""
    return [call[1] for call in calls if call[0] == "set_flag" and "PRECISION_CONSTRAINTS" in call[1]]


def test_precisions_that_tensorrt_does_not_obey_are_preferred_with_a_line(tmp_path: Path) -> None:
    said: list[str] = []
    folder = tiny_folder(tmp_path / "m", decodes=True, variants=("int8-base",))
    trt, built = build(
        "10.3.0",
        folder,
        BuildRequest("int8"),
        engine=lambda calls: None if flags_of(calls) == ["OBEY_PRECISION_CONSTRAINTS"] else b"preferred",
        log=[(1, "10: Could not find any implementation for node {decode/12_Mul}.")],
        show=lambda level, line: said.append(line),
    )
    assert flags_of(trt.calls) == ["OBEY_PRECISION_CONSTRAINTS", "PREFER_PRECISION_CONSTRAINTS"]
    assert built.engine.read_bytes() == b"preferred"
    assert "PREFER" in read_sidecar(built.engine).options["instead_of"]
    assert any("no way to compute {decode/12_Mul}" in line and "posetrt eval" in line for line in said)


def test_int8_that_fails_with_float16_around_it_is_built_with_float32_with_a_line(tmp_path: Path) -> None:
    said: list[str] = []
    folder = tiny_folder(tmp_path / "m", variants=ALL)
    trt, built = build(
        "10.16.1",
        folder,
        BuildRequest("int8", explicit_qdq=True),
        engine=lambda calls: b"float32" if ("parse", "int8-trt.onnx") in calls else None,
        show=lambda level, line: said.append(line),
    )
    assert [call[1] for call in trt.calls if call[0] == "parse"] == ["int8-trt-fp16.onnx", "int8-trt.onnx"]
    sidecar = read_sidecar(built.engine)
    assert sidecar.graph == "variants/int8-trt.onnx"
    assert sidecar.made_from["graph"] == sha256_of(folder.variant("int8-trt"))
    assert any("runs in float32" in line for line in said)


def test_where_nothing_helps_the_first_refusal_is_told_and_memory_is_no_reason_to_try_otherwise(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", variants=ALL)
    with pytest.raises(PosetrtError, match=r"could not build int8-trt-fp16\.onnx"):
        build("11.4.0", folder, BuildRequest("int8"), engine=None)
    trt = stand_in("11.4.0", pose_graph(), engine=None, log=[(1, "OutOfMemory (no further information)")])
    with pytest.raises(PosetrtError, match="too little free memory"):
        build_engine(folder, BuildRequest("int8"), library=Library("tensorrt", trt, "11.4.0", (11, 4, 0)))
    assert [call[1] for call in trt.calls if call[0] == "parse"] == ["int8-trt-fp16.onnx"]


def test_weakly_typed_explicit_int8_gets_float_weights_behind_a_q_of_the_same_scales(tmp_path: Path) -> None:
    """8.6 wants float → Q → DQ; int8 initialisers behind DQ alone are, as far as is known, refused."""
    folder = tiny_folder(tmp_path / "m", variants=ALL)
    base = load_graph(folder.onnx)
    quantized = quantize(base, {name: Range(-1.0, 1.0, 1.0, "minmax", -1.0, 1.0) for name in base.float_tensors}, "trt")
    save(folder.variant("int8-trt"), quantized, folder.manifest(), folder.hashes())
    said: list[str] = []
    trt, built = build("8.6.1", folder, BuildRequest("int8", explicit_qdq=True), show=lambda level, line: said.append(line))
    assert ("parse", "int8-trt-weak.onnx") in trt.calls
    assert any("has not been tried" in line for line in said)
    assert "calibration" in built.sidecar.made_from
    model = onnx.load(str(folder.variant("int8-trt-weak")))
    assert not [
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and tensor.dims[:] != [] and len(tensor.dims) > 1
    ]
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32)
    expected = run_onnx(onnx.load(str(folder.variant("int8-trt"))), image)
    for name, value in run_onnx(model, image).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize("replaced", ["model.onnx", "calibration.json"])
def test_an_engine_is_not_certified_for_files_that_replaced_its_own_while_it_was_built(tmp_path: Path, replaced: str) -> None:
    folder = tiny_folder(tmp_path / "m", variants=("int8-base",))
    _, before = build("10.3.0", folder, BuildRequest("int8"))
    sidecar = sidecar_path(before.engine).read_bytes()

    def report(share: float, phase: str) -> None:
        with (folder.path / replaced).open("ab") as file:
            file.write(b" ")

    with pytest.raises(PosetrtError, match=f"{replaced} .*changed while the engine was built"):
        build("10.3.0", folder, BuildRequest("int8"), report=report, engine=b"another engine")
    assert before.engine.read_bytes() == b"an engine"
    assert sidecar_path(before.engine).read_bytes() == sidecar


def test_tensorrts_own_calibration_reads_a_cache_of_its_own_version(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", variants=("int8-base",))
    cache = tmp_path / "calibration.cache"
    cache.write_text("TRT-100300-EntropyCalibration2\nimage: 3c010a14\n", encoding="ascii")
    wish = BuildRequest("int8", own_calibration="cache")
    trt, built = build("10.3.0", folder, wish, own=OwnCalibration(cache))
    assert ("calibration_cache", cache.read_bytes()) in trt.calls
    assert not trt.ranges
    assert "calibration" not in built.sidecar.made_from
    with pytest.raises(EngineMismatch, match="TRT-8601-EntropyCalibration2"):
        build("8.6.1", folder, wish, own=OwnCalibration(cache))
    cache.write_bytes(b"\x89PNG")
    with pytest.raises(PosetrtError, match="no calibration cache"):
        build("10.3.0", folder, wish, own=OwnCalibration(cache))
    assert cache_header((8, 6, 2)) == "TRT-8602-EntropyCalibration2"


def test_tensorrts_own_calibration_of_a_dynamic_graph_takes_one_image_at_the_models_size(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", dynamic=True, variants=("int8-base",))
    cache = tmp_path / "calibration.cache"
    cache.write_text("TRT-100300-EntropyCalibration2\nimage: 3c010a14\n", encoding="ascii")
    graph = pose_graph()
    graph.inputs[0].shape = (-1, 3, -1, -1)
    wish = BuildRequest("int8", own_calibration="cache", opt_wh=(96, 96), opt_batch=2)
    trt, _ = build("10.3.0", folder, wish, graph, own=OwnCalibration(cache))
    shapes = [call for call in trt.calls if call[0] == "set_shape"]
    assert shapes[0] == ("set_shape", "image", (1, 3, 32, 32), (2, 3, 96, 96), (2, 3, 96, 96))
    width, height = folder.manifest().input.size_wh
    assert shapes[1] == ("set_shape", "image", *[(1, 3, height, width)] * 3)
    assert [call[0] for call in trt.calls].count("set_calibration_profile") == 1


def test_tensorrts_own_calibration_of_a_network_that_takes_bytes_is_refused_with_what_works(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", variants=("int8-base",))
    manifest = folder.manifest()
    save(folder.onnx, tiny_graph(), replace(manifest, input=replace(manifest.input, layout="NHWC", dtype="uint8")))
    with pytest.raises(UsageError, match=r"float32 images.*takes bytes.*posetrt calibrate"):
        build("10.3.0", folder, BuildRequest("int8", own_calibration="images"), own=OwnCalibration(tmp_path))


@pytest.mark.parametrize("error", [ValueError("a picture of 0 pixels"), MemoryError("no room"), KeyboardInterrupt()])
def test_whatever_ends_the_calibrators_images_is_kept_and_not_taken_for_their_end(error: BaseException) -> None:
    def following() -> int:
        raise error

    own = calibrator_for(stand_in("10.3.0", pose_graph()), following, None, None)
    assert own.get_batch(["image"]) is None
    assert own.failure is error


def test_a_variant_of_another_model_is_refused_with_the_command(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", variants=("int8-base",))
    fields = json.loads(folder.calibration.read_text(encoding="utf-8"))
    folder.calibration.write_text(json.dumps({**fields, "method": "mse"}), encoding="utf-8")
    with pytest.raises(EngineMismatch, match="posetrt calibrate"):
        build("10.3.0", folder, BuildRequest("int8"))


def test_int8_of_the_network_that_ships_is_built_without_a_copy_of_its_float_graph(tmp_path: Path) -> None:
    """Where nothing was equalised, int8-base would be model.onnx again, and the package leaves it out."""
    folder = ModelFolder(tmp_path / "nano")
    folder.path.mkdir()
    for name in ("model.onnx", "calibration.json"):
        shutil.copyfile(shipped_model() / name, folder.path / name)
    width, height = folder.manifest().input.size_wh
    graph = pose_graph()
    graph.inputs[0].shape = (1, 3, height, width)
    graph.inputs[0].name = graph.layers[0].inputs[0] = folder.manifest().input.name
    trt, built = build("10.3.0", folder, BuildRequest("int8"), graph)
    assert ("parse", "model.onnx") in trt.calls
    assert trt.ranges
    assert set(built.sidecar.made_from) == {"graph", "model", "calibration"}
    save(folder.onnx, tiny_graph(), folder.manifest())
    with pytest.raises(EngineMismatch, match="posetrt calibrate"):
        build("10.3.0", folder, BuildRequest("int8"), graph)


def test_a_broken_calibration_is_refused_with_the_command(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", variants=("int8-base",))
    folder.calibration.write_text('{"tensors": {"image": 3}}', encoding="utf-8")
    with pytest.raises(PosetrtError, match="posetrt calibrate"):
        build("10.3.0", folder, BuildRequest("int8"))


@pytest.mark.parametrize("version", ["8.6.1", "8.6.2", "10.3.0"])
def test_a_cache_that_calibrate_writes_is_one_that_build_takes(tmp_path: Path, version: str) -> None:
    path = tmp_path / "calibration.cache"
    path.write_text(cache_text({"image": Range(-1.0, 1.0, 1.0, "minmax", -1.0, 1.0)}, version), encoding="ascii")
    assert read_cache(path, version_numbers(version)).startswith(b"TRT-")
