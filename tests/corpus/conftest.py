"""Clips of drawn people."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from posetrt.calib.scenes.scenes import draw_video


def write_clips(folder: Path, count: int, frames: int = 4) -> list[Path]:
    """So many videos with drawn people, in two folders; no two alike."""
    paths = []
    for number in range(count):
        path = folder / "ab"[number % 2] / f"clip{number:02d}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 240))
        for scene in draw_video(number, (320, 240), people=2, frames=frames, fps=25):
            writer.write(scene.image)
        writer.release()
        paths.append(path)
    return paths


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five clips, and one that is no video."""
    folder = tmp_path_factory.mktemp("corpus")
    write_clips(folder, 5)
    (folder / "a" / "broken.avi").write_bytes(b"RIFF no video")
    return folder
