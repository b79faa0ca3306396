"""What the documents' commands find in their folder: drawn photographs and clips, networks to export, a model folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import posetrt
from posetrt.calib.scenes.scenes import draw_scene, draw_video
from posetrt.calib.scenes.truth import write_scenes
from posetrt.export.heads.base import Asked
from posetrt.runtime.model.shipped import shipped_model

SIZE_WH = (456, 256)
PHOTOGRAPHS = 48


def make_stage(folder: Path) -> None:
    """Draw and export everything that the pages name."""
    cv2.imwrite(str(folder / "photo.jpg"), draw_scene(7001, SIZE_WH, 3).image)
    drawn = write_scenes([draw_scene(seed, SIZE_WH, 2) for seed in range(PHOTOGRAPHS)], folder / "drawn")
    (folder / "drawn" / "images").rename(folder / "photos")
    drawn.annotations.rename(folder / "person_keypoints.json")
    _write_clip(folder / "clip.mp4", 40)
    _write_cameras(folder)
    shutil.copy(Path(shipped_model()) / "model.onnx", folder / "pose.onnx")
    posetrt.export_onnx(folder / "pose.onnx", folder / "person")
    posetrt.calibrate(folder / "person", folder / "photos")
    for precision in ("fp32", "int8"):
        posetrt.build(folder / "person", precision)
    shutil.copytree(folder / "person", folder / "det")
    for name, skeleton, size_wh in (("pose", "coco17", (192, 256)), ("hand", "hand21", (64, 64)), ("face", "face70", (64, 64))):
        network = folder / f"{name}_of_a_crop.onnx"
        onnx.save(_network_for_crops(len(posetrt.load_skeleton(skeleton).parts), size_wh), network)
        posetrt.export_onnx(network, folder / name, asked=Asked(skeleton=posetrt.load_skeleton(skeleton)))
        posetrt.build(folder / name, "fp32")
    (folder / "tracks.txt").write_text("".join(f"{frame},7,150,60,80,160,1\n" for frame in range(1, 41)), encoding="utf-8")


def _write_clip(path: Path, frames: int, left: int = 0) -> None:
    """Drawn people who walk, moved to the left by so many pixels."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, SIZE_WH)
    for scene in draw_video(3, SIZE_WH, 2, frames, 20.0):
        video.write(np.roll(scene.image, -left, axis=1))
    video.release()


def _write_cameras(folder: Path) -> None:
    """Two cameras of focal length 400 px, 0.2 m apart, that see the drawing 4 m away: 20 px farther left in the right one."""
    _write_clip(folder / "left.mp4", 4)
    _write_clip(folder / "right.mp4", 4, left=20)
    one = [[400.0, 0.0, 228.0, 0.0], [0.0, 400.0, 128.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    other = [[400.0, 0.0, 228.0, -80.0], *one[1:]]
    (folder / "cameras.json").write_text(json.dumps([one, other]), encoding="utf-8")


def _network_for_crops(parts: int, size_wh: tuple[int, int]) -> onnx.ModelProto:
    """A heat map per part, a quarter of the input's size, by one convolution of random weights: it finds nothing, and costs nothing."""
    width, height = size_wh
    weights = np.random.default_rng(0).normal(0, 0.1, (parts, 3, 4, 4)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weights"], ["heatmaps"], strides=[4, 4])],
        "crops",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, parts, height // 4, width // 4])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
