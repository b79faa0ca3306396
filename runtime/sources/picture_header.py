"""What the first bytes of a picture say: that it is one, and how large it will be once decoded.

A few kilobytes can decode to gigabytes, so the size is looked at before a decoder sees them. Sources: PNG 1.2 (IHDR), ITU-T T.81 (JPEG
markers), GIF89a, Microsoft's BITMAPINFOHEADER, TIFF 6.0, Netpbm, RFC 9649 (WebP), ITU-T T.800 annex I (JPEG 2000), ISO/IEC 23008-12
(ispe of AVIF).
"""

from __future__ import annotations

import re
import struct

from posetrt.runtime.errors import PosetrtError

MOST_MEGAPIXELS = 100.0
"""Megapixels that a picture may have unless asked otherwise; the largest photograph of a phone had 200 in 2026, a camera's frame has 8."""

_JPEG_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"


def is_picture(data: bytes) -> bool:
    """Whether the first bytes (32 are enough) are those of a picture format, whatever the file is called."""
    if data[4:8] == b"ftyp":
        return data[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
    if data[:4] == b"RIFF":
        return data[8:12] == b"WEBP"
    beginnings = (
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF87a",
        b"GIF89a",
        b"II*\0",
        b"MM\0*",
        _JP2,
        b"\xff\x4f\xff\x51",
        b"\x76\x2f\x31\x01",
    )
    return data.startswith(beginnings) or (data[:2] == b"BM" and data[6:10] == b"\0\0\0\0")


def size_wh(data: bytes) -> tuple[int, int] | None:
    """Width and height that a picture's header gives; None where the format is not one of those named above, or the header is cut."""
    try:
        return _size_wh(data)
    except (struct.error, IndexError):
        return None


def check_size(data: bytes, where: str, most_megapixels: float = MOST_MEGAPIXELS) -> None:
    """Refuse a picture that would decode to more than the limit.

    Raises:
        PosetrtError: says its size and how to allow it.
    """
    size = size_wh(data)
    if size is not None:
        check_size_wh(size, where, most_megapixels)


def check_size_wh(size: tuple[int, int], where: str, most_megapixels: float = MOST_MEGAPIXELS) -> None:
    """As `check_size`, for a size that is known.

    Raises:
        PosetrtError: says the size and how to allow it.
    """
    if size[0] * size[1] > most_megapixels * 1e6:
        raise PosetrtError(
            f"{where} is {size[0]}x{size[1]}, {size[0] * size[1] / 1e6:.0f} megapixels, and at most {most_megapixels:g} are read; "
            "make it smaller, or allow more: posetrt run --max-megapixels N"
        )


def jpeg_end(data: bytes | bytearray, start: int = 0) -> int | None:
    """Where the JPEG that begins at `start` ends, one past its EOI marker; None where it is cut, or is none.

    Markers are walked, since the thumbnail inside a photograph has an EOI of its own, and what follows a picture may be anything.
    """
    if data[start : start + 2] != b"\xff\xd8":
        return None
    place = start + 2
    while True:
        # Fill bytes may stand before a marker; entropy-coded bytes of a scan before the next one.
        while place < len(data) and data[place] != 0xFF:
            place = data.find(b"\xff", place) if data.find(b"\xff", place) >= 0 else len(data)
        while place < len(data) and data[place] == 0xFF:
            place += 1
        if place >= len(data):
            return None
        marker = data[place]
        place += 1
        if marker == 0xD9:
            return place
        if marker == 0 or marker in _JPEG_ALONE:
            continue
        if place + 2 > len(data):
            return None
        length = int.from_bytes(data[place : place + 2], "big")
        if length < 2:
            return None
        place += length


def _size_wh(data: bytes) -> tuple[int, int] | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _pair(">II", data, 16)
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _pair("<HH", data, 6)
    if data.startswith(b"BM"):
        width, height = _pair("<ii", data, 18) if data[14] >= 40 else _pair("<HH", data, 18)
        return abs(width), abs(height)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_size(data)
    if data.startswith((b"II*\0", b"MM\0*")):
        return _tiff_size(data)
    if data.startswith(_JP2):
        place = data.find(b"ihdr", 0, 4096)
        height, width = _pair(">II", data, place + 4) if place >= 0 else (0, 0)
        return (width, height) if place >= 0 else None
    if data.startswith(b"\xff\x4f\xff\x51"):
        return _pair(">II", data, 8)
    if data[4:8] == b"ftyp":
        sizes = [_pair(">II", data, found.end() + 4) for found in re.finditer(rb"ispe", data[:65536])]
        return max(sizes, key=lambda size: size[0] * size[1], default=None)
    if found := re.match(rb"P[1-6]\s(?:\s|#[^\n]*\n)*(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s", data[:4096]):
        return int(found[1]), int(found[2])
    return None


def _pair(form: str, data: bytes, place: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, data, place)
    return first, second


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place < len(data):
        if data[place] != 0xFF:
            return None
        while data[place] == 0xFF:
            place += 1
        marker = data[place]
        if marker in _JPEG_SIZES:
            height, width = _pair(">HH", data, place + 4)
            return width, height
        place += 1 if marker in _JPEG_ALONE else 1 + int.from_bytes(data[place + 1 : place + 3], "big")
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = _pair("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    order = "<" if data[:2] == b"II" else ">"
    (place,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, place)
    found: dict[int, int] = {}
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in (256, 257):
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)
    return (found[256], found[257]) if len(found) == 2 else None
