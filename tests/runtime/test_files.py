"""Files that go together are whole before the first takes its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from posetrt.runtime import files
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import check_writable, is_leftover, remove_leftovers, write_text, written_together, written_whole


def _write(first: Path, second: Path, *, second_to: Path | None) -> None:
    with written_together(first, second) as (one, other):
        one.write_text("new engine")
        (second_to or other).write_text("new sidecar")


def test_both_files_are_whole_before_either_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill before the renames: the old pair is there, and the new one was complete beside it."""
    first, second = tmp_path / "x.engine", tmp_path / "x.engine.json"
    first.write_text("old")
    second.write_text("old")
    beside: list[str] = []

    def killed(self: Path, target: Path) -> None:
        beside.extend(path.read_text() for path in tmp_path.iterdir() if path.name.startswith("."))
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        _write(first, second, second_to=None)
    assert sorted(beside) == ["new engine", "new sidecar"]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x.engine": "old", "x.engine.json": "old"}


def test_a_disk_that_is_full_at_the_second_file_leaves_the_first_as_it_was(tmp_path: Path) -> None:
    first, second = tmp_path / "x.engine", tmp_path / "x.engine.json"
    first.write_text("old")
    with pytest.raises(PosetrtError, match=r"x.engine and .*x.engine.json: No space left"):
        _write(first, second, second_to=Path("/dev/full"))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x.engine": "old"}


def test_room_is_asked_for_on_a_full_disk_alone(tmp_path: Path) -> None:
    with pytest.raises(PosetrtError, match="free space"):
        _write(tmp_path / "x.engine", tmp_path / "x.json", second_to=Path("/dev/full"))
    (tmp_path / "file").write_text("in the way")
    for refused in (lambda: write_text(tmp_path / "file" / "x.json", "{}"), lambda: check_writable(tmp_path / "file" / "deep" / "folder")):
        with pytest.raises(PosetrtError, match="choose a folder that you may write to") as said:
            refused()
        assert "free space" not in str(said.value)


def test_trying_a_folder_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_is_removed_by_the_next_program_and_what_is_being_written_stays(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from posetrt.runtime.files import written_whole\n"
        "with written_whole(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.onnx")], check=False, env=os.environ | {"PYTHONPATH": "src"})
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1
    assert is_leftover(left[0])
    for name in (".model-kept.onnx", ".hidden", "person.unfinished.onnx"):
        (tmp_path / name).write_text("a user's own")
    with written_whole(tmp_path / "being_written.onnx") as temporary:
        files._tidied.clear()
        remove_leftovers(tmp_path)
        assert temporary.exists()
        assert not (tmp_path / left[0]).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".hidden",
        ".model-kept.onnx",
        "being_written.onnx",
        "person.unfinished.onnx",
    ]


def test_a_name_of_as_many_bytes_as_a_file_system_takes_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / ("ü" * 122 + ".json"), "{}")
    assert len(list(tmp_path.iterdir())) == 1
