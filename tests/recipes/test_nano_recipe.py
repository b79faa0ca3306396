"""The recipe of nano: the same seed gives the same run, missing data is named, and what is exported is what was trained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrt.calib.scenes.scenes import draw_scene
from posetrt.calib.scenes.targets import draw_targets
from posetrt.runtime.heads.paf.layout import load_layout

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "nano"


@pytest.fixture(autouse=True)
def recipe_on_the_path(only_this_recipe: Callable[[Path], None]) -> None:
    """Its modules import each other by bare names, as a script's do."""
    only_this_recipe(RECIPE)


def _tiny_canvases(taught: bool) -> Any:
    from batches import Canvases

    layout = load_layout("coco18")
    images, maps = [], []
    for seed in range(4):
        scene = draw_scene(seed, (128, 128), people=2)
        targets = draw_targets(scene.keypoints, layout, (128, 128), sigma=9.0)
        images.append(scene.image)
        maps.append(np.round(np.concatenate([targets.heatmaps, targets.pafs]) * 120))
    if not taught:
        return Canvases(np.stack(images), np.stack(maps).astype(np.int8))
    features = np.random.default_rng(0).integers(0, 60, (4, 128, 16, 16)).astype(np.uint8)
    return Canvases(np.stack(images), np.stack(maps).astype(np.int8), np.full((4, 57, 16, 16), 200, np.uint8), features)


def _photographs(folder: Path, count: int) -> None:
    """Empty files where photographs belong; those of `everyday/` with their terms."""
    folder.mkdir()
    for index in range(count):
        (folder / f"im{index:05d}.jpg").touch()
    if folder.name == "everyday":
        (folder / "TERMS.md").write_text("made by a test")


def test_a_mirrored_batch_has_the_maps_of_the_mirrored_scene():
    """The reference is the paper's targets, drawn for the mirrored people."""
    from batches import mirrored_channels

    layout = load_layout("coco18")
    scene = draw_scene(2, (160, 128), people=2)
    targets = draw_targets(scene.keypoints, layout, (160, 128))
    mirrored = scene.keypoints[:, list(layout.skeleton.mirror)].copy()
    mirrored[..., 0] = np.where(mirrored[..., 2] > 0, 159 - mirrored[..., 0], 0)
    expected = draw_targets(mirrored, layout, (160, 128))
    source, sign = mirrored_channels(layout)
    maps = np.concatenate([targets.heatmaps, targets.pafs])
    np.testing.assert_allclose(maps[source, :, ::-1] * sign[:, None, None], np.concatenate([expected.heatmaps, expected.pafs]), atol=1e-4)


