"""A network for crops is calibrated on crops of people, as it will see them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.calib.int8.crops import cut_crops
from posetrt.calib.scenes.scenes import draw_scene
from posetrt.cli import main
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.whole_frame import open_detector
from posetrt.runtime.model.manifest import InputSpec
from posetrt.runtime.model.shipped import network_folder
from posetrt.runtime.placement import Fit

SPEC = InputSpec("image", "NCHW", (96, 128), (96, 128), (96, 128), fit=Fit("crop"))


def test_crops_have_the_inputs_size_and_the_person_in_their_middle(tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    cv2.imwrite(str(path), draw_scene(5001, people=1).image)
    with open_detector(network_folder("nano")) as detector:
        person = detector.find(np.asarray(cv2.imread(str(path)), np.uint8)).keypoints[0]
        crop, *_ = cut_crops(SPEC, [path], detector, tmp_path)
    picture = cv2.imread(str(crop))
    assert picture.shape == (128, 96, 3)
    middle = person[person[:, 2] > 0, :2].mean(axis=0).round().astype(int)
    colour = cv2.imread(str(path))[middle[1] - 2 : middle[1] + 3, middle[0] - 2 : middle[0] + 3].mean(axis=(0, 1))
    assert np.abs(picture[44:84, 28:68].reshape(-1, 3) - colour).max(axis=1).min() < 30


def test_photographs_of_nobody_are_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((120, 160, 3), 128, np.uint8))
    with open_detector(network_folder("nano")) as detector, pytest.raises(UsageError, match="finds nobody in 1 photographs"):
        cut_crops(SPEC, [path], detector, tmp_path)


def test_a_network_of_whole_frames_takes_no_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint8))
    assert main(["calibrate", "nano", "--images", str(tmp_path), "--detector", "nano"]) == 2
    assert "leave --detector out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_that_sees_one_person_in_a_frame_is_calibrated_on_crops_too(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (weights,) = (shared_data / "weights" / "heads" / "movenet-lightning").glob("*.onnx")
    photographs, folder = tmp_path / "photographs", str(tmp_path / "pose")
    photographs.mkdir()
    for path in sorted((shared_data / "everyday").glob("*.jpg"))[:600:10]:
        (photographs / path.name).symlink_to(path)
    assert main(["export", "onnx", "--weights", str(weights), "--placement", "crop", "-o", folder, "--no-look"]) == 0
    assert main(["calibrate", folder, "--images", str(photographs), "--detector", "nano", "--limit", "20", "--no-sensitivity"]) == 0
    assert "crops of people from 60 photographs" in capsys.readouterr().err
    assert json.loads((tmp_path / "pose" / "calibration.json").read_text())["images"]["count"] == 20


@pytest.mark.slow
def test_int8_that_costs_too_much_gets_its_costliest_layers_in_float_unasked(shared_data: Path, tmp_path: Path) -> None:
    heads = shared_data / "weights" / "heads"
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for path in sorted((shared_data / "everyday").glob("*.jpg"))[:800:10]:
        (photographs / path.name).symlink_to(path)
    for name, folder in (("rtmdet-nano-person", "det"), ("blazepose-lite", "pose")):
        (weights,) = (heads / name).glob("*.onnx")
        assert main(["export", "onnx", "--weights", str(weights), "-o", str(tmp_path / folder), "--no-look"]) == 0
    assert main(["build", str(tmp_path / "det"), "--precision", "fp32"]) == 0
    given = ["--images", str(photographs), "--limit", "40", "--judge", "24", "--detector", str(tmp_path / "det")]
    assert main(["calibrate", str(tmp_path / "pose"), *given]) == 0
    found = json.loads((tmp_path / "pose" / "calibration.json").read_text())
    assert found["kept_float_ort"]
    assert found["kept_float"]
    assert max(found["sensitivity"]["all_int8"].values()) < 0.9
    for layout, before in found["sensitivity"]["all_int8"].items():
        assert found["sensitivity"]["chosen"][layout] > before + 0.1
        assert found["sensitivity"]["eight_bit_share"][layout] >= 0.6
    # It looks twice, and rounding moves the second crop: the verdict says so, whatever stays in float.
    for layout in found["price"]["layouts"].values():
        assert layout["agreement"] >= 0.7
        assert layout["verdict"] == "costly"
