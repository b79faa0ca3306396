"""Files that go together are whole before the first takes its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import written_together


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
