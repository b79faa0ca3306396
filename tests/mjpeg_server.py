"""A Motion-JPEG camera on this computer, whose faults a test decides."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np


def picture(number: int, size_wh: tuple[int, int] = (96, 64)) -> bytes:
    """A JPEG that differs from number to number all over."""
    image = np.full((size_wh[1], size_wh[0], 3), (number * 37) % 256, np.uint8)
    return bytes(cv2.imencode(".jpg", image)[1])


class MjpegServer:
    """Serves `/video` at `fps`; `part(number)` gives each part's bytes, None to send nothing more but stay connected.

    Args:
        port: 0 takes a free one; the same again brings a camera back.
        secret: "user:password" that is asked for.
    """

    def __init__(self, part: Callable[[int], bytes | None] = picture, *, fps: float = 50, port: int = 0, secret: str | None = None) -> None:
        self.served = 0
        self.connections = 0
        self._stopped = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if secret is not None and self.headers.get("Authorization") != "Basic " + base64.b64encode(secret.encode()).decode():
                    self.send_error(401)
                    return
                outer.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=cut")
                self.end_headers()
                while not outer._stopped.is_set():
                    data = part(outer.served)
                    if data is None:
                        outer._stopped.wait(0.05)
                        continue
                    outer.served += 1
                    try:
                        self.wfile.write(b"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data))
                    except OSError:
                        return
                    time.sleep(1 / fps)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/video"

    def stop(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MjpegServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
