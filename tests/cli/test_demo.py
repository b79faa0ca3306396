"""The demo: every step as a command, on a network that finds nobody but runs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2

from tests.cli.conftest import Posetrt
from tests.tiny import tiny_network


def test_the_demo_does_the_whole_job_and_prints_each_command(posetrt: Posetrt, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert posetrt("export", "onnx", "--weights", tiny_network(tmp_path / "n.onnx"), "--input-size", "96x64", "-o", folder).code == 0
    said = posetrt("demo", "--model", folder, "--frames", "4", "-o", tmp_path / "out")
    assert said.code == 0, said.err
    for command in ("export onnx", "calibrate", "build", "run", "bench"):
        assert f"$ posetrt {command}" in said.out
    for precision in ("fp32", "fp16", "int8"):
        assert f"\n{precision} " in said.out
    assert len(list((tmp_path / "out" / "json").iterdir())) == 4
    assert cv2.VideoCapture(str(tmp_path / "out" / "people.mp4")).read()[0]
    assert len(json.loads((tmp_path / "out" / "drawn" / "person_keypoints.json").read_text())["images"]) == 4
    again = posetrt("demo", "--model", folder, "--frames", "4", "-o", tmp_path / "out", "--source", tmp_path / "out" / "drawn.avi")
    assert again.code == 0, again.err


def test_the_demo_never_deletes_a_folder_that_is_not_its_own(posetrt: Posetrt, tmp_path: Path) -> None:
    folder = tmp_path / "person"
    assert posetrt("export", "onnx", "--weights", tiny_network(tmp_path / "n.onnx"), "--input-size", "96x64", "-o", folder).code == 0
    before = (folder / "model.onnx").read_bytes()
    said = posetrt("demo", "--model", folder, "-o", tmp_path)
    assert said.code == 2
    assert "stays as it is" in said.err
    assert (folder / "model.onnx").read_bytes() == before
