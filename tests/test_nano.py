"""nano, which ships with the package: a described model that finds people, in INT8 as in float, and is fast."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from posetrt.calib.accuracy.coco import CocoPhotos, coco_accuracy, coco_photos, coco_rows, find_people
from posetrt.calib.scenes.scenes import draw_scene
from posetrt.calib.scenes.truth import write_scenes
from posetrt.export.engine.build import build
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.shipped import shipped_model
from posetrt.runtime.pose import open_pose

SIZE_WH = (416, 280)
SEEDS = range(1000, 1030)  # training used seeds from 10,000,000 upward


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> CocoPhotos:
    return write_scenes((draw_scene(seed, SIZE_WH) for seed in SEEDS), tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A copy of the shipped folder, with a float engine."""
    folder = ModelFolder(tmp_path_factory.mktemp("nano") / "person")
    shutil.copytree(shipped_model(), folder.path)
    build(folder, "fp32", "onnxruntime")
    return folder


def _average_precision(folder: ModelFolder, precision: str, photos: CocoPhotos) -> float:
    with open_pose(folder.path, precision=precision, backend="onnxruntime") as pose:
        rows = coco_rows(find_people(pose, photos.paths.values()), photos, pose.manifest.skeleton)
    return coco_accuracy(rows, photos).ap


def test_the_shipped_model_is_small_and_described():
    folder = ModelFolder(shipped_model("nano"))
    manifest = folder.manifest()
    assert (manifest.network, manifest.skeleton.name, manifest.input.size_wh, manifest.head.map_stride()) == (
        "nano",
        "coco18",
        SIZE_WH,
        8,
    )
    assert sum(path.stat().st_size for path in folder.path.rglob("*.onnx")) < 8e6
    assert manifest.licence


def test_the_shipped_calibration_tells_a_fine_price_and_needs_no_second_float_graph():
    fields = json.loads(ModelFolder(shipped_model("nano")).calibration.read_text(encoding="utf-8"))
    assert fields["format"] == 2
    assert fields["equalised"] == {}
    assert {name: one["verdict"] for name, one in fields["price"]["layouts"].items()} == dict.fromkeys(("ort", "trt", "ranges"), "fine")


def test_a_model_that_does_not_ship_is_refused_with_those_that_do():
    with pytest.raises(UsageError, match="ships with posetrt: give one of nano"):
        shipped_model("mega")


def test_nano_finds_drawn_people_and_int8_loses_no_more_than_a_point(nano: ModelFolder, scenes: CocoPhotos):
    """What it was trained to at this commit is AP .55 on sixty scenes; a broken export, parser or calibration gives about 0."""
    build(nano, "int8", "onnxruntime")
    exact, rounded = _average_precision(nano, "fp32", scenes), _average_precision(nano, "int8", scenes)
    assert exact > 0.45
    assert rounded > exact - 0.015


@pytest.mark.slow
def test_nano_is_two_and_a_half_times_as_fast_as_its_teacher(hpe0001: Path):
    """The networks alone, with one input, turn by turn in one run."""
    options = onnxruntime.SessionOptions()
    # Threads that spin while they wait would take the cores from the other network's turn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions = [
        (onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]), name)
        for path, name in ((hpe0001, "data"), (shipped_model() / "model.onnx", "image"))
    ]
    inputs = np.random.default_rng(0).normal(0, 0.3, (1, 3, *SIZE_WH[::-1])).astype(np.float32)
    times: list[list[float]] = [[], []]
    for _ in range(15):
        for index, (session, name) in enumerate(sessions):
            started = time.perf_counter()
            session.run(None, {name: inputs})
            times[index].append(time.perf_counter() - started)
    assert np.median(times[0]) / np.median(times[1]) > 2.5


@pytest.mark.slow
def test_nano_in_int8_finds_on_photographs_what_it_finds_in_float(nano: ModelFolder, shared_data: Path):
    photos = coco_photos(shared_data / "person_keypoints.json", shared_data / "images")
    build(nano, "int8", "onnxruntime")
    exact, rounded = _average_precision(nano, "fp32", photos), _average_precision(nano, "int8", photos)
    assert exact > 0.22
    assert rounded > exact - 0.01
