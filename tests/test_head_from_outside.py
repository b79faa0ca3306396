"""A kind of head that another package adds goes the whole way, from export to bench, without a line changed here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from posetrt.cli import main
from posetrt.export.heads.base import Reading
from posetrt.runtime.heads import registry
from posetrt.runtime.heads.base import Head
from posetrt.runtime.people import People


@dataclass(frozen=True, kw_only=True)
class BrightestHead(Head):
    """The whole person stands where a picture is brightest: all 17 parts in a line about that place."""

    kind: ClassVar[str] = "brightest"
    roles: ClassVar[tuple[str, ...]] = ("places",)

    @staticmethod
    def recognise(facts, asked):  # type: ignore[no-untyped-def]
        found = [output.name for output in facts.outputs if output.shape[1:] == (2, 3, 1)]
        head = [BrightestHead(outputs={"places": name}) for name in found]
        return [Reading(one, ("coco17",), 17, "unit", "top-left", "one place of 2 numbers", rank=2) for one in head]

    def decoder(self, skeleton, options=None):  # type: ignore[no-untyped-def]
        return self

    def decode(self, tensors, size_wh):  # type: ignore[no-untyped-def]
        people = []
        for places in self.tensor(tensors, "places").mean(axis=(2, 3)):
            points = np.zeros((1, 17, 3), np.float32)
            points[0] = (size_wh[0] * min(max(float(places[0]), 0), 1), size_wh[1] / 2, 0.9)
            points[0, :, 1] += np.arange(17)
            people.append(People(points, np.full(1, 0.9, np.float32)))
        return people


def graph(path: Path) -> Path:
    """A convolution to two numbers in three rows: nothing that a kind of ours is."""
    weight = np.random.default_rng(0).uniform(0, 0.002, (2, 3, 32, 96)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["image", "w"], ["places"], "conv", strides=[32, 96])]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 96, 96])
    places = helper.make_tensor_value_info("places", TensorProto.FLOAT, [1, 2, 3, 1])
    model = helper.make_graph(nodes, "brightest", [image], [places], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(model, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a package with two entry points were installed, of which one fails on import."""
    mine = metadata.EntryPoint("brightest", f"{__name__}:BrightestHead", registry.GROUP)
    broken = metadata.EntryPoint("broken", "posetrt_no_such_package:Head", registry.GROUP)
    real = metadata.entry_points
    monkeypatch.setattr(metadata, "entry_points", lambda **given: [mine, broken] if given == {"group": registry.GROUP} else real(**given))
    registry.head_class.cache_clear()
    yield
    registry.head_class.cache_clear()


def test_a_head_from_outside_goes_from_export_to_bench(installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, folder = tmp_path / "photos", tmp_path / "model"
    photos.mkdir()
    annotations = []
    for index in range(24):
        cv2.imwrite(str(photos / f"{index:012d}.png"), np.random.default_rng(index).integers(0, 255, (96, 96, 3), np.uint8))
        points = [value for part in range(17) for value in (40, 48 + part, 2)]
        one = {"id": index + 1, "image_id": index, "category_id": 1, "keypoints": points, "num_keypoints": 17, "iscrowd": 0}
        annotations.append(one | {"bbox": [10, 20, 60, 60], "area": 3600.0})
    images = [{"id": index, "file_name": f"{index:012d}.png", "width": 96, "height": 96} for index in range(24)]
    coco = tmp_path / "coco.json"
    coco.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}))
    assert main(["export", "onnx", "--weights", str(graph(tmp_path / "g.onnx")), "-o", str(folder)]) == 0
    said = capsys.readouterr()
    assert "head brightest" in said.out
    assert "'broken' comes from posetrt_no_such_package" in said.err, "a plug-in that fails is named, and the rest works"
    assert main(["calibrate", str(folder), "--images", str(photos)]) == 0
    for precision in ("fp32", "int8"):
        assert main(["build", str(folder), "--precision", precision, "--backend", "onnxruntime"]) == 0
    common = ["--precision", "int8", "--backend", "onnxruntime"]
    out = tmp_path / "out"
    assert main(["run", str(folder), "--source", str(photos), "--write-json", str(out), *common]) == 0
    assert len(json.loads(next(out.glob("*.json")).read_text())["people"]) == 1
    assert main(["eval", str(folder), "--coco", str(coco), "--images", str(photos), "--backend", "onnxruntime", "--json"]) == 0
    assert main(["bench", str(folder), "--source", str(photos), "--frames", "4", "--rounds", "1", "--backend", "onnxruntime"]) == 0


def test_a_kind_that_nobody_has_names_those_that_there_are(installed: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    call = ["export", "onnx", "--weights", str(graph(tmp_path / "g.onnx")), "--head", "holograms", "-o", str(tmp_path / "x")]
    assert main(call) == 2
    assert "this posetrt knows paf, paf-decoded, heatmap" in capsys.readouterr().err
