"""From what a user writes to a source that gives frames."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.plugins import SOURCES, load_plugin
from posetrt.runtime.sources.address import Address, parse_address
from posetrt.runtime.sources.base import Source
from posetrt.runtime.sources.camera import FIRST_TRIES
from posetrt.runtime.sources.files import Photos, is_photo, photos_in, videos_in
from posetrt.runtime.sources.names import readable
from posetrt.runtime.sources.paced import Paced
from posetrt.runtime.sources.picture_header import MOST_MEGAPIXELS
from posetrt.runtime.sources.video import Video

if TYPE_CHECKING:
    from posetrt.runtime.sources.camera import Camera, Connection

Size = tuple[int, int]


def open_source(
    text: str | Path, say: Callable[[str], None] | None = None, most_megapixels: float = MOST_MEGAPIXELS, *, wait: bool = False
) -> Source:
    """The source that a text names: see `parse_address`. A camera is connected when it is first read, and again whenever it is lost.

    One that gives no picture in the first five tries is an error of its iterator, unless it is waited for.

    Args:
        text: a path, a device, an address or a GStreamer string.
        say: takes a line, without credentials, when a camera goes away, freezes or comes back.
        most_megapixels: a larger picture is refused before it is decoded.
        wait: for a camera that is not there yet, however long that takes.

    Raises:
        UsageError: no file there, or options that the source does not have.
        PosetrtError: an empty folder, a file that is neither photograph nor video, or a USB camera that is not plugged in.
    """
    address = parse_address(str(text))
    if address.kind == "file":
        return _open_file(Path(address.target), say, most_megapixels)
    if address.kind == "paced":
        options = address.options
        rate = float(options["fps"]) if "fps" in options else None
        file = _open_file(Path(address.target), say, most_megapixels)
        return Paced(file, rate, int(float(options["frames"])) if "frames" in options else None)
    if address.kind == "plugin":
        opened: Source = load_plugin(SOURCES, address.target.partition("://")[0])(address.target, say)
        return opened
    return _open_camera(address, say, most_megapixels, None if wait else FIRST_TRIES)


def _open_file(path: Path, say: Callable[[str], None] | None, most_megapixels: float) -> Source:
    if path.is_dir():
        try:
            return Photos(photos_in(path), most_megapixels)
        except PosetrtError:
            videos = videos_in(path)
            if not videos:
                raise
            count = f"{len(videos)} video{'s' * (len(videos) != 1)}"
            one, folder = (shlex.quote(readable(str(each))) for each in (videos[0], path))
            raise PosetrtError(
                f"{readable(str(path))} holds no photographs but {count}; a video is a source of its own: --source {one}. "
                f"Many at once: posetrt map nano --source {folder} -o out/"
            ) from None
    if not path.is_file():
        raise UsageError(f"there is no photograph, folder or video at {path}")
    # An animated GIF is a video, and OpenCV's reader of videos takes one that stands still too.
    if is_photo(path) and path.suffix.lower() != ".gif":
        return Photos([path], most_megapixels)
    return Video(path, most_megapixels, say)


def _no_camera(device: str) -> PosetrtError:
    if sys.platform != "linux":
        return PosetrtError(
            f"cameras are read by their device on Linux alone, and this is {platform.system()}: {device} is none here. "
            "Give an address (rtsp://..., http://...), or read the camera in your own loop, as examples/webcam.py does"
        )
    names = ("video[0-9]*", "posetrt-camera-*", "v4l/by-id/*", "v4l/by-path/*")
    here = sorted(str(path) for name in names for path in Path("/dev").glob(name))
    return PosetrtError(
        f"there is no camera {device}: {'this computer has ' + ', '.join(here) if here else 'this computer has no /dev/video* at all'}. "
        "Plug it in, give another source, or wait for it with: posetrt run --wait; a camera that goes away later is waited for"
    )


def _open_camera(address: Address, say: Callable[[str], None] | None, most_megapixels: float, tries: int | None) -> Source:
    from posetrt.runtime.sources import capture, gstreamer, mjpeg, pipelines
    from posetrt.runtime.sources.camera import Camera

    target, options = address.target, address.options

    def launched(label: str, shown: str, connect: Callable[[Camera], Connection], advice: str | None = None) -> Camera:
        camera = Camera(label, shown, lambda: connect(camera), first_s=gstreamer.FIRST_PICTURE_S, say=say, advice=advice, tries=tries)
        return camera

    def scaled(pipeline: Callable[[pipelines.Wanted], str], whole_wh: Size) -> Callable[[Camera], Connection]:
        """By the hardware, from a size that the pipeline itself asks the camera for."""

        def connect(camera: Camera) -> Connection:
            wanted = pipelines.wanted_of(whole_wh, camera.enough_wh, camera.nv12_wh)
            smaller = whole_wh if wanted.size_wh not in (None, whole_wh) else None
            return gstreamer.Launched(pipeline(wanted), smaller, wanted=wanted)

        return connect

    def as_it_comes(pipeline: str) -> Callable[[Camera], Connection]:
        return lambda camera: gstreamer.Launched(pipeline, nv12_wh=camera.nv12_wh, ends=gstreamer.plays_out(pipeline))

    if address.kind == "csi":
        connect = scaled(partial(pipelines.csi, int(target), options), pipelines.csi_wh(options))
        return launched(f"csi{target}", f"csi://{target}", connect, pipelines.ARGUS_ADVICE)
    if address.kind == "v4l2":
        if not Path(target).exists() and tries is not None:
            raise _no_camera(target)
        if float(options.get("mjpeg", 0)):
            if not gstreamer.has_element("nvv4l2decoder"):
                return launched(Path(target).name, target, as_it_comes(pipelines.usb_mjpeg(target, options, None)))
            by_hardware = partial(pipelines.usb_mjpeg, target, options)
            return launched(Path(target).name, target, scaled(by_hardware, pipelines.csi_wh({**options, "flip": "0"})))
        return Camera(Path(target).name, target, lambda: capture.V4l2(target, options), say=say, tries=tries)
    if address.kind == "http":
        return Camera("http", address.shown, lambda: mjpeg.Mjpeg(target, most_megapixels), say=say, tries=tries)
    if address.kind == "rtsp":
        if gstreamer.has_element("nvv4l2decoder"):
            stream = partial(pipelines.rtsp, target)

            def scaled_stream(camera: Camera) -> Connection:
                enough_wh, nv12_wh = camera.enough_wh, camera.nv12_wh
                if enough_wh is None and nv12_wh is None:
                    return gstreamer.Launched(stream())
                return gstreamer.Scaled(stream, lambda whole_wh: pipelines.wanted_of(whole_wh, enough_wh, nv12_wh), nv12_wh)

            return launched("rtsp", address.shown, scaled_stream)
        return Camera("rtsp", address.shown, lambda: capture.Stream(target), say=say, tries=tries)
    return launched("gst", address.shown, as_it_comes(target))