def test_a_recipe_without_its_data_says_what_to_put_where(tmp_path):
    pytest.importorskip("torch")
    run = subprocess.run(
        [sys.executable, str(RECIPE / "train.py"), "--data", str(tmp_path), "--store", str(tmp_path / "store")],
        capture_output=True, text=True, env={"PYTHONPATH": str(RECIPE.parents[1] / "src"), "PATH": ""}, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "expected the teacher at" in run.stderr
    assert str(tmp_path) in run.stderr
    assert "Traceback" not in run.stderr


def test_photographs_and_teachers_that_are_missing_are_named(tmp_path):
    from photographs import MissingData, everyday_photographs, split_photographs
    from teachers import Detector

    with pytest.raises(MissingData, match=r"Leeds Sports Pose Extended as .*lspet"):
        split_photographs(tmp_path)
    with pytest.raises(MissingData, match=r"RTMDet-nano .* as ONNX at .*detector.onnx. Put it there"):
        Detector(tmp_path / "detector.onnx")
    _photographs(tmp_path / "everyday", 170)
    assert len(everyday_photographs(tmp_path).train) == 10
    (tmp_path / "everyday" / "TERMS.md").unlink()
    with pytest.raises(MissingData, match=r"TERMS.md: where the photographs come from"):
        everyday_photographs(tmp_path)


def test_another_version_of_the_large_network_is_refused_by_its_hash(tmp_path):
    pytest.importorskip("torch")
    from photographs import MissingData, teacher_path
    from prepare import TEACHER_SHA256, checked_teacher

    file = tmp_path / "weights" / "hpe0001" / "human-pose-estimation-0001_dequant_fp32.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"another version")
    assert teacher_path(tmp_path) == file
    with pytest.raises(MissingData, match=f"its SHA-256 is [0-9a-f]{{64}}, expected {TEACHER_SHA256}"):
        checked_teacher(tmp_path)


def test_a_gpu_that_is_not_there_is_said_before_anything_is_made(tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    run = subprocess.run(
        [sys.executable, str(RECIPE / "train.py"), "--store", str(tmp_path / "store"), "--device", "cuda"],
        capture_output=True, text=True, env={"PYTHONPATH": str(RECIPE.parents[1] / "src"), "PATH": ""}, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert "sees no GPU" in run.stderr
    assert not (tmp_path / "store").exists()


def test_what_chooses_and_what_judges_never_trains(tmp_path):
    from photographs import everyday_photographs, split_photographs

    _photographs(tmp_path / "lspet", 720)
    _photographs(tmp_path / "everyday", 200)
    split, everyday = split_photographs(tmp_path), everyday_photographs(tmp_path)
    assert [len(split.held_out), len(split.calibration), len(split.train)] == [500, 200, 20]
    assert len({*split.held_out, *split.calibration, *split.train}) == 720
    assert [len(everyday.choosing), len(everyday.train)] == [160, 40]
    assert len({*everyday.choosing, *everyday.train}) == 200


@pytest.mark.slow
def test_the_same_seed_gives_the_same_loss_curve_twice():
    torch = pytest.importorskip("torch")
    from train import Stage, new_run, train_stage

    stage = Stage(steps=50, crop=64, batch=4, rate=(2e-3, 1e-3), photographs=0, scenes=0, trains="all")
    curves = []
    for loaders in (1, 3):
        torch.manual_seed(int.from_bytes(b"another", "little") % 2**31)  # what ran before must not matter
        losses = list(train_stage(new_run(), stage, 0, _tiny_canvases(True), _tiny_canvases(False), load_layout("coco18"), loaders))
        curves.append(np.array([loss for _, *loss in losses]))
    assert curves[0].shape == (50, 3)
    np.testing.assert_allclose(curves[0], curves[1], rtol=5e-5)
    assert curves[0][-5:, 0].mean() < 0.9 * curves[0][:5, 0].mean()


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    """Also one of the head alone, whose batches are of what the trunk gives."""
    torch = pytest.importorskip("torch")
    from train import Run, Stage, new_run, train_stage

    photographs, scenes, layout = _tiny_canvases(True), _tiny_canvases(False), load_layout("coco18")
    rng = np.random.default_rng(1)
    trunk = tuple(rng.uniform(0, 1, (4, 128, 16, 16)).astype(np.float16) for _ in range(2))
    stage = Stage(steps=4, crop=64, batch=2, rate=(2e-3, 1e-3), photographs=0, scenes=0, trains="head")

    def steps(run: Run, count: int) -> list[tuple[float, ...]]:
        stream = train_stage(run, stage, 0, photographs, scenes, layout, 1, trunk)
        return [next(stream)[1:] for _ in range(count)]

    whole = steps(new_run(), 4)
    run = new_run()
    first = steps(run, 2)
    run.save(tmp_path / "run.pt")
    torch.manual_seed(99)
    again = Run.loaded(tmp_path / "run.pt")
    assert again.step == 2
    np.testing.assert_allclose([*first, *steps(again, 2)], whole, rtol=1e-4)


def test_what_is_exported_computes_what_was_trained(tmp_path):
    torch = pytest.importorskip("torch")
    onnxruntime = pytest.importorskip("onnxruntime")
    from network import Nano
    from to_npz import exported_weights, trained_state

    from posetrt.export.weights.from_weights import model_from_weights
    from posetrt.export.weights.zoo import find_network

    torch.manual_seed(1)
    net = Nano().eval()
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.1 if weight.ndim == 1 else (2 / weight[0].numel()) ** 0.5)
    np.savez(tmp_path / "nano.npz", **exported_weights(net.state_dict(), 1234))
    with np.load(tmp_path / "nano.npz") as arrays:
        state, step = trained_state(dict(arrays))
    net.load_state_dict(state)
    assert step == 1234
    model, _ = model_from_weights(find_network("nano"), tmp_path / "nano.npz", size_wh=(96, 64))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = np.random.default_rng(0).normal(0, 0.3, (1, 3, 64, 96)).astype(np.float32)
    heatmaps, pafs = session.run(["heatmaps", "pafs"], {"image": inputs})
    with torch.no_grad():
        expected = net(torch.from_numpy(inputs))[0][0].numpy()
    given = np.concatenate([heatmaps[0], pafs[0]])
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(given, expected, atol=1e-4 * np.abs(expected).max())


def test_several_checkpoints_become_their_mean(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    import to_npz
    from network import SHIPPED
    from train import new_run

    for step in (3, 5):
        run = new_run(size=SHIPPED)
        run.step = step
        with torch.no_grad():
            run.smooth.stem.bias.fill_(step)
        run.save(tmp_path / f"{step}.pt")
    monkeypatch.setattr("sys.argv", ["to_npz.py", str(tmp_path / "3.pt"), str(tmp_path / "5.pt"), str(tmp_path / "mean.npz")])
    to_npz.main()
    with np.load(tmp_path / "mean.npz") as arrays:
        state, step = to_npz.trained_state(dict(arrays))
    assert step == 5
    assert (state["stem.bias"] == 4).all()
    torch.testing.assert_close(state["middle.outer.weight"], run.smooth.state_dict()["middle.outer.weight"].half().float())


def test_even_weights_compute_the_same_and_need_no_second_float_graph(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    cv2 = pytest.importorskip("cv2")
    import even

    from posetrt.calib.int8.calibrate import calibrate
    from posetrt.export.graph.onnx_model import write_folder
    from posetrt.export.weights.from_weights import model_from_weights
    from posetrt.export.weights.zoo import find_network
    from tests.zoo_folders import zoo_folder

    pictures = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(pictures):
        cv2.imwrite(str(path), draw_scene(seed, (96, 64)).image)
    folder, weights = zoo_folder("nano", tmp_path / "nano", size_wh=(96, 64), photographs=pictures), tmp_path / "nano.npz"
    monkeypatch.setattr("sys.argv", ["even.py", str(folder.path), str(weights)])
    even.main()
    again = write_folder(*model_from_weights(find_network("nano"), weights, size_wh=(96, 64)), tmp_path / "even")
    divided = calibrate(again, pictures, method="minmax").calibration.scales
    before_depthwise = [scale for name, scale in divided.items() if not name.endswith(".inner")]
    assert len(before_depthwise) == 11
    for scale in before_depthwise:
        assert np.median(np.abs(scale - 1)) < 0.01


def test_nano_costs_a_quarter_of_the_large_network():
    from posetrt.export.weights.zoo import cost_of

    assert cost_of("nano").gflops < 0.28 * cost_of("lightweight-openpose").gflops


def test_a_factored_layer_is_fitted_to_what_the_large_one_gives():
    """Where that has no more dimensions than the rank, nothing is lost; and what passes between the factors varies by 1."""
    torch = pytest.importorskip("torch")
    from compress import columns, fit_factored
    from network import Factored

    torch.manual_seed(2)
    x = torch.rand(2, 6, 12, 10)
    large = torch.nn.Conv2d(6, 9, 3, padding=1)
    with torch.no_grad():
        low = torch.randn(9, 3) @ torch.randn(3, 54)
        large.weight.copy_(low.reshape(9, 6, 3, 3))
        wanted = large(x)
        layer = Factored(6, 9, 3, 3)
        fit_factored(layer, x, wanted, np.arange(240))
        assert float((layer(x) - wanted).std()) < 0.02 * float(wanted.std())
        between = columns(layer.inner(x), 1, None)
    torch.testing.assert_close(between.std(0), torch.ones(3), atol=0.05, rtol=0)


def test_a_narrower_network_keeps_the_channels_that_matter():
    """Where the others give nothing, it computes what the wider one does."""
    torch = pytest.importorskip("torch")
    from network import Nano, Size
    from slim import slim

    torch.manual_seed(4)
    wide, net = (Nano(Size(late, (16,) * 6, 24, (24, 24, 24))).eval() for late in (32, 24))
    dead = torch.randperm(32)[:8]
    with torch.no_grad():
        for weight in wide.parameters():
            torch.nn.init.normal_(weight, std=0.1 if weight.ndim == 1 else (2 / weight[0].numel()) ** 0.5)
        for block in wide.trunk[5:]:
            block.pointwise.outer.weight[dead], block.pointwise.outer.bias[dead] = 0.0, -1.0
        pictures = np.random.default_rng(0).integers(0, 256, (6, 128, 128, 3), np.uint8)
        slim(wide, net, pictures)
        x = (torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32)) - 128) / 256
        wanted, given = wide(x)[0], net(x)[0]
    assert float((given - wanted).std()) < 0.03 * float(wanted.std())


def test_a_network_that_sees_farther_and_finer_begins_as_the_one_before_and_learns_where_that_stood(tmp_path):
    torch = pytest.importorskip("torch")
    from network import FARTHER, SLIM, size_of
    from train import new_run, resized

    before = new_run(size=SLIM)
    before.step = 7
    after = resized(before, FARTHER, tmp_path)
    assert (after.step, size_of(before.net.state_dict()), size_of(after.net.state_dict())) == (7, SLIM, FARTHER)
    x = torch.rand(1, 3, 64, 96) - 0.5
    with torch.no_grad():
        torch.testing.assert_close(after.net(x)[0], before.net(x)[0])
    after.net(x)[0].square().sum().backward()
    for name in ("wide.1.third.weight", "wide.2.third.weight", "detail.third.weight"):
        assert dict(after.net.named_parameters())[name].grad.abs().max() > 0


def test_a_run_that_is_cut_short_cools_from_the_rate_that_it_had():
    pytest.importorskip("torch")
    from train import STAGES, cooled_plan

    last = STAGES[-1]
    begins = sum(stage.steps for stage in STAGES[:-1])
    for step in (begins, begins + last.steps // 2):
        *before, cooling = cooled_plan(STAGES, step, 300)
        assert sum(stage.steps for stage in before) == step
        assert cooling.steps == 300
        rate = last.rate[0] if step == begins else sum(last.rate) / 2
        assert cooling.rate == pytest.approx((rate, rate / 50), rel=1e-3)
    assert cooled_plan(STAGES, sum(stage.steps for stage in STAGES), 300) == STAGES


def _person(x: float, y: float, height: float) -> Any:
    """A person who stands, (18, 3), of a drawn scene's proportions."""
    places = {
        "Nose": (0, 0.08), "Neck": (0, 0.18), "RShoulder": (-0.11, 0.19), "RElbow": (-0.14, 0.34), "RWrist": (-0.15, 0.48), "LShoulder": (0.11, 0.19),
        "LElbow": (0.14, 0.34), "LWrist": (0.15, 0.48), "RHip": (-0.07, 0.5), "RKnee": (-0.07, 0.73), "RAnkle": (-0.07, 0.95), "LHip": (0.07, 0.5),
        "LKnee": (0.07, 0.73), "LAnkle": (0.07, 0.95), "REye": (-0.02, 0.06), "LEye": (0.02, 0.06), "REar": (-0.04, 0.07), "LEar": (0.04, 0.07),
    }  # fmt: skip
    return np.array(
        [[x + a * height, y + b * height, 0.8] for a, b in (places[name] for name in load_layout("coco18").skeleton.parts)], np.float32
    )


class _Says:
    """Teachers that say what a test wants."""

    def __init__(self, boxes: Any, points: Any, seen: Any) -> None:
        self.given_boxes, self.given_points, self.seen = boxes, points, seen

    def boxes(self, photo: Any, least: float) -> Any:
        return np.array(self.given_boxes, np.float32).reshape(-1, 5)

    def points(self, photo: Any, box: Any) -> Any:
        return min(self.given_points, key=lambda person: abs(float(person[:, 0].mean()) - float(box[0] + box[2]) / 2)).copy()

    def people(self, photo: Any) -> Any:
        return np.array(self.seen, np.float32).reshape(-1, 18, 3), np.zeros((-(-photo.shape[0] // 8), -(-photo.shape[1] // 8)), bool)


def test_where_the_teachers_agree_there_is_a_person_and_where_they_differ_a_mask():
    from labels import Labeller

    parts = load_layout("coco18").skeleton.parts
    agreed, alone = _person(80, 20, 200), _person(220, 20, 200)
    seen = agreed.copy()
    seen[parts.index("RWrist"), :2] += 60
    boxes = [[50, 15, 110, 225, 0.9], [190, 15, 250, 225, 0.35]]
    teacher: Any = _Says(boxes, [agreed, alone], [seen])
    labels = Labeller(teacher, teacher, teacher).label(np.zeros((240, 400, 3), np.uint8), np.random.default_rng(0))
    assert len(labels.people) == 1, "of the other the detector is not sure, and the network of maps has not seen it"
    assert labels.people[0, parts.index("RWrist"), 2] < 0, "the teachers differ"
    assert (np.delete(labels.people[0, :, 2], parts.index("RWrist")) > 0).all()
    assert len(labels.doubtful) == 1
    assert labels.doubtful[0, 0] < 200 < 240 < labels.doubtful[0, 2]
    assert len(labels.empty) > 0
    assert (labels.empty[:, 0] >= 250).all(), "empty parts lie beside both"


def test_what_is_masked_takes_the_maps_teacher_at_little_weight():
    pytest.importorskip("cv2")
    from canvases import DOUBT, PAPER, Canvas, targets_of

    people = _person(100, 40, 220)[None]
    doubtful = np.array([[200, 0, 320, 320]], np.float32)
    maps = np.full((57, 40, 40), 0.5, np.float32)
    wanted, weight = targets_of(Canvas(np.zeros((320, 320, 3), np.uint8), people, doubtful), maps)
    nose = people[0, 0, :2]
    cell = tuple(np.round((nose[::-1] + 0.5) / 8 - 0.5).astype(int))
    assert wanted[(0, *cell)] > 0.5 * (1 - PAPER) + 0.7 * PAPER
    assert weight[(0, *cell)] == 1
    assert (wanted[:, :, 26:] == 0.5).all()
    assert (weight[:, :, 26:] == DOUBT).all()


def test_key_points_move_with_the_photograph_into_the_canvas(tmp_path):
    """Bright dots at the key points are found again at the canvas's key points."""
    pytest.importorskip("torch")
    cv2 = pytest.importorskip("cv2")
    from canvases import Composer, Labelled
    from labels import Labels

    person = _person(90, 15, 170)
    photo = np.zeros((200, 180, 3), np.uint8)
    for x, y, _ in person:
        cv2.circle(photo, (round(x), round(y)), 4, (255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "one.png"), photo)
    labels = Labels(person[None], np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))
    seen = 0
    for seed in range(6):
        canvas = Composer([Labelled(tmp_path / "one.png", labels)], np.random.default_rng(seed)).compose()
        for x, y, score in canvas.people.reshape(-1, 3):
            if score > 0 and 4 < x < 315 and 4 < y < 315:
                seen += 1
                assert canvas.image[round(float(y)), round(float(x))].mean() > 120
    assert seen > 20


def test_the_place_loss_is_the_distance_of_the_peaks_however_high_they_are():
    torch = pytest.importorskip("torch")
    from losses import PEAK_CELLS, place_loss, place_weights

    rows, columns = np.mgrid[0:24, 0:32]

    def peak(x: float, y: float, height: float) -> Any:
        maps = np.zeros((1, 57, 24, 32), np.float32)
        maps[0, :18] = height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * PEAK_CELLS**2))
        return torch.from_numpy(maps)

    layout = load_layout("coco18")
    weights = place_weights(layout)
    assert float(weights.mean()) == pytest.approx(1)
    assert weights[layout.skeleton.parts.index("LEye")] > 4 * weights[layout.skeleton.parts.index("LHip")]
    target = peak(14.0, 10.0, 1.0)
    assert float(place_loss(peak(14.0, 10.0, 0.4), target, weights)) == pytest.approx(0, abs=1e-6)
    # Half a cell aside and a third up, beyond the 0.1 within which the loss is squared: |d| - 0.05 in each direction.
    assert float(place_loss(peak(14.5, 9.7, 0.6), target, weights)) == pytest.approx(0.45 + 0.25, abs=1e-3)


def test_a_false_part_on_the_other_side_costs_what_a_missed_one_does():
    torch = pytest.importorskip("torch")
    from losses import either_side, map_loss

    layout = load_layout("coco18")
    right, left = layout.skeleton.parts.index("RKnee"), layout.skeleton.parts.index("LKnee")
    keypoints = np.zeros((1, 18, 3), np.float32)
    keypoints[0, [right, left]] = [[40, 60, 1], [110, 70, 1]]
    targets = draw_targets(keypoints, layout, (160, 128))
    target = torch.from_numpy(np.concatenate([targets.heatmaps, targets.pafs]))[None]
    missed, false = target.clone(), target.clone()
    missed[:, left] = 0
    false[:, right] += target[:, left]
    both = either_side(target, layout)
    torch.testing.assert_close(both[:, right], both[:, left])
    known = torch.ones_like(target)
    cost = [float(map_loss(guess, target, both, known)) for guess in (missed, false)]
    assert cost[0] == pytest.approx(cost[1], rel=1e-5)
    known[:, [right, left]] = 0
    assert float(map_loss(false, target, both, known)) == 0, "what nobody can say costs nothing"


def test_a_part_that_is_not_there_costs_what_a_missed_one_does():
    torch = pytest.importorskip("torch")
    from losses import either_side, map_loss

    layout = load_layout("coco18")
    keypoints = np.zeros((1, 18, 3), np.float32)
    keypoints[0, layout.skeleton.parts.index("Nose")] = [40, 60, 1]
    drawn = [draw_targets(people, layout, (160, 128)) for people in (keypoints, keypoints[:0])]
    there, nobody = (torch.from_numpy(np.concatenate([one.heatmaps, one.pafs]))[None] for one in drawn)
    nobody[:, 18] = there[:, 18]
    costs = [
        float(map_loss(guess, target, either_side(target, layout), torch.ones_like(target)))
        for guess, target in ((nobody, there), (there, nobody))
    ]
    assert costs[0] == pytest.approx(costs[1], rel=1e-5)


def test_muon_steps_are_even_in_all_directions():
    torch = pytest.importorskip("torch")
    from muon import Muon

    torch.manual_seed(5)
    wide, tall = torch.nn.Parameter(torch.zeros(8, 4, 3, 3)), torch.nn.Parameter(torch.zeros(24, 8, 1, 1))
    for weight in (wide, tall):
        shape = (weight.shape[0], weight[0].numel())
        steep = torch.randn(shape[0], 1) @ torch.randn(1, shape[1]) * 100 + torch.randn(shape)  # one direction outweighs the others
        weight.grad = steep.reshape(weight.shape)
    Muon([wide, tall], lr=1.0, weight_decay=0.0).step()
    for weight in (wide, tall):
        matrix = weight.detach().flatten(1)
        singular = torch.linalg.svdvals(matrix) / (0.2 * max(matrix.shape) ** 0.5)
        assert float(singular.min()) > 0.5
        assert float(singular.max()) < 1.4
        assert float((matrix * weight.grad.flatten(1)).sum()) < 0, "downhill"
        assert 0.1 < float(matrix.square().mean().sqrt()) < 0.25


def test_a_chunk_of_drawn_scenes_has_the_maps_of_its_people(tmp_path, monkeypatch):
    import drawings

    monkeypatch.setattr(drawings, "CHUNK", 2)
    for size_wh in (drawings.SQUARE, drawings.WIDE):
        with np.load(drawings.draw_chunk(3, tmp_path / str(size_wh[0]), size_wh)) as stored:
            images, maps = stored["images"], stored["maps"]
        assert images.shape == (2, size_wh[1], size_wh[0], 3)
        scene = draw_scene(drawings.TRAIN_SEEDS[size_wh] + 7, size_wh)
        np.testing.assert_array_equal(images[1], scene.image)
        targets = draw_targets(scene.keypoints, load_layout("coco18"), size_wh, sigma=drawings.SIGMA)
        assert np.abs(maps[1] / 120 - np.concatenate([targets.heatmaps, targets.pafs])).max() < 0.5 / 120 + 1e-3


def test_a_trimmed_network_computes_the_same_where_what_it_drops_gives_nothing():
    torch = pytest.importorskip("torch")
    from network import FARTHER, SHIPPED, Nano
    from slim import trim

    torch.manual_seed(6)
    large, net = Nano(FARTHER).eval(), Nano(SHIPPED).eval()
    with torch.no_grad():
        low = torch.randn(128, SHIPPED.narrow) @ torch.randn(SHIPPED.narrow, FARTHER.late) / 40
        large.narrow.weight.copy_(low[:, :, None, None])
        for layer in (*large.wide, large.detail):
            torch.nn.init.normal_(layer.third.weight, std=0.05)
        for head in (large.heatmaps, large.pafs):
            dead = torch.randperm(FARTHER.hidden)[: FARTHER.hidden - SHIPPED.hidden]
            head.hidden.weight[dead], head.hidden.bias[dead] = 0.0, -1.0
        pictures = np.random.default_rng(0).integers(0, 256, (6, 128, 128, 3), np.uint8)
        trim(large, net, pictures)
        x = (torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32)) - 128) / 256
        wanted, given = large(x)[0], net(x)[0]
    assert float((given - wanted).std()) < 0.03 * float(wanted.std())


def test_weights_of_another_network_are_refused_in_words():
    torch = pytest.importorskip("torch")
    from network import size_of

    with pytest.raises(ValueError, match=r"expected weights of nano.*found 1 arrays"):
        size_of({"narrow.weight": torch.zeros(3, 3, 1, 1)})


def test_networks_are_timed_in_turns(tmp_path, capsys, monkeypatch):
    import times

    from posetrt.runtime.model.shipped import SHIPPED

    shipped = RECIPE.parents[1] / "runtime" / "model" / "networks" / next(iter(SHIPPED)) / "model.onnx"
    monkeypatch.setattr("sys.argv", ["times.py", str(shipped), str(shipped), "--turns", "2"])
    times.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(float(line.split()[0]) > 0 and line.endswith("model.onnx") for line in lines)
