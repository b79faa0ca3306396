"""From what a user writes to a source that gives frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from posetrt.runtime.errors import UsageError
from posetrt.runtime.sources.address import Address, parse_address
from posetrt.runtime.sources.base import Source
from posetrt.runtime.sources.files import PHOTO_SUFFIXES, Photos, Video, photos_in
from posetrt.runtime.sources.paced import Paced


def open_source(text: str | Path, say: Callable[[str], None] | None = None) -> Source:
    """The source that a text names: see `parse_address`. A camera is connected when it is first read, and again whenever it is lost.

    Args:
        text: a path, a device, an address or a GStreamer string.
        say: takes a line, without credentials, when a camera goes away, freezes or comes back.

    Raises:
        UsageError: no file there, or options that the source does not have.
        PosetrtError: an empty folder, or a file that is neither photograph nor video.
    """
    address = parse_address(str(text))
    if address.kind == "file":
        return _open_file(Path(address.target))
    if address.kind == "paced":
        options = address.options
        rate = float(options["fps"]) if "fps" in options else None
        return Paced(_open_file(Path(address.target)), rate, int(float(options["frames"])) if "frames" in options else None)
    return _open_camera(address, say)


def _open_file(path: Path) -> Source:
    if path.is_dir():
        return Photos(photos_in(path))
    if not path.is_file():
        raise UsageError(f"there is no photograph, folder or video at {path}")
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return Photos([path])
    return Video(path)


def _open_camera(address: Address, say: Callable[[str], None] | None) -> Source:
    from posetrt.runtime.sources import capture, gstreamer, mjpeg
    from posetrt.runtime.sources.camera import Camera

    target = address.target
    if address.kind == "csi":
        return Camera(f"csi{target}", f"csi://{target}", lambda: gstreamer.Launched(gstreamer.csi(int(target), address.options)), say=say)
    if address.kind == "v4l2":
        return Camera(Path(target).name, target, lambda: capture.V4l2(target, address.options), say=say)
    if address.kind == "http":
        return Camera("http", address.shown, lambda: mjpeg.Mjpeg(target), say=say)
    if address.kind == "rtsp":
        if gstreamer.has_element("nvv4l2decoder"):
            return Camera("rtsp", address.shown, lambda: gstreamer.Launched(gstreamer.rtsp(target)), say=say)
        return Camera("rtsp", address.shown, lambda: capture.Stream(target), say=say)
    return Camera("gst", address.shown, lambda: gstreamer.Launched(target), say=say)
