"""Frames in: photographs, video files, cameras and streams."""

from posetrt.runtime.sources.address import redacted
from posetrt.runtime.sources.base import Frame, Source, complaints
from posetrt.runtime.sources.choose import open_source
from posetrt.runtime.sources.files import PHOTO_SUFFIXES, Photos, photos_in, read_photo
from posetrt.runtime.sources.paced import Paced
from posetrt.runtime.sources.video import Video

__all__ = [
    "PHOTO_SUFFIXES",
    "Frame",
    "Paced",
    "Photos",
    "Source",
    "Video",
    "complaints",
    "open_source",
    "photos_in",
    "read_photo",
    "redacted",
]
