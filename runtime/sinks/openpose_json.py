"""OpenPose's JSON, a file a frame, for the programs that read OpenPose."""

from __future__ import annotations

import json
from pathlib import Path

from posetrt.runtime.files import write_text
from posetrt.runtime.people import to_openpose
from posetrt.runtime.sinks.base import Result, Sink


class OpenPoseJson(Sink):
    """Writes `DIR/NAME_keypoints.json`.

    Args:
        folder: made where absent.
    """

    needs_pictures = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, result: Result) -> None:
        """Write one file, whole or not at all."""
        write_text(self.folder / f"{result.frame.name}_keypoints.json", json.dumps(to_openpose(result.people), allow_nan=False))

    def close(self) -> None:
        """Nothing stays open."""
