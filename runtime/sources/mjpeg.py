"""Motion JPEG over HTTP, as network cameras and web pages give it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import urllib.parse

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources.camera import Lost

_TIMEOUT_S = 5.0
_LARGEST = 64 << 20


class Mjpeg:
    """A multipart/x-mixed-replace stream of JPEG pictures; user and password stand in the address.

    Args:
        url: http or https.

    Raises:
        Lost: nobody answers, or with an error that may pass.
        PosetrtError: the server answers with something else than Motion JPEG, or refuses user and password.
    """

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme.lower() == "https" else http.client.HTTPConnection
        self._buffer = bytearray()
        self._socket: socket.socket | None = None
        headers = {"Accept": "multipart/x-mixed-replace"}
        if parts.username is not None:
            secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        try:
            self._connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        except ValueError as error:
            raise PosetrtError(f"this is no address of a camera: {error}") from error
        self._response: http.client.HTTPResponse | None = None
        try:
            self._boundary = self._begin(parts, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Lost(f"no answer ({error})") from error
        except (Lost, PosetrtError):
            self.close()
            raise

    def _begin(self, parts: urllib.parse.SplitResult, headers: dict[str, str]) -> bytes:
        """Ask for the stream; gives the boundary between its parts."""
        self._connection.request("GET", urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, "")), headers=headers)
        self._socket = self._connection.sock
        self._response = self._connection.getresponse()
        status, content = self._response.status, self._response.getheader("Content-Type", "")
        if status in (401, 403):
            raise PosetrtError(f"the camera refuses user and password (HTTP {status}); give them as http://USER:PASSWORD@HOST/...")
        if status != 200:
            raise Lost(f"the camera answers HTTP {status}")
        boundary = re.search(r'boundary="?([^";]+)"?', content)
        if not content.startswith("multipart/") or boundary is None:
            raise PosetrtError(
                f"the address gives {content or 'no type'}, where Motion JPEG (multipart/x-mixed-replace) was expected; "
                "other streams are read by a GStreamer string"
            )
        return b"--" + boundary.group(1).strip().removeprefix("--").encode()

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture; None for one that is cut short or is no JPEG."""
        import cv2

        head, _, body = self._part().partition(b"\r\n\r\n")
        data = body.rstrip(b"\r\n\0 ")
        if b"jpeg" not in head.lower() and not data.startswith(b"\xff\xd8"):
            return None
        # A decoder fills what a cut picture lacks with grey, and people would be found in it no more.
        if not (data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")):
            return None
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return None if image is None else np.asarray(image, np.uint8)

    def _part(self) -> bytes:
        """What stands between two boundaries; parts without content are passed over."""
        searched = 0
        while True:
            start = self._buffer.find(self._boundary)
            if start >= 0:
                begin = start + len(self._boundary)
                end = self._buffer.find(self._boundary, max(begin, searched))
                if end >= 0:
                    part = bytes(self._buffer[begin:end])
                    del self._buffer[:end]
                    if len(part.strip(b"\r\n- ")) > 0:
                        return part
                    searched = 0
                    continue
            searched = max(0, len(self._buffer) - len(self._boundary))
            if len(self._buffer) > _LARGEST:
                raise Lost(f"a part of more than {_LARGEST >> 20} MiB: this is no Motion JPEG")
            try:
                chunk = self._response.read1(1 << 16) if self._response is not None else b""
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Lost(f"the stream broke ({error})") from error
            if not chunk:
                raise Lost("the camera ended the stream")
            self._buffer += chunk

    def close(self) -> None:
        """End the connection."""
        if self._response is not None:
            self._response.close()
        self._connection.close()

    def interrupt(self) -> None:
        """End the stream under a read that waits."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
