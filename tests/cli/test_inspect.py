"""posetrt inspect: what is known of an engine without a GPU, and the table of its layers with one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from posetrt import cli
from posetrt.commands import bench
from posetrt.runtime.engines import layers, library, tensorrt
from posetrt.runtime.engines.layers import EngineLayer
from posetrt.runtime.files import sha256_of
from posetrt.runtime.model.sidecar import Sidecar, read_sidecar, write_sidecar
from tests.tiny_model import save, tiny_folder, tiny_graph, tiny_manifest


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    folder = tiny_folder(tmp_path / "m")
    path = folder.engines / "orin-sm87_trt10.3.0_int8.engine"
    path.parent.mkdir()
    path.write_bytes(b"\1" * 2_000_000)
    options = {
        "strongly_typed": False,
        "flags": ["INT8", "FP16"],
        "profile": [[1, 3, 64, 64]] * 3,
        "without_range": ["a", "b"],
        "fell_back": [],
    }
    device = {"sm": 87, "name": "Orin NX", "dla": None}
    sidecar = Sidecar(
        "tensorrt", "int8", "10.3.0", device, sha256_of(path), "variants/int8-base.onnx", folder.hashes(), tiny_manifest(), options, 61.5
    )
    write_sidecar(path, sidecar)
    return path


def test_without_a_gpu_the_sidecar_is_shown_and_why_the_layers_are_not(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(engine)]) == 0
    shown = capsys.readouterr().out
    for part in (
        "int8 by tensorrt 10.3.0, 2.0 MB, built in 61.5 s",
        "variants/int8-base.onnx",
        "sm 87",
        "1x3x64x64",
        "2 tensors without a range: a, b",
    ):
        assert part in shown
    assert "not shown" in shown


def test_the_layers_are_counted_by_what_they_run_in(
    engine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = [
        EngineLayer("conv1", "CaskConvolution", "int8", "gpu", 300, True, "int8"),
        EngineLayer("conv2", "CaskConvolution", "fp16", "gpu", 100, True, "fp16"),
        EngineLayer("reformat", "Reformat", "fp32", "gpu", 0, False, "int8"),
    ]
    seen: list[Any] = []
    monkeypatch.setattr(tensorrt, "mismatch", lambda sidecar: None)
    monkeypatch.setattr(library, "installed", lambda name=None: None)
    monkeypatch.setattr(layers, "layers_of", lambda path, found, dla=None: seen.append((path, dla)) or listed)
    assert cli.main(["inspect", str(engine), "--layers"]) == 0
    shown = capsys.readouterr().out
    assert "50% of the computing layers run in int8, 75% of the multiply-adds" in shown
    assert "CaskConvolution" in shown
    assert seen == [(engine, None)]
    assert cli.main(["inspect", str(engine.parent.parent), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report[0]["share"] == {"precision": "int8", "of_layers": 0.5, "of_multiply_adds": 0.75}
    assert [layer["name"] for layer in report[0]["layers"]] == ["conv1", "conv2", "reformat"]


def test_a_changed_engine_is_not_looked_at(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine.write_bytes(b"\1" * 1000)
    assert cli.main(["inspect", str(engine)]) == 3
    assert "truncated or changed" in capsys.readouterr().err


def test_one_bad_engine_of_a_folder_does_not_hide_the_others(
    engine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar = read_sidecar(engine)
    for name in ("a-gone.engine", "b-damaged.engine"):
        write_sidecar(engine.with_name(name), sidecar)
    engine.with_name("b-damaged.engine").write_bytes(b"\1" * 1000)
    monkeypatch.setattr(tensorrt, "mismatch", lambda sidecar: None)
    monkeypatch.setattr(library, "installed", lambda name=None: None)
    listed = [EngineLayer("conv1", "CaskConvolution", "int8", "gpu", 300, True, "int8")]
    monkeypatch.setattr(layers, "layers_of", lambda path, found, dla=None: listed)
    assert cli.main(["inspect", str(engine.parent.parent), "--json"]) == 0
    gone, damaged, whole = json.loads(capsys.readouterr().out)
    assert (gone["size_bytes"], gone["layers"], gone["why"]) == (None, None, "is gone; only its sidecar is left")
    assert (damaged["size_bytes"], damaged["layers"]) == (1000, None)
    assert damaged["why"].startswith("is not the file that was built")
    assert whole["share"]["of_layers"] == 1
    assert cli.main(["inspect", str(engine.parent.parent)]) == 0
    shown = capsys.readouterr().out
    assert "a-gone.engine: int8 by tensorrt 10.3.0, no file" in shown
    assert "layers: not shown, the engine is not the file that was built" in shown
    # What `bench` adds to rows that were measured already.
    row = SimpleNamespace(precision="int8", backend="tensorrt")
    assert bench._quantised(engine.parent.parent, row) == 1  # type: ignore[arg-type]


def test_an_engine_of_onnx_runtime_has_no_layers_to_show(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sidecar(engine, replace(read_sidecar(engine), backend="onnxruntime"))
    assert cli.main(["inspect", str(engine)]) == 0
    assert "layers: not shown, the engine was built by ONNX Runtime 10.3.0" in capsys.readouterr().out


def test_a_folder_without_engines_says_what_it_holds_and_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny_folder(tmp_path / "m")
    assert cli.main(["inspect", str(folder.path)]) == 0
    shown = capsys.readouterr().out
    for part in ("network tiny", "skeleton coco18, 18 parts", "input image: 64x64, NCHW float32 BGR", "engines: none yet"):
        assert part in shown
    assert f"next: posetrt build {folder.path}" in shown
    assert cli.main(["inspect", str(folder.path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["manifest"]["network"] == "tiny"
    assert report["engines"] == []
    assert set(report["variants"]) == {path.stem for path in folder.variant("any").parent.glob("*.onnx")}


def test_a_variant_of_another_model_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny_folder(tmp_path / "m")
    save(folder.variant("fp16"), tiny_graph(seed=1), tiny_manifest(), {"model": "0" * 64})
    save(folder.variant("int8-ort"), tiny_graph(seed=1), tiny_manifest(), folder.hashes())
    assert cli.main(["inspect", str(folder.path)]) == 0
    shown = capsys.readouterr().out
    assert "variants/fp16.onnx: fp16.onnx was made from another model.onnx" in shown
    assert "variants/int8-ort.onnx: made from this model" in shown
