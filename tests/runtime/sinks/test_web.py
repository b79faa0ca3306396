"""The web page: what a browser shows, who may look, and what viewers that do not read cost."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import aiohttp
import cv2
import numpy as np
import pytest

from posetrt.bench.viewers import Viewers
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.pipeline.pipeline import Options, RunStats, run
from posetrt.runtime.sinks.web import WebPage
from posetrt.runtime.sources import Paced
from posetrt.runtime.telemetry import Usage
from tests.stand_in import Listed, frames, stand_in


class Board:
    """Telemetry of a board that is warm and draws 9 W."""

    source = "a test"

    def between(self, start_s: float, end_s: float) -> Usage:
        return Usage(end_s - start_s, 9.0 * (end_s - start_s), 50.0, 51.5, False)

    def cost(self) -> float | None:
        return None


@contextmanager
def serving(
    *, fps: float = 30, latency_s: float = 0.002, size_wh: tuple[int, int] = (320, 240), **given
) -> Iterator[tuple[WebPage, RunStats]]:  # type: ignore[no-untyped-def]
    """A page over a pipeline that runs in a thread."""
    page = WebPage("127.0.0.1", 0, **given)
    stats, over = RunStats(), threading.Event()
    source = Paced(Listed(frames(60, size_wh), "camera"), fps, 0)
    thread = threading.Thread(
        target=run, args=(stand_in(latency_s), [source], [page], Options(track=True)), kwargs={"stats": stats, "stop": over.is_set}
    )
    thread.start()
    try:
        yield page, stats
    finally:
        over.set()
        thread.join(10)
    assert not thread.is_alive()
    assert not [each.name for each in threading.enumerate() if each.name.startswith("posetrt")]


async def get(url: str, **given: object) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url, **given) as response:  # type: ignore[arg-type]
        return response.status, response.headers.get("Content-Type", ""), await response.read()


def test_the_snapshot_is_a_picture_with_a_skeleton_and_nothing_is_encoded_unwatched() -> None:
    with serving() as (page, stats):
        time.sleep(0.5)
        assert page.encoded == 0
        status, kind, data = asyncio.run(get(page.url + "snapshot.jpg"))
        figures = json.loads(asyncio.run(get(page.url + "status.json"))[2])
    assert (status, kind) == (200, "image/jpeg")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (240, 320, 3)
    assert image.max() > 150
    assert figures["run"]["sources"][0]["label"] == "camera"
    assert figures["people"][0]["person_id"] == 0
    assert stats.frames > 10


def test_the_socket_gives_key_points_of_every_result() -> None:
    async def watch(url: str) -> list[dict]:  # type: ignore[type-arg]
        async with aiohttp.ClientSession() as session, session.ws_connect(url + "people") as viewer:
            return [json.loads(await viewer.receive_str()) for _ in range(20)]

    with serving(telemetry=Board(), fps=10) as (page, _):
        seen = asyncio.run(watch(page.url))
    numbers = [each["frame"] for each in seen]
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert len(seen[5]["people"][0]["keypoints"]) == 18
    assert seen[5]["board"] == {"temperature_c": 51.5, "power_w": 9.0, "throttled": False}
    assert seen[5]["age_ms"] < 1000


def test_the_socket_tells_of_a_camera_that_stopped() -> None:
    async def watch(url: str, stop: threading.Event) -> dict:  # type: ignore[type-arg]
        async with aiohttp.ClientSession() as session, session.ws_connect(url + "people") as viewer:
            await viewer.receive_str()
            stop.set()
            while True:
                now = json.loads(await asyncio.wait_for(viewer.receive_str(), 10))
                if now["run"]["sources"][0]["state"] == "frozen":
                    return now  # type: ignore[no-any-return]

    class Stops(Listed):
        live = True
        stop, over = threading.Event(), threading.Event()

        def __iter__(self):  # type: ignore[no-untyped-def]
            for frame in super().__iter__():
                if self.stop.wait(0.02):
                    self.state = "frozen"
                    self.over.wait(20)
                    return
                yield replace(frame, captured_s=time.perf_counter())

        def close(self) -> None:
            self.over.set()

    source, page = Stops(frames(1000)), WebPage("127.0.0.1", 0)
    thread = threading.Thread(target=run, args=(stand_in(0.002), [source], [page]))
    thread.start()
    try:
        told = asyncio.run(watch(page.url, Stops.stop))
    finally:
        source.close()
        thread.join(10)
    assert told["run"]["silent_s"] > 1


def test_ten_readers_get_the_same_pictures_and_each_is_encoded_once() -> None:
    async def read(url: str) -> list[bytes]:
        async with aiohttp.ClientSession() as session, session.get(url + "stream.mjpg") as response:
            data = b""
            async for chunk in response.content.iter_any():
                data += chunk
                if data.count(b"--posetrt-frame") > 6:
                    return data.split(b"--posetrt-frame")[1:6]
        return []

    async def all_of(url: str) -> list[list[bytes]]:
        return await asyncio.gather(*(read(url) for _ in range(10)))

    with serving(fps=60) as (page, stats):
        seen, encoded = asyncio.run(all_of(page.url)), page.encoded
    assert all(len(pictures) == 5 for pictures in seen)
    assert len({picture for pictures in seen for picture in pictures}) <= encoded <= 20
    assert stats.frames > 3 * encoded


def test_each_of_several_sources_has_its_own_pictures() -> None:
    async def look(url: str) -> tuple[bytes, bytes, tuple[int, str, bytes]]:
        left, right, missing = await asyncio.gather(
            *(get(f"{url}snapshot.jpg?source={label}") for label in ("camera", "camera-2", "camera-9"))
        )
        return left[2], right[2], missing

    page = WebPage("127.0.0.1", 0)
    stats, over = RunStats(), threading.Event()
    sources = [Paced(Listed(frames(60, size), "camera"), 30, 0) for size in ((320, 240), (160, 120))]
    thread = threading.Thread(target=run, args=(stand_in(0.002), sources, [page]), kwargs={"stats": stats, "stop": over.is_set})
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while stats.frames < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        left, right, missing = asyncio.run(look(page.url))
    finally:
        over.set()
        thread.join(10)
    sizes = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2] for data in (left, right)]
    assert sizes == [(240, 320), (120, 160)]
    assert (missing[0], missing[2]) == (404, b"there is no source camera-9; there are camera, camera-2")


def test_others_need_the_token_and_it_leaves_the_address() -> None:
    with pytest.raises(UsageError, match="POSETRT_WEB_TOKEN"):
        WebPage("0.0.0.0", 0)

    async def visit(url: str) -> None:
        for path in ("", "stream.mjpg", "snapshot.jpg", "status.json", "people"):
            assert (await get(url + path))[0] == 401
            assert (await get(url + path + "?token=wrong"))[0] == 401
        assert (await get(url + "status.json", headers={"Authorization": "Bearer hush-hush-hush"}))[0] == 200
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            async with session.get(url + "?token=hush-hush-hush") as response:
                assert response.status == 200
                assert "token" not in str(response.url)
            async with session.get(url + "status.json") as response:
                assert response.status == 200

    with serving(token="hush-hush-hush") as (page, _):
        asyncio.run(visit(page.url))


def test_pages_of_other_sites_cannot_read_the_camera() -> None:
    with serving() as (page, _):
        assert asyncio.run(get(page.url, headers={"Host": "evil.example"}))[0] == 403
        assert asyncio.run(get(page.url + "status.json", headers={"Origin": "http://evil.example"}))[0] == 403
        assert asyncio.run(get(page.url + "status.json", headers={"Origin": page.url.rstrip("/")}))[0] == 200


def test_a_taken_port_is_told() -> None:
    page = WebPage("127.0.0.1", 0)
    with pytest.raises(PosetrtError, match="give another port"):
        WebPage("127.0.0.1", page.port)
    page.close()
    page.close()


def stalled_viewers(page: WebPage, count: int) -> list[socket.socket]:
    """Viewers that ask for the stream and then read nothing."""
    viewers = []
    for _ in range(count):
        viewer = socket.create_connection(("127.0.0.1", page.port))
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
        viewers.append(viewer)
    return viewers


def test_a_viewer_that_stops_reading_slows_nobody_and_is_let_go() -> None:
    with serving(fps=60, silent_s=1.5, size_wh=(640, 480)) as (page, stats):
        time.sleep(0.5)
        watched_s, viewers = time.perf_counter(), stalled_viewers(page, 5)
        time.sleep(1.0)
        before, began = stats.frames, time.perf_counter()
        time.sleep(2.0)
        rate = (stats.frames - before) / (time.perf_counter() - began)
        assert rate > 30
        encoded = page.encoded
        assert encoded <= (time.perf_counter() - watched_s) * 10 + 2
        deadline = time.monotonic() + 30
        while page.viewers and time.monotonic() < deadline:
            time.sleep(0.1)
        assert page.viewers == 0
        for viewer in viewers:
            viewer.close()


def test_the_benchmarks_viewers_look_and_read_and_are_gone_afterwards() -> None:
    with serving(fps=30) as (page, _):
        with Viewers(page.port, reading=2, stalled=3) as watchers:
            deadline = time.monotonic() + 10
            while (page.viewers < 5 or page.encoded < 5) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert page.viewers == 5
        assert watchers.received > 2 * 1000
        deadline = time.monotonic() + 10
        while page.viewers and time.monotonic() < deadline:
            time.sleep(0.02)
        assert page.viewers == 0
        port = page.port
    with pytest.raises(PosetrtError, match="could not connect"), Viewers(port, 1, 0):
        pass


@pytest.mark.slow
def test_the_page_in_a_real_browser() -> None:
    from tests.browser import look_at

    script = """JSON.stringify({state: document.getElementById("state").textContent,
        figures: document.getElementById("figures").innerText, width: document.getElementById("picture").naturalWidth})"""
    with serving(telemetry=Board(), fps=15) as (page, _):
        value, png = asyncio.run(look_at(page.url, script, 4.0))
    shown = json.loads(value)
    assert shown["state"] == "live"
    assert shown["width"] == 320
    for name in ("fps", "latency", "age", "dropped", "people", "precision", "temperature", "power"):
        assert name in shown["figures"]
    assert "51.5 °C" in shown["figures"]
    assert "9 W" in shown["figures"]
    screen = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    # The skeleton's colours are on the screen, left, where the picture is: the frame itself is black.
    assert (screen[:, :900].max(axis=2) > 150).sum() > 200
