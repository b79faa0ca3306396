"""Which layer it was: on the real network, with a fault that was put there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from posetrt.calib.accuracy.coco import coco_photos
from posetrt.calib.int8.calibrate import calibrate, folder_calibration
from posetrt.calib.int8.equalise import equalised
from posetrt.calib.int8.observe import open_session
from posetrt.calib.int8.photographs import read_photograph
from posetrt.calib.int8.selection import k_center, select
from posetrt.calib.sensitivity.choice import _fewest
from posetrt.calib.sensitivity.judge import Judge, runner
from posetrt.calib.sensitivity.measure import layer_costs
from posetrt.cli import main
from posetrt.export.graph.graph import load_graph
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.picture import network_input

BROKEN, BEFORE = "conv4_3_CPM/al/WithoutBiases", "conv5_5/sep"


@pytest.fixture(scope="module")
def hard_folder(hpe_folder: ModelFolder, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The real network with one channel 100 times as large where all that the backbone found passes, and undone behind it: in float the same."""
    graph = load_graph(hpe_folder.onnx)
    layers = {layer.name: layer for layer in graph.layers}
    before, behind = layers[BEFORE], layers[BROKEN]
    session, spec = open_session(graph, [behind.input]), hpe_folder.manifest().input
    photographs = sorted((shared_data / "lspet").iterdir())[:12]
    feeds = [{graph.inputs[0]: network_input(read_photograph(path), spec)} for path in photographs]
    channel = int(np.max([session.run([behind.input], feed)[0].max(axis=(0, 2, 3)) for feed in feeds], axis=0).argmax())
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
    made = calibrate(hard_folder, photographs[:6], method="minmax", equalise=False)
    base = equalised(load_graph(hard_folder.onnx), made.calibration.scales)
    judge = Judge(hard_folder.manifest(), photographs[100:104])
    near = [BROKEN, BEFORE, "conv4_4_CPM/WithoutBiases", "conv2_1/sep"]
    costs = layer_costs(base, made.calibration.ranges, judge, only=near)
    assert costs[0].layer == BROKEN
    assert costs[0].oks_cost is not None
    assert costs[0].oks_cost > 0.2
    assert costs[0].noise > 0.8


