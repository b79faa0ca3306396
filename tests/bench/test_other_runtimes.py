"""The same graphs on other runtimes: PyTorch and ONNX Runtime on the CPU stand in for those on a GPU."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from posetrt.bench import other_runtimes, runtime_clock, verification
from posetrt.bench.other_runtimes import others, torch_path
from posetrt.bench.torch_graph import write_torch
from posetrt.bench.verification_bundle import carry_torch, write_reference
from posetrt.bench.verification_row import table
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.folder import ModelFolder
from tests.export.graph.test_fused import run_onnx
from tests.tiny_model import tiny_folder

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def as_torch(path: Path, outputs: list[str], x: Any) -> list[Any]:
    torch = pytest.importorskip("torch")
    write_torch(path, outputs, path.with_suffix(".pt"))
    with torch.inference_mode():
        return [made.numpy() for made in torch.jit.load(str(path.with_suffix(".pt")))(torch.from_numpy(x))]


def test_a_network_gives_in_pytorch_what_it_gives_in_onnx_runtime(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    manifest = folder.manifest()
    names = list(dict.fromkeys(manifest.head.outputs.values()))
    x = np.random.default_rng(0).random(manifest.input.shape(), np.float32)
    expected = run_onnx(onnx.load(str(folder.onnx)), x)
    for name, got in zip(names, as_torch(folder.onnx, names, x), strict=True):
        assert got == pytest.approx(expected[name], abs=1e-5)


NODES = {
    "padding to one side": ([("Conv", ["x", "w"], {"pads": [0, 1, 2, 0], "strides": [2, 1]})], {"w": (4, 3, 3, 3)}),
    "depthwise": ([("Conv", ["x", "w"], {"group": 3, "dilations": [2, 2]})], {"w": (3, 1, 3, 3)}),
    "pooled over the rim": ([("MaxPool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})], {}),
    "halves": ([("Split", ["x", "i:3,5"], {"axis": 2})], {}),
    "cut": ([("Slice", ["x", "i:1,-4", "i:9223372036854775807,-1", "i:2,3"], {})], {}),
    "shape with a zero": ([("Reshape", ["x", "i:0,-1"], {})], {}),
    "doubled": ([("Resize", ["x", "", "f:1,1,2,2"], {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})], {}),
    "smooth": ([("Resize", ["x", "", "", "i:1,3,16,20"], {"mode": "linear", "coordinate_transformation_mode": "half_pixel"})], {}),
    "squeezed": ([("GlobalAveragePool", ["x"], {}), ("HardSigmoid", ["0"], {"alpha": 0.3}), ("Mul", ["x", "1"], {})], {}),
    "clipped": ([("Clip", ["x", "f:0.2", "f:0.6"], {}), ("PRelu", ["0", "s"], {}), ("Elu", ["1"], {})], {"s": (3, 1, 1)}),
    "summed": ([("ReduceSum", ["x", "i:1,2"], {"keepdims": 0}), ("Softmax", ["0"], {"axis": -1})], {}),
}  # fmt: skip


@pytest.mark.parametrize("case", list(NODES))
def test_each_operator_is_the_one_that_onnx_means(case: str, tmp_path: Path) -> None:
    made, weights = NODES[case]
    random = np.random.default_rng(1)
    held = [numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name) for name, shape in weights.items()]
    nodes = []
    for number, (operator, inputs, attributes) in enumerate(made):
        names = []
        for place, given in enumerate(inputs):
            kind, _, values = given.partition(":")
            if not values:
                names.append(given)
                continue
            array = np.array([float(value) for value in values.split(",")], np.float32)
            if kind == "i":
                array = np.array([int(value) for value in values.split(",")], np.int64)  # type: ignore[assignment]
            elif operator == "Clip":
                array = array.reshape(())
            held.append(numpy_helper.from_array(array, f"c{number}_{place}"))
            names.append(f"c{number}_{place}")
        parts = ["0", "second"] if operator == "Split" else [str(number)]
        nodes.append(helper.make_node(operator, names, parts, **attributes))
    outputs = ["0", "second"] if case == "halves" else [str(len(made) - 1)]
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 10])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "case.onnx"))
    x = random.random((1, 3, 8, 10), np.float32)
    expected = run_onnx(model, x)
    for name, got in zip(outputs, as_torch(tmp_path / "case.onnx", outputs, x), strict=True):
        assert got == pytest.approx(expected[name], abs=1e-5)


def test_what_is_not_translated_is_named_and_the_bundle_goes_without_it(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = tiny_folder(tmp_path / "tiny")
    model = onnx.load(str(folder.onnx))
    last = model.graph.output[0].name
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Erf", ["before"], [last]))
    onnx.save(model, str(folder.onnx))
    with pytest.raises(PosetrtError, match="not translated: Erf"):
        write_torch(folder.onnx, [last], tmp_path / "a.pt")
    said: list[str] = []
    carry_torch(tmp_path, "tiny", folder, said.append)
    assert said == ["tiny: no PyTorch graph to time beside it: operators that are not translated: Erf"]
    assert not torch_path(tmp_path, "tiny").exists()


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, ModelFolder, Any]]:
    """A model with its reference and its PyTorch graph; clocks that turn twice, in this process."""
    cv2 = pytest.importorskip("cv2")
    folder = tiny_folder(tmp_path / "models" / "tiny")
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8))
    write_reference(folder, [tmp_path / "a.png"], tmp_path / "reference.npz")
    monkeypatch.setattr(other_runtimes, "WARM_UP", 1)
    monkeypatch.setattr(other_runtimes, "TIMED", 2)
    with np.load(tmp_path / "reference.npz") as reference:
        yield tmp_path, folder, reference


def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The clock runs in this process, where stand-ins are."""

    def asked(words: list[str]) -> dict[str, Any]:
        capsys.readouterr()
        runtime_clock.main(words[2:])
        return dict(json.loads(capsys.readouterr().out))

    monkeypatch.setattr(other_runtimes, "_asked", asked)


