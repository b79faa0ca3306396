"""posetrt run and bench-live: what is opened is closed, and what is asked for is passed on."""

from __future__ import annotations

import argparse
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from posetrt import cli
from posetrt.commands import run as command
from posetrt.run_options import add_arguments, check
from posetrt.runtime import pose as pose_module
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.pose import PoseOptions
from tests.stand_in import Listed, frames


def _asked(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["model/", "--source", "clip", *map(str, words)])


def _own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("posetrt")]


def test_a_taken_port_leaves_no_file_and_no_socket(tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text("from the run before")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        asked = _asked("--jsonl", f"unix:{tmp_path / 'people.sock'}", "--write-csv", kept, "--web", port)
        with pytest.raises(PosetrtError, match="give another port"):
            command._sinks(asked, [Listed(frames(1))], None)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.csv"]
    assert kept.read_text() == "from the run before"
    assert not _own_threads()


def test_a_sink_that_cannot_be_opened_closes_those_before_it(tmp_path: Path) -> None:
    asked = _asked("--web", "0", "--jsonl", f"unix:{tmp_path / 'people.sock'}", "--write-video", tmp_path / "out.mkv")
    with pytest.raises(PosetrtError, match=r"written as \.mp4 or \.avi"):
        command._sinks(asked, [Listed(frames(1))], None)
    assert not list(tmp_path.iterdir())
    assert not _own_threads()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--smooth", "--no-track"], "leave one of them out"),
        (["--draw", "pafs"], "give --write-images, --write-video or --show"),
        (["--web-token", "secret"], "give that too"),
        (["--boxes", "tracks.txt", "--source", "another"], "boxes of one source"),
    ],
)
def test_options_that_would_be_passed_over_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check(_asked(*words))


@pytest.mark.parametrize("trust", [True, False])
def test_the_live_benchmark_trusts_an_engine_only_where_asked(trust: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2
    import numpy as np

    import posetrt.bench.benchmark  # noqa: F401  it keeps the name open_pose, and must not meet it replaced

    given: list[Any] = []

    def refuse(_path: object, options: PoseOptions) -> None:
        given.append(options.engine.trust)
        raise PosetrtError("far enough")

    monkeypatch.setattr(pose_module, "open_pose", refuse)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    assert cli.main(["bench-live", str(tmp_path), "--source", str(tmp_path / "a.png"), *(["--trust"] if trust else [])]) == 1
    assert given == [trust]
