"""verify-gpu, tried without a GPU: the bundle, the comparison, its verdicts, and what it says where there is no GPU."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from posetrt import cli
from posetrt.bench import verification, verification_bundle, verification_row
from posetrt.bench.verification import verify
from posetrt.bench.verification_bundle import prepare, split
from posetrt.bench.verification_row import check, table
from posetrt.calib.int8.calibrate import calibrate
from posetrt.runtime.engines import choose
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import read_json
from posetrt.runtime.model.folder import ModelFolder
from tests.tiny_model import save, tiny_folder, tiny_graph, tiny_manifest


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import cv2

    folder = tmp_path_factory.mktemp("photographs")
    for index in range(2):
        picture = np.random.default_rng(index).integers(0, 256, (48, 80, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder


@pytest.fixture
def bundle(tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(verification_row, "WARM_UP", 1)
    monkeypatch.setattr(verification_row, "TIMED", 4)
    folder = tiny_folder(tmp_path / "tiny")
    prepare(tmp_path / "bundle", photographs, models=[folder.path], timing_size_wh=None, wheels=False)
    return tmp_path / "bundle"


def test_a_bundle_holds_what_the_machine_needs_and_its_script_runs_there(bundle: Path) -> None:
    assert (bundle / "models/tiny/model.onnx").is_file()
    assert (bundle / "src/posetrt/runtime/model/manifest.py").is_file()
    reference = np.load(bundle / "reference/tiny.npz")
    assert int(reference["count"]) == 2
    assert reference["canvas_1"].dtype == np.uint8
    assert reference["output_0_0"].shape == (1, 19, 8, 8)
    (bundle / "models/tiny/weights.bin.piece00").write_bytes(b"one ")
    (bundle / "models/tiny/weights.bin.piece01").write_bytes(b"two")
    python = bundle / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$PYTHONPATH" "$@"\n', encoding="ascii")
    python.chmod(0o755)
    done = subprocess.run(["bash", str(bundle / "verify.sh"), "--json"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["src", "-m", "posetrt", "verify-gpu", ".", "--output", "result", "--json"]
    assert (bundle / "models/tiny/weights.bin").read_bytes() == b"one two"


def test_the_checks_run_through_on_a_cpu_and_claim_no_gpu(bundle: Path) -> None:
    report = verify(bundle, "onnxruntime", leak_frames=20)
    assert report["passed"], report
    assert report["machine"]["gpu"] is None
    row = report["rows"][0]
    assert (row["model"], row["precision"]) == ("tiny", "fp32")
    assert row["difference"] <= 1e-6
    assert row["oks"] == 1
    assert row["network_ms"] is None, "there is no GPU whose clock could say"
    assert row["in_flight_fps"] > 0
    assert report["video"] == {"skipped": "the bundle has no video"}
    assert report["leak"]["frames"] == 20
    assert "| tiny | fp32 | " in table(report)


def test_an_engine_that_computes_something_else_fails(bundle: Path) -> None:
    model = ModelFolder(bundle / "models/tiny")
    graph = tiny_graph()
    for weight in graph.graph.initializer:
        if weight.name == "w2":
            array = onnx.numpy_helper.to_array(weight) * 1.01
            weight.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), "w2"))
    save(model.onnx, graph, tiny_manifest())
    row = check("tiny", model, "fp32", "onnxruntime", np.load(bundle / "reference/tiny.npz"))
    assert not row.passed
    assert "more than 0.001" in row.problem
    assert 0.004 < (row.difference or 0) < 0.02


def test_int8_may_cost_on_the_gpu_what_its_graph_costs_at_the_desk(
    small_folder: ModelFolder, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification_row, "TIMED", 4)
    calibrate(small_folder, pictures)
    verification_bundle.write_reference(small_folder, pictures[:2], tmp_path / "reference.npz")
    reference = dict(np.load(tmp_path / "reference.npz"))
    assert 0 <= reference["int8_oks"] <= 1
    assert check("small", small_folder, "int8", "onnxruntime", {**reference, "int8_oks": 0.9}).least_oks == pytest.approx(0.85)
    assert check("small", small_folder, "int8", "onnxruntime", {**reference, "int8_oks": 1.0}).least_oks == 0.95
    assert check("small", small_folder, "fp32", "onnxruntime", {**reference, "int8_oks": 0.5}).least_oks == 0.95


def test_both_forms_of_int8_are_tried_where_both_are_taken_and_only_the_usual_one_decides(
    small_folder: ModelFolder, pictures: list[Path], photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate(small_folder, pictures)
    prepare(tmp_path / "bundle", photographs, models=[small_folder.path], timing_size_wh=None, wheels=False)
    assert (tmp_path / "bundle/models" / small_folder.path.name / "variants/int8-trt-weak.onnx").is_file(), "a board has no onnx package"
    monkeypatch.setattr(verification, "takes_both", lambda backend: True)
    tried: list[bool] = []

    def found(name: str, folder: ModelFolder, precision: str, *_args: object, explicit_qdq: bool = False) -> verification_row.Row:
        tried.extend([explicit_qdq] if precision == "int8" else [])
        return verification_row.Row(name, precision, passed=not explicit_qdq, notes=["--explicit-qdq"] if explicit_qdq else [])

    monkeypatch.setattr(verification, "check", found)
    monkeypatch.setattr(verification, "leak", lambda *args: {})
    report = verify(tmp_path / "bundle", "onnxruntime", leak_frames=1)
    assert tried == [True, False]
    assert report["passed"]
    assert "int8 --explicit-qdq" in table(report)


def test_a_model_that_cannot_be_built_fails_alone(bundle: Path) -> None:
    contents = read_json(bundle / "bundle.json", "bundle")
    contents["models"]["tiny"]["precisions"] = ["int8", "fp32"]
    (bundle / "bundle.json").write_text(json.dumps(contents), encoding="utf-8")
    report = verify(bundle, "onnxruntime", leak_frames=1)
    assert [row["passed"] for row in report["rows"]] == [False, True]
    assert "posetrt calibrate" in report["rows"][0]["problem"]
    assert not report["passed"]


@pytest.mark.parametrize("device", [True, False])
def test_memory_that_grows_steadily_is_found_behind_what_other_programs_take(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, device: bool
) -> None:
    """On an integrated GPU the free memory is the system's: two readings of it are other programs' doing."""
    verify(bundle, "onnxruntime", leak_frames=1)
    others = np.random.default_rng(0).integers(-8 << 20, 8 << 20, 21)
    others[-1] += 300 << 20
    for grows, passed in ((0, True), (2 << 20, False)):
        sizes = iter(others + grows * np.arange(21))
        monkeypatch.setattr(verification, "_memory", lambda engine, sizes=sizes: {"device" if device else "process": int(next(sizes))})
        found = verification.leak(bundle / "models/tiny", "fp32", "onnxruntime", 40)
        assert len(found["samples"]) == 21
        assert found["passed"] is passed


def test_a_machine_without_a_gpu_is_told_what_is_missing(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(choose, "best_backend", lambda: "onnxruntime")
    assert cli.main(["verify-gpu", str(bundle)]) == 1
    said = capsys.readouterr().err
    assert "no NVIDIA driver" in said or "no tensorrt" in said


def test_the_command_writes_the_report_and_says_that_no_gpu_was_verified(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["verify-gpu", str(bundle), "--backend", "onnxruntime", "--leak-frames", "5", "-o", str(tmp_path / "out")])
    shown = capsys.readouterr()
    assert code == 0
    assert "no GPU was verified" in shown.err
    assert read_json(tmp_path / "out.json", "report")["passed"] is True
    assert (tmp_path / "out.md").read_text(encoding="utf-8") == shown.out


def test_a_large_file_is_carried_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification_bundle, "PIECE_BYTES", 1000)
    data = os.urandom(2500)
    path = tmp_path / "a.whl"
    path.write_bytes(data)
    pieces = split(path)
    assert [piece.name for piece in pieces] == ["a.whl.piece00", "a.whl.piece01", "a.whl.piece02"]
    assert b"".join(piece.read_bytes() for piece in pieces) == data
    assert not path.exists()


def test_a_bundle_that_is_there_is_not_overwritten(bundle: Path, photographs: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        prepare(bundle, photographs, models=[bundle / "models/tiny"])
    with pytest.raises(UsageError, match="no bundle"):
        verify(photographs)


def test_a_package_that_cannot_be_had_says_how_to_leave_it_out(tmp_path: Path) -> None:
    with pytest.raises(PosetrtError, match="--no-wheels"):
        verification_bundle._pip("download", "--no-index", "--dest", str(tmp_path), "numpy")
