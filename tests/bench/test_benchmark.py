"""A benchmark asks its telemetry for the stretches that it timed, and tells nothing that was not measured."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.bench import timing
from posetrt.bench.benchmark import MeasureOptions, measure
from posetrt.cli import main
from posetrt.runtime import pose as pose_module
from posetrt.runtime.pose import PoseOptions
from posetrt.runtime.sources import open_source
from posetrt.runtime.telemetry import Usage
from tests.stand_in import StandIn
from tests.tiny import tiny_network


class Constant:
    """7 W, as a Telemetry; remembers what it was asked."""

    source = "a meter"

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []

    def between(self, start_s: float, end_s: float) -> Usage:
        self.asked.append((start_s, end_s))
        return Usage(end_s - start_s, joules=7 * (end_s - start_s), temperature_start_c=40, temperature_end_c=50, throttled=False)

    def cost(self) -> float | None:
        return 0.002


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "tiny"
    command = ["export", "onnx", "--weights", str(tiny_network(tmp_path / "t.onnx")), "--input-size", "96x64", "-o", str(out)]
    assert main(command) == 0
    assert main(["build", str(out), "--precision", "fp32"]) == 0
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.random.default_rng(index).integers(0, 255, (60, 80, 3), np.uint8))
    return out


def test_energy_per_frame_is_power_over_the_time_of_the_frames(folder: Path, tmp_path: Path) -> None:
    telemetry, settled = Constant(), []
    before = time.monotonic()
    report = measure(
        folder,
        open_source(str(tmp_path)),
        "photos",
        MeasureOptions(
            precisions=["fp32"],
            frames=4,
            rounds=3,
            round_s=0.3,
            telemetry=telemetry,
            power_mode="15W",
            settle=lambda: settled.append(1),
        ),
    )
    row = report.results[0]
    assert len(settled) == 3
    assert len(telemetry.asked) == 3
    assert all(before < start < end and end - start >= 0.3 for start, end in telemetry.asked)
    assert row.watts == pytest.approx(7)
    assert row.joules_per_frame is not None
    # Frames a second of the stages' own clock leave out what starting a pass takes: energy by wall clock is never less.
    assert row.joules_per_frame >= 7 / max(row.rounds["end_to_end_fps"]) * 0.99
    assert (row.temperature_start_c, row.temperature_end_c, row.throttled, row.power_mode) == (40, 50, False, "15W")
    assert {name: len(values) for name, values in row.rounds.items()} == {
        "network_fps": 3,
        "end_to_end_fps": 3,
        "latency_p50_ms": 3,
        "watts": 3,
    }
    assert report.power_source == "a meter"
    assert row.age_p50_ms is not None
    assert row.age_p90_ms is not None
    assert 0 < row.age_p50_ms <= row.age_p90_ms


def test_the_people_of_a_benchmark_are_those_of_its_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person of a low score counts with "all" and does not with "precise"."""
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((64, 64, 3), np.uint8))
    engine = StandIn(value=0.3)
    monkeypatch.setattr(pose_module, "open_engine", lambda *args, **options: engine)
    monkeypatch.setattr(timing, "WARM_UP_S", 0.0)
    found = {
        preset: measure(
            tmp_path / "x.engine", open_source(str(tmp_path)), "photo", MeasureOptions(pose=PoseOptions(preset=preset), rounds=1)
        )
        .results[0]
        .people_per_frame
        for preset in ("all", "precise")
    }
    assert found == {"all": 1, "precise": 0}


def test_without_telemetry_no_watts(folder: Path, tmp_path: Path) -> None:
    report = measure(folder, open_source(str(tmp_path)), "photos", MeasureOptions(precisions=["fp32"], frames=4, rounds=1))
    row = report.results[0]
    assert (row.watts, row.joules_per_frame, row.fps_per_watt, row.throttled) == (None, None, None, None)
    assert report.power_source == "not measured"


def test_a_second_table_has_the_columns_of_ultralytics_benchmark() -> None:
    from dataclasses import replace

    from posetrt.bench.benchmark_report import Report, Result, formats_table

    row = Result("fp16", "tensorrt", 200.0, 150.0, 5.0, 6.0, 7.0, 0.1, 0.2, 5.0, 0.3, 1.0, 1.0, 90.0, engine_mb=9.43, ap=0.512)
    cpu = replace(row, precision="int8", backend="onnxruntime", network_fps=20.0, engine_mb=None, ap=None)
    lines = formats_table(Report("person", "nano", (456, 256), "a", 1, 1, {"cpu": "x"}, (row, cpu))).splitlines()
    assert lines[0].split() == ["Format", "Size", "(MB)", "AP50-95", "Inference", "time", "(ms/im)", "FPS"]
    assert lines[1].split() == ["TensorRT", "fp16", "9.4", "0.512", "5.00", "200.00"]
    assert lines[2].split() == ["ONNX", "int8", "-", "-", "50.00", "20.00"]
