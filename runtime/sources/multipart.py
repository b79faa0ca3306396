"""The parts of a multipart/x-mixed-replace stream, as RFC 2046 writes them and as cameras do.

Cameras give a boundary with its dashes or without, quoted or not; end lines with CRLF or LF; leave Content-Length out, or lie in it; and
pad a picture.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from posetrt.runtime.sources.camera import Lost

_LARGEST = 64 << 20
_LONGEST_HEADER = 1 << 16
_BLANK = b"\r\n\0 \t"


def boundary_of(content_type: str) -> bytes | None:
    """The boundary that a Content-Type names, without leading dashes; None where it is no multipart, or names none."""
    kind, _, parameters = content_type.partition(";")
    if not kind.strip().lower().startswith("multipart/"):
        return None
    found = re.search(r'(?:^|;)\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', parameters, re.IGNORECASE)
    if found is None:
        return None
    named = re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]
    return named.strip().lstrip("-").encode("latin-1", "replace") or b"--"


class Parts:
    """Reads parts one after another.

    Args:
        boundary: as `boundary_of` gives it.
        more: gives the next bytes, b"" at the end of the stream.
    """

    def __init__(self, boundary: bytes, more: Callable[[], bytes]) -> None:
        # The dashes that begin a delimiter are part of it however many the server thought it needs.
        delimiter = rb"-{2,}" + re.escape(boundary) if boundary != b"--" else rb"-{4,}"
        self._delimiter = re.compile(delimiter)
        self._next_part = re.compile(delimiter + rb"[ \t]*\r?\n[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-")
        self._margin = len(boundary) + 64
        self._more = more
        self._buffer = bytearray()
        self._trusts_length, self._length_is_right = True, False

    def next(self) -> tuple[dict[str, str], bytes]:
        """The headers of the next part that has content, names in lower case, and its content; padding after it may be left on.

        Raises:
            Lost: the stream ended, or is no multipart stream.
        """
        while True:
            self._drop_to_delimiter()
            headers, begin = self._headers()
            end = self._end_by_length(headers, begin)
            if end is None:
                end = self._find_delimiter(begin)
            content = bytes(self._buffer[begin:end])
            del self._buffer[:end]
            if content.strip(_BLANK + b"-"):
                return headers, content

    def _drop_to_delimiter(self) -> None:
        end = self._find_delimiter(0)
        if self._length_is_right and bytes(self._buffer[:end]).strip(_BLANK):
            self._trusts_length = False
        found = self._delimiter.match(self._buffer, end)
        assert found is not None
        del self._buffer[: found.end()]

    def _headers(self) -> tuple[dict[str, str], int]:
        """The headers, and where the content begins. The line of the delimiter may end in dashes and blanks."""
        headers: dict[str, str] = {}
        place, name = self._line_end(0), ""
        while True:
            stop = self._line_end(place)
            line = bytes(self._buffer[place:stop]).rstrip(b"\r\n")
            if not line.strip():
                # A blank line before any header, as some cameras send, ends them only where no header follows.
                if headers or not self._has(stop + 4) or not re.match(rb"[\r\n]*[A-Za-z]{3}", self._buffer[stop : stop + 64]):
                    return headers, stop
                place = stop
                continue
            if line.startswith(b"\xff\xd8") and not headers:
                # No header at all: the content begins right behind the delimiter's line.
                return headers, place
            text = line.decode("latin-1")
            if text[0] in " \t" and name:
                headers[name] += " " + text.strip()
            elif ":" in text:
                name = text.partition(":")[0].strip().lower()
                headers[name] = text.partition(":")[2].strip()
            place = stop

    def _has(self, length: int) -> bool:
        """Whether the stream goes on for so many bytes."""
        try:
            while len(self._buffer) < length:
                self._read()
        except Lost:
            return False
        return True

    def _line_end(self, start: int) -> int:
        searched = start
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched - start > _LONGEST_HEADER:
                raise Lost("a header without an end: this is no Motion JPEG")
            self._read()
        return end + 1

    def _end_by_length(self, headers: dict[str, str], begin: int) -> int | None:
        """Where Content-Length ends the content; None without one, and from a camera that was caught lying."""
        told = headers.get("content-length", "")
        if not (self._trusts_length and re.fullmatch(r"[0-9]{1,9}", told) and 0 < int(told) <= _LARGEST):
            return None
        end, searched = begin + int(told), begin
        while len(self._buffer) < end:
            # A length far too great would have many pictures waited for.
            if self._next_part.search(self._buffer, searched):
                self._trusts_length = False
                return None
            searched = max(begin, len(self._buffer) - self._margin)
            self._read()
        if not self._length_is_right:
            # The first time its end is looked at; later a picture need not wait for the first bytes of the next.
            self._trusts_length = self._length_is_right = self._delimiter_follows(end)
        return end if self._trusts_length else None

    def _delimiter_follows(self, place: int) -> bool:
        """Whether nothing but padding stands between a place and a delimiter, or the end of the stream."""
        try:
            while True:
                while place < len(self._buffer) and self._buffer[place] in _BLANK:
                    place += 1
                if len(self._buffer) >= place + self._margin:
                    return self._delimiter.match(self._buffer, place) is not None
                self._read()
        except Lost:
            return place >= len(self._buffer) or self._delimiter.match(self._buffer, place) is not None

    def _find_delimiter(self, start: int) -> int:
        searched = start
        while True:
            found = self._delimiter.search(self._buffer, searched)
            # The delimiter may go on in what is still to come.
            if found is not None and found.end() < len(self._buffer):
                return found.start()
            searched = max(start, len(self._buffer) - self._margin)
            if len(self._buffer) - start > _LARGEST:
                raise Lost(f"a part of more than {_LARGEST >> 20} MiB: this is no Motion JPEG")
            self._read()

    def _read(self) -> None:
        chunk = self._more()
        if not chunk:
            raise Lost("the camera ended the stream")
        self._buffer += chunk
