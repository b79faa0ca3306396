"""`posetrt run --follow` and `posetrt bench-track`: lines with a target, and options that do not go together."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from posetrt.calib.scenes.scenes import draw_scene
from posetrt.cli import main


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """One drawn scene, eight frames long."""
    image = draw_scene(4, (456, 256), 1).image
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (456, 256))
    for _ in range(8):
        writer.write(image)
    writer.release()
    return tmp_path / "clip.avi"


def test_each_line_has_the_target(clip: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    command = ["run", "--source", str(clip), "--follow", "largest", "--fov", "60", "--camera-motion", "--jsonl", str(lines), "--quiet"]
    assert main(command) == 0
    targets = [json.loads(line)["target"] for line in lines.read_text().splitlines()]
    assert len(targets) == 8
    assert {target["state"] for target in targets} <= {"idle", "following", "lost", "again"}
    seen = [target for target in targets if target["state"] == "following"]
    assert seen
    assert seen[-1]["person_id"] is not None
    assert -35 < seen[-1]["bearing_deg"] < 35
    assert seen[-1]["distance_m"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--follow", "largest"], "as in --fov 62.2"),
        (["--fov", "60"], "belong to following"),
        (["--follow", "someone", "--fov", "60"], "largest, centre"),
        (["--follow", "largest", "--fov", "200"], "between 0 and 180"),
        (["--follow", "largest", "--fov", "60", "--no-track"], "--no-track gives none"),
        (["--follow", "largest", "--fov", "60", "--person-height", "9"], "between 0.5 and 2.5 m"),
        (["--follow", "largest", "--fov", "60", "--source", "other.avi"], "one person is followed in one source"),
        (["--mavlink-baud", "9600"], "of the serial line of --mavlink"),
    ],
)
def test_options_that_do_not_go_together_are_refused(clip: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (clip.parent / "other.avi").write_bytes(clip.read_bytes())
    options = [str(clip.parent / one) if one == "other.avi" else one for one in options]
    assert main(["run", "--source", str(clip), *options]) == 2
    assert said in capsys.readouterr().err


def test_photographs_are_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), draw_scene(4, (456, 256), 1).image)
    assert main(["run", "--source", str(tmp_path / "a.png"), "--follow", "largest", "--fov", "60"]) == 2
    assert "photographs are not frames of one scene" in capsys.readouterr().err


def test_the_benchmark_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench-track", "--only", "follow", "--sequences", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["follow"]["bearing_error_deg"]["p50"] < 0.5
    assert main(["bench-track", "--sequences", "0"]) == 2
