"""What --source names of a corpus."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posetrt.corpus.listing import clip_at, clips, content_sha256
from posetrt.runtime.errors import PosetrtError, UsageError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "a/one.mp4",
        "a/deep/two.mp4",
        "b/three.avi",
        "b/.hidden.mp4",
        "b/notes.csv",
        "photos/p1.jpg",
        "photos/p2.png",
        ".cache/four.mp4",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def _names(tree: Path, *sources: str) -> list[str]:
    return sorted(os.path.relpath(clip.path, tree) for clip in clips([str(tree / source) for source in sources]))


def test_a_pattern_names_what_a_shell_would(tree: Path) -> None:
    assert _names(tree, "**/*.mp4") == ["a/deep/two.mp4", "a/one.mp4"]
    assert _names(tree, "*/*.mp4") == ["a/one.mp4"]
    assert _names(tree, "b/*.avi", "a/[o]ne.mp4") == ["a/one.mp4", "b/three.avi"]
    assert _names(tree, "photos/*.jpg") == ["photos/p1.jpg"]
    assert _names(tree, "b/.*.mp4") == ["b/.hidden.mp4"]


def test_a_folder_is_each_video_below_it_and_each_folders_photographs(tree: Path) -> None:
    assert _names(tree, "") == ["a/deep/two.mp4", "a/one.mp4", "b/three.avi", "photos"]


def test_a_list_names_paths_relative_to_itself(tree: Path) -> None:
    (tree / "a" / "list.txt").write_text(f"one.mp4\n{tree}/b/three.avi\n\n../gone.mp4\n")
    assert _names(tree, "a/list.txt") == ["a/one.mp4", "b/three.avi", "gone.mp4"]


def test_what_names_nothing_is_refused(tree: Path) -> None:
    with pytest.raises(UsageError, match="names no video"):
        _names(tree, "*.webm")


def test_a_name_that_is_not_utf8_is_a_clip_too(tree: Path) -> None:
    path = os.fsencode(tree) + b"/a/caf\xe9.mp4"
    Path(os.fsdecode(path)).write_bytes(b"x")
    (clip,) = clips([str(tree / "a" / "caf*")])
    assert len(clip.key) == 16


def test_a_folders_content_is_its_photographs(tree: Path) -> None:
    before = content_sha256(clip_at(tree / "photos"))
    (tree / "photos" / "p1.jpg").write_bytes(b"changed")
    assert content_sha256(clip_at(tree / "photos")) != before
    with pytest.raises(PosetrtError, match="holds no photographs"):
        clip_at(tree / "a")
