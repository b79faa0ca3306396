"""An engine that does not fit is refused from its sidecar, with the reason; TensorRT is never handed its bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posetrt.bench.benchmark import precisions_of
from posetrt.export.engine import build as build_module
from posetrt.export.engine.request import BuildRequest
from posetrt.runtime.engines import choose, driver, preflight, tensorrt
from posetrt.runtime.engines.driver import Gpu
from posetrt.runtime.engines.library import Library
from posetrt.runtime.engines.preflight import Here, engine_name, reason
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.files import sha256_of
from posetrt.runtime.model.sidecar import Sidecar, write_sidecar
from tests.tiny_model import tiny_folder, tiny_manifest

HERE = Here("tensorrt", "10.3.0", 87, "Orin")
BUILT = Sidecar(
    backend="tensorrt",
    precision="fp16",
    library_version="10.3.0",
    device={"sm": 87, "name": "Orin NX", "dla": None},
    engine_sha256="0" * 64,
    graph="model.onnx",
    made_from={},
    manifest=tiny_manifest(),
)


def test_an_engine_of_this_device_fits() -> None:
    assert reason(BUILT, HERE) is None


@pytest.mark.parametrize(
    ("built", "here", "says"),
    [
        ({"library_version": "8.6.2"}, {}, "was built by TensorRT 8.6.2; this device has 10.3.0"),
        (
            {"backend": "tensorrt-rtx", "library_version": "1.7.1"},
            {},
            "was built by TensorRT for RTX 1.7.1; this device has TensorRT 10.3.0",
        ),
        ({"device": {"sm": 110, "name": "Thor", "dla": None}}, {}, "was built for sm_110 (Thor); this device is sm_87 (Orin)"),
        (
            {"device": {"sm": 87, "name": "Orin", "dla": 1}},
            {"dla_cores": 0},
            "was built for DLA core 1; this device has no DLA that TensorRT can use",
        ),
        ({"device": {"sm": 87, "name": "Orin", "dla": 1}}, {"dla_cores": 1}, "was built for DLA core 1; this device has 1 DLA core"),
    ],
)
def test_each_mismatch_has_its_sentence(built: dict[str, Any], here: dict[str, Any], says: str) -> None:
    assert reason(replace(BUILT, **built), replace(HERE, **here)) == says


@pytest.mark.parametrize(
    ("version", "fits"), [("8.6.1", False), ("8.6.2", True), ("10.3.0", True), ("10.16.1.11", True), ("11.4.0", False)]
)
def test_a_version_compatible_engine_of_8_runs_on_10_and_not_on_11(version: str, fits: bool) -> None:
    built = replace(BUILT, library_version="8.6.2", options={"runs_on": preflight.runs_on("tensorrt", (8, 6, 2), version_compatible=True)})
    assert (reason(built, replace(HERE, version=version)) is None) == fits


def test_a_hardware_compatible_engine_runs_on_newer_gpus_and_not_on_older() -> None:
    built = replace(BUILT, device={"sm": 86, "name": "RTX 3060", "dla": None}, options={"hardware_compatible": True})
    assert reason(built, replace(HERE, sm=89)) is None
    assert reason(built, replace(HERE, sm=75)) is not None


def test_a_file_name_says_device_library_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "board_name", lambda: "NVIDIA Jetson Orin NX Engineering Reference Developer Kit")
    orin = Gpu(0, "Orin", 87, 8 << 30, integrated=True)
    assert engine_name(preflight.device_entry(orin, None), "tensorrt", "10.3.0", "int8") == "orin-nx-sm87_trt10.3.0_int8.engine"
    assert engine_name(preflight.device_entry(orin, 0), "tensorrt", "8.6.2", "fp16") == "orin-nx-sm87-dla0_trt8.6.2_fp16.engine"
    card = Gpu(0, "NVIDIA GeForce RTX 3060", 86, 12 << 30, integrated=False)
    assert engine_name(preflight.device_entry(card, None), "tensorrt-rtx", "1.7.1", "fp32") == "geforce-rtx-3060-sm86_rtx1.7.1_fp32.engine"


@pytest.fixture
def on_an_orin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with TensorRT 10.3 whose module must not be touched."""
    gpu = Gpu(0, "Orin", 87, 8 << 30, integrated=True)
    monkeypatch.setattr(driver, "gpu", lambda index=0: gpu)
    monkeypatch.setattr(tensorrt, "installed", lambda name=None: Library("tensorrt", None, "10.3.0", (10, 3, 0)))
    monkeypatch.setattr(choose, "best_backend", lambda: "tensorrt")


