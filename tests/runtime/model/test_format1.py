"""Folders that the version before manifest format 2 wrote still open, run and find the same people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import posetrt
from posetrt.export.engine.build import build
from posetrt.runtime.engines.onnxruntime import device, version
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.model.manifest import manifest_from_dict
from posetrt.runtime.model.sidecar import read_sidecar, sidecar_text

OLD = Path(__file__).parent / "format1"
FRAME = np.load(OLD / "frame.npy")


@pytest.mark.parametrize(("folder", "precision"), [("paf", "fp32"), ("paf", "int8"), ("decoded", "fp32")])
def test_an_old_folder_finds_the_people_that_its_own_version_found(folder: str, precision: str, tmp_path: Path) -> None:
    shutil.copytree(OLD / folder, tmp_path / folder)
    build(open_folder(tmp_path / folder), precision, "onnxruntime")  # type: ignore[arg-type]
    with (
        np.load(OLD / "people.npz") as known,
        posetrt.open(tmp_path / folder, precision=precision, backend="onnxruntime", preset="all") as pose,
    ):
        expected = known[f"{folder}_{precision}"]
        assert len(expected) == 2
        found, there = pose(FRAME).keypoints, expected[..., 2] > 0
        assert found.shape == expected.shape
        # Today's parser may find a part more. int8 sums are rounded by each processor's own kernels.
        np.testing.assert_allclose(found[there], expected[there], atol=1e-3 if precision == "fp32" else 0.5)


def test_an_old_network_for_crops_finds_what_its_own_version_found() -> None:
    with np.load(OLD / "people.npz") as known, posetrt.open(OLD / "crop" / "model.onnx", boxes="whole") as pose:
        found, expected = pose(FRAME).keypoints, known["crop_fp32"]
        assert (found[..., 2] > 0).sum() == (expected[..., 2] > 0).sum()
        # A letterbox stood at the top left then; a crop of the whole frame stands in the middle, half a stride away at most.
        np.testing.assert_allclose(found[..., :2], expected[..., :2], atol=10)


def test_an_old_engine_is_opened_with_its_sidecar(tmp_path: Path) -> None:
    shutil.copytree(OLD / "paf", tmp_path / "paf")
    (engine,) = (tmp_path / "paf" / "engines").glob("*_fp32.onnx")
    sidecar = read_sidecar(engine)
    assert sidecar.manifest.head.kind == "paf"
    if sidecar.library_version != version() or dict(sidecar.device) != device():
        pytest.skip("the engine was built for another processor or ONNX Runtime, and is refused here as it should be")
    with posetrt.open(tmp_path / "paf", precision="fp32", backend="onnxruntime", preset="all") as pose:
        assert len(pose(FRAME)) == 2


def test_a_sidecar_is_written_in_the_new_format() -> None:
    (engine,) = (OLD / "paf" / "engines").glob("*_fp32.onnx")
    assert json.loads(sidecar_text(read_sidecar(engine)))["manifest"]["format"] == 2


def test_a_later_format_says_that_posetrt_is_too_old() -> None:
    with pytest.raises(PosetrtError, match=r"format 1 or 2 was expected, found 3; it was written by a later posetrt"):
        manifest_from_dict({"format": 3}, "person/model.onnx")


def test_a_head_of_an_unknown_kind_names_the_kinds_and_where_others_come_from() -> None:
    fields = open_folder(OLD / "paf").manifest().to_dict()
    fields["head"]["kind"] = "holograms"
    with pytest.raises(PosetrtError, match=r"no head 'holograms'.*paf.*entry point group 'posetrt.heads'"):
        manifest_from_dict(fields, "person/model.onnx")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (("head", "stride"), 0, "stride"),
        (("input", "layout"), "XYZ", "layout"),
        (("input", "mean"), [float("nan"), 0, 0], "mean"),
        (("input", "size_wh"), [10**6, 256], "size_wh"),
        (("input", "fit"), {"how": "sideways"}, "sideways"),
        (("head", "outputs"), {"heatmaps": "h"}, "pafs"),
    ],
)
def test_a_manifest_that_somebody_changed_is_refused_by_its_field(field: tuple[str, str], value: object, said: str) -> None:
    fields = open_folder(OLD / "paf").manifest().to_dict()
    fields[field[0]][field[1]] = value
    with pytest.raises(PosetrtError, match=said):
        manifest_from_dict(fields, "person/model.onnx")


@pytest.mark.parametrize("field", ["network", "licence", "weights_sha256", "exporter"])
def test_a_text_of_the_manifest_cannot_command_a_terminal(field: str) -> None:
    fields = open_folder(OLD / "paf").manifest().to_dict() | {field: "free\x1b[2J"}
    with pytest.raises(PosetrtError, match=rf"person/model.onnx: .*{field}.*printable"):
        manifest_from_dict(fields, "person/model.onnx")
