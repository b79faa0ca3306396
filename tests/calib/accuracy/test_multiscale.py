"""Several scales: the maps of all lie over one another, people come back where they stand, and models that cannot are told so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posetrt.calib.accuracy.multiscale import MultiScale, resample
from posetrt.calib.scenes.drawn import draw_figures
from posetrt.calib.scenes.targets import draw_targets
from posetrt.cli import main
from posetrt.runtime.engines.base import Engine
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.placement import letterbox
from posetrt.runtime.pose import Pose
from tests.heads import DECODED, maps_head
from tests.tiny import tiny_network

COCO18 = load_skeleton("coco18")
OPEN = InputSpec("image", "NCHW", (456, 256), (224, 128), (896, 512), in_graph=True)
MANIFEST = Manifest("drawn", COCO18, OPEN, maps_head(load_layout("coco18"), "h", "p"))
FRAME_WH = (1280, 704)


class Drawing(Engine):
    """Stands in for a network: whatever size it is given, it draws the maps of the same people in the frame."""

    precision = "fp32"
    backend = "drawn"

    def __init__(self, figures: np.ndarray) -> None:
        self.manifest, self._figures = MANIFEST, figures
        self.sizes: list[tuple[int, int]] = []

    def infer(self, inputs: Any) -> Tensors:
        size = (inputs.shape[3], inputs.shape[2])
        self.sizes.append(size)
        points = self._figures.copy()
        points[..., :2] = (points[..., :2] + 0.5) * np.array(letterbox(FRAME_WH, size).scale_xy) - 0.5
        targets = draw_targets(points, load_layout("coco18"), size)
        return {"h": targets.heatmaps[None], "p": targets.pafs[None]}

    def close(self) -> None:
        pass


def test_people_come_back_where_they_stand() -> None:
    figures = draw_figures(3, COCO18, FRAME_WH, np.random.default_rng(5), hidden=0)
    engine = Drawing(figures)
    people = MultiScale(Pose(WholeFrame(engine)), [0.5, 1, 1.5])(np.zeros((FRAME_WH[1], FRAME_WH[0], 3), np.uint8))
    assert engine.sizes == [(224, 128), (456, 256), (672, 384)]
    assert len(people) == 3
    for figure in figures:
        away = np.linalg.norm(people.keypoints[..., :2] - figure[:, :2], axis=2)
        nearest = away[np.median(away, axis=1).argmin()][figure[:, 2] > 0]
        # A cell of the smallest scale is 46 px of the frame, of the largest 15.
        assert np.median(nearest) < 2


def test_a_cell_is_the_same_place_of_the_frame_at_every_scale() -> None:
    frame_wh = (1000, 600)
    common, small = letterbox(frame_wh, (672, 384)), letterbox(frame_wh, (224, 128))

    def x_of_frame(box: Any) -> np.ndarray:
        width, height = (side // 8 for side in box.size_wh)
        return np.tile((((np.arange(width) + 0.5) * 8) / box.scale_xy[0] - 0.5).astype(np.float32), (1, height, 1))

    resampled = resample(x_of_frame(small), small, common, 8)
    inside = x_of_frame(common)
    assert resampled.shape == inside.shape
    # A map whose value is its place in the frame; the rim is left out, where there is nothing to interpolate with.
    assert np.abs(resampled - inside)[0, 3:-3, 8:-8].max() < 0.01


def test_one_scale_is_the_model_as_it_is() -> None:
    figures = draw_figures(2, COCO18, FRAME_WH, np.random.default_rng(1), hidden=0)
    frame = np.zeros((FRAME_WH[1], FRAME_WH[0], 3), np.uint8)
    pose = Pose(WholeFrame(Drawing(figures)))
    alone, plain = MultiScale(pose, [1])(frame), pose(frame)
    assert np.array_equal(alone.keypoints, plain.keypoints)
    assert np.array_equal(alone.scores, plain.scores)


@pytest.mark.parametrize(
    ("change", "scales", "message"),
    [
        (lambda m: replace(m, input=replace(OPEN, min_wh=(456, 256), max_wh=(456, 256))), [0.5, 1], r"takes 456x256 alone.*--dynamic"),
        (lambda m: m, [1, 3], "scale 3 is 1376x768, and this graph takes 224x128 to 896x512"),
        (lambda m: m, [0.0], "between 0.05 and 20"),
        (lambda m: m, [], "got none"),
        (lambda m: replace(m, head=DECODED), [1], "without --decode in-graph"),
    ],
)
def test_models_that_cannot_are_told_so(change: Callable[[Manifest], Manifest], scales: list[float], message: str) -> None:
    engine = Drawing(np.zeros((0, 18, 3)))
    engine.manifest = change(MANIFEST)
    with pytest.raises(UsageError, match=message):
        MultiScale(Pose(WholeFrame(engine)), scales)


def test_the_command_says_which_export_scales_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    network = tiny_network(tmp_path / "tiny.onnx")
    size = ["--input-size", "128x64"]
    assert main(["export", "onnx", "--weights", str(network), *size, "-o", str(tmp_path / "fixed")]) == 0
    assert main(["export", "onnx", "--weights", str(network), *size, "--dynamic", "-o", str(tmp_path / "open")]) == 0
    common = ["--images", str(images), "--scales", "0.5,1,1.5"]
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "fixed" / "model.onnx"), *common]) == 2
    assert "--input-size 128x64 --dynamic" in capsys.readouterr().err
    assert main(["eval", str(tmp_path / "open" / "model.onnx"), *common]) == 0
    assert "1 photographs" in capsys.readouterr().out
    assert main(["eval", str(tmp_path / "open" / "model.onnx"), "--images", str(images), "--scales", "1;2"]) == 2
    assert "with commas between them" in capsys.readouterr().err
