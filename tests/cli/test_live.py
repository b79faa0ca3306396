"""`posetrt run` as a robot runs it: stopped, killed, with a network that fails, watched from outside."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.calib.scenes.scenes import draw_scene
from tests.cli.conftest import Posetrt
from tests.tiny import tiny_network

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a tiny network with its fp32 engine."""
    from posetrt.cli import main

    path = tmp_path_factory.mktemp("live")
    export = ["export", "onnx", "--weights", str(tiny_network(path / "tiny.onnx")), "--input-size", "96x64", "-o", str(path / "tiny")]
    assert main(export) == 0
    assert main(["build", str(path / "tiny"), "--precision", "fp32"]) == 0
    return path / "tiny"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    random, path = np.random.default_rng(0), tmp_path / "clip.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (80, 60))
    for _ in range(20):
        video.write(random.integers(0, 255, (60, 80, 3), np.uint8))
    video.release()
    return path


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`posetrt run` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "posetrt", "run", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(condition, timeout_s: float = 40) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def counted(err: str) -> dict[str, int]:
    """The line of counts of one live source."""
    found = re.search(r"(\d+) in = (\d+) out \+ (\d+) dropped \((\d+) late, (\d+) failed, (\d+) at the stop\)", err)
    assert found, err
    return dict(zip(("captured", "delivered", "dropped", "late", "failed", "stopped"), map(int, found.groups()), strict=True))


def test_sigterm_ends_a_live_run_within_a_moment_cleanly_with_exit_code_0(tiny: Path, clip: Path, tmp_path: Path) -> None:
    lines = tmp_path / "people.jsonl"
    with running(tiny, "--source", f"paced:{clip}?fps=100&frames=0", "--jsonl", lines, "--write-json", tmp_path / "json") as process:
        wait_for(lambda: lines_of(lines) > 50)
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - asked < 3
    assert process.returncode == 0, err
    counts = counted(err)
    assert counts["captured"] == counts["delivered"] + counts["dropped"]
    assert lines_of(lines) == counts["delivered"]
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert all(record["source"] == "clip" for record in records)
    for path in (tmp_path / "json").iterdir():
        json.loads(path.read_text())
    assert len(list((tmp_path / "json").iterdir())) == counts["delivered"]
    assert "limited by the" in err


