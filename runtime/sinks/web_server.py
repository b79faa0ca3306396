"""Serves the live page to any number of viewers, from one thread.

Every viewer is sent the same bytes, made once. One gets the newest picture when the one before has left for the network: one that
reads slowly, or not at all, gets fewer, holds one picture of memory, and is let go when it has taken nothing for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any

from posetrt.runtime.pipeline.port import COOKIE, Port

if TYPE_CHECKING:
    from aiohttp import web

ANY_SOURCE = ""
"""In place of a source's label: the pictures of all of them, as they come."""
_BOUNDARY = "posetrt-frame"
_UNSENT_BYTES = 1 << 16
_KERNEL_BYTES = 1 << 18
_QUIET_S = 2.0


class WebServer:
    """An HTTP server in a thread of its own: `/`, `/stream.mjpg`, `/snapshot.jpg`, `/status.json` and the WebSocket `/people`.

    `?source=LABEL` behind the pictures' paths asks for those of one source.

    Attributes:
        port: also where a free one was asked for.
        listening: viewers at the WebSocket.

    Args:
        host, port: where; port 0 takes a free one.
        token: asked of every request, where there is one.
        status: gives the JSON of `/status.json`; called in the server's thread.
        labels: of the sources, as far as they are known; called in the server's thread.
        silent_s: a viewer that takes nothing for so long is let go.

    Raises:
        UsageError: another address than this computer's and no token.
        PosetrtError: aiohttp is missing, or the port is taken.
    """

    def __init__(
        self, host: str, port: int, token: str | None, status: Callable[[], str], labels: Callable[[], list[str]], silent_s: float
    ) -> None:
        self.listening = 0
        self._looking: Counter[str] = Counter()
        self._token, self._status, self._labels, self._silent_s = token, status, labels, silent_s
        self._pictures: defaultdict[str, _Newest] = defaultdict(_Newest)
        self._people = _Newest()
        self._waiting: dict[asyncio.WriteTransport, float] = {}
        self._port = Port(
            host,
            port,
            token,
            {
                "/": self._page,
                "/stream.mjpg": self._stream,
                "/snapshot.jpg": self._snapshot,
                "/status.json": self._state,
                "/people": self._socket,
            },
            "posetrt-web",
        )
        self.port = self._port.port
        self._port.loop.call_soon_threadsafe(self._let_go)

    @property
    def looking(self) -> int:
        """Viewers that wait for pictures."""
        return self._looking.total()

    def looking_at(self, source: str) -> int:
        """Viewers that wait for pictures of one source, or of `ANY_SOURCE`."""
        return self._looking[source]

    def publish(self, people: str | None, jpeg: bytes | None, sources: Collection[str] = (ANY_SOURCE,)) -> None:
        """Have all viewers sent what is new: the WebSocket's text, and a picture those of `sources`. From any thread; never waits."""
        part = jpeg and b"--%b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (_BOUNDARY.encode(), len(jpeg), jpeg)

        def tell() -> None:
            if people is not None:
                self._people.put(people)
            for source in sources if part else ():
                self._pictures[source].put(part)

        with contextlib.suppress(RuntimeError):
            self._port.loop.call_soon_threadsafe(tell)

    def close(self) -> None:
        """End all connections and the thread; closing twice is harmless."""
        self._port.close()

    # All below is the event loop's thread.

    async def _page(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        if self._token and "token" in request.query:
            # The token leaves the address bar, where shoulders and histories read it.
            moved = web.Response(status=302, headers={"Location": "/"})
            moved.set_cookie(COOKIE, self._token, httponly=True, samesite="Strict")
            return moved
        text = resources.files("posetrt.runtime").joinpath("sinks/page.html").read_text(encoding="utf-8")
        return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})

    async def _state(self, _: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.json_response(text=self._status())

    def _asked_for(self, request: web.Request) -> str:
        """The source whose pictures are wanted."""
        from aiohttp import web

        source = request.query.get("source", ANY_SOURCE)
        known = self._labels()
        if source != ANY_SOURCE and known and source not in known:
            raise web.HTTPNotFound(text=f"there is no source {source}; there are {', '.join(known)}")
        return source

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        source = self._asked_for(request)
        picture = self._pictures[source]
        self._looking[source] += 1
        try:
            part = await asyncio.wait_for(picture.after(picture.number), 5)
        except asyncio.TimeoutError as error:
            raise web.HTTPServiceUnavailable(text="no picture yet") from error
        finally:
            self._looking[source] -= 1
        jpeg = part[part.index(b"\r\n\r\n") + 4 : -2]
        return web.Response(body=jpeg, content_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        source = self._asked_for(request)
        response = web.StreamResponse(
            headers={"Content-Type": f"multipart/x-mixed-replace; boundary={_BOUNDARY}", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        _bound(request)
        picture = self._pictures[source]
        self._looking[source] += 1
        try:
            # What was shown last to somebody else may be old by now.
            sent = picture.number
            while True:
                part = await picture.after(sent)
                sent = picture.number
                with self._watched(request):
                    await response.write(part)
        except ConnectionError:
            pass
        finally:
            self._looking[source] -= 1
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        viewer = web.WebSocketResponse(heartbeat=20, compress=False)
        await viewer.prepare(request)
        _bound(request)
        self.listening += 1
        # What a viewer sends is read, so that its closing is noticed.
        tasks = [asyncio.ensure_future(self._send_people(request, viewer)), asyncio.ensure_future(_ignore(viewer))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ConnectionError:
            pass
        finally:
            self.listening -= 1
            for task in tasks:
                task.cancel()
        return viewer

    async def _send_people(self, request: web.Request, viewer: web.WebSocketResponse) -> None:
        sent = self._people.number
        while True:
            try:
                text = await asyncio.wait_for(self._people.after(sent), _QUIET_S)
            except asyncio.TimeoutError:
                # No result comes: the state of the cameras tells why.
                if (text := self._status()) == "{}":
                    continue
            sent = self._people.number
            with self._watched(request):
                await viewer.send_str(text)

    @contextlib.contextmanager
    def _watched(self, request: web.BaseRequest) -> Iterator[None]:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._waiting[transport] = time.monotonic()
        try:
            yield
        finally:
            del self._waiting[transport]

    def _let_go(self) -> None:
        """End the connections whose write has waited for too long: one timer for all costs less than one for each write."""
        now = time.monotonic()
        for transport, since in list(self._waiting.items()):
            if now - since > self._silent_s:
                transport.abort()
        self._port.loop.call_later(self._silent_s / 4, self._let_go)


class _Newest:
    """The newest of something, and its number, counted from 1; those who wait are woken together."""

    def __init__(self) -> None:
        self.number = 0
        self._value: Any = None
        self._changed = asyncio.Event()

    def put(self, value: Any) -> None:
        self._value = value
        self.number += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, number: int) -> Any:
        """The newest, as soon as there is one with a greater number."""
        while self.number <= number:
            await self._changed.wait()
        return self._value


async def _ignore(viewer: web.WebSocketResponse) -> None:
    async for _ in viewer:
        pass


def _bound(request: web.BaseRequest) -> None:
    """Hold little for a viewer that does not read, here and in the kernel: a write waits when so much is unsent."""
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)
