"""`run --engine triton://...` against Triton's protocol in this process, and against a real tritonserver where its package is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrt.calib.scenes.scenes import draw_scene
from posetrt.calib.scenes.truth import write_scenes
from posetrt.runtime.engines.choose import EngineOptions, open_engine
from posetrt.runtime.engines.triton import remote_address
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.pose import open_pose
from tests.cli.conftest import Posetrt, posetrt  # noqa: F401 a fixture
from tests.tiny import tiny_network

pytest.importorskip("grpc", reason="pip install 'posetrt[triton]'")
from tests.triton_server import serving


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_scenes([draw_scene(seed, (320, 240), people=2) for seed in range(3)], folder)
    return next(path.parent for path in sorted(folder.rglob("*")) if path.suffix in (".jpg", ".png"))


def _lines(posetrt: Posetrt, out: Path, *call: Any) -> bytes:  # noqa: F811
    said = posetrt("run", *call, "--threads", 1, "--jsonl", out)
    assert said.code == 0, said.err
    return out.read_bytes()


@pytest.mark.parametrize("ensemble", [False, True], ids=["network", "ensemble"])
def test_a_remote_engine_gives_the_lines_of_a_local_one(ensemble: bool, drawn: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    assert posetrt("triton", "nano", "-o", tmp_path / "models", *(["--ensemble"] if ensemble else [])).code == 0
    here = _lines(posetrt, tmp_path / "here.jsonl", "nano", "--source", drawn)
    assert here.count(b'"person_id"') >= 3
    with serving(tmp_path / "models") as (where, service):
        assert _lines(posetrt, tmp_path / "net.jsonl", "--engine", f"triton://{where}/nano?shm=off", "--source", drawn) == here
        assert service.shared == 0
        assert _lines(posetrt, tmp_path / "shm.jsonl", "--engine", f"triton://{where}/nano", "--source", drawn) == here
        # Three inputs, and the outputs of all frames but the first, whose sizes were not known.
        outputs = len(service.models["nano"].config.output)
        assert service.shared == 3 + 2 * outputs
        assert not service.regions
        assert service.models["nano"].calls == 6
    with serving(tmp_path / "models", shares_memory=False) as (where, service):
        assert _lines(posetrt, tmp_path / "refused.jsonl", f"triton://{where}/nano", "--source", drawn) == here
        assert service.shared == 0


def test_frames_of_one_call_are_batched_where_the_graph_takes_several(tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    weights = tiny_network(tmp_path / "t.onnx")
    folder = tmp_path / "person"
    assert (
        posetrt("export", "onnx", "--weights", weights, "--input-size", "96x64", "--normalise", "openpose", "--batch", 4, "-o", folder).code
        == 0
    )
    assert posetrt("build", folder, "--precision", "fp32").code == 0
    assert posetrt("triton", folder, "-o", tmp_path / "models", "--max-batch", 3, "--instances", 2).code == 0
    frames = [draw_scene(seed, (96, 64), people=1).image for seed in range(5)]
    with open_engine(folder, EngineOptions(threads=1)) as engine:
        expected = WholeFrame(engine).find_all(frames)
    with serving(tmp_path / "models") as (where, service):
        config = service.models["person"].config
        assert config.max_batch_size == 3
        assert list(config.dynamic_batching.preferred_batch_size) == [3]
        assert config.instance_group[0].count == 2
        with open_engine(f"triton://{where}/person") as engine:
            assert (engine.max_batch, engine.backend, engine.precision) == (3, "triton", "fp32")
            found = WholeFrame(engine).find_all(frames)
        assert service.models["person"].calls == 2
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-3)
    assert posetrt("triton", folder, "-o", tmp_path / "ensembles", "--max-batch", 4, "--ensemble").code == 0
    with serving(tmp_path / "ensembles") as (where, service):
        with open_engine(f"triton://{where}/person") as engine:
            assert (engine.max_batch, engine.manifest.input.dtype) == (4, "uint8")
            maps = engine.infer(np.stack(frames[:4]))
        assert all(len(array) == 4 for array in maps.values())
        assert [service.models[name].calls for name in ("person", "person_input", "person_network")] == [1, 1, 1]


def test_versions_stay_and_the_latest_are_served(tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    for options in ([], ["--version", 2, "--keep-versions", 2]):
        assert posetrt("triton", "nano", "-o", tmp_path / "models", *options).code == 0
    with serving(tmp_path / "models") as (where, service):
        assert service.models["nano"].versions == ["1", "2"]
        with open_engine(f"triton://{where}/nano/1") as engine:
            assert engine.manifest.skeleton.name == "coco18"
        with pytest.raises(PosetrtError, match=r"no model of that name and version that is ready; it has: nano \(READY\)"):
            open_engine(f"triton://{where}/nano/3")


def test_what_is_wrong_with_a_server_is_told(drawn: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        free = one.getsockname()[1]
    said = posetrt("run", "--engine", f"triton://127.0.0.1:{free}/nano", "--source", drawn)
    assert said.code == 1
    assert f"no Triton server answers at 127.0.0.1:{free}" in said.err
    said = posetrt("run", "nano", "--engine", f"triton://127.0.0.1:{free}/nano", "--source", drawn)
    assert said.code == 2
    assert posetrt("triton", "nano", "-o", tmp_path / "models").code == 0
    config = tmp_path / "models" / "nano" / "config.pbtxt"
    whole = config.read_text()
    config.write_text("\n".join(line for line in whole.splitlines() if not line.startswith("parameters")))
    with serving(tmp_path / "models") as (where, _), pytest.raises(PosetrtError, match="does not say what its tensors mean"):
        open_engine(f"triton://{where}/nano")
    config.write_text(whole)
    with serving(tmp_path / "models") as (where, _), pytest.raises(UsageError, match="runs in fp32, and int8 was asked for"):
        open_engine(f"triton://{where}/nano", EngineOptions(precision="int8"))


@pytest.mark.parametrize(
    "text", ["triton://host/nano", "triton://host:0/nano", "triton://host:8001", "triton://h:1/n?gpu=1", "triton://h:1/n/x"]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="triton://HOST:PORT/NAME"):
        remote_address(text)


def test_an_address_survives_being_a_path() -> None:
    assert remote_address(Path("triton://[::1]:8001/person/2?shm=on")) == remote_address("triton://[::1]:8001/person/2?shm=on")
    assert str(remote_address("triton://host:8001/person/2")) == "triton://host:8001/person/2"


HEADS = {
    "movenet-lightning": {"boxes": "whole"},
    "movenet-multipose": {},
    "posenet-mobilenetv1-075": {},
    "pp-tinypose": {"detector": True},
    "standin-simcc": {"detector": True},
    "blazepose-lite": {"boxes": "whole"},
    "yolo11n-pose": {},
    "rtmdet-nano-person": {},
    "hpe0001": {},
}
"""Real networks of every kind of head, and what else each needs."""
SIZES = {
    "hpe0001": ["--input-size", "456x256", "--normalise", "in-graph"],
    "movenet-multipose": ["--input-size", "256x256"],
    "posenet-mobilenetv1-075": ["--input-size", "385x385"],
}
"""Of those that take any size."""


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_every_head_works_behind_a_server(name: str, shared_data: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    def export(network: str) -> Path:
        place = shared_data / "weights" / ("" if network == "hpe0001" else "heads") / network
        weights = next(path for path in sorted(place.glob("*.onnx")) if "int8" not in path.name)
        size = SIZES.get(network, [])
        said = posetrt("export", "onnx", "--weights", weights, *size, "-o", tmp_path / network)
        assert said.code == 0, said.err
        assert posetrt("build", tmp_path / network, "--precision", "fp32").code == 0
        assert posetrt("triton", tmp_path / network, "-o", tmp_path / "models").code == 0
        return tmp_path / network

    folder = export(name)
    options: dict[str, Any] = {key: value for key, value in HEADS[name].items() if key != "detector"}
    if "detector" in HEADS[name]:
        options["detector"] = export("rtmdet-nano-person")
    photographs = sorted((shared_data / "images").glob("*.jpg"))[:4]
    import cv2

    frames = [cv2.imread(str(path)) for path in photographs]
    with open_pose(folder, threads=1, **options) as pose:
        expected = [pose(frame) for frame in frames]
    assert sum(len(people) for people in expected) > 0
    with serving(tmp_path / "models") as (where, _):
        if "detector" in options:
            options["detector"] = f"triton://{where}/rtmdet-nano-person"
        with open_pose(f"triton://{where}/{name}", **options) as pose:
            found = [pose(frame) for frame in frames]
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=0.05)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


MODEL = """
import os
import sys
sys.path[:0] = PATHS
import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self.names = [one.name for one in self.session.get_outputs()]
        self.given = self.session.get_inputs()[0].name

    def execute(self, requests):
        answers = []
        for request in requests:
            image = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, self.given)).copy()
            found = self.session.run(self.names, {self.given: image})
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack(n, a) for n, a in zip(self.names, found)]))
        return answers
