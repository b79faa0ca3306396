"""A web page of the run: the live picture with skeletons, and its figures. Alone imports aiohttp.

However many watch, each picture is drawn and encoded once, and none while nobody watches. A viewer gets the newest picture when
the one before has left for the network; one that reads slowly, or not at all, gets fewer, and costs one picture of memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.health import LOOPBACK
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.draw import draw_people
from posetrt.runtime.sinks.rows import people_record
from posetrt.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from aiohttp import web

_BOUNDARY = "posetrt-frame"
_COOKIE = "posetrt-token"
_UNSENT_BYTES = 1 << 16


class WebPage(Sink):
    """Serves `/`, `/stream.mjpg`, `/snapshot.jpg`, `/status.json` and the WebSocket `/people`, in a thread of its own.

    Args:
        host: 127.0.0.1 for this computer only; anything else needs a token.
        port: 0 takes a free one.
        token: asked of every request as `?token=`, as `Authorization: Bearer` or as the cookie that `/?token=` sets.
        telemetry: temperature and power, where the board tells them.
        max_fps: of the pictures sent; key points are sent for every result.
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
        max_fps: float = 20.0,
        quality: int = 80,
        silent_s: float = 60.0,
    ) -> None:
        if host not in LOOPBACK and not token:
            raise UsageError(f"a page at {host} can be seen by others: set a token for it in the environment, POSETRT_WEB_TOKEN")
        try:
            from aiohttp import web  # noqa: F401
        except ModuleNotFoundError as error:
            raise PosetrtError("the web page needs the package aiohttp: pip install 'posetrt[web]'") from error
        self._host, self._port, self._token, self._telemetry = host, port, token, telemetry
        self._shortest_s, self._quality, self._silent_s = 1 / max_fps, quality, silent_s
        self._newest: Result | None = None
        self._arrived = threading.Condition()
        self._closed = False
        self.encoded = 0
        self._jpeg = b""
        self._figures: dict[str, Any] = {}
        self._picture_number = self._people_number = 0
        self._watching = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._picture_changed, self._people_changed = asyncio.Event(), asyncio.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._server = threading.Thread(target=self._serve, name="posetrt-web", daemon=True)
        self._encoder = threading.Thread(target=self._encode, name="posetrt-web-encoder", daemon=True)
        self._server.start()
        self._ready.wait(10)
        if self._failure is not None:
            self._server.join(5)
            raise PosetrtError(f"cannot serve {host}:{port}: {self._failure}; give another port") from self._failure
        self._encoder.start()

    @property
    def port(self) -> int:
        """The port, also where a free one was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Where the page is, without the token."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/"

    def write(self, result: Result) -> None:
        """Leave the newest result for the encoder; never waits for a viewer."""
        with self._arrived:
            self._newest = result
            self._arrived.notify()

    def close(self) -> None:
        """End all connections and the threads; closing twice is harmless."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()
        if self._server.is_alive():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._server.join(5)
        if self._encoder.ident is not None:
            self._encoder.join(5)

    # The encoder's thread.

    def _encode(self) -> None:
        import cv2

        sent_s = read_s = 0.0
        board: dict[str, Any] = {}
        while True:
            with self._arrived:
                while self._newest is None and not self._closed:
                    self._arrived.wait()
                if self._closed:
                    return
                result, self._newest = self._newest, None
            assert result is not None
            now = time.perf_counter()
            if self._telemetry is not None and now - read_s > 1:
                board, read_s = _board(self._telemetry), now
            figures = self._describe(result, board)
            jpeg = b""
            if self._watching and now - sent_s >= self._shortest_s:
                sent_s = now
                _, encoded = cv2.imencode(".jpg", draw_people(result), [cv2.IMWRITE_JPEG_QUALITY, self._quality])
                jpeg = np.asarray(encoded).tobytes()
                self.encoded += 1
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._publish, figures, jpeg)

    def _describe(self, result: Result, board: Mapping[str, Any]) -> dict[str, Any]:
        frame = result.frame
        figures: dict[str, Any] = {
            "frame": frame.index,
            "time_s": round(frame.time_s, 4),
            "source": frame.label,
            "size_wh": [frame.image.shape[1], frame.image.shape[0]],
            "people": people_record(result),
            "age_ms": None if result.age_s is None else round(1000 * result.age_s, 1),
        }
        if result.stats is not None:
            figures["run"] = result.stats.to_dict()
        if board:
            figures["board"] = board
        return figures

    # The event loop's thread.

    def _publish(self, figures: dict[str, Any], jpeg: bytes) -> None:
        self._figures = figures
        self._people_number += 1
        self._people_changed.set()
        self._people_changed = asyncio.Event()
        if jpeg:
            self._jpeg = jpeg
            self._picture_number += 1
            self._picture_changed.set()
            self._picture_changed = asyncio.Event()

    def _serve(self) -> None:
        from aiohttp import web

        asyncio.set_event_loop(self._loop)
        application = web.Application(middlewares=[self._guard()])
        application.add_routes(
            [
                web.get("/", self._page),
                web.get("/stream.mjpg", self._stream),
                web.get("/snapshot.jpg", self._snapshot),
                web.get("/status.json", self._status),
                web.get("/people", self._people),
            ]
        )
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)

        async def begin() -> None:
            await runner.setup()
            site = web.TCPSite(runner, self._host, self._port, backlog=256)
            await site.start()
            self._port = runner.addresses[0][1]

        try:
            self._loop.run_until_complete(begin())
        except OSError as error:
            self._failure = error
            self._ready.set()
            self._loop.run_until_complete(runner.cleanup())
            self._loop.close()
            return
        self._ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _guard(self) -> Any:
        from aiohttp import web

        @web.middleware
        async def guard(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
            if self._host in LOOPBACK and (request.url.host or "") not in LOOPBACK:
                # A page elsewhere that has its name point at this computer must not read the camera.
                raise web.HTTPForbidden(text="this page answers to localhost only")
            origin = request.headers.get("Origin")
            if origin is not None and origin.partition("://")[2] != request.host:
                raise web.HTTPForbidden(text="pages of other sites may not read this one")
            if self._token:
                bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
                given = [request.query.get("token", ""), bearer, request.cookies.get(_COOKIE, "")]
                if not any(hmac.compare_digest(each.encode(), self._token.encode()) for each in given):
                    raise web.HTTPUnauthorized(text="a token is needed: open /?token=TOKEN")
            return await handler(request)

        return guard

    async def _page(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        if self._token and "token" in request.query:
            # The token leaves the address bar, where shoulders and histories read it.
            moved = web.Response(status=302, headers={"Location": "/"})
            moved.set_cookie(_COOKIE, self._token, httponly=True, samesite="Strict")
            return moved
        text = resources.files("posetrt.runtime").joinpath("sinks/page.html").read_text(encoding="utf-8")
        return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})

    async def _status(self, _: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.json_response(self._figures)

    async def _snapshot(self, _: web.Request) -> web.StreamResponse:
        from aiohttp import web

        self._watching += 1
        try:
            await asyncio.wait_for(self._picture_changed.wait(), 5)
        except asyncio.TimeoutError as error:
            raise web.HTTPServiceUnavailable(text="no picture yet") from error
        finally:
            self._watching -= 1
        return web.Response(body=self._jpeg, content_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(
            headers={"Content-Type": f"multipart/x-mixed-replace; boundary={_BOUNDARY}", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        _bound(request)
        sent = -1
        self._watching += 1
        try:
            while True:
                while sent == self._picture_number or not self._jpeg:
                    await self._picture_changed.wait()
                sent, jpeg = self._picture_number, self._jpeg
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                # Three writes: joining them would make a copy of the picture for every viewer.
                for piece in (head, jpeg, b"\r\n"):
                    await asyncio.wait_for(response.write(piece), self._silent_s)
        except (ConnectionError, asyncio.TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._watching -= 1
        return response

    async def _people(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        socket = web.WebSocketResponse(heartbeat=20, compress=False)
        await socket.prepare(request)
        _bound(request)
        reader = asyncio.ensure_future(_ignore(socket))
        sent = -1
        try:
            while not reader.done():
                if sent == self._people_number or not self._figures:
                    changed = asyncio.ensure_future(self._people_changed.wait())
                    await asyncio.wait([changed, reader], return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
                    continue
                sent = self._people_number
                await asyncio.wait_for(socket.send_str(json.dumps(self._figures)), self._silent_s)
        except (ConnectionError, asyncio.TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            reader.cancel()
        return socket


def _board(telemetry: Telemetry) -> dict[str, Any]:
    """What the board said over the last second; None for what it does not tell."""
    now = time.monotonic()
    usage = telemetry.between(now - 1, now)
    hottest, watts = usage.temperature_end_c, usage.watts
    return {
        "temperature_c": None if hottest is None else round(hottest, 1),
        "power_w": None if watts is None else round(watts, 2),
        "throttled": usage.throttled,
    }


async def _ignore(socket: web.WebSocketResponse) -> None:
    """Read what a viewer sends, so that its closing is noticed."""
    async for _ in socket:
        pass


def _bound(request: web.Request) -> None:
    """Hold little for a viewer that does not read: a write waits when so much is unsent."""
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=_UNSENT_BYTES)
