"""GStreamer's pipelines for a Jetson's cameras, streams and video files, as text without a sink.

The strings for NVIDIA's elements are those of the Accelerated GStreamer user guide. None of them has run on a Jetson yet.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from posetrt.runtime.sources.base import smaller_wh

Size = tuple[int, int]

ARGUS_ADVICE = "if it stays away, restart the camera daemon: sudo systemctl restart nvargus-daemon; then see: sudo dmesg"

_TURNING = frozenset({1, 3, 5, 7})
"""nvvidconv's flip methods that change width and height: by a quarter turn, or over a diagonal."""

_NICEST = 5
"""nvvidconv's interpolation-method that takes the most pixels; its usual one may take the nearest alone."""

_CSI = ("width", "height", "fps", "flip")

_NEWEST = " ! queue leaky=downstream max-size-buffers=1"


@dataclass(frozen=True)
class Wanted:
    """What the hardware's scaler is asked for.

    Attributes:
        size_wh: scale each picture to this size, after turning it; None: as it comes.
        nv12: give `size_wh` as NV12, as decoders and cameras have it, and not as I420.
    """

    size_wh: Size | None = None
    nv12: bool = False


AS_IT_COMES = Wanted()


def wanted_of(whole_wh: Size, enough_wh: Size | None, nv12_wh: Size | None) -> Wanted:
    """What to ask of the scaler for pictures of a size; `enough_wh` and `nv12_wh` as a `Source` has them.

    NV12 goes only to a network that takes that very size: what has other proportions comes as it is, and the network refuses it.
    """
    smaller = None if enough_wh is None else smaller_wh(whole_wh, enough_wh)
    if nv12_wh is None:
        return Wanted(smaller)
    return Wanted(nv12_wh, nv12=True) if nv12_wh == (smaller or whole_wh) else AS_IT_COMES


def _converted(wanted: Wanted, flip: int | None = None) -> str:
    """nvvidconv to the computer's memory, turned, and scaled by the hardware where a size is given."""
    turned = "" if flip is None else f" flip-method={flip}"
    scaled = "" if wanted.size_wh is None else f",width={wanted.size_wh[0]},height={wanted.size_wh[1]}"
    nicest = "" if wanted.size_wh is None else f" interpolation-method={_NICEST}"
    return f"nvvidconv{turned}{nicest} ! video/x-raw,format={'NV12' if wanted.nv12 else 'I420'}{scaled}"


def csi_wh(options: Mapping[str, str]) -> Size:
    """Width and height of the pictures that a CSI camera's options ask for, as they are seen: after turning."""
    width, height, flip = (int(float(options.get(name, usual))) for name, usual in (("width", 1280), ("height", 720), ("flip", 0)))
    return (height, width) if flip in _TURNING else (width, height)


def csi(sensor: int, options: Mapping[str, str], wanted: Wanted = AS_IT_COMES) -> str:
    """The pipeline of a Jetson's CSI camera: 1280x720 at 30 fps unless asked otherwise.

    Args:
        sensor: its number.
        options: width, height, fps; `flip`, nvvidconv's flip-method; `mode`, the sensor mode, by whose size the field of view differs;
            `exposure` in microseconds, `gain`, `wb`, nvarguscamerasrc's wbmode: each fixed where given, automatic otherwise.
        wanted: of the scaler.
    """
    width, height, fps, flip = (int(float(options.get(name, usual))) for name, usual in zip(_CSI, (1280, 720, 30, 0), strict=True))
    fixed = ""
    if "mode" in options:
        fixed += f" sensor-mode={int(float(options['mode']))}"
    if "exposure" in options:
        nanoseconds = round(float(options["exposure"]) * 1000)
        fixed += f' exposuretimerange="{nanoseconds} {nanoseconds}"'
    if "gain" in options:
        fixed += f' gainrange="{float(options["gain"]):g} {float(options["gain"]):g}"'
    if "wb" in options:
        fixed += f" wbmode={int(float(options['wb']))}"
    return (
        f"nvarguscamerasrc sensor-id={sensor}{fixed} ! video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1 ! "
        f"{_converted(wanted, flip)}{_NEWEST}"
    )


def usb_mjpeg(device: str, options: Mapping[str, str], wanted: Wanted | None = AS_IT_COMES) -> str:
    """The pipeline of a USB camera's JPEG pictures: 1280x720 at 30 fps unless asked otherwise.

    Args:
        wanted: of the scaler of a Jetson, whose hardware then decodes too; None: the CPU decodes, and pictures are as they come.
    """
    width, height, fps = (int(float(options.get(name, usual))) for name, usual in zip(_CSI[:3], (1280, 720, 30), strict=True))
    camera = f"v4l2src device={shlex.quote(device)} ! image/jpeg,width={width},height={height},framerate={fps}/1"
    if wanted is None:
        return f"{camera} ! jpegdec ! videoconvert ! video/x-raw,format=I420{_NEWEST}"
    return f"{camera} ! nvv4l2decoder mjpeg=1 ! {_converted(wanted)}{_NEWEST}"


def rtsp(url: str, wanted: Wanted = AS_IT_COMES) -> str:
    """The pipeline of an RTSP stream on a Jetson: decodebin takes the hardware's decoder, H.264 or H.265.

    The camera's sound, which may come first, is left alone.
    """
    return (
        f"rtspsrc location={shlex.quote(url)} latency=100 drop-on-latency=true ! application/x-rtp,media=video ! decodebin ! "
        f"{_converted(wanted)}{_NEWEST}"
    )


def video_file(path: str, demuxer: str, parser: str, flip: int = 0, wanted: Wanted = AS_IT_COMES) -> str:
    """The pipeline of a video file on a Jetson: every picture in order, decoded, turned and scaled by the hardware.

    Args:
        path: of the file.
        demuxer: "qtdemux" or "matroskademux"; its sound is left alone.
        parser: "h264parse" or "h265parse".
        flip: nvvidconv's flip-method.
        wanted: of the scaler.
    """
    turned = flip or None
    return f"filesrc location={shlex.quote(path)} ! {demuxer} ! {parser} ! nvv4l2decoder ! {_converted(wanted, turned)}"
