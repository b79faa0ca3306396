"""`posetrt export` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from posetrt.cli import main
from posetrt.export.weights.random_weights import write_random_weights
from posetrt.export.weights.zoo import find_network, names
from posetrt.runtime.model.folder import open_folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.npz"
    write_random_weights("lightweight-openpose", path)
    return path


def test_the_zoo_is_listed_with_what_a_user_chooses_by(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--list"]) == 0
    table = capsys.readouterr().out
    assert main(["export", "--list", "--json"]) == 0
    rows = {row["network"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == names()
    assert all(name in table and rows[name]["file"] in table and rows[name]["licence"] in table for name in rows)
    # Parameters are those of the published files: 104.7 MB, 209.3 MB and 4.1 million.
    assert round(4 * rows["openpose-body25"]["parameters"] / 1e6, 1) == 104.7
    assert round(4 * rows["openpose-coco"]["parameters"] / 1e6, 1) == 209.2
    assert round(rows["lightweight-openpose"]["parameters"] / 1e6, 1) == 4.1


def test_a_network_becomes_a_folder_with_both_graphs(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "person"
    call = ["export", "lightweight-openpose", "--weights", str(weights), "--input-size", "96x64", "-o", str(folder)]
    assert main(call) == 0
    said = capsys.readouterr()
    assert "coco18, input 96x64 float32, head paf (heatmaps = heatmaps, pafs = pafs)" in said.out
    assert "Apache-2.0" in said.err
    found = open_folder(folder)
    assert found.manifest().network == "lightweight-openpose"
    assert found.checked_variant("fp16").is_file()
    before = found.onnx.read_bytes()
    assert main(call) == 0, "the same export again changes nothing"
    assert found.onnx.read_bytes() == before
    assert main([*call, "--input", "uint8"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*call, "--input", "uint8", "--decode", "in-graph", "--slots", "8", "--force"]) == 0
    manifest = found.manifest()
    assert (manifest.input.takes_bytes, manifest.head.outputs) == (True, {"peaks": "peaks", "pairs": "pairs"})
    assert found.checked_variant("fp16").is_file(), "the float16 graph follows its model"


def test_a_users_own_graph_takes_bytes_and_decodes_too(weights: Path, tmp_path: Path) -> None:
    assert main(["export", "lightweight-openpose", "--weights", str(weights), "--input-size", "96x64", "-o", str(tmp_path / "a")]) == 0
    call = ["export", "onnx", "--weights", str(tmp_path / "a" / "model.onnx"), "-o", str(tmp_path / "b")]
    assert main([*call, "--input", "uint8", "--decode", "in-graph"]) == 0
    model = onnx.load(str(tmp_path / "b" / "model.onnx"))
    assert [value.name for value in model.graph.output] == ["peaks", "pairs"]


def test_a_dynamic_graph_runs_at_every_size_of_its_range(weights: Path, tmp_path: Path) -> None:
    from tests.running import run_onnx

    call = ["export", "lightweight-openpose", "--weights", str(weights), "--input-size", "96x64", "--dynamic", "-o", str(tmp_path / "d")]
    assert main(call) == 0
    spec = open_folder(tmp_path / "d").manifest().input
    assert (spec.min_wh, spec.size_wh, spec.max_wh) == ((48, 32), (96, 64), (192, 128))
    model: Any = onnx.load(str(tmp_path / "d" / "model.onnx"))
    for width, height in (spec.min_wh, (104, 72), spec.max_wh):
        image = np.zeros((1, 3, height, width), np.float32)
        assert run_onnx(model, image)["pafs"].shape == (1, 38, height // 8, width // 8)
    fixed = ["export", "cpm-person", "--weights", str(weights), "--dynamic", "-o", str(tmp_path / "c")]
    assert main(fixed) == 2


def test_a_skeleton_of_ones_own_sets_the_number_of_maps(tmp_path: Path) -> None:
    """Cars in the 2018 network: no code, only a skeleton."""
    from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
    from posetrt.export.weights.parameters import Parameters
    from posetrt.runtime.heads.paf.layout import load_layout

    network, parameters, cars = find_network("lightweight-openpose"), Parameters(None), load_layout("car12")
    network.build(GraphWriter(parameters), Tensor("image", 3, 1), cars, (64, 64))
    np.savez(tmp_path / "cars.npz", **{name: np.full(shape, 0.01, np.float32) for name, shape in parameters.shapes.items()})
    (tmp_path / "cars.json").write_text(json.dumps(cars.to_dict() | {"name": "mine"}))
    call = ["export", "lightweight-openpose", "--weights", str(tmp_path / "cars.npz"), "--input-size", "64x64"]
    assert main([*call, "--skeleton", str(tmp_path / "cars.json"), "-o", str(tmp_path / "cars")]) == 0
    assert open_folder(tmp_path / "cars").manifest().skeleton.name == "mine"
    assert main([*call, "-o", str(tmp_path / "people")]) == 1, "with the wrong skeleton the weights do not fit"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export"], "NETWORK and --weights and -o missing"),
        (["export", "yolo11n-pose.onnx", "-o", "out"], "write: posetrt export onnx --weights yolo11n-pose.onnx -o out"),
        (["export", "pose.caffemodel"], "write: posetrt export NETWORK --weights pose.caffemodel -o FOLDER"),
        (
            ["export", "nano", "-o", "out"],
            "nano ships with posetrt as a model folder, so there is nothing to export. Use it by its name: posetrt run",
        ),
        (["export", "openpose-boddy25", "-o", "out"], "no network 'openpose-boddy25' in the zoo; did you mean openpose-body25?"),
        (["export", "openpose-body25", "-o", "my out"], "weights/pose_iter_584000.caffemodel -o 'my out'"),
        (["export", "openpose-body25"], "  posetrt fetch openpose-body25\n"),
        (["export", "no-such-net", "--weights", "x.npz", "-o", "out"], "no network 'no-such-net' in the zoo"),
        (["export", "openpose-body25", "--weights", "x.npz", "-o", "out", "--input-size", "650x368"], "multiples of 8"),
        (["export", "openpose-body25", "--weights", "x.npz", "-o", "out", "--role", "pafs=y"], "a network of the zoo knows its own"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_four_stage_network_reads_the_six_stage_networks_file(tmp_path: Path) -> None:
    from posetrt.export.weights.from_weights import model_from_weights

    six = tmp_path / "six.npz"
    write_random_weights("openpose-mpi", six)
    model, _ = model_from_weights(find_network("openpose-mpi-4stage"), six, size_wh=(64, 64))
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 12 + 10 + 3 * 14


def test_an_output_that_cannot_be_written_is_refused_before_the_weights_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["export", "lightweight-openpose", "--weights", str(tmp_path / "absent.npz"), "-o", str(tmp_path / "file" / "out")]) == 1
    assert "file is a file; choose a folder that you may write to" in capsys.readouterr().err


def test_an_export_that_fails_leaves_no_half_of_a_folder(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The float16 graph is written with its model or not at all."""

    def full(self: Path, data: bytes) -> int:
        if self.parent.name == "variants":
            raise OSError(28, "No space left on device")
        return write(self, data)

    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", full)
    before = sorted(tmp_path.iterdir())
    assert main(["export", "lightweight-openpose", "--weights", str(weights), "--input-size", "96x64", "-o", str(tmp_path / "a")]) == 1
    assert sorted(tmp_path.iterdir()) == before
