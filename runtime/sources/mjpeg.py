"""Motion JPEG over HTTP, as network cameras and web pages give it."""

from __future__ import annotations

import contextlib
import http.client
import socket

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources.camera import Lost
from posetrt.runtime.sources.http_stream import open_stream
from posetrt.runtime.sources.multipart import Parts, boundary_of
from posetrt.runtime.sources.picture_header import MOST_MEGAPIXELS, check_size, jpeg_end

_TIMEOUT_S = 5.0


class Mjpeg:
    """A multipart/x-mixed-replace stream of JPEG pictures; user and password stand in the address.

    Args:
        url: http or https.
        most_megapixels: of one picture.

    Raises:
        Lost: nobody answers, or with an error that may pass.
        PosetrtError: the server answers with something else than Motion JPEG, or refuses user and password.
    """

    def __init__(self, url: str, most_megapixels: float = MOST_MEGAPIXELS) -> None:
        self._most_megapixels = most_megapixels
        self._response = open_stream(url, "multipart/x-mixed-replace", _TIMEOUT_S)
        self._socket = _socket_of(self._response)
        content = self._response.headers.get("Content-Type", "")
        boundary = boundary_of(content)
        if boundary is None:
            self.close()
            raise PosetrtError(
                f"the address gives {content or 'no type'}, where Motion JPEG (multipart/x-mixed-replace) was expected; "
                "other streams are read by a GStreamer string"
            )
        self._parts = Parts(boundary, self._more)

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture; None for one that is cut short or is no JPEG.

        Raises:
            PosetrtError: it is larger than the limit.
        """
        import cv2

        _, content = self._parts.next()
        # A decoder fills what a cut picture lacks with grey, and people would be found in it no more.
        start = content.find(b"\xff\xd8\xff", 0, 64)
        end = jpeg_end(content, start) if start >= 0 else None
        if end is None:
            return None
        data = content[start:end]
        check_size(data, "a picture of this camera", self._most_megapixels)
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None
        return None if image is None else np.asarray(image, np.uint8)

    def _more(self) -> bytes:
        try:
            return self._response.read1(1 << 16)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Lost(f"the stream broke ({error})") from error

    def close(self) -> None:
        """End the connection."""
        self._response.close()

    def interrupt(self) -> None:
        """End the stream under a read that waits."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _socket_of(response: http.client.HTTPResponse) -> socket.socket | None:
    """The socket under a response, to wake a read from another thread; http.client has no public name for it."""
    raw = getattr(getattr(response, "fp", None), "raw", None)
    found = getattr(raw, "_sock", None)
    return found if isinstance(found, socket.socket) else None
