"""A rerun recording is read by rerun's own reader: parts, limbs, boxes, events, each at its frame; whoever left is cleared."""

from __future__ import annotations

import json
import socket
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrt.cli import main
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sinks.choose import open_sink
from tests.runtime.sinks.test_foxglove import SKELETON, result
from tests.tiny_model import tiny_folder

pytest.importorskip("rerun")


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """What a recording holds, by entity: a dictionary per row, by column."""
    from rerun.chunk import RrdReader

    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for chunk in RrdReader(str(path)).stream().to_chunks():
        batch = chunk.to_record_batch()
        # Times as whole nanoseconds: Python's own have microseconds.
        columns = {
            name: [value.value for value in values] if name in ("time", "log_time") else values.to_pylist()
            for name, values in zip(batch.schema.names, batch.columns, strict=True)
        }
        found[chunk.entity_path] += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return found


def column(row: dict[str, Any], ending: str) -> Any:
    return next(value for name, value in row.items() if name.endswith(ending))


def test_all_that_is_known_of_a_frame_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    sink = open_sink(f"rerun={path}", print)
    given = [result(0), result(1), result(2, people=1)]
    for each in given:
        sink.write(each)
    assert not path.exists()
    sink.close()
    sink.close()
    read = rows(path)
    parts = sorted(read["/cam_1/people/5/parts"], key=lambda row: row["frame"])
    assert [row["frame"] for row in parts] == [0, 1, 2]
    assert [row["time"] for row in parts] == [0, 100_000_000, 200_000_000]
    # Rerun counts from the corner of the first pixel; the part that was not found is not there.
    seen = np.delete(np.arange(18), 4)
    np.testing.assert_allclose(column(parts[1], "Points2D:positions"), given[1].people.keypoints[0, seen, :2] + 0.5, atol=1e-4)
    assert column(parts[1], "Points2D:keypoint_ids") == seen.tolist()
    context = str(read["/cam_1"])
    assert all(part in context for part in SKELETON.parts)
    assert len(read["/cam_1/image"]) == 3
    assert len(read["/cam_1/people/6/box"]) == 2
    # Whoever left is cleared in the frame that lacks them.
    gone = [row for row in read["/cam_1/people/6"] if row.get("frame") == 2]
    assert len(gone) == 1
    assert any("Clear" in name for name in gone[0])
    (event,) = read["/cam_1/events"]
    assert event["frame"] == 1
    assert json.loads(column(event, "TextLog:text")[0])["event"] == "up"


def test_people_who_were_triangulated_have_points_in_space(tmp_path: Path) -> None:
    sink = open_sink(f"rerun={tmp_path / 'out.rrd'}?image=no", print)
    spots = np.random.default_rng(0).uniform(0.1, 3, (2, 18, 4))
    sink.write(result(0, keypoints_3d=spots))
    sink.close()
    read = rows(tmp_path / "out.rrd")
    assert "/cam_1/image" not in read
    np.testing.assert_allclose(column(read["/cam_1/people/5/space"][0], "Points3D:positions"), spots[0, :, :3], rtol=1e-5)


def test_run_writes_a_recording_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "photo.png"), np.full((48, 64, 3), 128, np.uint8))
    folder, path = tiny_folder(tmp_path / "m"), tmp_path / "out.rrd"
    assert main(["run", str(folder.onnx), "--source", str(tmp_path / "photo.png"), "--sink", f"rerun={path}"]) == 0
    assert f"written: {path}\n" in capsys.readouterr().err
    assert len(rows(path)["/photo/image"]) == 1


@pytest.mark.parametrize(
    ("argument", "said"), [("", "give a place"), ("out.rr", "called .rrd"), ("o.rrd?q=1", "not q"), ("o.rrd?image=1", "yes or no")]
)
def test_an_argument_that_is_none_is_told(argument: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_sink(f"rerun={argument}", print)


def test_a_viewer_that_is_not_there_is_told_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(PosetrtError, match=f"no rerun viewer listens at 127.0.0.1:{port}"):
        open_sink(f"rerun=rerun+http://127.0.0.1:{port}/proxy", print)
    with pytest.raises(UsageError, match=r"FILE\.rrd"):
        open_sink("rerun=http://127.0.0.1/x", print)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(PosetrtError, match=r"posetrt\[rerun\]"):
        open_sink(f"rerun={tmp_path / 'o.rrd'}", print)
