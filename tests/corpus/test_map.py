"""`posetrt map` on drawn clips, with the network that ships."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from posetrt.commands.map import _SINKS
from posetrt.corpus.shards import SINKS
from tests.cli.conftest import Posetrt, posetrt  # noqa: F401 a fixture
from tests.corpus.conftest import write_clips


def files_of(folder: Path) -> dict[str, bytes]:
    """Name → bytes of everything in a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_help_text_names_the_sinks_that_there_are() -> None:
    assert set(_SINKS) == set(SINKS)


def test_the_same_bytes_whatever_the_number_of_workers_and_a_second_call_does_nothing(
    corpus: Path,
    tmp_path: Path,
    posetrt: Posetrt,  # noqa: F811
) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
    for count in (1, 2):
        said = posetrt("map", "nano", "--source", corpus, "-o", tmp_path / str(count), "--sinks", "jsonl,coco,parquet", "--workers", count)
        assert said.code == 1
        assert f"failed: {corpus}/a/broken.avi" in said.err
    found = files_of(tmp_path / "1")
    assert found == files_of(tmp_path / "2")
    records = [json.loads(line) for line in found["manifest.jsonl"].splitlines()]
    assert [record["state"] for record in records].count("done") == 5
    (failed,) = (record for record in records if record["state"] == "failed")
    assert failed["source"] == f"{corpus}/a/broken.avi"
    assert failed["attempts"] == 3
    (record,) = (record for record in records if record["source"] == f"{corpus}/b/clip01.avi")
    assert posetrt("run", "nano", "--source", corpus / "b" / "clip01.avi", "--threads", 1, "--jsonl", tmp_path / "run.jsonl").code == 0
    assert found[record["files"]["jsonl"]] == (tmp_path / "run.jsonl").read_bytes()
    assert len(json.loads(found[record["files"]["coco"]])) == record["people"] > 0
    table = pq.read_table(tmp_path / "1" / record["files"]["parquet"])
    assert table.num_rows == record["people"]
    assert json.loads(table.schema.metadata[b"posetrt"])["frames"] == record["frames"] == 4
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "1").rglob("*.jsonl") if path.name != "manifest.jsonl"}
    said = posetrt("map", "nano", "--source", corpus, "-o", tmp_path / "1", "--json")
    assert json.loads(said.out) | {"nodes": 0} == json.loads(said.out) | {"listed": 6, "earlier": 5, "done": 0, "failed": 1, "nodes": 0}
    assert "workers" not in said.err
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_what_changed_is_done_again_and_what_was_only_touched_is_not(tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    first, second = write_clips(tmp_path / "clips", 2, frames=2)
    call = ("map", "nano", "--source", tmp_path / "clips", "-o", tmp_path / "out", "--workers", 1, "--json")
    assert json.loads(posetrt(*call).out)["done"] == 2
    before = files_of(tmp_path / "out")
    os.utime(first, (1, 1))
    second.write_bytes(first.read_bytes())
    again = json.loads(posetrt(*call).out)
    assert (again["done"], again["earlier"]) == (1, 1)
    after = files_of(tmp_path / "out")
    assert before.keys() == after.keys()
    assert json.loads(posetrt(*call).out)["done"] == 0
    # Another sink adds its file, and what is there stays known.
    assert json.loads(posetrt(*call, "--sinks", "coco").out)["done"] == 2
    assert json.loads(posetrt(*call, "--sinks", "jsonl,coco").out)["done"] == 0
    # A file that somebody removed is made again.
    gone = next(name for name in after if name.startswith("jsonl/"))
    (tmp_path / "out" / gone).unlink()
    assert json.loads(posetrt(*call).out)["done"] == 1
    assert files_of(tmp_path / "out")[gone] == after[gone]


def test_a_folder_of_another_model_is_refused_and_left_as_it_is(corpus: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "job.json").write_text('{"format": 1, "network": {"model": "0", "precision": "fp32"}}')
    (tmp_path / "out" / "done" / "aa").mkdir(parents=True)
    (tmp_path / "out" / "done" / "aa" / "aa00.json").write_text("{}")
    before = files_of(tmp_path / "out")
    said = posetrt("map", "nano", "--source", corpus, "-o", tmp_path / "out")
    assert said.code == 2
    assert "holds the results of another job" in said.err
    assert "network: " in said.err
    assert files_of(tmp_path / "out") == before


def test_bad_requests_are_refused_before_anything_is_made(corpus: Path, tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    out = tmp_path / "out"
    for options, told in (
        (["--source", corpus, "--sinks", "xml"], "--sinks takes some of"),
        (["--source", corpus, "--source", tmp_path / "none.mp4"], "there is no file, folder or list"),
        (["--source", corpus, "--workers", -1], "--workers is 1 or more"),
        (["--source", corpus, "--on", "mars"], "--on takes local"),
    ):
        said = posetrt("map", "nano", "-o", out, *options)
        assert (said.code, told in said.err) == (2, True), said.err
        assert not out.exists()


def test_a_full_disk_ends_the_job_and_loses_nothing(tmp_path: Path, posetrt: Posetrt) -> None:  # noqa: F811
    """A limit on the size of a file stands in for the disk: the second clip has many more frames."""
    write_clips(tmp_path / "clips", 1, frames=1)
    call = ["map", "nano", "--source", str(tmp_path / "clips"), "-o", str(tmp_path / "out"), "--workers", "1"]
    assert posetrt(*call).code == 0
    before = {name: data for name, data in files_of(tmp_path / "out").items() if name != "manifest.jsonl"}
    write_clips(tmp_path / "clips", 3, frames=12)
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)); from posetrt.cli import main; sys.exit(main(sys.argv[1:]))"
    said = subprocess.run(
        [sys.executable, "-c", limited, *call],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert said.returncode == 1
    assert "cannot write" in said.stderr
    assert "the same command goes on from there" in said.stderr
    left = files_of(tmp_path / "out")
    assert all(
        left[name] == data for name, data in before.items() if name in left and "clip00" not in name and not name.startswith("done/")
    )
    assert posetrt(*call).code == 0
    states = [json.loads(line)["state"] for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert states == ["done"] * 3
