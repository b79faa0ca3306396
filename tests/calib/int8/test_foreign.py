"""Graphs that another tool quantised are read as they are, and told apart by what TensorRT takes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from posetrt.calib.int8.calibrate import calibrate, folder_calibration
from posetrt.calib.int8.foreign import is_quantised, read_quantised
from posetrt.calib.int8.photographs import read_photograph
from posetrt.calib.sensitivity.judge import Judge
from posetrt.calib.sensitivity.price import measured
from posetrt.cli import main
from posetrt.export.engine.tensorrt import read_ranges
from posetrt.export.graph.graph import load_graph
from posetrt.runtime.engines.choose import EngineOptions, open_engine
from posetrt.runtime.engines.onnxruntime import device, open_session
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.model.folder import ModelFolder, open_folder
from posetrt.runtime.picture import network_input


def by_onnx_runtime(folder: ModelFolder, pictures: list[Path], target: Path, *, for_tensorrt: bool) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.waiting = [{"image": network_input(read_photograph(path), folder.manifest().input)} for path in pictures]

        def get_next(self) -> Any:
            return self.waiting.pop() if self.waiting else None

    kind = QuantType.QInt8 if for_tensorrt else QuantType.QUInt8
    options = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False} if for_tensorrt else {}
    quantize_static(str(folder.onnx), str(target), Reader(), QuantFormat.QDQ, activation_type=kind, per_channel=True, extra_options=options)
    return target


def test_a_graph_of_onnx_runtimes_quantizer_is_read_and_judged_beside_the_float_one(
    small_folder: ModelFolder, pictures: list[Path], tmp_path: Path
) -> None:
    original = load_graph(small_folder.onnx)
    unsigned = read_quantised(by_onnx_runtime(small_folder, pictures, tmp_path / "u.onnx", for_tensorrt=False), original)
    signed = read_quantised(by_onnx_runtime(small_folder, pictures, tmp_path / "s.onnx", for_tensorrt=True), original)
    assert unsigned.layout == "ort"
    assert any("unsigned" in reason for reason in unsigned.refused)
    assert any("biases" in reason for reason in unsigned.refused)
    assert (signed.layout, signed.refused) == ("trt", ())
    assert len(signed.inside) == len(original.layers)
    judge = Judge(small_folder.manifest(), pictures[:2])
    price = measured(original.model, {"theirs": (lambda: signed.graph.model, signed.layout, 1.0)}, judge)
    assert price.layouts["theirs"].agreement <= 1


def test_what_is_no_quantised_form_of_this_network_is_refused(small_folder: ModelFolder, pictures: list[Path], tmp_path: Path) -> None:
    original = load_graph(small_folder.onnx)
    with pytest.raises(PosetrtError, match="no QuantizeLinear"):
        read_quantised(small_folder.onnx, original)
    path = by_onnx_runtime(small_folder, pictures, tmp_path / "u.onnx", for_tensorrt=False)
    model = onnx.load(str(path))
    del model.graph.output[1:]
    onnx.save(model, str(path))
    with pytest.raises(PosetrtError, match="has the outputs"):
        read_quantised(path, original)


def test_a_quantised_graph_is_not_calibrated(small_folder: ModelFolder, pictures: list[Path], tmp_path: Path) -> None:
    path = by_onnx_runtime(small_folder, pictures, tmp_path / "u.onnx", for_tensorrt=False)
    model = onnx.load(str(path))
    kept = onnx.load(str(small_folder.onnx)).metadata_props
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, str(small_folder.onnx))
    assert is_quantised(load_graph(small_folder.onnx))
    with pytest.raises(UsageError, match="quantised already"):
        calibrate(small_folder, pictures)


@pytest.mark.parametrize("own_weights", [True, False])
def test_export_keeps_another_tools_graph_and_int8_runs_it(
    small_folder: ModelFolder, pictures: list[Path], tmp_path: Path, own_weights: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = by_onnx_runtime(small_folder, pictures, tmp_path / "s.onnx", for_tensorrt=True)
    out = tmp_path / "person"
    given = ["--weights", str(small_folder.onnx), "--quantised", str(theirs)] if own_weights else ["--weights", str(theirs)]
    assert main(["export", "onnx", *given, "-o", str(out), "--no-look", "--normalise", "in-graph"]) == 0
    assert "activations" in capsys.readouterr().err
    assert main(["build", str(out), "--precision", "int8"]) == 0
    folder = open_folder(out)
    picture = network_input(read_photograph(pictures[0]), folder.manifest().input)
    with open_engine(out, EngineOptions(precision="int8")) as engine:
        found = engine.infer(picture)
    session = open_session(str(theirs))
    for name, values in zip([one.name for one in session.get_outputs()], session.run(None, {"image": picture}), strict=True):
        # Without VNNI the sums of one of the two may overflow: scales that layers share in their file are their own in ours.
        assert np.abs(found[name] - values).mean() <= (1e-4 if "avx512_vnni" in device()["features"] else 0.05) * np.abs(values).max()
    # TensorRT parses it as it is: its Q/DQ nodes carry the ranges.
    assert read_ranges(folder).in_graph
    assert folder.checked_variant("int8-trt").is_file()


def test_a_folder_with_another_tools_graph_is_not_calibrated_over(
    small_folder: ModelFolder, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = by_onnx_runtime(small_folder, pictures, tmp_path / "s.onnx", for_tensorrt=True)
    out = tmp_path / "person"
    given = ["--weights", str(small_folder.onnx), "--quantised", str(theirs), "-o", str(out)]
    assert main(["export", "onnx", *given, "--no-look", "--normalise", "in-graph"]) == 0
    before = (out / "variants" / "int8-trt.onnx").read_bytes()
    images = str(pictures[0].parent)
    capsys.readouterr()
    assert main(["build", str(out), "--precision", "int8"]) == 0
    told = capsys.readouterr().err
    assert "as another tool quantised it" in told
    assert f"posetrt eval {out}" in told
    assert main(["calibrate", str(out), "--images", images]) == 2
    told = capsys.readouterr().err
    assert "s.onnx" in told
    assert "--beside" in told
    assert main(["calibrate", str(out), "--cache", "10.3.0"]) == 1
    assert "no range" in capsys.readouterr().err
    assert not list(out.glob("*.cache"))
    assert (out / "variants" / "int8-trt.onnx").read_bytes() == before
    assert main(["calibrate", str(out), "--images", images, "--force"]) == 0
    assert (out / "variants" / "int8-trt.onnx").read_bytes() != before


def test_graphs_of_one_name_are_all_judged(small_folder: ModelFolder, many: Path, pictures: list[Path], tmp_path: Path) -> None:
    paths = []
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        paths.append(by_onnx_runtime(small_folder, pictures, tmp_path / place / "q.onnx", for_tensorrt=True))
    beside = [part for path in paths for part in ("--beside", str(path))]
    assert main(["calibrate", str(small_folder.path), "--images", str(many), "--no-sensitivity", "--force", *beside]) == 0
    price = folder_calibration(small_folder).price
    assert price is not None
    assert {str(path) for path in paths} <= set(price["layouts"])


def test_a_graph_of_another_network_leaves_no_folder(small_folder: ModelFolder, tmp_path: Path) -> None:
    out = tmp_path / "person"
    given = ["--weights", str(small_folder.onnx), "--quantised", str(small_folder.onnx), "-o", str(out), "--no-look"]
    assert main(["export", "onnx", *given, "--normalise", "in-graph"]) == 1
    assert not out.exists()