"""
"""The wheel of nvidia-pytriton has tritonserver with its Python backend alone: it stands in for the ONNX Runtime backend.

That server was built before NumPy 2, whose arrays it takes and gives by DLPack alone."""


@contextmanager
def _tritonserver(repository: Path, log: Path) -> Iterator[str]:
    package = Path(next(iter(importlib.util.find_spec("pytriton").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
    server = package / "tritonserver"
    backends = log.parent / "backends"
    shutil.copytree(server / "backends", backends)
    stub = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copytree(server / "python_backend_stubs" / stub, backends / "python", dirs_exist_ok=True)
    for path in (server / "bin" / "tritonserver", backends / "python" / "triton_python_backend_stub"):
        if not os.access(path, os.X_OK):
            path.chmod(0o755)
    for path in repository.rglob("config.pbtxt"):
        path.write_text(path.read_text().replace('platform: "onnxruntime_onnx"', 'backend: "python"'))
        if "ensemble_scheduling" not in path.read_text():
            for version in path.parent.glob("[0-9]*"):
                (version / "model.py").write_text(MODEL.replace("PATHS", repr([one for one in sys.path if one])))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [
        *(str(server / "bin" / "tritonserver"), f"--model-repository={repository}", f"--backend-directory={backends}"),
        *(
            "--allow-http=false",
            "--allow-metrics=false",
            f"--grpc-port={port}",
            "--disable-auto-complete-config",
            "--strict-readiness=true",
        ),
        f"--backend-config=python,shm-region-prefix-name=posetrt-{os.getpid()}",
    ]
    libraries = [package.parent / "nvidia_pytriton.libs", server / "external_libs"]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        for _ in range(120):
            if b"Started GRPCInferenceService" in log.read_bytes():
                break
            if process.poll() is not None:
                break
            time.sleep(0.5)
        else:
            pytest.fail(f"tritonserver does not start: {log.read_text()[-2000:]}")
        assert process.poll() is None, log.read_text()[-2000:]
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("pytriton") is None, reason="pip install --no-deps nvidia-pytriton: it has a real tritonserver"
)
def test_a_real_tritonserver_serves_what_is_written(drawn: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    assert posetrt("triton", "nano", "-o", tmp_path / "models", "--ensemble", "--name", "bytes").code == 0
    assert posetrt("triton", "nano", "-o", tmp_path / "models").code == 0
    weights = tiny_network(tmp_path / "t.onnx")
    assert (
        posetrt(
            "export",
            "onnx",
            "--weights",
            weights,
            "--input-size",
            "96x64",
            "--normalise",
            "openpose",
            "--batch",
            4,
            "-o",
            tmp_path / "batch",
        ).code
        == 0
    )
    assert posetrt("triton", tmp_path / "batch", "-o", tmp_path / "models", "--instances", 2, "--version", 3).code == 0
    here = _lines(posetrt, tmp_path / "here.jsonl", "nano", "--source", drawn)
    with _tritonserver(tmp_path / "models", tmp_path / "server.log") as where:
        for number, name in enumerate(("nano", "nano?shm=off", "nano?shm=on", "bytes", "bytes?shm=off")):
            assert _lines(posetrt, tmp_path / f"{number}.jsonl", "--engine", f"triton://{where}/{name}", "--source", drawn) == here, name
        with open_engine(f"triton://{where}/batch/3") as engine:
            assert engine.max_batch == 4
            (found,) = engine.infer(np.zeros((4, 3, 64, 96), np.float32))[
                engine.manifest.head.outputs[next(iter(engine.manifest.head.outputs))]
            ].shape[:1]
            assert found == 4
        with pytest.raises(PosetrtError, match="no model of that name"):
            open_engine(f"triton://{where}/other")
