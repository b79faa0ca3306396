"""A window that shows the annotated frames while they are found."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.draw import drawing

PHOTOGRAPH_MS = 2000
"""For how long a photograph is shown, unless a key is pressed."""

_STOP_KEYS = (27, ord("q"))
_INSTEAD = "--web 8080 shows the same in a browser, and --write-images in files"


class Window(Sink):
    """Shows each source in a window of its own, opened with its first frame.

    Args:
        what: "people", or a picture of the network's outputs.
        stop: called when the user presses q or Esc.
        hold_ms: for how long a frame is shown at least: 1 for video and cameras.

    Raises:
        PosetrtError: this computer has no display, or this OpenCV no windows.
    """

    def __init__(self, what: str, stop: Callable[[], None], hold_ms: int = 1) -> None:
        self.draw = drawing(what)
        self.needs_tensors = what != "people"
        self._stop, self._hold_ms = stop, hold_ms
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise PosetrtError(f"--show opens a window, and this session has no display (DISPLAY is not set). {_INSTEAD}")
        if not _has_windows():
            raise PosetrtError(f"--show opens a window, and this OpenCV was built without any (opencv-python has them). {_INSTEAD}")

    def write(self, result: Result) -> None:
        """Show one frame."""
        import cv2

        cv2.imshow(f"posetrt {result.frame.label}".strip(), self.draw(result))
        if cv2.waitKey(self._hold_ms) & 0xFF in _STOP_KEYS:
            self._stop()

    def close(self) -> None:
        """Windows close with the program: they belong to the thread that wrote to them."""


def _has_windows() -> bool:
    import cv2

    gui = next((line.split(":", 1)[1].split() for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")), [])
    return bool(gui) and gui[0] != "NONE"