@pytest.mark.slow
def test_minmax_loses_more_than_half_on_the_hard_network_and_sensitivity_names_the_layer_and_repairs_it(
    hard_folder: ModelFolder, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = coco_photos(shared_data / "person_keypoints.json", shared_data / "images")
    judge = Judge(hard_folder.manifest(), list(photos.paths.values()))

    def ap(graph: Path) -> float:
        people = judge.people(runner(onnx.load(str(graph)), judge.manifest))
        return photos.judge(people, judge.manifest.skeleton).figures["ap"] or 0.0

    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((shared_data / "lspet").iterdir())[:12]:
        (images / path.name).symlink_to(path)
    best = ap(hard_folder.onnx)
    command = ["calibrate", str(hard_folder.path), "--images", str(images), "--method", "minmax", "--no-equalise"]
    assert main([*command, "--force"]) == 0
    assert ap(hard_folder.variant("int8-ort")) < best / 2
    assert main([*command, "--sensitivity", "--judge", "5", "--budget-oks", "15", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["sensitivity"]["layers"][0]["name"] == BROKEN
    for kept in ("kept_float", "kept_float_ort"):
        assert BROKEN in printed[kept], "beside those that this layout keeps in any case"
    assert min(printed["sensitivity"]["eight_bit_share"].values()) >= 0.9
    assert ap(hard_folder.variant("int8-ort")) > 0.9 * best


def test_where_all_that_may_leave_int8_misses_the_target_a_shorter_set_is_looked_for() -> None:
    found = {0: 0.1, 4: 0.2, 5: 0.6, 6: 0.7, 8: 0.7, 12: 0.4, 16: 0.4}
    asked: list[int] = []

    def scored(count: int) -> float:
        asked.append(count)
        return found[count]

    assert _fewest(scored, [16], 0.5) == 5
    assert _fewest(scored, [16], 0.65) == 6
    assert _fewest(scored, [16], 0.9) == 8, "none reaches it: the best that was seen"
    assert _fewest(scored, [16], 0.05) == 0
    assert asked[-1] == 0


def test_an_interrupted_sensitivity_run_leaves_the_calibration_that_was_there(
    small_folder: ModelFolder, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: object, **_named: object) -> None:
        raise KeyboardInterrupt

    command = ["calibrate", str(small_folder.path), "--images", str(pictures[0].parent)]
    assert main([*command, "--method", "minmax"]) == 0
    files = [path for path in sorted(small_folder.path.rglob("*")) if path.is_file()]
    before = [path.read_bytes() for path in files]
    monkeypatch.setattr("posetrt.calib.sensitivity.budget.layer_costs", interrupted)
    assert main([*command, "--sensitivity", "--judge", "4"]) == 130
    assert [path for path in sorted(small_folder.path.rglob("*")) if path.is_file()] == files
    assert [path.read_bytes() for path in files] == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--judge", "-5", "--sensitivity"], "--judge takes 1 or more"),
        (["--select", "0"], "--select takes 1 or more"),
        (["--budget-oks", "5"], "give --sensitivity"),
        (["--budget-ap", "1", "--sensitivity"], "--budget-ap needs annotated"),
        (["--sensitivity", "--coco-images", "."], "together"),
        (["--sensitivity", "--coco", "a.json", "--coco-images", ".", "--budget-oks", "5"], "--budget-ap"),
        (["--cache", "11.0"], "TensorRT 11.0 reads no calibration cache"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_any_work(
    options: list[str], said: str, small_folder: ModelFolder, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(small_folder.path), "--images", str(pictures[0].parent), *options]) == 2
    assert said in capsys.readouterr().err
    assert not small_folder.calibration.exists()


def test_images_that_look_alike_are_chosen_once() -> None:
    assert k_center(np.ones((5, 3)), 3) == [0]


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
    assert found["met"] == {layout: score >= 0.99 for layout, score in found["chosen"].items()}
    assert sum(layer["noise"] for layer in found["layers"]) == pytest.approx(1, abs=1e-3)
    calibration = folder_calibration(small_folder)
    kept = {"trt": printed["kept_float"], "ort": printed["kept_float_ort"]}
    assert kept == {"trt": list(calibration.kept_float), "ort": list(calibration.kept_float_ort)}
    for variant in ("int8-ort", "int8-trt", "int8-trt-fp16"):
        nodes = {node.name: node for node in onnx.load(str(small_folder.checked_variant(variant))).graph.node}
        for name in kept[variant[5:8]]:
            assert "dequantized" not in nodes[name].input[0]
    assert main(command) == 0
    assert "layout:" in capsys.readouterr().out
    assert main([*command, "--budget-ap", "0.5"]) == 2
    assert main([*command, "--coco", "absent.json"]) == 2


def test_a_photograph_is_looked_at_in_several_positions_and_its_people_stay_where_they_are(
    hpe_folder: ModelFolder, shared_data: Path
) -> None:
    photographs = sorted((shared_data / "lspet").iterdir())[100:103]
    judge = Judge(hpe_folder.manifest(), photographs, positions=4)
    run = runner(onnx.load(str(hpe_folder.onnx)), judge.manifest)
    seen, found = judge.outputs(run), judge.people(run)
    assert len(judge) == 3
    assert len(found) == len(seen) == 12
    drifts = []
    for index in range(3):
        views = [(found[index + 3 * position], seen[index + 3 * position]) for position in range(4)]
        assert len({next(iter(outputs.values())).tobytes() for _, outputs in views}) == 4, "each position is another input to the network"
        whole = views[0][0].keypoints[views[0][0].scores.argmax()]
        frame = read_photograph(photographs[index])
        cell = 8 * max(frame.shape[1] / 456, frame.shape[0] / 256)
        for people, _ in views[1:]:
            moved = [
                person[both, :2] - whole[both, :2]
                for person in people.keypoints
                if (both := (whole[:, 2] > 0.3) & (person[:, 2] > 0.3)).any()
            ]
            nearest = min(moved, key=lambda one: float(np.median(np.abs(one))))
            drifts.append(np.median(nearest, axis=0) / cell)
    assert np.abs(np.mean(drifts, axis=0)).max() < 0.15, "moved back by what the photograph was moved, half a cell in the mean"


def test_few_annotated_photographs_are_judged_in_several_positions(
    small_folder: ModelFolder, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    category = {"id": 1, "name": "person"}
    keypoints = [value for part in range(17) for value in (10 + part, 20 + part, 2)]
    person = {"id": 1, "image_id": 0, "category_id": 1, "keypoints": keypoints, "num_keypoints": 17, "bbox": [10, 20, 20, 20], "area": 300}
    images = [{"id": index, "file_name": path.name} for index, path in enumerate(pictures)]
    truth = {"images": images, "annotations": [{**person, "iscrowd": 0}], "categories": [category]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    command = ["calibrate", str(small_folder.path), "--images", str(pictures[0].parent), "--sensitivity", "--json"]
    assert main([*command, "--coco", str(tmp_path / "truth.json"), "--coco-images", str(pictures[0].parent), "--budget-ap", "0.5"]) == 0
    found = json.loads(capsys.readouterr().out)["sensitivity"]
    assert (found["measure"], found["images"], found["positions"], found["images_for_layers"]) == ("ap", 12, 4, 12)
    assert all(layer["ap_cost"] is not None for layer in found["layers"])
