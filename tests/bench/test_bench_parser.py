"""The command that measures the parser."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.bench.parser_benchmark import bench_nobody
from posetrt.calib.scenes.drawn import draw_scene
from posetrt.cli import main
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.people import People, nobody


def test_a_folder_of_recorded_maps_is_timed_beside_eightfold_upsampling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        scene = draw_scene(2, load_layout("body25"), (16, 24), seed)
        np.savez(tmp_path / f"{seed}.npz", heatmaps=scene.heatmaps, pafs=scene.pafs)
    assert main(["bench-parser", "--maps", str(tmp_path), "--skeleton", "body25", "--repeats", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["recorded"]
    assert row["frames"] == 2
    assert 0 < row["timing_ms"]["floor"] < row["timing_ms"]["parser"] < row["timing_ms"]["upsampling"]


def test_folders_of_recorded_maps_are_also_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, shape, frames in (("small", (16, 24), 1), ("large", (32, 48), 3)):
        (tmp_path / folder).mkdir()
        for seed in range(frames):
            scene = draw_scene(2, load_layout("coco18"), shape, seed)
            np.savez(tmp_path / folder / f"{seed}.npz", heatmaps=scene.heatmaps, pafs=scene.pafs)
    command = ["bench-parser", "--maps", str(tmp_path / "small"), str(tmp_path / "large"), "--repeats", "1"]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    small, large = (row["timing_ms"]["upsampling"] for row in report["recorded"])
    assert report["together"]["frames"] == 4
    assert report["together"]["timing_ms"]["upsampling"] == pytest.approx((small + 3 * large) / 4)
    assert small < report["together"]["timing_ms"]["upsampling"] < large
    assert main(command) == 0
    assert "together" in capsys.readouterr().out


def test_a_folder_without_maps_is_refused_with_what_it_should_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench-parser", "--maps", str(tmp_path)]) == 2
    assert "heatmaps (J+1, h, w) and pafs (2C, h, w)" in capsys.readouterr().err


def test_false_people_are_counted_on_photographs_without_people(tmp_path: Path) -> None:
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 8, 3), np.uint8))
    found = iter([People(np.ones((3, 18, 3), np.float32), np.ones(3, np.float32)), nobody(18)])
    row = bench_nobody(lambda frame: next(found), sorted(tmp_path.iterdir()))
    assert row == {"photos": 2, "people": 3, "per_photo": 1.5, "photos_with_people": 1}


def test_photographs_without_people_need_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench-parser", "--nobody", str(tmp_path)]) == 2
    assert "--network the model folder" in capsys.readouterr().err


@pytest.mark.slow
def test_drawn_people_are_charted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chart = tmp_path / "parser.png"
    assert main(["bench-parser", "--frames", "1", "--repeats", "1", "--json", "--chart", str(chart)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["people"] for row in report["drawn"]] == [1, 2, 5, 10, 20, 50, 100, 10, 10, 50]
    assert [row["kind"] for row in report["drawn"]][-2:] == ["held", "held"]
    assert report["growth_10_to_100"] < 2.5
    assert {row["people"] for row in report["worst"] if row["case"] in ("all zero", "all one", "all NaN", "all infinite")} == {0}
    assert chart.read_bytes().startswith(b"\x89PNG")