def test_where_they_are_at_hand_each_has_a_row_with_its_times_and_how_far_it_is_from_float32(
    bundle: tuple[Path, ModelFolder, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch, onnxruntime = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    where, folder, reference = bundle
    carry_torch(where, "tiny", folder, print)
    here(monkeypatch, capsys)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for kind in (runtime_clock.OnnxRuntime, runtime_clock.Torch):
        monkeypatch.setattr(kind, "device", "cpu")

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc,name-defined]
        def __init__(self, path: str, options: Any, providers: list[Any]) -> None:
            assert providers == [("CUDAExecutionProvider", {"use_tf32": "0"})]
            super().__init__(path, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    with_cuda: Any = types.ModuleType("onnxruntime")
    with_cuda.__dict__.update(vars(onnxruntime))
    with_cuda.InferenceSession, with_cuda.get_available_providers = Session, lambda: ["CUDAExecutionProvider"]
    monkeypatch.setitem(sys.modules, "onnxruntime", with_cuda)
    rows = others(where, "tiny", folder, ["fp32"], reference)
    assert [row.runtime.split()[0] for row in rows] == ["ONNX", "PyTorch"]
    for row in rows:
        assert not row.problem
        assert row.difference is not None
        assert row.difference < 1e-5
        times = [row.upload_ms, row.network_ms, row.download_ms, row.frame_ms]
        assert all(one is not None and one > 0 for one in times)
    said = table({"rows": [], "others": [asdict(row) for row in rows]})
    assert f"| tiny | fp32, ONNX Runtime {onnxruntime.__version__}, CUDA |" in said
    assert said.count("| for comparison |") == 2


def test_where_they_are_not_at_hand_each_row_says_why_and_nothing_fails(
    bundle: tuple[Path, ModelFolder, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_runtimes, "pythons", lambda: [sys.executable])
    where, folder, reference = bundle
    rows = others(where, "tiny", folder, ["fp32"], reference)
    assert len(rows) == 2
    for row in rows:
        assert row.passed
        assert row.network_ms is None
        assert row.problem.startswith("not at hand: ")
        assert any(reason in row.problem for reason in ("is not installed", "has no CUDA", "sees no GPU"))
    assert table({"rows": [], "others": [asdict(row) for row in rows]}).count("| not at hand: ") == 2


def test_a_runtime_that_crashes_is_told_by_its_last_words(
    bundle: tuple[Path, ModelFolder, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, folder, reference = bundle
    (tmp_path / "python").write_text("#!/bin/sh\necho 'Segmentation fault' >&2\nexit 139\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(other_runtimes, "pythons", lambda: [str(tmp_path / "python")])
    assert "Segmentation fault" in others(where, "tiny", folder, ["fp32"], reference)[0].problem


def test_a_report_of_a_machine_without_a_gpu_has_no_such_rows(
    bundle: tuple[Path, ModelFolder, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "others", lambda *_: pytest.fail("no GPU was asked for"))
    where, _, reference = bundle
    (where / "reference").mkdir()
    np.savez(where / "reference" / "tiny.npz", **dict(reference))
    (where / "bundle.json").write_text(json.dumps({"models": {"tiny": {"timing_only": False, "precisions": ["fp32"]}}, "video": ""}))
    report = verification.verify(where, "onnxruntime", leak_frames=4)
    assert report["others"] == []
