"""Which layer it was: on the real network, with a fault that was put there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from posetrt.calib.calibrate import calibrate, folder_calibration
from posetrt.calib.equalise import equalised
from posetrt.calib.graph import load_graph
from posetrt.calib.judge import Judge, runner
from posetrt.calib.selection import k_center, select
from posetrt.calib.sensitivity import layer_costs
from posetrt.cli import main
from posetrt.runtime.folder import ModelFolder

BROKEN = "conv5_3_CPM_L1/WithoutBiases"


@pytest.fixture(scope="module")
def hard_folder(hpe_folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The real network with one channel 100 times as large before a dense convolution, and its weights as much smaller: in float the same."""
    graph = load_graph(hpe_folder.onnx)
    layers = {layer.name: layer for layer in graph.layers}
    before, behind = layers["conv5_2_CPM_L1/WithoutBiases"], layers[BROKEN]
    channel = int(np.argmax(graph.constants[before.bias] + np.abs(graph.constants[before.weight]).sum(axis=(1, 2, 3))))
    weight, bias = graph.constants[before.weight].copy(), graph.constants[before.bias].copy()
    reader = graph.constants[behind.weight].copy()
    weight[channel] *= 100
    bias[channel] *= 100
    reader[:, channel] /= 100
    model = graph.with_constants({before.weight: weight, before.bias: bias, behind.weight: reader}).model
    folder = ModelFolder(tmp_path_factory.mktemp("hard"))
    onnx.save(model, str(folder.onnx))
    return folder


def test_the_layer_with_the_outlier_costs_most(hard_folder: ModelFolder, shared_data: Path) -> None:
    photographs = sorted((shared_data / "lspet").iterdir())
    made = calibrate(hard_folder, photographs[:6], method="minmax")
    base = equalised(load_graph(hard_folder.onnx), made.calibration.scales)
    judge = Judge(hard_folder.manifest(), photographs[100:106])
    reference = judge.people(runner(base.model, judge.manifest))
    near = [BROKEN, "conv5_2_CPM_L1/WithoutBiases", "conv5_4_CPM_L1/WithoutBiases", "conv2_1/sep"]
    costs = layer_costs(base, made.calibration.ranges, judge, reference, only=near)
    assert costs[0].layer == BROKEN
    assert costs[0].oks_cost > 2 * costs[1].oks_cost


def test_points_far_from_all_others_are_chosen() -> None:
    random = np.random.default_rng(1)
    points = random.normal(0, 0.1, (200, 5))
    points[17] += 9
    points[120] -= 9
    chosen = k_center(points, 4)
    assert {17, 120} < set(chosen)
    assert len(set(chosen)) == 4
    assert k_center(points, 500) != []
    assert len(set(k_center(points, 500))) == 200


def test_selection_prefers_what_differs_and_passes_broken_files(small_folder: ModelFolder, pictures: list[Path]) -> None:
    import cv2

    blank = pictures[0].parent / "zz_white.png"
    cv2.imwrite(str(blank), np.full((48, 64, 3), 255, np.uint8))
    (pictures[0].parent / "broken.jpg").write_bytes(b"broken")
    images = sorted(pictures[0].parent.iterdir())
    chosen = select(small_folder, images, 3)
    assert len(chosen) == 3
    assert blank in chosen, "the one picture that is unlike the others"
    assert chosen == select(small_folder, images, 3)


def test_the_command_prints_each_layers_cost_and_every_output_honours_the_choice(
    small_folder: ModelFolder, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "calibrate",
        str(small_folder.path),
        "--images",
        str(pictures[0].parent),
        "--sensitivity",
        "--judge",
        "4",
        "--budget-oks",
        "1",
    ]
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = printed["sensitivity"]
    assert printed["images"]["count"] == 8, "four of the twelve judge and calibrate nothing"
    assert {layer["name"] for layer in found["layers"]} == {layer.name for layer in load_graph(small_folder.onnx).layers}
    costs = [layer["oks_cost"] for layer in found["layers"]]
    assert costs == sorted(costs, reverse=True)
    assert found["met"] == (min(found["chosen"].values()) >= 0.99)
    calibration = folder_calibration(small_folder)
    assert list(calibration.kept_float) == printed["kept_float"]
    for variant in ("int8-ort", "int8-trt", "int8-trt-fp16"):
        nodes = {node.name: node for node in onnx.load(str(small_folder.checked_variant(variant))).graph.node}
        for name in calibration.kept_float:
            assert "dequantized" not in nodes[name].input[0]
    assert main(command) == 0
    assert "layout:" in capsys.readouterr().out
    assert main([*command, "--budget-ap", "0.5"]) == 2
    assert main([*command, "--coco", "absent.json"]) == 2
