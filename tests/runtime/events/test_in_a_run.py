"""Events of a run: looked for behind the tracker, written as lines, and in each frame's JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import posetrt
from posetrt.cli import main
from posetrt.runtime.errors import UsageError
from posetrt.runtime.events.places import Zone
from posetrt.runtime.events.postures import RaisedHand
from posetrt.runtime.events.rules import Rules
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.sinks.base import Sink
from posetrt.runtime.sinks.json_lines import FileLines
from posetrt.runtime.sinks.rows import event_lines
from tests.stand_in import Listed, frames, stand_in
from tests.tiny_model import tiny_folder

EVERYWHERE = Rules((Zone(name="there", polygon=((-0.5, -0.5), (1.5, -0.5), (1.5, 1.5), (-0.5, 1.5)), point="hips", min_s=0.0),))


def test_events_of_a_run_reach_every_sink(tmp_path: Path) -> None:
    sinks: list[Sink] = [FileLines(tmp_path / "events.jsonl", event_lines), FileLines(tmp_path / "people.jsonl")]
    with stand_in() as pose:
        stats = pipeline.run(pose, [Listed(frames(6))], sinks, pipeline.Options(track=True, events=EVERYWHERE))
    assert stats.happened == 1
    (line,) = (tmp_path / "events.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert (event["event"], event["kind"], event["state"], event["person_id"], event["frame"]) == ("there", "zone", "start", 0, 0)
    first, *others = (json.loads(each) for each in (tmp_path / "people.jsonl").read_text().splitlines())
    assert [each["event"] for each in first["events"]] == ["there"]
    assert [each["events"] for each in others] == [[]] * 5


def test_without_rules_lines_are_as_ever(tmp_path: Path) -> None:
    with stand_in() as pose:
        pipeline.run(pose, [Listed(frames(2))], [FileLines(tmp_path / "people.jsonl")], pipeline.Options(track=True))
    assert "events" not in json.loads((tmp_path / "people.jsonl").read_text().splitlines()[0])


def test_each_source_has_events_of_its_own() -> None:
    with stand_in() as pose:
        options = pipeline.Options(track=True, events=EVERYWHERE)
        seen = pipeline.Pipeline(pose, [Listed(frames(3)), Listed(frames(3))], options)
        with seen:
            told = [result.frame.source for result in seen.results() if result.events]
    assert sorted(told) == [0, 1]


def test_a_skeleton_that_does_not_show_an_event_is_told_before_the_first_frame() -> None:
    from posetrt.runtime.find.whole_frame import WholeFrame
    from posetrt.runtime.pose import Pose
    from tests.drawn_people_detector import Boxes

    with Pose(WholeFrame(Boxes())) as pose, pytest.raises(UsageError, match="a detector's"):
        pipeline.Pipeline(pose, [Listed(frames(1))], pipeline.Options(track=True, events=Rules((RaisedHand(name="up"),))))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--write-events", "e.jsonl"], "--events"),
        (["--events", "{rules}", "--no-track"], "--no-track"),
        (["--events", "{rules}", "--jsonl", "-", "--write-events", "-"], "standard output"),
        (["--events", "{rules}"], "photographs are not frames"),
        (["--events", "{rules}", "--jsonl", "{out}", "--write-events", "{out}"], "each a file of its own"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, photo = tmp_path / "rules.toml", tmp_path / "photo.png"
    rules.write_text('[[event]]\nkind = "wave"\n')
    cv2.imwrite(str(photo), np.zeros((48, 64, 3), np.uint8))
    given = [each.format(rules=rules, out=tmp_path / "o.jsonl") for each in options]
    assert main(["run", str(tiny_folder(tmp_path / "m").onnx), "--source", str(photo), *given]) == 2
    assert said in capsys.readouterr().err


def test_a_clip_in_which_nothing_happens_says_0_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules, clip = tmp_path / "rules.toml", tmp_path / "clip.avi"
    rules.write_text('[[event]]\nkind = "raised-hand"\n')
    video = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        video.write(np.zeros((48, 64, 3), np.uint8))
    video.release()
    assert main(["run", "--source", str(clip), "--events", str(rules), "--write-events", "-"]) == 0
    said = capsys.readouterr()
    assert (said.out, "\n0 events\n" in said.err) == ("", True)
    assert main(["run", "--source", str(clip), "--events", str(rules), "--write-events", str(tmp_path / "e.jsonl")]) == 0
    assert f"written: {tmp_path / 'e.jsonl'}" in capsys.readouterr().err


def test_nothing_is_imported_that_nobody_asked_for() -> None:
    code = (
        "import sys, posetrt.commands.run, posetrt.runtime.pipeline.pipeline, posetrt.runtime.sinks.choose, posetrt.runtime.sinks.json_lines; "
        "print([name for name in sys.modules if name.split('.')[0] in ('paho', 'foxglove', 'rerun', 'tomllib', 'tomli', 'pyarrow')], "
        "'posetrt.runtime.events.rules' in sys.modules)"
    )
    # From beside the package that is tested here, not an installed one.
    beside = Path(posetrt.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=beside, capture_output=True, text=True, check=True).stdout == "[] False\n"
