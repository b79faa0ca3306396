"""`posetrt calibrate`: the same file from the same images, every bad input answered, nothing half written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from posetrt.calib.int8.cache import cache_header, cache_text, read_cache
from posetrt.calib.int8.calibrate import calibrate, folder_calibration
from posetrt.calib.int8.calibration import read_calibration
from posetrt.cli import main
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.model.folder import ModelFolder


def test_two_runs_agree_to_the_last_digit_and_the_order_of_the_images_does_not_matter(
    small_folder: ModelFolder, pictures: list[Path]
) -> None:
    calibrate(small_folder, pictures)
    first = small_folder.calibration.read_bytes()
    graphs = {name: small_folder.variant(name).read_bytes() for name in ("int8-ort", "int8-trt", "int8-base", "int8-trt-fp16")}
    calibrate(small_folder, pictures[::-1])
    assert small_folder.calibration.read_bytes() == first
    assert {name: small_folder.variant(name).read_bytes() for name in graphs} == graphs


def test_the_file_reads_back_as_what_was_written(small_folder: ModelFolder, pictures: list[Path]) -> None:
    written = calibrate(small_folder, pictures).calibration
    read = folder_calibration(small_folder)
    assert read.to_dict() == written.to_dict()
    assert list(read.ranges) == list(written.ranges)


def test_variants_fit_the_folder_until_it_is_calibrated_again(small_folder: ModelFolder, pictures: list[Path], tmp_path: Path) -> None:
    calibrate(small_folder, pictures)
    for name in ("int8-ort", "int8-trt", "int8-base", "int8-trt-fp16"):
        assert small_folder.checked_variant(name) == small_folder.variant(name)
    old = tmp_path / "old.onnx"
    shutil.copy(small_folder.variant("int8-ort"), old)
    calibrate(small_folder, pictures, method="minmax")
    shutil.copy(old, small_folder.variant("int8-ort"))
    with pytest.raises(EngineMismatch, match=r"another calibration\.json"):
        small_folder.checked_variant("int8-ort")


def test_a_calibration_of_another_model_is_refused_with_exit_code_3(small_folder: ModelFolder, pictures: list[Path]) -> None:
    calibrate(small_folder, pictures)
    fields = json.loads(small_folder.calibration.read_text())
    fields["model_sha256"] = "0" * 64
    small_folder.calibration.write_text(json.dumps(fields))
    with pytest.raises(EngineMismatch, match="another model") as raised:
        folder_calibration(small_folder)
    assert raised.value.exit_code == 3
    assert main(["calibrate", str(small_folder.path), "--cache", "10.3"]) == 3


@pytest.mark.parametrize("text", ["", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(PosetrtError, match="calibrat"):
        read_calibration(path)


def test_a_calibration_of_format_1_is_still_read(small_folder: ModelFolder, pictures: list[Path]) -> None:
    written = calibrate(small_folder, pictures).calibration
    fields = json.loads(small_folder.calibration.read_text())
    fields["format"] = 1
    del fields["bursts"], fields["price"]
    small_folder.calibration.write_text(json.dumps(fields))
    read = folder_calibration(small_folder)
    assert read.ranges == written.ranges
    assert (read.bursts, read.price) == ({}, None)


def test_a_file_from_before_there_was_a_list_for_each_layout_keeps_the_same_layers_in_both(
    small_folder: ModelFolder, pictures: list[Path]
) -> None:
    calibrate(small_folder, pictures)
    fields = json.loads(small_folder.calibration.read_text())
    del fields["kept_float_ort"]
    fields["kept_float"] = ["depth"]
    small_folder.calibration.write_text(json.dumps(fields))
    assert folder_calibration(small_folder).kept_float_ort == ("depth",)


def test_no_images_is_wrong_usage(small_folder: ModelFolder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["calibrate", str(small_folder.path), "--images", str(tmp_path / "empty")]) == 2
    assert main(["calibrate", str(small_folder.path), "--images", str(tmp_path / "absent")]) == 2
    assert main(["calibrate", str(small_folder.path)]) == 2
    with pytest.raises(UsageError, match="no images"):
        calibrate(small_folder, [])


def test_broken_images_are_left_out_and_counted_and_grey_ones_are_taken(small_folder: ModelFolder, pictures: list[Path]) -> None:
    folder = pictures[0].parent
    (folder / "broken.jpg").write_bytes(b"no image at all")
    (folder / "empty.png").write_bytes(b"")
    cv2.imwrite(str(folder / "grey.png"), np.full((30, 40), 90, np.uint8))
    made = calibrate(small_folder, sorted(folder.iterdir()))
    assert made.calibration.images["count"] == 13
    assert made.calibration.images["skipped"] == 2
    assert "2 images could not be read" in made.warnings[0]


def test_nothing_but_broken_images_fails_and_leaves_what_stood_there(
    small_folder: ModelFolder, pictures: list[Path], tmp_path: Path
) -> None:
    calibrate(small_folder, pictures)
    before = small_folder.calibration.read_bytes()
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(PosetrtError, match="none of the 1 images"):
        calibrate(small_folder, [bad])
    assert small_folder.calibration.read_bytes() == before


def test_images_without_people_are_warned_of(hpe_folder: ModelFolder, tmp_path: Path) -> None:
    copied = ModelFolder(Path(shutil.copytree(hpe_folder.path, tmp_path / "hpe")))
    sky = tmp_path / "sky.png"
    cv2.imwrite(str(sky), np.tile(np.linspace(250, 180, 256, dtype=np.uint8)[:, None, None], (1, 456, 3)))
    made = calibrate(copied, [sky, sky])
    assert any("no people were seen" in warning for warning in made.warnings)


def _with_bias(folder: ModelFolder, name: str, value: float) -> None:
    model = onnx.load(str(folder.onnx))
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(tensor), value), name))
    onnx.save(model, str(folder.onnx))


def test_a_weight_that_is_nan_is_named(small_folder: ModelFolder, pictures: list[Path]) -> None:
    _with_bias(small_folder, "depth.bias", float("nan"))
    with pytest.raises(PosetrtError, match=r"depth\.bias.*NaN"):
        calibrate(small_folder, pictures)
    assert not small_folder.calibration.exists()


def test_an_activation_that_overflows_is_named_with_its_image(small_folder: ModelFolder, pictures: list[Path]) -> None:
    _with_bias(small_folder, "point.weight", 3e38)
    with pytest.raises(PosetrtError, match=r"'point/out' holds infinity on \d\d\.png"):
        calibrate(small_folder, pictures)
    assert not small_folder.calibration.exists()


def test_an_interrupted_run_leaves_no_file(small_folder: ModelFolder, pictures: list[Path]) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    before = sorted(path.name for path in small_folder.path.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        calibrate(small_folder, pictures, progress=stop)
    assert sorted(path.name for path in small_folder.path.rglob("*")) == before


def test_a_write_that_fails_half_way_leaves_the_files_that_were_there(
    small_folder: ModelFolder, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate(small_folder, pictures, method="minmax")
    files = sorted(path for path in small_folder.path.rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files]
    written: list[str] = []

    def full(path: Path, model: onnx.ModelProto) -> None:
        written.append(str(path))
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        path.write_bytes(model.SerializeToString())

    monkeypatch.setattr("posetrt.calib.int8.calibrate.save_model", full)
    with pytest.raises((PosetrtError, OSError)):
        calibrate(small_folder, pictures)
    assert len(written) == 3
    assert sorted(path for path in small_folder.path.rglob("*") if path.is_file()) == files
    assert [path.read_bytes() for path in files] == before


def test_more_images_take_hardly_more_memory(small_folder: ModelFolder, pictures: list[Path]) -> None:
    import tracemalloc

    def peak(images: list[Path]) -> int:
        tracemalloc.start()
        calibrate(small_folder, images)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(pictures)
    # Ten times as many: only the tenth that the price is told on is held, letterboxed.
    assert peak(pictures * 10) < 1.6 * peak(pictures)


def test_the_command_says_what_it_did_and_limits_by_seed(
    small_folder: ModelFolder, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["calibrate", str(small_folder.path), "--images", str(pictures[0].parent), "--limit", "5", "--seed", "4", "--json"]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["images"]["count"] == 5
    assert printed["images"]["chosen"] == "random, seed 4"
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["images"]["sha256"] == printed["images"]["sha256"]
    assert main([*command, "--seed", "5"]) == 0
    assert json.loads(capsys.readouterr().out)["images"]["sha256"] != printed["images"]["sha256"]


def test_the_headers_are_tensorrts_own() -> None:
    # As TensorRT prints them: 8.6.1 "TRT-8601-EntropyCalibration2", 10.3.0 "TRT-100300-EntropyCalibration2".
    assert cache_header("8.6.1") == "TRT-8601-EntropyCalibration2"
    assert cache_header("10.3.0") == "TRT-100300-EntropyCalibration2"
    assert cache_header("10.13.3", "MinMaxCalibration") == "TRT-101303-MinMaxCalibration"
    with pytest.raises(UsageError, match=r"int8-trt\.onnx"):
        cache_header("11.4.1")
    with pytest.raises(UsageError, match=r"8\.6\.1 or 10\.3"):
        cache_header("ten")


def test_the_cache_holds_a_scale_for_every_tensor(
    small_folder: ModelFolder, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    calibration = calibrate(small_folder, pictures).calibration
    assert main(["calibrate", str(small_folder.path), "--cache", "8.6.1"]) == 0
    header, scales = read_cache((small_folder.path / "calibration.trt-8.6.1.cache").read_text())
    assert header == "TRT-8601-EntropyCalibration2"
    graph = onnx.load(str(small_folder.variant("int8-base"))).graph
    assert set(scales) == {"image", *(name for node in graph.node for name in node.output)}
    for name, scale in scales.items():
        assert scale == np.float32(max(calibration.ranges[name].amax, 1e-8) / 127)
    # A line as TensorRT writes it: 1.0 is 3f800000.
    assert "x: 3f800000" in cache_text({"x": calibration.ranges["image"].__class__(0, 127, 127, "", 0, 127)}, "8.6.1")
    with pytest.raises(PosetrtError, match="line 2"):
        read_cache("TRT-8601-EntropyCalibration2\nimage 3f80\n")