def built_in(path: Path, **changes: Any) -> tuple[Any, Path]:
    folder = tiny_folder(path)
    engine = folder.engines / "orin-sm87_trt10.3.0_fp16.engine"
    engine.parent.mkdir()
    engine.write_bytes(b"\1" * 1000)
    made = {"engine_sha256": sha256_of(engine), "made_from": folder.hashes(), **changes}
    write_sidecar(engine, replace(BUILT, **made))
    return folder, engine


@pytest.mark.usefixtures("on_an_orin")
def test_a_truncated_engine_is_never_handed_to_tensorrt(tmp_path: Path) -> None:
    folder, engine = built_in(tmp_path / "m")
    engine.write_bytes(b"\1" * 500)
    with pytest.raises(EngineMismatch, match="truncated or changed"):
        choose.open_engine(folder.path, choose.EngineOptions("fp16"))
    with pytest.raises(EngineMismatch, match="truncated or changed"):
        choose.open_engine(engine)


@pytest.mark.usefixtures("on_an_orin")
def test_an_engine_of_another_model_is_refused_with_the_command(tmp_path: Path) -> None:
    folder, _ = built_in(tmp_path / "m", made_from={"model": "f" * 64})
    with pytest.raises(EngineMismatch, match=r"another model.onnx.*posetrt build .* --precision fp16"):
        choose.open_engine(folder.path, choose.EngineOptions("fp16"))


@pytest.mark.usefixtures("on_an_orin")
def test_an_engine_of_another_tensorrt_is_refused_with_the_command(tmp_path: Path) -> None:
    folder, engine = built_in(tmp_path / "m", library_version="8.6.2")
    with pytest.raises(EngineMismatch, match=r"TensorRT 8.6.2; this device has 10.3.0.*posetrt build"):
        choose.open_engine(folder.path)  # fp16 is what a GPU takes by default
    with pytest.raises(EngineMismatch, match="posetrt build FOLDER --precision fp16"):
        choose.open_engine(engine)


@pytest.mark.usefixtures("on_an_orin")
def test_who_asks_for_the_cpus_engine_on_a_gpu_is_told_to_build_that_one(tmp_path: Path) -> None:
    folder, _ = built_in(tmp_path / "m")
    with pytest.raises(EngineMismatch, match=r"posetrt build \S+ --precision fp32 --backend onnxruntime$"):
        choose.open_engine(folder.path, choose.EngineOptions("fp32", "onnxruntime"))
    with pytest.raises(EngineMismatch, match=r"posetrt build \S+ --precision fp32$"):
        choose.open_engine(folder.path, choose.EngineOptions("fp32"))
    with pytest.raises(EngineMismatch, match=r"--backend onnxruntime$"):
        precisions_of(folder.path, backend="onnxruntime")
    with pytest.raises(UsageError, match=r"'onnxruntme' is not one of auto, onnxruntime"):
        choose.open_engine(folder.path, choose.EngineOptions("fp16", "onnxruntme"))


@pytest.mark.usefixtures("on_an_orin")
def test_a_version_compatible_engine_is_loaded_by_those_alone_who_trust_it(tmp_path: Path) -> None:
    options = {"version_compatible": True, "runs_on": {"from": "8.6.2", "below": "11"}}
    folder, _ = built_in(tmp_path / "m", library_version="8.6.2", options=options)
    with pytest.raises(EngineMismatch, match="--trust"):
        choose.open_engine(folder.path, choose.EngineOptions("fp16"))


@pytest.mark.usefixtures("on_an_orin")
def test_the_gpus_engine_is_chosen_before_a_dlas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, engine = built_in(tmp_path / "m")
    other = engine.with_name("orin-sm87-dla0_trt10.3.0_fp16.engine")
    other.write_bytes(engine.read_bytes())
    device = {"sm": 87, "name": "Orin", "dla": 0}
    write_sidecar(other, replace(BUILT, engine_sha256=sha256_of(other), made_from=folder.hashes(), device=device))
    monkeypatch.setattr(tensorrt, "_dla_cores", lambda library: 2)
    assert choose.find_engine(folder, "fp16")[0] == engine
    monkeypatch.setattr(build_module, "build_engine", lambda *args, **options: pytest.fail("built, though there is one"))
    assert build_module.build(folder, "fp16", if_needed=True, wish=BuildRequest("fp16"))[0] == engine


def test_an_engine_on_a_machine_without_a_gpu_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(index: int = 0) -> Gpu:
        raise PosetrtError("no NVIDIA driver: libcuda.so.1 does not load.")

    monkeypatch.setattr(driver, "gpu", none)
    folder, _ = built_in(tmp_path / "m")
    with pytest.raises(EngineMismatch, match=r"needs a GPU with TensorRT: no NVIDIA driver"):
        choose.open_engine(folder.path, choose.EngineOptions("fp16", "tensorrt"))
