"""The status port, at whatever address it is asked for."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.pipeline.counts import RunStats
from posetrt.runtime.pipeline.health import StatusPort, bind_address


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "where", ["0", "localhost:0", pytest.param("[::1]:0", marks=pytest.mark.skipif(not _has_ipv6(), reason="no IPv6"))]
)
def test_health_is_read_at_the_address_that_is_told(where: str) -> None:
    with StatusPort(*bind_address(where), RunStats()) as port:
        with urllib.request.urlopen(port.url, timeout=5) as answer:
            assert answer.status == 200
        family, free = port._server.address_family, port._server.server_address[1]
        host = bind_address(where)[0]
        with pytest.raises(PosetrtError, match="give another port"):
            StatusPort(host, int(free), RunStats())
    assert (family == socket.AF_INET6) == where.startswith("[")
