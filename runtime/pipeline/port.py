"""An HTTP port of a run, served from a thread of its own, and the one rule of who may read it. With the web page alone imports aiohttp.

This computer alone reads a port at a loopback address. At any other address every request needs the token. Pages of other sites, and names
that point here (DNS rebinding), are refused at both. Wrong tokens are answered late, and after a few of them not at all for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.packages import install_hint

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK = ("127.0.0.1", "::1", "localhost")
TOKEN_VARIABLE = "POSETRT_WEB_TOKEN"  # noqa: S105 the name of the variable
COOKIE = "posetrt-token"
_SHORTEST_TOKEN = 12
"""Characters: with letters and digits 62^12, which nobody tries out over a network."""
_MOST_CONNECTIONS = 256
_SILENT_S = 10.0
"""A connection that has asked for nothing in this time is closed."""
_KEPT_S = 15.0
_WRONG_DELAY_S = 1.0
_MOST_WRONG, _FORGOTTEN_S = 10, 60.0
"""So many wrong tokens from one address within a minute, and it is refused until the minute is over."""


def bind_address(text: str) -> tuple[str, int]:
    """Host and port of `[HOST:]PORT`; without a host, this computer alone.

    Raises:
        UsageError: not of that form.
    """
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise UsageError(f"[HOST:]PORT was expected, as in 8080 or 0.0.0.0:8080; got {text}")
    return host.strip("[]") or "127.0.0.1", int(port)


def check_exposure(host: str, token: str | None) -> None:
    """Refuse a port that others could read.

    Raises:
        UsageError: another address than this computer's without a token, or a token that is short enough to be guessed.
    """
    if token and len(token) < _SHORTEST_TOKEN:
        raise UsageError(
            f"the token has {len(token)} characters and can be guessed; give {_SHORTEST_TOKEN} or more, as: "
            f"export {TOKEN_VARIABLE}=$(openssl rand -hex 16)"
        )
    if host not in LOOPBACK and not token:
        raise UsageError(
            f"a port at {host} can be read by others: set a token for it in the environment, {TOKEN_VARIABLE}, "
            "or leave the host out, so that this computer alone reads it"
        )


class Port:
    """Serves handlers of GET requests.

    Attributes:
        port: also where a free one was asked for.
        loop: the server's own, for `call_soon_threadsafe`.

    Args:
        host, port: where; port 0 takes a free one.
        token: asked of every request, where there is one.
        routes: what answers each path, in the server's thread.
        name: of the thread.

    Raises:
        UsageError: see `check_exposure`.
        PosetrtError: aiohttp is missing, or the port is taken.
    """

    def __init__(self, host: str, port: int, token: str | None, routes: Mapping[str, Handler], name: str) -> None:
        check_exposure(host, token)
        try:
            from aiohttp import web  # noqa: F401
        except ModuleNotFoundError as error:
            raise PosetrtError(f"serving pages and health needs the package aiohttp: {install_hint('aiohttp')}") from error
        self.port, self.loop = port, asyncio.new_event_loop()
        self._host, self._token, self._routes = host, token, routes
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._unheard: dict[Any, float] = {}
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()
        self._ready.wait(10)
        if self._failure is not None:
            self._thread.join(5)
            reason = getattr(self._failure, "strerror", None) or self._failure
            raise PosetrtError(f"cannot serve {self.place}: {reason}; give another port") from self._failure

    @property
    def place(self) -> str:
        """Host and port as an address has them."""
        return f"{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"

    def close(self) -> None:
        """End all connections and the thread; closing twice is harmless."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(5)

    # All below is the event loop's thread.

    def _serve(self) -> None:
        from aiohttp import web

        asyncio.set_event_loop(self.loop)
        application = web.Application(middlewares=[self._guard()])
        application.add_routes([web.get(path, handler) for path, handler in self._routes.items()])
        quiet = logging.getLogger("posetrt.port")
        # Whoever hangs up, or sends what is no HTTP, is not worth a line in the journal.
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        runner = web.AppRunner(
            application, access_log=None, logger=quiet, handle_signals=False, shutdown_timeout=0.5, keepalive_timeout=_KEPT_S
        )
        self.loop.set_exception_handler(lambda _loop, _context: None)
        listening: asyncio.Server | None = None

        async def begin() -> asyncio.Server:
            await runner.setup()
            server = await self.loop.create_server(lambda: self._connection(runner.server), self._host, self.port, backlog=256)
            self.port = server.sockets[0].getsockname()[1]
            return server

        try:
            listening = self.loop.run_until_complete(begin())
        except (OSError, UnicodeError, OverflowError) as error:
            self._failure = error
            self._ready.set()
            self.loop.run_until_complete(runner.cleanup())
            self.loop.close()
            return
        self.loop.call_later(_SILENT_S / 4, self._close_silent)
        self._ready.set()
        self.loop.run_forever()
        listening.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(runner.cleanup())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def _connection(self, server: Any) -> asyncio.Protocol:
        if len(server.connections) >= _MOST_CONNECTIONS:
            return _Refused()
        connection: asyncio.Protocol = server()
        self._unheard[connection] = time.monotonic()
        return connection

    def _close_silent(self) -> None:
        now = time.monotonic()
        for connection, since in list(self._unheard.items()):
            if now - since > _SILENT_S:
                del self._unheard[connection]
                if connection.transport is not None:
                    connection.transport.abort()
        self.loop.call_later(_SILENT_S / 4, self._close_silent)

    def _guard(self) -> Any:
        from aiohttp import web

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._unheard.pop(request.protocol, None)
            if self._host in LOOPBACK and _name_of(request.headers.get("Host", "")) not in LOOPBACK:
                # A page elsewhere that has its name point at this computer must not read the camera.
                raise web.HTTPForbidden(text="this page answers to localhost only")
            origin = request.headers.get("Origin")
            if origin is not None and origin.partition("://")[2] != request.headers.get("Host", ""):
                raise web.HTTPForbidden(text="pages of other sites may not read this one")
            if self._token:
                await self._ask_for_token(request, self._token)
            return await handler(request)

        return guard

    async def _ask_for_token(self, request: web.Request, token: str) -> None:
        from aiohttp import web

        who, now = request.remote or "", time.monotonic()
        wrong = [since for since in self._wrong.get(who, []) if now - since < _FORGOTTEN_S]
        if len(wrong) >= _MOST_WRONG:
            raise web.HTTPTooManyRequests(text="too many wrong tokens; wait a minute")
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = [each for each in (request.query.get("token", ""), bearer, request.cookies.get(COOKIE, "")) if each]
        if any(hmac.compare_digest(each.encode("utf-8", "surrogateescape"), token.encode("utf-8", "surrogateescape")) for each in given):
            self._wrong.pop(who, None)
            return
        if given:
            # An address that only forgot the token guesses nothing.
            self._wrong[who] = [*wrong, now]
            self._wrong.move_to_end(who)
            while len(self._wrong) > 1024:
                self._wrong.popitem(last=False)
            await asyncio.sleep(_WRONG_DELAY_S)
        raise web.HTTPUnauthorized(text="a token is needed: open /?token=TOKEN, or send Authorization: Bearer TOKEN")


def _name_of(host: str) -> str:
    """The name in a Host header; "" for one that is none."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/@]+))(?::[0-9]{1,5})?", host)
    return "" if found is None else (found[1] or found[2]).lower()


class _Refused(asyncio.Protocol):
    """A connection more than is served."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hang up at once."""
        if isinstance(transport, asyncio.Transport):
            transport.abort()
