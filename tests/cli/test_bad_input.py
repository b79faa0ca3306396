"""What a user gets for bad input: a sentence, the right exit code, and nothing on disk harmed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from posetrt.runtime.errors import PosetrtError
from tests.cli.conftest import Posetrt
from tests.tiny import tiny_network

SIZE = ["--input-size", "96x64"]


@pytest.fixture
def tiny(posetrt: Posetrt, tmp_path: Path) -> Path:
    """A model folder of a tiny network with its fp32 engine."""
    folder = tmp_path / "tiny"
    assert posetrt("export", "onnx", "--weights", tiny_network(tmp_path / "tiny.onnx"), *SIZE, "-o", folder).code == 0
    assert posetrt("build", folder, "--precision", "fp32").code == 0
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    return path


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("content", [b"", b"this is no onnx file", bytes(range(256)) * 20])
def test_export_of_a_file_that_is_no_onnx(posetrt: Posetrt, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    said = posetrt("export", "onnx", "--weights", path, *SIZE, "-o", tmp_path / "out")
    assert said.code == 1
    assert "bad.onnx" in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_export_of_a_truncated_file(posetrt: Posetrt, tmp_path: Path, share: float) -> None:
    whole = tiny_network(tmp_path / "whole.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: int(len(whole) * share)])
    said = posetrt("export", "onnx", "--weights", path, *SIZE, "-o", tmp_path / "out")
    assert said.code == 1
    assert "truncated" in said.err
    assert not (tmp_path / "out").exists()


def test_export_without_pafs_names_what_was_expected(posetrt: Posetrt, tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "maps.onnx", fields=0)
    said = posetrt("export", "onnx", "--weights", path, "--skeleton", "coco18", *SIZE, "-o", tmp_path / "out")
    assert said.code == 2
    assert "19 heat maps and 38 PAF channels" in said.err
    assert "maps_out 1x19x8x12" in said.err


def test_export_of_channel_counts_that_fit_no_skeleton(posetrt: Posetrt, tmp_path: Path) -> None:
    said = posetrt("export", "onnx", "--weights", tiny_network(tmp_path / "odd.onnx", maps=7, fields=9), *SIZE, "-o", tmp_path / "out")
    assert said.code == 2
    assert "no built-in skeleton fits" in said.err
    assert "body25: 26 + 52" in said.err


def test_export_at_a_size_that_the_stride_does_not_divide(posetrt: Posetrt, tmp_path: Path) -> None:
    said = posetrt("export", "onnx", "--weights", tiny_network(tmp_path / "n.onnx"), "--input-size", "100x64", "-o", tmp_path / "out")
    assert said.code == 2
    assert "stride 8" in said.err
    assert "Try 96x64" in said.err


def test_export_of_a_fixed_graph_at_another_size(posetrt: Posetrt, tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "n.onnx", size_wh=(96, 64))
    said = posetrt("export", "onnx", "--weights", path, "--input-size", "104x64", "-o", tmp_path / "out")
    assert said.code == 2
    assert "fixed at 96x64" in said.err
    assert posetrt("export", "onnx", "--weights", path, "-o", tmp_path / "out").code == 0


def test_export_bounds_the_size_where_the_graph_leaves_it_open(posetrt: Posetrt, tmp_path: Path) -> None:
    free, fixed = tiny_network(tmp_path / "free.onnx"), tiny_network(tmp_path / "fixed.onnx", size_wh=(96, 64))
    said = posetrt("export", "onnx", "--weights", free, *SIZE, "--dynamic", "-o", tmp_path / "out")
    assert said.code == 0
    assert "96x64 (64x32 to 192x128)" in said.out
    assert posetrt("build", tmp_path / "out", "--precision", "fp32").code == 0
    refused = posetrt("export", "onnx", "--weights", fixed, "--dynamic", "-o", tmp_path / "other")
    assert refused.code == 2
    assert "fixed at 96x64" in refused.err


def test_export_never_replaces_another_model_unasked(posetrt: Posetrt, tiny: Path, tmp_path: Path) -> None:
    before = _contents(tiny)
    again = ["export", "onnx", "--weights", tmp_path / "tiny.onnx", "--input-size", "128x64", "-o", tiny]
    said = posetrt(*again)
    assert said.code == 2
    assert "--force" in said.err
    assert _contents(tiny) == before
    assert posetrt(*again, "--force").code == 0
    said = posetrt("run", tiny, "--source", tmp_path / "tiny.onnx")
    assert said.code in (1, 3)


def test_run_never_builds_and_names_the_command(posetrt: Posetrt, tiny: Path, photo: Path) -> None:
    shutil.rmtree(tiny / "engines")
    said = posetrt("run", tiny, "--source", photo)
    assert said.code == 3
    assert f"posetrt build {tiny} --precision fp32" in said.err
    assert not (tiny / "engines").exists()
    assert posetrt("run", tiny, "--source", photo, "--build").code == 0


def test_an_engine_of_another_precision_is_named_where_the_wanted_one_is_not_there(posetrt: Posetrt, tiny: Path, photo: Path) -> None:
    pictures = photo.parent / "pictures"
    pictures.mkdir()
    shutil.copy(photo, pictures)
    assert posetrt("calibrate", tiny, "--images", pictures, "--force").code == 0
    shutil.rmtree(tiny / "engines")
    assert posetrt("build", tiny, "--precision", "int8").code == 0
    said = posetrt("run", tiny, "--source", photo)
    assert said.code == 3
    assert "no fp32 engine for this device, but one of int8: give --precision int8, or build that again with --default" in said.err
    assert posetrt("run", tiny, "--source", photo, "--precision", "int8").code == 0
    assert posetrt("build", tiny, "--precision", "int8", "--default").code == 0
    assert posetrt("run", tiny, "--source", photo).code == 0
    assert posetrt("build", tiny, "--precision", "fp32", "--default").code == 0
    for sidecar in (tiny / "engines").glob("*.json"):
        if "fp32" in sidecar.name:
            sidecar.unlink()
            sidecar.with_suffix("").unlink()
        else:
            sidecar.write_text(sidecar.read_text().replace(onnxruntime.__version__, "0.1.0"))
    said = posetrt("run", tiny, "--source", photo)
    assert said.code == 3
    assert "no fp32 engine for this device yet" in said.err, "one of another library is no advice"


@pytest.mark.parametrize("command", ["run", "bench", "eval", "bench-live", "build"])
def test_a_mistyped_backend_is_wrong_usage(posetrt: Posetrt, tmp_path: Path, command: str) -> None:
    said = posetrt(command, tmp_path, "--backend", "onnxruntme")
    assert said.code == 2
    assert "invalid choice: 'onnxruntme'" in said.err


def test_build_of_what_is_no_folder_is_wrong_usage(posetrt: Posetrt, tiny: Path, photo: Path) -> None:
    for file in (tiny / "model.onnx", _engine(tiny)):
        said = posetrt("run", file, "--source", photo, "--build")
        assert said.code == 2
        assert "--build builds from a model folder" in said.err
        assert posetrt("run", file, "--source", photo).code == 0


def _engine(folder: Path) -> Path:
    return next(path for path in (folder / "engines").iterdir() if path.suffix == ".onnx")


def test_an_engine_without_its_sidecar_is_refused(posetrt: Posetrt, tiny: Path, photo: Path) -> None:
    engine = _engine(tiny)
    Path(f"{engine}.json").unlink()
    said = posetrt("run", tiny, "--source", photo)
    assert said.code == 3
    assert "no sidecar" in said.err


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("library_version", "1.2.3", "was built by ONNX Runtime 1.2.3"),
        ("device", {"machine": "aarch64", "features": ["asimddp"]}, "was built for aarch64"),
        ("engine_sha256", "0" * 64, "is not the file that was built"),
        ("made_from", {"model": "f" * 64}, "another model.onnx"),
        ("format", 99, "format 1"),
        ("backend", "abacus", "abacus"),
    ],
)
def test_an_engine_whose_sidecar_does_not_match_is_refused(
    posetrt: Posetrt, tiny: Path, photo: Path, field: str, value: object, complaint: str
) -> None:
    sidecar = Path(f"{_engine(tiny)}.json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {field: value}))
    said = posetrt("run", tiny, "--source", photo)
    assert said.code == 3
    assert complaint in said.err
    assert "posetrt build" in said.err


def test_a_damaged_engine_beside_one_that_fits_is_passed_over(posetrt: Posetrt, tiny: Path, photo: Path) -> None:
    good = _engine(tiny)
    damaged = good.with_name(f"a-{good.name}")
    damaged.write_bytes(b"half an engine")
    Path(f"{damaged}.json").write_bytes(Path(f"{good}.json").read_bytes())
    assert posetrt("run", tiny, "--source", photo).code == 0
    good.unlink()
    said = posetrt("run", tiny, "--source", photo)
    assert said.code == 3
    assert f"{damaged.name} is not the file that was built" in said.err
    assert f"{good.name} is gone" in said.err


def test_int8_without_calibration_names_the_command(posetrt: Posetrt, tiny: Path) -> None:
    before = _contents(tiny)
    said = posetrt("build", tiny, "--precision", "int8")
    assert said.code == 1
    assert f"posetrt calibrate {tiny} --images DIR" in said.err
    assert _contents(tiny) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"area": -1}, "annotations[1].area is -1"),
        ({"keypoints": [1, 2, 2] * 14}, "has 42 numbers under keypoints where COCO's 17 parts are 51"),
        ({"category_id": 3}, "is of category 3; people are category 1"),
    ],
)
def test_annotations_that_cannot_be_judged_are_refused_before_anything_runs(
    posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0, "num_keypoints": 17, "keypoints": [1, 2, 2] * 17,
    }  # fmt: skip
    other = {key: value for key, value in {**person, "id": 2, **change}.items() if value is not None}
    truth = {"images": [{"id": 1, "file_name": photo.name}], "annotations": [person, other], "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    for command in (["eval"], ["bench", "--source", photo]):
        refused = posetrt(command[0], tiny, *command[1:], "--coco", tmp_path / "truth.json", "--images", photo.parent)
        assert refused.code == 1
        assert said in refused.err
        assert not refused.out


def test_a_precision_that_was_not_built_is_told_before_the_first_photograph(
    posetrt: Posetrt, tiny: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert posetrt("build", tiny, "--precision", "fp32").code == 0

    def ran(*_: object) -> None:
        raise AssertionError("a photograph was looked at")

    monkeypatch.setattr("posetrt.calib.accuracy.coco.find_people", ran)
    refused = posetrt("eval", tiny, "--images", photo.parent, "--precision", "fp32", "--precision", "int8")
    assert refused.code == 3
    assert "--precision int8" in refused.err


def test_a_network_that_does_not_fit_fp16_is_exported_all_the_same(posetrt: Posetrt, tiny: Path, tmp_path: Path) -> None:
    model = onnx.load(str(tiny / "model.onnx"))
    weight = next(one for one in model.graph.initializer if len(one.dims) == 4)
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] = 1e6
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "large.onnx"))
    made = posetrt("export", "onnx", "--weights", tmp_path / "large.onnx", *SIZE, "-o", tmp_path / "large")
    assert made.code == 0, made.err
    assert "there is no fp16 graph" in made.err
    assert not (tmp_path / "large" / "variants" / "fp16.onnx").exists()


def test_a_broken_photograph_among_good_ones_is_skipped_and_counted(posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(photo, folder / "good.png")
    (folder / "broken.jpg").write_bytes(photo.read_bytes()[:40])
    said = posetrt("run", tiny, "--source", folder, "--write-json", tmp_path / "json")
    assert said.code == 0
    assert "1 broken photograph was skipped" in said.err
    assert [path.name for path in (tmp_path / "json").iterdir()] == ["good_keypoints.json"]
    alone = posetrt("run", tiny, "--source", folder / "broken.jpg")
    assert alone.code == 1
    assert "broken.jpg is not a picture" in alone.err


def test_an_empty_folder_and_a_missing_source(posetrt: Posetrt, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = posetrt("run", tiny, "--source", tmp_path / "empty")
    assert empty.code == 1
    assert "holds no photographs" in empty.err
    assert posetrt("run", tiny, "--source", tmp_path / "nowhere.mp4").code == 2


def test_a_video_that_ends_early_keeps_what_it_gave(posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path) -> None:
    image = cv2.imread(str(photo))
    video = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 60))
    for _ in range(40):
        video.write(image)
    video.release()
    data = (tmp_path / "v.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    said = posetrt("run", tiny, "--source", tmp_path / "cut.avi", "--write-json", tmp_path / "json")
    assert said.code == 1
    assert "ended early" in said.err
    assert 10 <= len(list((tmp_path / "json").iterdir())) < 40


def test_a_read_only_output_folder(posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder is wanted")
    said = posetrt("run", tiny, "--source", photo, "--write-json", blocked / "json")
    assert said.code == 1
    assert "cannot write" in said.err
    assert blocked.read_text() == "a file where a folder is wanted"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from posetrt.runtime.errors import PosetrtError
    from posetrt.runtime.files import write_text

    target = tmp_path / "result.json"
    write_text(target, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PosetrtError, match="No space left"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_ctrl_c_leaves_whole_files_only(tiny: Path, photo: Path, tmp_path: Path) -> None:
    image = cv2.imread(str(photo))
    video = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 60))
    for _ in range(3000):
        video.write(image)
    video.release()
    command = [sys.executable, "-m", "posetrt", "run", str(tiny), "--source", str(tmp_path / "v.avi")]
    command += ["--write-json", str(tmp_path / "json"), "--write-video", str(tmp_path / "out.mp4")]
    source = Path(__file__).resolve().parents[2] / "src"
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(source)}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "json").is_dir() or len(list((tmp_path / "json").iterdir())) < 20:
        assert time.monotonic() < deadline
        assert process.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    files = list((tmp_path / "json").iterdir())
    assert all(path.name.endswith("_keypoints.json") and not path.name.startswith(".") for path in files)
    for path in files:
        json.loads(path.read_text())
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).read()[0]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


def test_a_model_that_is_replaced_during_a_build_gets_no_engine_of_the_old_one(
    posetrt: Posetrt, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    before = _contents(tiny / "engines")
    real = onnxruntime.InferenceSession

    def replaced_meanwhile(*args: object, **options: object) -> object:
        session = real(*args, **options)
        (tiny / "model.onnx").write_bytes((tiny / "model.onnx").read_bytes() + b" ")
        return session

    monkeypatch.setattr(onnxruntime, "InferenceSession", replaced_meanwhile)
    said = posetrt("build", tiny, "--precision", "fp32")
    assert said.code == 1
    assert "model.onnx (sha256" in said.err
    assert "changed while the engine was built" in said.err
    assert _contents(tiny / "engines") == before


def test_what_a_killed_build_left_is_no_engine(posetrt: Posetrt, tiny: Path, photo: Path) -> None:
    sidecar = Path(f"{_engine(tiny)}.json")
    sidecar.with_name(".left-over.json").write_bytes(sidecar.read_bytes())
    assert posetrt("run", tiny, "--source", photo).code == 0
    assert ".left-over" not in posetrt("inspect", tiny).out


def test_a_truncated_model_is_refused_before_any_library_sees_it(posetrt: Posetrt, tiny: Path) -> None:
    model = tiny / "model.onnx"
    model.write_bytes(model.read_bytes()[:-100])
    said = posetrt("build", tiny, "--precision", "fp32")
    assert said.code == 1
    assert "model.onnx" in said.err


def test_build_mends_a_pair_that_a_kill_between_the_two_renames_left(posetrt: Posetrt, tiny: Path, photo: Path) -> None:
    """The sidecar of another build beside the engine, as `docs/reference/tensorrt.md` says."""
    sidecar = Path(f"{_engine(tiny)}.json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"engine_sha256": "0" * 64}))
    assert posetrt("run", tiny, "--source", photo).code == 3
    assert posetrt("run", tiny, "--source", photo, "--build").code == 0
    assert posetrt("run", tiny, "--source", photo).code == 0


def test_what_was_measured_stays_where_a_later_power_mode_fails(
    posetrt: Posetrt, tiny: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def held(mode: str, clocks: bool) -> Iterator[str]:
        if mode == "MAXN":
            raise PosetrtError(f"nvpmodel refused {mode}, clocks {clocks}")
        yield mode

    monkeypatch.setattr("posetrt.jetson.power.held", held)
    assert posetrt("build", tiny, "--precision", "fp32").code == 0
    command = ["bench", tiny, "--source", photo, "--frames", "1", "--rounds", "1", "--json"]
    said = posetrt(*command, "--power-mode", "15W", "--power-mode", "MAXN")
    assert said.code == 1
    report = json.loads(said.out)
    assert [row["power_mode"] for row in report["results"]] == ["15W"]
    assert report["notes"][-1] == "MAXN was not measured: nvpmodel refused MAXN, clocks False"
    assert "MAXN was not measured" in said.err
    alone = posetrt(*command, "--power-mode", "MAXN")
    assert (alone.code, alone.out) == (1, "")


def test_options_that_would_change_nothing_are_refused(posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path) -> None:
    refused = posetrt("run", tiny, "--source", photo, "--smooth")
    assert refused.code == 2
    assert "--smooth follows people from frame to frame" in refused.err
    refused = posetrt("export", "onnx", "--weights", tiny / "model.onnx", "--slots", "16", "-o", tmp_path / "other")
    assert refused.code == 2
    assert "--slots says how many peaks" in refused.err
    assert not (tmp_path / "other").exists()


def test_a_second_run_into_the_same_folder_says_so_and_overwrite_leaves_nothing_of_the_first(
    posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write = ["--write-json", out, "--write-images", out]
    assert posetrt("run", tiny, "--source", photo, *write).code == 0
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes())
    said = posetrt("run", tiny, "--source", other, *write)
    assert said.code == 2
    assert "of an earlier run" in said.err
    assert "--overwrite" in said.err
    (out / "notes.txt").write_text("the user's own")
    assert posetrt("run", tiny, "--source", other, *write, "--overwrite").code == 0
    assert sorted(path.name for path in out.iterdir()) == ["notes.txt", "other_keypoints.json", "other_rendered.jpg"]


def test_three_photographs_of_two_names_give_three_files_and_shared_ids_are_refused(
    posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a1.png", "a1.jpg", "a1.png.jpg"):
        (folder / name).write_bytes(photo.read_bytes())
    assert posetrt("run", tiny, "--source", folder, "--write-json", tmp_path / "json").code == 0
    assert len(list((tmp_path / "json").iterdir())) == 3
    (folder / "a1.png.jpg").unlink()
    said = posetrt("run", tiny, "--source", folder, "--write-coco", tmp_path / "c.json")
    assert said.code == 2
    assert "would both be image 1" in said.err
    assert not (tmp_path / "c.json").exists()


def test_eval_skips_a_broken_photograph_and_counts_it(posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo.read_bytes())
    (folder / "b.png").write_bytes(photo.read_bytes()[:60])
    said = posetrt("eval", tiny, "--images", folder, "--precision", "fp32", "--json")
    assert said.code == 0, said.err
    row = json.loads(said.out)["fp32"]
    assert (row["images"], row["broken"]) == (1, 1)
    assert "1 broken photograph was skipped" in said.err


def test_a_model_folder_whose_name_no_engine_library_takes_is_refused(posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m\udcff"
    shutil.copytree(tiny, folder)
    said = posetrt("run", folder, "--source", photo)
    assert said.code == 2
    assert "m%FF is not UTF-8" in said.err


def test_a_recommended_command_works_as_printed(posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my person"
    shutil.copytree(tiny, folder)
    shutil.rmtree(folder / "engines")
    said = posetrt("run", folder, "--source", photo)
    assert said.code == 3
    command = said.err.partition("Build it with: posetrt ")[2].strip()
    assert posetrt(*shlex.split(command)).code == 0
    assert posetrt("run", folder, "--source", photo).code == 0


def test_a_progress_bar_is_for_terminals_alone(posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo.read_bytes())
    said = posetrt("calibrate", tiny, "--images", folder)
    assert said.code == 0, said.err
    assert "\r" not in said.err


def test_build_on_a_full_disk_blames_the_disk_and_not_the_model(posetrt: Posetrt, tiny: Path) -> None:
    import resource

    shutil.rmtree(tiny / "engines")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tiny / "model.onnx").stat().st_size // 2, before[1]))
    try:
        said = posetrt("build", tiny, "--precision", "fp32")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said.code == 1
    assert "cannot write" in said.err
    assert "File too large" in said.err
    assert not (tiny / "engines").exists(), "the folder that was made for it is gone too"


def test_results_do_not_overwrite_each_other_or_their_source(posetrt: Posetrt, tiny: Path, photo: Path, tmp_path: Path) -> None:
    before = photo.read_bytes()
    video = tmp_path / "clip.avi"
    video.write_bytes(b"a video")
    for words, said in (
        (["--source", photo, "--jsonl", tmp_path / "a", "--write-csv", tmp_path / "a"], "both write"),
        (["--source", video, "--write-video", video], "would write over the source"),
        (["--source", photo, "--write-csv", photo], "would write over the source"),
        (["--source", tmp_path, "--write-images", tmp_path], "is the source too"),
        (["--source", photo, "--write-video", tmp_path], "is a folder"),
    ):
        refused = posetrt("run", tiny, *words)
        assert refused.code == 2
        assert said in refused.err
    assert photo.read_bytes() == before


def test_a_file_of_another_kind_is_told_what_goes_there(posetrt: Posetrt, photo: Path, tmp_path: Path) -> None:
    other = tmp_path / "notes.bin"
    other.write_text("no network")
    said = posetrt("run", other, "--source", photo)
    assert said.code == 3
    assert "no model folder and no .onnx file" in said.err
