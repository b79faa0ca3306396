"""`posetrt eval --on`: the figures of one machine, exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from posetrt.calib.scenes.scenes import draw_scene
from posetrt.calib.scenes.truth import write_scenes
from tests.cli.conftest import Posetrt, posetrt  # noqa: F401 a fixture


def test_workers_give_the_figures_of_one_machine(tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    write_scenes([draw_scene(seed, (320, 240), people=2) for seed in range(19)], tmp_path / "drawn")
    (annotations,) = tmp_path.rglob("*.json")
    images = next(tmp_path.rglob("*.png"), None) or next(tmp_path.rglob("*.jpg"))
    images.write_bytes(b"broken")
    call = ("eval", "nano", "--coco", annotations, "--images", images.parent, "--precision", "int8", "--json")
    alone, together = posetrt(*call), posetrt(*call, "--on", "local", "--workers", 2)
    assert (alone.code, together.code) == (0, 0), together.err
    assert json.loads(together.out) == json.loads(alone.out)
    assert json.loads(alone.out)["int8"]["broken"] == 1
    assert "workers on this machine: 2" in together.err
    assert posetrt(*call, "--workers", 2).code == 2


@pytest.mark.slow
def test_a_crop_network_in_annotated_and_in_detected_boxes(shared_data: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    heads = shared_data / "weights" / "heads"
    pose, detector = next(heads.glob("*[tT]iny[pP]ose*/*.onnx")), next(heads.glob("*[rR][tT][mM][dD]et*/*.onnx"))
    for weights, folder in ((pose, "pose"), (detector, "det")):
        assert posetrt("export", "onnx", "--weights", weights, "-o", tmp_path / folder).code == 0
        assert posetrt("build", tmp_path / folder, "--precision", "fp32").code == 0
    call = [
        "eval",
        tmp_path / "pose",
        "--coco",
        shared_data / "person_keypoints.json",
        "--images",
        shared_data / "images",
        "--precision",
        "fp32",
    ]
    for options in ([], ["--detector", tmp_path / "det"]):
        alone, together = posetrt(*call, *options, "--json"), posetrt(*call, *options, "--json", "--on", "local", "--workers", 2)
        assert together.code == 0, together.err
        assert json.loads(together.out) == json.loads(alone.out)
