"""Annotated pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import written_whole
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.draw import drawing


class Pictures(Sink):
    """Writes `DIR/NAME_rendered.jpg`.

    Args:
        folder: made where absent.
        what: "people", "heatmaps" or "pafs".
        form: "jpg", which is small and quick to write, or "png", which keeps every pixel.
    """

    def __init__(self, folder: Path, what: str = "people", form: str = "jpg") -> None:
        self.folder = folder
        self.form = form
        self.draw = drawing(what)
        self.needs_tensors = what != "people"

    def write(self, result: Result) -> None:
        """Draw and write one picture, whole or not at all."""
        import cv2

        target = self.folder / f"{result.frame.name}_rendered.{self.form}"
        with written_whole(target) as temporary:
            written, data = cv2.imencode(target.suffix, self.draw(result))
            if not written:
                raise PosetrtError(f"OpenCV cannot make a picture of {target.name}")
            # Written by Python, which takes any name and says why where it cannot.
            temporary.write_bytes(np.asarray(data).tobytes())

    def close(self) -> None:
        """Nothing stays open."""
