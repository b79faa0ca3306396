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
from posetrt.runtime.model.shipped import shipped_model

SIZE_WH = (456, 256)
PHOTOGRAPHS = 48


def make_stage(folder: Path) -> None:
    """Draw and export everything that the pages name."""
    cv2.imwrite(str(folder / "photo.jpg"), draw_scene(7001, SIZE_WH, 3).image)
    (folder / "photos").mkdir()
    for seed in range(PHOTOGRAPHS):
        cv2.imwrite(str(folder / "photos" / f"{seed:03d}.jpg"), draw_scene(seed, SIZE_WH, 2).image)
    _write_clip(folder / "clip.mp4", 40)
    for side in ("left", "right"):
        _write_clip(folder / f"{side}.mp4", 4)
    camera = [[400.0, 0.0, 228.0, 0.0], [0.0, 400.0, 128.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    moved = [[400.0, 0.0, 228.0, -40.0], *camera[1:]]
    (folder / "cameras.json").write_text(json.dumps([camera, moved]), encoding="utf-8")
    shutil.copy(Path(shipped_model()) / "model.onnx", folder / "pose.onnx")
    onnx.save(_crops_network(), folder / "crops.onnx")
    posetrt.export_onnx(folder / "pose.onnx", folder / "person")
    posetrt.calibrate(folder / "person", folder / "photos")
    for precision in ("fp32", "int8"):
        posetrt.build(folder / "person", precision)


def _write_clip(path: Path, frames: int) -> None:
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, SIZE_WH)
    for scene in draw_video(3, SIZE_WH, 2, frames, 20.0):
        video.write(scene.image)
    video.release()


def _crops_network() -> onnx.ModelProto:
    """Heat maps (1, 17, 64, 48) of a crop of 192 x 256, by one convolution of random weights."""
    weights = np.random.default_rng(0).normal(0, 0.1, (17, 3, 4, 4)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weights"], ["heatmaps"], strides=[4, 4])],
        "crops",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 256, 192])],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, 17, 64, 48])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
