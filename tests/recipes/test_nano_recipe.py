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


def _tiny_canvases(hints: bool) -> Any:
    from batches import Canvases

    layout = load_layout("coco18")
    images, maps = [], []
    for seed in range(4):
        scene = draw_scene(seed, (128, 128), people=2)
        targets = draw_targets(scene.keypoints, layout, (128, 128), sigma=9.0)
        images.append(scene.image)
        maps.append(np.round(np.concatenate([targets.heatmaps, targets.pafs]) * 120))
    inner = np.random.default_rng(0).integers(-60, 60, (4, 32, 16, 16)).astype(np.int8) if hints else None
    return Canvases(np.stack(images), np.stack(maps).astype(np.int8), inner)


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
    assert "Leeds Sports Pose" in run.stderr
    assert str(tmp_path / "lspet") in run.stderr
    assert "Traceback" not in run.stderr
    from photographs import MissingData, teacher_path

    with pytest.raises(MissingData, match=r"expected the teacher at .*hpe0001.*Put it there"):
        teacher_path(tmp_path)


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


def test_the_split_keeps_its_parts_apart(tmp_path):
    from photographs import split_photographs

    (tmp_path / "lspet").mkdir()
    for index in range(720):
        (tmp_path / "lspet" / f"im{index:05d}.jpg").touch()
    split = split_photographs(tmp_path)
    assert [len(split.held_out), len(split.calibration), len(split.train)] == [500, 200, 20]
    assert len({*split.held_out, *split.calibration, *split.train}) == 720


@pytest.mark.slow
def test_the_same_seed_gives_the_same_loss_curve_twice():
    torch = pytest.importorskip("torch")
    from train import Stage, new_run, train_stage

    stage = Stage(steps=50, crop=64, batch=4, rate=(2e-3, 1e-3), drawn=0.25, photographs=0, scenes=0, hint=1.0)
    curves = []
    for loaders in (1, 3):
        torch.manual_seed(int.from_bytes(b"another", "little") % 2**31)  # what ran before must not matter
        run = new_run()
        losses = list(train_stage(run, stage, 0, _tiny_canvases(True), _tiny_canvases(False), load_layout("coco18"), run.net, loaders))
        curves.append(np.array([loss for _, *loss in losses]))
    assert curves[0].shape == (50, 3)
    np.testing.assert_allclose(curves[0], curves[1], rtol=5e-5)
    assert curves[0][-5:, 0].mean() < 0.9 * curves[0][:5, 0].mean()


def test_growing_changes_nothing_but_adds_a_guess():
    torch = pytest.importorskip("torch")
    from network import Nano

    torch.manual_seed(3)
    net, inputs = Nano().eval(), torch.randn(1, 3, 64, 96) / 4
    with torch.no_grad():
        before, _ = net(inputs)
        net.grow(1)
        after, _ = net(inputs)
        net.grow(2)
        last, _ = net(inputs)
    assert [len(before), len(after), len(last)] == [2, 3, 3]
    for old, new in zip((*before, *after), (*after[:2], *last), strict=True):
        torch.testing.assert_close(old, new)
    assert float(before[1].abs().mean()) > 0


def test_what_is_exported_computes_what_was_trained(tmp_path):
    torch = pytest.importorskip("torch")
    onnxruntime = pytest.importorskip("onnxruntime")
    from network import Nano
    from to_npz import exported_weights

    from posetrt.export.weights.from_weights import model_from_weights
    from posetrt.export.weights.zoo import find_network

    torch.manual_seed(1)
    net = Nano().eval()
    net.grow(2)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    np.savez(tmp_path / "nano.npz", **exported_weights(net.state_dict()))
    model, _ = model_from_weights(find_network("nano"), tmp_path / "nano.npz", size_wh=(96, 64))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = np.random.default_rng(0).normal(0, 0.3, (1, 3, 64, 96)).astype(np.float32)
    heatmaps, pafs = session.run(["heatmaps", "pafs"], {"image": inputs})
    with torch.no_grad():
        expected = net(torch.from_numpy(inputs))[0][-1][0].numpy()
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(np.concatenate([heatmaps[0], pafs[0]]), expected, atol=2e-5)


def test_a_run_begins_with_exported_weights_at_the_last_stage(tmp_path):
    torch = pytest.importorskip("torch")
    from to_npz import exported_weights
    from train import STAGES, last_begins, new_run

    trained = new_run()
    trained.grow(2)
    for value in trained.smooth.state_dict().values():
        if value.is_floating_point():
            torch.nn.init.uniform_(value, 0.02, 0.1)
    np.savez(tmp_path / "nano.npz", **exported_weights(trained.smooth.state_dict()))
    run = new_run()
    with np.load(tmp_path / "nano.npz") as stored:
        run.begin_with(dict(stored), last_begins(STAGES))
    assert run.step == sum(stage.steps for stage in STAGES) - STAGES[-1].steps
    inputs = torch.randn(1, 3, 64, 96) / 4
    for one in (run.net, run.smooth):
        one.grow(2)
        with torch.no_grad():
            for given, expected in zip(one.eval()(inputs)[0], trained.smooth.eval()(inputs)[0], strict=True):
                torch.testing.assert_close(given, expected)


def test_a_run_that_is_cut_short_cools_from_the_rate_that_it_had():
    pytest.importorskip("torch")
    from train import STAGES, cooled_plan

    anew = next(stage for stage in STAGES if stage.anew)
    begins = sum(stage.steps for stage in STAGES[: STAGES.index(anew)])
    for step in (begins, begins + 40, begins + anew.steps // 2):
        *before, cooling = cooled_plan(STAGES, step, 300)
        assert sum(stage.steps for stage in before) == step
        assert cooling.steps == 300
        rate = anew.rate[0] if step < begins + 50 else sum(anew.rate) / 2
        assert cooling.rate == pytest.approx((rate, rate / 50), rel=1e-3)
        assert cooling.anew == (step == begins), "elsewhere the optimiser goes on as it was"
    assert cooled_plan(STAGES, sum(stage.steps for stage in STAGES), 300) == STAGES


def test_the_place_loss_is_the_distance_of_the_peaks_however_high_they_are():
    torch = pytest.importorskip("torch")
    from train import PEAK_CELLS, place_loss, place_weights

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
    from train import either_side, map_loss

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
    cost = [float(map_loss(guess, target, both)) for guess in (missed, false)]
    assert cost[0] == pytest.approx(cost[1], rel=1e-5)
    plain = [float(map_loss(guess, target, target)) for guess in (missed, false)]
    assert plain[1] < 0.2 * plain[0], "what it mends"


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
