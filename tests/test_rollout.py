"""`posetrt rollout plan`: from doctors' reports to what is built where."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posetrt.doors import build
from posetrt.runtime.engines.choose import built_engines
from posetrt.runtime.files import sha256_of
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.model.shipped import shipped_model
from posetrt.runtime.model.sidecar import write_sidecar
from tests.cli.conftest import Posetrt, posetrt  # noqa: F401 a fixture


def _jetson(tensorrt: str | None, sm: int = 87, name: str = "Jetson Orin NX 16GB") -> list[dict[str, Any]]:
    found = {
        "Jetson": f"{name} (NVIDIA Jetson), sm_{sm}, 15.3 GiB, L4T 36.4.3",
        "numpy": "1.26.4",
        "OpenCV": "4.8.0 with GStreamer 1.20.3",
        "NVIDIA driver": "CUDA 12.6, 1 GPU",
        "TensorRT": tensorrt,
        "pycuda": "2024.1",
    }
    remedy = {"TensorRT": "sudo apt install python3-libnvinfer"}
    return [
        {"what": what, "found": version, "stops": "", "remedy": "" if version else remedy[what], "fatal": False}
        for what, version in found.items()
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with an engine for this computer and one for an Orin with TensorRT 10.3; no ranges for INT8."""
    out = tmp_path_factory.mktemp("models") / "person"
    out.mkdir()
    shutil.copyfile(shipped_model() / "model.onnx", out / "model.onnx")
    build(out)
    _, sidecar = next(iter(built_engines(open_folder(out)).items()))
    plan = out / "engines" / "orin-nx-sm87_trt10.3.0_fp16.engine"
    plan.write_bytes(b"plan")
    device = {"sm": 87, "name": "Orin NX", "dla": None}
    own = replace(sidecar, backend="tensorrt", precision="fp16", library_version="10.3.0.30", engine_sha256=sha256_of(plan), device=device)
    write_sidecar(plan, own)
    return out


def test_each_board_is_told_what_it_takes(folder: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    here = json.loads(posetrt("doctor", "--json").out)
    other = json.loads(json.dumps(here))
    next(one for one in other if one["what"] == "device")["facts"]["cpu"]["features"] = []
    (tmp_path / "desk.json").write_text(json.dumps(here))
    boards = [
        {"name": "desk", "doctor": "desk.json"},
        {"name": "old desk", "doctor": other},
        {"name": "orin-1", "doctor": _jetson("10.3.0.30")},
        {"name": "orin-2", "doctor": _jetson("10.7.0.23")},
        {"name": "orin-3", "doctor": _jetson("10.7.0.23")},
        {"name": "thor", "doctor": _jetson("10.13.0", 110, "Jetson T5000")},
        {"name": "bare", "doctor": _jetson(None)},
    ]
    (tmp_path / "list.json").write_text(json.dumps(boards))
    said = posetrt("rollout", "plan", folder, "--boards", tmp_path / "list.json", "--json")
    assert said.code == 1
    plan = {one["machine"]: one for one in json.loads(said.out)}
    assert {name: one["state"] for name, one in plan.items()} == {
        "desk": "ready",
        "old desk": "build",
        "orin-1": "ready",
        "orin-2": "build",
        "orin-3": "shared",
        "thor": "build",
        "bare": "blocked",
    }
    assert plan["orin-1"]["engine"] == "orin-nx-sm87_trt10.3.0_fp16.engine"
    assert plan["orin-2"]["commands"] == [f"posetrt build {folder} --precision fp16"]
    assert plan["orin-3"]["build_on"] == "orin-2"
    assert "was built by TensorRT 10.3.0.30; this device has 10.7.0.23" in plan["orin-2"]["reasons"][0]
    assert "TensorRT: sudo apt install python3-libnvinfer" in plan["bare"]["reasons"]
    told = posetrt("rollout", "plan", folder, "--boards", tmp_path / "list.json").out
    assert "7 machines: 2 ready, 3 to build on, 1 that take those builds, 1 blocked" in told


def test_int8_without_ranges_is_blocked_with_the_command(folder: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "robot-1.json").write_text(json.dumps(_jetson("10.3.0.30")))
    said = posetrt("rollout", "plan", folder, "--boards", tmp_path / "reports", "--precision", "int8")
    assert said.code == 1
    assert "robot-1  Jetson Orin NX 16GB" in said.out
    assert f"posetrt calibrate {folder} --images DIR" in said.out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"name": "a"}]', "entry 0 must be"),
        ('{"a": 3}', "the report of a is not what"),
        ("3", "a list of boards was expected"),
        ("[]", "holds no report"),
        ('[{"name": "a", "doctor": "gone.json"}]', "there is no doctor's report"),
        ('[{"name": "a", "doctor": [{"what": "x"}]}, {"name": "a", "doctor": [{"what": "x"}]}]', "has a more than once"),
    ],
)
def test_a_list_that_is_none_is_refused(content: str, told: str, folder: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    (tmp_path / "list.json").write_text(content)
    said = posetrt("rollout", "plan", folder, "--boards", tmp_path / "list.json")
    assert said.code in (1, 2)
    assert told in said.err
