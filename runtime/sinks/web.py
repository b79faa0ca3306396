"""A web page of the run: the live picture with skeletons, and its figures.

However many watch, each picture is drawn and encoded once and the figures are written once, and neither while nobody watches.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import numpy as np

from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.draw import draw_people
from posetrt.runtime.sinks.rows import people_record
from posetrt.runtime.sinks.web_server import ANY_SOURCE, WebServer
from posetrt.runtime.telemetry import Telemetry


class WebPage(Sink):
    """Shows the newest result to viewers; drawing and encoding have a thread, and the server another.

    Attributes:
        encoded: pictures encoded so far.

    Args:
        host: 127.0.0.1 for this computer only; anything else needs a token.
        port: 0 takes a free one.
        token: asked of every request as `?token=`, as `Authorization: Bearer` or as the cookie that `/?token=` sets.
        telemetry: temperature and power, where the board tells them.
        max_fps: of the pictures sent; key points are sent as results come, the newest where the computer is busy.
        quality: of the JPEG, 1 to 100.
        silent_s: a viewer that reads nothing for so long is let go.

    Raises:
        UsageError: another host than this computer and no token.
        PosetrtError: aiohttp is missing, or the port is taken.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        token: str | None = None,
        telemetry: Telemetry | None = None,
        max_fps: float = 10.0,
        quality: int = 80,
        silent_s: float = 60.0,
    ) -> None:
        self.encoded = 0
        self._host, self._telemetry = host, telemetry
        self._shortest_s, self._quality = 1 / max_fps, quality
        self._newest: Result | None = None
        self._waiting: dict[str, Result] = {}
        self._board: dict[str, Any] = {}
        self._board_s = float("-inf")
        self._arrived = threading.Condition()
        self._closed = False
        self._server = WebServer(host, port, token, lambda: self._figures(self._newest), self._labels, silent_s)
        self._encoder = threading.Thread(target=self._encode, name="posetrt-web-encoder", daemon=True)
        self._encoder.start()

    @property
    def port(self) -> int:
        """The port, also where a free one was asked for."""
        return self._server.port

    @property
    def url(self) -> str:
        """Where the page is, without the token."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/"

    @property
    def viewers(self) -> int:
        """Those who wait for pictures now."""
        return self._server.looking

    def write(self, result: Result) -> None:
        """Leave the newest result of its source for the encoder; never waits for a viewer."""
        with self._arrived:
            self._newest = result
            if self._server.looking or self._server.listening:
                self._waiting[result.frame.label] = result
                self._arrived.notify()

    def close(self) -> None:
        """End all connections and the threads; closing twice is harmless."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()
        self._server.close()
        self._encoder.join(5)

    def _encode(self) -> None:
        """The encoder's thread."""
        import cv2

        sent_s: dict[str, float] = {}
        while True:
            with self._arrived:
                while not self._waiting and not self._closed:
                    self._arrived.wait()
                if self._closed:
                    return
                results, self._waiting = self._waiting, {}
            for label, result in results.items():
                now = time.perf_counter()
                due = [
                    shown
                    for shown in {label, ANY_SOURCE}
                    if self._server.looking_at(shown) and now - sent_s.get(shown, float("-inf")) >= self._shortest_s
                ]
                jpeg = None
                if due:
                    sent_s.update(dict.fromkeys(due, now))
                    _, encoded = cv2.imencode(".jpg", draw_people(result), [cv2.IMWRITE_JPEG_QUALITY, self._quality])
                    jpeg = np.asarray(encoded).tobytes()
                    self.encoded += 1
                self._server.publish(self._figures(result) if self._server.listening else None, jpeg, due)

    def _labels(self) -> list[str]:
        """Of the sources; empty before the first result."""
        newest = self._newest
        return [] if newest is None else [source.label for source in newest.stats.sources] if newest.stats else [newest.frame.label]

    def _figures(self, result: Result | None) -> str:
        """JSON of what is known of a result and of the run so far."""
        if result is None:
            return "{}"
        frame = result.frame
        figures: dict[str, Any] = {
            "frame": frame.index,
            "time_s": round(frame.time_s, 4),
            "source": frame.label,
            "size_wh": list(frame.size_wh),
            "people": people_record(result),
            "age_ms": None if result.age_s is None else round(1000 * result.age_s, 1),
        }
        if result.stats is not None:
            figures["run"] = result.stats.to_dict()
        if board := self._board_now():
            figures["board"] = board
        return json.dumps(figures)

    def _board_now(self) -> dict[str, Any]:
        """What the board said over the last second, asked once a second; None for what it does not tell."""
        now = time.monotonic()
        if self._telemetry is not None and now - self._board_s >= 1:
            self._board_s = now
            usage = self._telemetry.between(now - 1, now)
            hottest, watts = usage.temperature_end_c, usage.watts
            self._board = {
                "temperature_c": None if hottest is None else round(hottest, 1),
                "power_w": None if watts is None else round(watts, 2),
                "throttled": usage.throttled,
            }
        return self._board