def test_sigterm_in_a_file_is_no_success(tiny: Path, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    image = np.zeros((600, 800, 3), np.uint8)
    for number in range(400):
        cv2.imwrite(str(folder / f"p{number}.png"), image)
    with running(tiny, "--source", folder, "--jsonl", tmp_path / "p.jsonl") as process:
        wait_for(lambda: lines_of(tmp_path / "p.jsonl") > 5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 143


def test_kill_9_leaves_files_valid_up_to_the_last_frame(tiny: Path, clip: Path, tmp_path: Path) -> None:
    names = {"--jsonl": "a.jsonl", "--write-csv": "a.csv", "--write-coco": "a.json"}
    arguments = [part for option, name in names.items() for part in (option, tmp_path / name)]
    arguments += ["--preset", "all", "--write-json", tmp_path / "json"]
    with running(tiny, "--source", f"paced:{clip}?fps=200&frames=0", *arguments) as process:
        wait_for(lambda: lines_of(tmp_path / "a.jsonl") > 60)
        process.kill()
        process.communicate()
    whole = (tmp_path / "a.jsonl").read_bytes()
    records = [json.loads(line) for line in whole.splitlines()]
    assert whole.endswith(b"\n")
    assert len(records) > 60
    with (tmp_path / "a.csv").open(newline="") as file:
        assert all(None not in row.values() and None not in row for row in csv.DictReader(file))
    json.loads((tmp_path / "a.json").read_text())
    for path in (tmp_path / "json").iterdir():
        if not path.name.startswith("."):
            json.loads(path.read_text())


def test_a_full_disk_ends_a_live_run_with_exit_code_1_and_the_reason(posetrt: Posetrt, tiny: Path, clip: Path) -> None:
    said = posetrt("run", tiny, "--source", f"paced:{clip}?fps=100&frames=0", "--jsonl", "/dev/full")
    assert said.code == 1
    assert "No space left on device" in said.err
    assert "Traceback" not in said.err


def test_json_lines_on_stdout_are_nothing_but_json_lines(posetrt: Posetrt, tiny: Path, clip: Path) -> None:
    said = posetrt("run", tiny, "--source", clip, "--jsonl", "-")
    assert said.code == 0
    assert [json.loads(line)["frame"] for line in said.out.splitlines()] == list(range(20))


def test_two_sources_write_files_that_do_not_collide(posetrt: Posetrt, tiny: Path, clip: Path, tmp_path: Path) -> None:
    sources = ["--source", clip, "--source", clip]
    said = posetrt(
        "run", tiny, *sources, "--write-video", tmp_path / "out.avi", "--jsonl", tmp_path / "a.jsonl", "--write-json", tmp_path / "j"
    )
    assert said.code == 0, said.err
    assert "40 frames" in said.err
    assert sorted(path.name for path in tmp_path.glob("out*.avi")) == ["out-clip-2.avi", "out-clip.avi"]
    records = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    for label in ("clip", "clip-2"):
        assert [record["frame"] for record in records if record["source"] == label] == list(range(20))
    assert len(list((tmp_path / "j").iterdir())) == 40
    assert posetrt("run", tiny, *sources, "--write-coco", tmp_path / "c.json").code == 2


def test_health_and_prometheus_tell_what_the_run_does(tiny: Path, clip: Path) -> None:
    port = free_port()
    with running(tiny, "--source", f"paced:{clip}?fps=50&frames=0", "--status-port", port):

        def answer(path: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                    return response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()
            except OSError:
                return 0, ""

        wait_for(
            lambda: (
                'frames_delivered_total{source="clip"}' in (text := answer("/metrics")[1])
                and not re.search(r"_delivered_total\S+ 0\n", text)
            )
        )
        code, line = answer("/health")
        assert code == 200
        assert re.match(r"ok; [\d.]+ fps, age p99 \d+ ms, \d+ of \d+ frames dropped; limited by the \w+", line)
        text = answer("/metrics")[1]
        for each in text.splitlines():
            assert re.match(r"(# (HELP|TYPE) posetrt_\w+ .+|posetrt_\w+(\{[^}]*\})? -?[\d.e+-]+)$", each), each
        assert answer("/other")[0] == 404


def test_a_page_for_others_needs_a_token(posetrt: Posetrt, tiny: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSETRT_WEB_TOKEN", raising=False)
    said = posetrt("run", tiny, "--source", clip, "--web", f"0.0.0.0:{free_port()}")
    assert said.code == 2
    assert "POSETRT_WEB_TOKEN" in said.err


def test_the_library_streams_a_source(tiny: Path, clip: Path, tmp_path: Path) -> None:
    import posetrt

    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in (1, 2):
        cv2.imwrite(str(photos / f"{seed}.png"), draw_scene(seed, (96, 64)).image)

    with posetrt.open(tiny) as pose:
        results = list(pose.stream(clip))
        assert [result.frame.index for result in results] == list(range(20))
        assert all(result.people.ids is not None for result in results)
        assert all(result.people.ids is None for result in pose.stream(photos)), "photographs are no frames of one scene"
        for number, result in enumerate(pose.stream(f"paced:{clip}?fps=50&frames=0")):
            assert result.age_s is not None
            if number == 3:
                break


def test_the_live_benchmark_counts_every_frame(posetrt: Posetrt, tiny: Path, clip: Path) -> None:
    said = posetrt("bench-live", tiny, "--source", clip, "--only", "age", "--frames", "240")
    assert said.code == 0, said.err
    age = json.loads(said.out)["age"]
    assert age["exact"] is True
    assert age["frames_in"] == 240 == age["frames_out"] + age["frames_dropped"]
    assert 0 < age["age_p50_ms"] <= age["age_p99_ms"]


def call(shell: str, *words: object) -> subprocess.CompletedProcess[str]:
    """`posetrt WORDS` as a shell runs it, with what the shell does to standard output."""
    command = f'"$0" -m posetrt "$@" {shell}'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, *map(str, words)],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )  # fmt: skip


@pytest.mark.parametrize(("shell", "reason"), [(">/dev/full", "No space left on device"), (">&-", "closed")])
def test_a_command_that_cannot_print_says_so_and_fails(shell: str, reason: str) -> None:
    said = call(shell, "doctor", "--json")
    assert said.returncode == 1
    assert "cannot write to standard output" in said.stderr
    assert reason in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("shell", [">/dev/full", ">&-"])
def test_a_run_whose_lines_go_nowhere_writes_its_other_files_and_fails(shell: str, tiny: Path, clip: Path, tmp_path: Path) -> None:
    said = call(shell, "run", tiny, "--source", clip, "--jsonl", "-", "--write-json", tmp_path / "json")
    assert said.returncode == 1
    assert "cannot write to standard output" in said.stderr
    assert "Traceback" not in said.stderr
    assert len(list((tmp_path / "json").iterdir())) == 20


def test_a_reader_that_goes_away_is_no_traceback(tiny: Path, clip: Path) -> None:
    said = call("| head -c 10", "run", tiny, "--source", clip, "--jsonl", "-")
    assert "Traceback" not in said.stderr
    assert "Exception ignored" not in said.stderr
