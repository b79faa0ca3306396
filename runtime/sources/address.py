"""What a user writes after --source: which kind of source it names, its options, and the same text without credentials."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from posetrt.runtime.errors import UsageError
from posetrt.runtime.plugins import SOURCES, plugin_names

_PRIVATE = r"(?:pass(?:word|wd)?|pwd|user(?:name)?|user-(?:id|pw)|token|auth|key|secret|sig(?:nature)?|access_token|api_?key|login)"
_USERINFO = re.compile(r"(?<=://)[^/\s?#'\"]*@")
_PARAMETER = re.compile(rf"(?i)(\b{_PRIVATE}\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s&;'\"!]+)")


def redacted(text: str) -> str:
    """The text with user names, passwords and tokens of addresses replaced by ***."""
    return _PARAMETER.sub(r"\1***", _USERINFO.sub("***@", text))


@dataclass(frozen=True)
class Address:
    """A source as the user names it.

    Attributes:
        kind: "file", "paced", "v4l2", "csi", "rtsp", "http", "gstreamer", or "plugin" for a scheme that another package adds.
        target: path, device, sensor number, URL or pipeline; may hold credentials.
        options: what stood behind the question mark of paced:, /dev/ and csi:// sources.
    """

    kind: str
    target: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """For people and logs: without credentials."""
        return redacted(self.target)


_OPTIONS = {
    "paced": {"fps", "frames"},
    "v4l2": {"width", "height", "fps", "mjpeg"},
    "csi": {"width", "height", "fps", "flip", "mode", "exposure", "gain", "wb"},
}
# Options that may be 0: numbers of a list that begins there.
_FROM_ZERO = frozenset({"frames", "flip", "mode", "wb", "mjpeg"})
_FILES_IN_DEV = ("/dev/shm/", "/dev/fd/", "/dev/std")  # noqa: S108 only compared with
# video4linux in Linux's devices.txt.
_MAJOR_V4L = 81


def parse_address(text: str) -> Address:
    """Which kind of source a text names.

    `paced:FILE?fps=30`, `/dev/videoN`, another name of a camera below /dev/ or a number, `csi://N`, `rtsp://...`, `http(s)://...`,
    a GStreamer string (it holds ` ! `, or begins with `gst:`), else a file or folder.

    A file of exactly that name comes first: one may hold a colon or ` ! `, or be called 0.

    Raises:
        UsageError: nothing was given, an option that this kind of source does not have, or one that is not a number.
    """
    if not text.strip():
        raise UsageError("--source is empty; give a photograph, a folder, a video, a camera or an address")
    if "\0" in text:
        raise UsageError("a source cannot hold a zero byte")
    if _is_there(text):
        return Address("file", text)
    if text.startswith("gst:") or " ! " in text:
        return Address("gstreamer", text.removeprefix("gst:").strip())
    if re.match(r"(?i)rtsps?://", text):
        return Address("rtsp", text)
    if re.match(r"(?i)https?://", text):
        return Address("http", text)
    if text.startswith("paced:"):
        return _with_options("paced", text.removeprefix("paced:"))
    if text.startswith("csi://"):
        address = _with_options("csi", text.removeprefix("csi://") or "0")
        if not re.fullmatch(r"[0-9]{1,4}", address.target):
            raise UsageError(f"a CSI camera is named by its number, as in csi://0; got {text}")
        return address
    if _is_camera(text):
        return _with_options("v4l2", text)
    if re.fullmatch(r"[0-9]+", text):
        return Address("v4l2", f"/dev/video{text}")
    if "://" in text:
        added = plugin_names(SOURCES)
        if text.partition("://")[0] in added:
            return Address("plugin", text)
        more = "".join(f"{name}://, " for name in added)
        raise UsageError(
            f"no source of this kind: {redacted(text)}; there are csi://, rtsp://, http://, {more}/dev/videoN, paced:FILE and files"
        )
    return Address("file", text)


def _is_there(text: str) -> bool:
    """Whether a file or folder has that name; devices are cameras."""
    try:
        return not _is_camera(text) and Path(text).exists()
    except OSError:
        # Longer than a name may be, as a GStreamer string may be.
        return False


def _is_camera(text: str) -> bool:
    """Whether a text names a camera below /dev/: by the name, as udev gives them, by what is there, or as one that is not plugged in.

    /dev/shm/ and /dev/fd/ hold files.
    """
    if re.match(r"/dev/(?:video[0-9]|v4l/|posetrt-camera-)", text):
        return True
    if not text.startswith("/dev/") or text.startswith(_FILES_IN_DEV):
        return False
    try:
        status = Path(text.partition("?")[0]).stat()
    except OSError:
        return True
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _MAJOR_V4L


def _with_options(kind: str, text: str) -> Address:
    target, _, query = text.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if wrong := options.keys() - _OPTIONS[kind]:
        raise UsageError(f"{', '.join(sorted(wrong))}: no option of {target}, which has {', '.join(sorted(_OPTIONS[kind]))}")
    for name, value in options.items():
        try:
            number = float(value)
        except ValueError as error:
            raise UsageError(f"{name}={value}: a number was expected") from error
        if not 0 < number < 1e9 and not (name in _FROM_ZERO and number == 0):
            raise UsageError(f"{name}={value} is out of range")
    return Address(kind, target, options)
