"""What a video file's own container says of it: its kind, whether its number of frames is stored or guessed, and whether it was cut off.

OpenCV gives one number for both: frames that an MP4 or AVI lists, and duration times mean rate for all others. Sources: ISO/IEC 14496-12
(boxes), RFC 8794 and 9559 (EBML, Matroska).
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
"""What an MP4 or MOV file begins with."""
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def counts_its_frames(path: Path) -> bool:
    """Whether the container lists its frames: AVI, and MP4 or MOV without fragments."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF":
            return head[8:12] == b"AVI "
        return head[4:8] in _BOXES and not _has_fragments(file)


def demuxer_of(path: Path) -> str | None:
    """GStreamer's demuxer of an MP4, MOV, Matroska or WebM file, by its first bytes; None for others."""
    with path.open("rb") as file:
        head = file.read(12)
    return "matroskademux" if head[:4] == _EBML else "qtdemux" if head[4:8] in _BOXES else None


def is_cut(path: Path) -> bool:
    """Whether a Matroska or WebM file is shorter than its header says. One that was recorded live says nothing, and counts as whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != _EBML:
            return False
        header = _length(file)
        if header is None:
            return False
        file.seek(header, 1)
        if file.read(4) != _SEGMENT:
            return False
        body = _length(file)
        return body is not None and file.tell() + body > size


def _has_fragments(file: IO[bytes]) -> bool:
    """Whether a `moof` box stands at the top level; the walk jumps from box to box."""
    place = 0
    while True:
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            return False
        if head[4:8] == b"moof":
            return True
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            return False
        place += length


def _length(file: IO[bytes]) -> int | None:
    """EBML's variable-length size at this place; None for "unknown" and for rubbish."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    value = int.from_bytes(bytes([first[0] & (0xFF >> width)]) + rest, "big")
    return None if len(rest) < width - 1 or value == (1 << 7 * width) - 1 else value
