"""The status port: at whatever address it is asked for, quiet, bounded, and for those alone who may read it."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request

import pytest

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.pipeline import port as port_module
from posetrt.runtime.pipeline.counts import RunStats
from posetrt.runtime.pipeline.health import StatusPort
from posetrt.runtime.pipeline.port import bind_address

TOKEN = "correct-horse-battery"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def ask(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def number(port: StatusPort) -> int:
    return int(port.url.rsplit(":", 1)[1].partition("/")[0])


@pytest.mark.parametrize(
    "where", ["0", "localhost:0", pytest.param("[::1]:0", marks=pytest.mark.skipif(not _has_ipv6(), reason="no IPv6"))]
)
def test_health_is_read_at_the_address_that_is_told(where: str) -> None:
    host = bind_address(where)[0]
    with StatusPort(host, 0, RunStats()) as port:
        assert ask(port.url) == 200
        assert ask(port.url.replace("/health", "/other")) == 404
        assert ("[::1]" in port.url) == where.startswith("[")
        with pytest.raises(PosetrtError, match="give another port"):
            StatusPort(host, number(port), RunStats())


def test_a_port_for_others_needs_a_token_that_cannot_be_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="POSETRT_WEB_TOKEN"):
        StatusPort("0.0.0.0", 0, RunStats())
    with pytest.raises(UsageError, match="3 characters and can be guessed"):
        StatusPort("127.0.0.1", 0, RunStats(), "abc")
    monkeypatch.setattr(port_module, "_WRONG_DELAY_S", 0.2)
    with StatusPort("0.0.0.0", 0, RunStats(), TOKEN) as port:
        url = port.url.replace("0.0.0.0", "127.0.0.1")
        assert ask(url) == 401
        assert ask(url, Authorization=f"Bearer {TOKEN}") == 200
        began = time.monotonic()
        assert [ask(f"{url}?token=wrong{turn}") for turn in range(10)] == [401] * 10
        assert time.monotonic() - began >= 10 * 0.2
        assert ask(url, Authorization=f"Bearer {TOKEN}") == 429, "who guessed so often waits, also with the right one"


def test_the_service_asks_with_the_token_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from posetrt.jetson.service import healthy

    monkeypatch.delenv("POSETRT_WEB_TOKEN", raising=False)
    with StatusPort("127.0.0.1", 0, RunStats(), TOKEN) as port:
        assert not healthy(port.url)
        monkeypatch.setenv("POSETRT_WEB_TOKEN", TOKEN)
        assert healthy(port.url)


def test_a_name_that_points_here_and_a_page_of_another_site_are_refused() -> None:
    with StatusPort("127.0.0.1", 0, RunStats()) as port:
        assert ask(port.url, Host="evil.example") == 403
        assert ask(port.url, Host="a:b:c") == 403
        assert ask(port.url, Origin="http://evil.example") == 403
        assert ask(port.url, Host=f"localhost:{number(port)}") == 200


def test_connections_that_hang_up_or_send_rubbish_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with StatusPort("127.0.0.1", 0, RunStats()) as port:
        for turn in range(60):
            with socket.create_connection(("127.0.0.1", number(port))) as visitor:
                visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                visitor.sendall([b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01 rubbish\r\n\r\n", b"GET /"][turn % 3])
        assert ask(port.url) == 200
    out, err = capfd.readouterr()
    assert out + err == ""


def test_connections_are_bounded_and_silent_ones_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_module, "_MOST_CONNECTIONS", 5)
    monkeypatch.setattr(port_module, "_SILENT_S", 0.4)
    with StatusPort("127.0.0.1", 0, RunStats()) as port:
        silent = [socket.create_connection(("127.0.0.1", number(port))) for _ in range(8)]
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                assert ask(port.url) == 200
                break
            except OSError:
                time.sleep(0.05)
        else:
            pytest.fail("the silent ones hold the port")
        for visitor in silent:
            visitor.close()
