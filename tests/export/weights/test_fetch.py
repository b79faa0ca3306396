"""Fetching weights from a server that misbehaves as servers do; all of it local."""

from __future__ import annotations

import base64
import hashlib
import resource
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from posetrt.cli import main
from posetrt.export.weights.fetch import _without_user, fetch
from posetrt.export.weights.zoo import Network, find_network
from posetrt.runtime.errors import PosetrtError, UsageError

DATA = np.random.default_rng(0).bytes(3_000_000)


@dataclass
class Server:
    """What the server sends, and what it was asked for."""

    address: str = ""
    body: bytes = DATA
    cut_after: list[int] = field(default_factory=list)  # of each answer in turn: bytes before the connection breaks
    ranges: list[str | None] = field(default_factory=list)
    status: int = 200
    resumes: bool = True


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.resumes else 0
            self.send_response(206 if start else 200)
            body = state.body[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.cut_after:
                body = body[: state.cut_after.pop(0)]
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{http.server_port}/weights"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


def network_at(*urls: str, md5: str | None = None) -> Network:
    published = hashlib.md5(DATA, usedforsecurity=False).hexdigest() if md5 is None else md5
    return replace(find_network("openpose-body25"), urls=urls, md5=published)


def test_the_file_comes_whole_and_its_published_hash_is_checked(server: Server, tmp_path: Path) -> None:
    fetched = fetch(network_at(server.address), tmp_path)
    assert fetched.path.read_bytes() == DATA
    assert "MD5" in fetched.trust
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pose_iter_584000.caffemodel", "pose_iter_584000.caffemodel.sha256"]
    assert fetch(network_at("http://127.0.0.1:9/gone"), tmp_path).source == "", "a file that is here needs no server"


def test_a_cut_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut_after = [1_000_000, 500_000]
    assert fetch(network_at(server.address), tmp_path).path.read_bytes() == DATA
    assert server.ranges == [None, "bytes=1000000-", "bytes=1500000-"]


def test_what_came_is_kept_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.cut_after = [700_000, 0]
    with pytest.raises(PosetrtError, match="700000 bytes came so far"):
        fetch(network_at(server.address), tmp_path)
    assert not (tmp_path / "pose_iter_584000.caffemodel").exists()
    server.ranges.clear()
    assert fetch(network_at(server.address), tmp_path).path.read_bytes() == DATA
    assert server.ranges == ["bytes=700000-"]


def test_a_server_that_cannot_resume_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    server.cut_after, server.resumes = [1_000_000], False
    assert fetch(network_at(server.address), tmp_path).path.read_bytes() == DATA


def test_a_wrong_hash_leaves_nothing_behind_and_the_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    wrong = network_at(server.address, md5="0" * 32)
    with pytest.raises(PosetrtError, match=r"its MD5 is .* the authors publish 0000"):
        fetch(wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []
    fetched = fetch(network_at("http://127.0.0.1:9/gone", server.address), tmp_path)
    assert fetched.source == server.address


def test_every_address_that_failed_is_named_with_its_reason(server: Server, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(PosetrtError) as failed:
        fetch(network_at("http://127.0.0.1:9/gone", server.address), tmp_path)
    message = str(failed.value)
    assert "127.0.0.1:9/gone: " in message
    assert "answered 503" in message
    assert "--from URL|FILE" in message


def test_without_a_published_hash_the_first_is_recorded_and_a_change_refused(server: Server, tmp_path: Path) -> None:
    network = network_at(server.address, md5="")
    fetched = fetch(network, tmp_path)
    record = (tmp_path / "pose_iter_584000.caffemodel.sha256").read_text()
    assert record == f"{hashlib.sha256(DATA).hexdigest()}  pose_iter_584000.caffemodel\n"
    fetched.path.unlink()
    server.body = DATA[:-1] + b"x"
    with pytest.raises(PosetrtError, match="SHA-256"):
        fetch(network, tmp_path)
    assert not fetched.path.exists()


def test_a_web_page_in_place_of_the_weights_is_told_as_such(server: Server, tmp_path: Path) -> None:
    server.body = b"<!DOCTYPE html><title>Google Drive - Quota exceeded</title>"
    with pytest.raises(PosetrtError, match="a web page"):
        fetch(network_at(server.address, md5=""), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_web_page_is_told_as_such_also_where_the_hash_is_known(server: Server, tmp_path: Path) -> None:
    page = b"<!DOCTYPE html><title>Google Drive - Quota exceeded</title>"
    server.body = page
    with pytest.raises(PosetrtError, match=r"its MD5 is .*: a web page"):
        fetch(network_at(server.address), tmp_path)
    assert list(tmp_path.iterdir()) == []
    server.body = DATA
    fetch(network_at(server.address, md5=""), tmp_path).path.unlink()
    server.body = page
    with pytest.raises(PosetrtError, match=r"its SHA-256 is .*: a web page"):
        fetch(network_at(server.address, md5=""), tmp_path)
    server.body = DATA[:-1]
    with pytest.raises(PosetrtError, match="another or a damaged file"):
        fetch(network_at(server.address), tmp_path)


def test_a_disk_that_fills_up_is_told_and_what_came_is_kept(server: Server, tmp_path: Path) -> None:
    """The kernel itself refuses: no file of this process may grow beyond 1 MB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(PosetrtError, match=r"cannot write .*kept; free space"):
            fetch(network_at(server.address), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "pose_iter_584000.caffemodel").exists()
    assert fetch(network_at(server.address), tmp_path).path.read_bytes() == DATA


def test_a_disk_without_room_is_told_before_anything_is_loaded(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: real._replace(free=1_000_000))
    with pytest.raises(PosetrtError, match=r"needs 3 MB more, 1 MB are free"):
        fetch(network_at(server.address), tmp_path)


def test_a_file_can_stand_in_for_the_servers(tmp_path: Path) -> None:
    mine = tmp_path / "mine.caffemodel"
    mine.write_bytes(DATA)
    fetched = fetch(network_at("http://127.0.0.1:9/gone"), tmp_path / "weights", str(mine))
    assert fetched.path.read_bytes() == DATA
    with pytest.raises(UsageError, match="neither"):
        fetch(network_at(), tmp_path, str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="http"):
        fetch(network_at(), tmp_path, "ftp://example.org/file")


def test_the_command_prints_the_licence_and_the_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.pth"
    mine.write_bytes(DATA)
    assert main(["fetch", "lightweight-openpose", "--from", str(mine), "-o", str(tmp_path / "weights")]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "weights" / "checkpoint_iter_370000.pth")
    assert "Apache-2.0" in said.err
    assert main(["fetch", "no-such-network"]) == 2
    assert main(["fetch", "nano", "-o", str(tmp_path)]) == 2
    assert "posetrt run nano" in capsys.readouterr().err


@pytest.mark.parametrize(
    "address",
    [
        "http://anna:s3cret@127.0.0.1:9/none.pth",
        "http://anna:s3cret@127.0.0.1:port/none.pth",
        "ftp://anna:s3cret@host/none.pth",
        "http://127.0.0.1:9/none.pth?token=s3cret",
        "http://anna:s3cret@/none.pth",
    ],
)
def test_no_message_shows_a_password_or_a_token(address: str, tmp_path: Path) -> None:
    with pytest.raises(PosetrtError) as refused:
        fetch(find_network("lightweight-openpose"), tmp_path, address)
    assert "s3cret" not in str(refused.value)
    assert "anna" not in str(refused.value)


def test_user_and_password_go_to_the_server_as_a_header_and_not_into_the_host() -> None:
    address, header = _without_user("https://anna:p%40ss@server:8443/a/b.pth?x=1")
    assert address == "https://server:8443/a/b.pth?x=1"
    assert base64.b64decode(header.removeprefix("Basic ")) == b"anna:p@ss"
