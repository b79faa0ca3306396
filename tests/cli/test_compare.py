"""`posetrt bench --report` and `posetrt compare` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Posetrt
from tests.tiny import tiny_network


@pytest.fixture
def reports(posetrt: Posetrt, tmp_path: Path) -> list[Path]:
    """Two reports of a tiny network on one photograph."""
    folder = tmp_path / "tiny"
    command = ["export", "onnx", "--weights", tiny_network(tmp_path / "t.onnx"), "--input-size", "96x64", "-o", folder]
    assert posetrt(*command).code == 0
    assert posetrt("build", folder, "--precision", "fp32").code == 0
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    for name in ("a", "b"):
        said = posetrt("bench", folder, "--source", photo, "--frames", "2", "--rounds", "3", "--report", tmp_path / name)
        assert said.code == 0, said.err
        assert "power: " in said.out
        assert (tmp_path / name / "index.html").is_file()
    return [tmp_path / name / "report.json" for name in ("a", "b")]


def test_two_reports_compare_and_one_of_another_size_is_refused(posetrt: Posetrt, reports: list[Path]) -> None:
    said = posetrt("compare", *reports)
    assert said.code == 0, said.err
    assert "95 % interval" in said.out
    rows = json.loads(posetrt("compare", *reports, "--json").out)
    assert {row["figure"] for row in rows} >= {"network_fps", "end_to_end_fps", "latency_p50_ms"}
    assert all(row["low"] <= row["high"] for row in rows)
    changed = json.loads(reports[1].read_text()) | {"input_wh": [128, 64]}
    reports[1].write_text(json.dumps(changed))
    refused = posetrt("compare", *reports)
    assert refused.code == 1
    assert "input size: 96x64 against 128x64" in refused.err
    told = posetrt("compare", *reports, "--anyway")
    assert told.code == 0
    assert "these differ: input size" in told.err


def test_a_power_mode_on_a_computer_is_refused_before_anything_runs(posetrt: Posetrt, reports: list[Path], tmp_path: Path) -> None:
    said = posetrt("bench", tmp_path / "tiny", "--source", tmp_path / "photo.png", "--power-mode", "15W")
    assert said.code == 1
    assert "on a Jetson only" in said.err


def test_what_is_no_report_is_named(posetrt: Posetrt, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    said = posetrt("compare", tmp_path / "x.json", tmp_path / "x.json")
    assert said.code == 1
    assert "is no benchmark report of format 1" in said.err
