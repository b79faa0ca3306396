"""A Triton repository that Triton's own schema accepts, with the tensors that the graph has."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from posetrt.cli import main
from posetrt.runtime.engines.choose import built_engines
from posetrt.runtime.files import sha256_of
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.model.sidecar import write_sidecar
from tests.tiny import tiny_network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "person"
    command = ["export", "onnx", "--weights", str(tiny_network(tmp_path / "t.onnx")), "--input-size", "96x64", "-o", str(out)]
    assert main(command) == 0
    assert main(["build", str(out), "--precision", "fp32"]) == 0
    return out


def _config(model: Path) -> Any:
    """Read by the protobuf schema that comes with Triton's client, without gRPC, which the client would load with it."""
    client = pytest.importorskip("tritonclient", reason="pip install tritonclient")
    spec = importlib.util.spec_from_file_location("model_config_pb2", Path(client.__path__[0]) / "grpc" / "model_config_pb2.py")
    assert spec is not None
    assert spec.loader is not None
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    from google.protobuf import text_format

    return text_format.Parse((model / "config.pbtxt").read_text(encoding="utf-8"), schema.ModelConfig())


def test_the_onnx_file_is_served_with_the_shapes_that_it_gives(folder: Path, tmp_path: Path) -> None:
    assert main(["triton", str(folder), "-o", str(tmp_path / "models")]) == 0
    model = tmp_path / "models" / "person"
    config = _config(model)
    assert (config.name, config.platform, config.max_batch_size) == ("person", "onnxruntime_onnx", 0)
    session = onnxruntime.InferenceSession(str(model / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    image = np.zeros(list(config.input[0].dims), np.float32)
    answers = session.run([output.name for output in config.output], {config.input[0].name: image})
    assert [list(output.dims) for output in config.output] == [list(answer.shape) for answer in answers]
    assert json.loads((model / "manifest.json").read_text())["head"]["stride"] == 8


def _as_tensorrt(folder: Path, profile: list[list[int]], dla: int | None = None, **options: Any) -> Path:
    """The sidecar of a TensorRT engine beside bytes that stand in for one: no GPU is here to build it."""
    _, sidecar = next(iter(built_engines(open_folder(folder)).items()))
    plan = folder / "engines" / "a100-sm80_trt10.3.0_fp32.engine"
    plan.write_bytes(b"plan")
    write_sidecar(
        plan,
        replace(
            sidecar,
            backend="tensorrt",
            engine_sha256=sha256_of(plan),
            device={"sm": 80, "name": "A100", "dla": dla},
            options={"profile": profile, **options},
        ),
    )
    return plan


def test_an_engine_is_served_with_its_own_profile(folder: Path, tmp_path: Path) -> None:
    _as_tensorrt(folder, [[1, 3, 64, 96], [1, 3, 64, 96], [4, 3, 64, 96]])
    assert main(["triton", str(folder), "-o", str(tmp_path), "--name", "pose", "--precision", "fp32"]) == 0
    config = _config(tmp_path / "pose")
    assert config.platform == "tensorrt_plan"
    assert config.max_batch_size == 4
    assert list(config.input[0].dims) == [3, 64, 96]
    assert {output.name: list(output.dims) for output in config.output} == {"maps_out": [19, 8, 12], "fields_out": [38, 8, 12]}
    assert (tmp_path / "pose" / "1" / "model.plan").read_bytes() == b"plan"


def test_an_engine_for_a_dla_names_its_core_and_one_of_another_version_what_the_server_needs(folder: Path, tmp_path: Path) -> None:
    """Without them Triton loads neither, and its message says nothing of the cause."""
    _as_tensorrt(folder, [[1, 3, 64, 96]] * 3, dla=1)
    assert main(["triton", str(folder), "-o", str(tmp_path), "--name", "dla", "--precision", "fp32"]) == 0
    group = _config(tmp_path / "dla").instance_group[0]
    assert [(one.device_id, one.SecondaryDeviceKind.Name(one.kind)) for one in group.secondary_devices] == [(1, "KIND_NVDLA")]
    _as_tensorrt(folder, [[1, 3, 64, 96]] * 3, version_compatible=True)
    assert main(["triton", str(folder), "-o", str(tmp_path), "--name", "compatible", "--precision", "fp32"]) == 0
    assert not _config(tmp_path / "compatible").instance_group[0].secondary_devices
    assert "--backend-config=tensorrt,version-compatible=true" in (tmp_path / "compatible" / "config.pbtxt").read_text(encoding="utf-8")


def test_a_damaged_or_missing_engine_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["triton", str(folder), "-o", str(tmp_path / "m"), "--precision", "int8"]) == 3
    assert "posetrt build" in capsys.readouterr().err
    plan = _as_tensorrt(folder, [[1, 3, 64, 96]] * 3)
    plan.write_bytes(b"cut")
    assert main(["triton", str(folder), "-o", str(tmp_path / "m"), "--engine", str(plan)]) == 3
    assert "is not the file that was built" in capsys.readouterr().err
    assert not (tmp_path / "m" / "person" / "1" / "model.plan").exists()


@pytest.mark.parametrize("name", ["../other", "/abs", "a/b", "", "..", "a\nb", 'a"b'])
def test_a_name_that_would_lead_out_of_the_repository_is_refused(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(["triton", str(folder), "-o", str(tmp_path / "models"), "--name", name]) == 2
    assert "Triton's models are named by" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
