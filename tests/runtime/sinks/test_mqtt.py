"""People and events reach a real broker; one that is slow, gone or back again holds nothing up. Needs mosquitto (apt install mosquitto)."""

from __future__ import annotations

import contextlib
import getpass
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrt.cli import main
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.events.base import Event
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sinks.choose import open_sink
from posetrt.runtime.sinks.mqtt import MOST_EVENTS, MqttSink, mqtt_options
from posetrt.runtime.sources.base import Frame
from tests.tiny_model import tiny_folder, tiny_manifest

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is absent: apt install mosquitto")
paho = pytest.importorskip("paho.mqtt.client")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def ends(work: Callable[[], object]) -> None:
    """Work that waits for nobody ends; what would wait for the broker for ever is found to hang."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for the broker"


@contextlib.contextmanager
def broker(folder: Path, port: int, more: str = "") -> Iterator[subprocess.Popen[bytes]]:
    config = folder / f"mosquitto-{port}.conf"
    config.write_text(f"user {getpass.getuser()}\nlistener {port} 127.0.0.1\n{more or 'allow_anonymous true'}\n")
    assert MOSQUITTO is not None
    with subprocess.Popen([MOSQUITTO, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: _listens(port))
            yield process
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Hears:
    """A client that keeps what comes."""

    def __init__(self, port: int, topic: str = "#", set_up: Callable[[Any], None] = lambda _: None) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        set_up(self._client)
        there = []
        self._client.on_message = lambda _, __, message: self.messages.append((message.topic, message.payload, message.retain))
        self._client.on_subscribe = lambda *_: there.append(True)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(topic, qos=1)
        self._client.loop_start()
        until(lambda: there)

    def on(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for name, payload, _ in self.messages if name == topic]

    def __enter__(self) -> Hears:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def result(index: int, events: int = 0) -> Result:
    people = People(np.ones((1, 18, 3), np.float32), np.ones(1, np.float32), np.array([3]), skeleton=load_skeleton("coco18"))
    done = [Event("up", "raised-hand", "start", 3, index / 10, index / 10, 0.7, {"number": number}) for number in range(events)]
    return Result(
        Frame(np.zeros((48, 64, 3), np.uint8), f"cam_{index}", index, index / 10, label="cam"), people, tiny_manifest(), events=done
    )


@needs_mosquitto
def test_people_events_and_status_reach_the_broker(tmp_path: Path) -> None:
    port, said = free_port(), list[str]()
    with broker(tmp_path, port), Hears(port) as hears:
        sink = open_sink(f"mqtt=mqtt://127.0.0.1:{port}/robot/pose", said.append)
        for index in range(20):
            sink.write(result(index, events=index % 2))
        sink.close()
        sink.close()
        until(lambda: len(hears.on("robot/pose/status")) == 2)
        with Hears(port) as later:
            until(lambda: later.messages)
            # Whoever comes later is told whether somebody publishes.
            assert [(topic, retained) for topic, _, retained in later.messages] == [("robot/pose/status", True)]
            assert later.on("robot/pose/status")[0]["state"] == "offline"
    frames = hears.on("robot/pose/people")
    assert [frame["frame"] for frame in frames] == list(range(20))
    assert frames[1]["people"][0]["person_id"] == 3
    assert frames[1]["events"][0]["event"] == "up"
    events = hears.on("robot/pose/events")
    assert [(event["event"], event["frame"], event["source"]) for event in events] == [("up", index, "cam") for index in range(1, 20, 2)]
    assert [status["state"] for status in hears.on("robot/pose/status")] == ["online", "offline"]
    assert said == [f"connected to mqtt://127.0.0.1:{port}"]


@needs_mosquitto
def test_a_broker_that_dies_and_comes_back_gets_the_events_and_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posetrt.runtime.sinks.mqtt.RETRY_S", (1, 1))
    port, said = free_port(), list[str]()
    sink = MqttSink(mqtt_options(f"mqtt://127.0.0.1:{port}/robot"), said.append)
    try:
        with broker(tmp_path, port) as process, Hears(port) as hears:
            sink.write(result(0))
            until(lambda: hears.on("robot/people"))
            process.kill()
            process.wait()
            until(lambda: any("went away" in line for line in said))
        # No broker is there meanwhile.
        ends(lambda: [sink.write(result(index, events=1)) for index in range(1, 500)])
        # Some frames at most wait, and all of the events.
        assert sink.dropped["people"] >= 490
        assert sink.dropped["events"] == 0
        with broker(tmp_path, port), Hears(port) as hears:
            until(lambda: len(hears.on("robot/events")) >= 499, 20)
            assert [event["frame"] for event in hears.on("robot/events")] == list(range(1, 500))
            sink.write(result(500))
            until(lambda: any(frame["frame"] == 500 for frame in hears.on("robot/people")))
            assert len(hears.on("robot/people")) <= 4
    finally:
        sink.close()
    assert sum("connected to" in line for line in said) == 2


@needs_mosquitto
def test_a_run_that_is_killed_leaves_word_that_it_is_lost(tmp_path: Path) -> None:
    port = free_port()
    with broker(tmp_path, port), Hears(port) as hears:
        sink = MqttSink(mqtt_options(f"mqtt://127.0.0.1:{port}/robot"))
        until(lambda: hears.on("robot/status"))
        # As a killed process leaves it: the connection breaks without a word.
        sink._client.socket().shutdown(socket.SHUT_RDWR)
        until(lambda: "lost" in [status["state"] for status in hears.on("robot/status")])
        sink.close()


def test_without_a_broker_a_run_goes_on_and_the_queue_is_bounded() -> None:
    said: list[str] = []
    sink = MqttSink(mqtt_options(f"mqtt://127.0.0.1:{free_port()}/robot"), said.append)
    until(lambda: said)
    for index in range(300):
        sink.write(result(index, events=5))
    assert sink.dropped["events"] == 1500 - MOST_EVENTS
    ends(sink.close)
    assert "no connection to mqtt://127.0.0.1" in said[0]
    assert said[-1].endswith("did not get 300 frames and 1500 events")
    assert len(said) == 2


@needs_mosquitto
def test_a_broker_that_refuses_the_password_is_told_and_the_right_one_enters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, passwords = free_port(), tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd", path="/usr/bin:/usr/local/bin:/usr/sbin") or shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is absent")
    subprocess.run([tool, "-b", "-c", str(passwords), "robot", "s3cret"], check=True, capture_output=True)
    passwords.chmod(0o644)
    said: list[str] = []
    with broker(tmp_path, port, f"allow_anonymous false\npassword_file {passwords}"):
        wrong = MqttSink(mqtt_options(f"mqtt://robot:wrong@127.0.0.1:{port}/t"), said.append)
        until(lambda: said)
        wrong.close()
        assert "refuses the connection: Not authorized" in said[0]
        monkeypatch.setenv("POSETRT_MQTT_USER", "robot")
        monkeypatch.setenv("POSETRT_MQTT_PASSWORD", "s3cret")
        said.clear()
        right = MqttSink(mqtt_options(f"mqtt://127.0.0.1:{port}/t"), said.append)
        until(lambda: said)
        right.close()
    assert said[0] == f"connected to mqtt://127.0.0.1:{port}"


# Paho leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@needs_mosquitto
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is absent")
def test_tls_with_a_certificate_that_is_trusted_and_one_that_is_not(tmp_path: Path) -> None:
    port, key, cert = free_port(), tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    for path in (key, cert, tmp_path):
        path.chmod(0o755)
    with broker(tmp_path, port, f"allow_anonymous true\ncertfile {cert}\nkeyfile {key}"):
        said: list[str] = []
        sink = MqttSink(mqtt_options(f"mqtts://127.0.0.1:{port}/t?ca={cert}"), said.append)
        with Hears(port, set_up=lambda client: client.tls_set(str(cert))) as hears:
            sink.write(result(0))
            until(lambda: hears.on("t/people") or hears.on("t/status"))
        sink.close()
        assert said[0] == f"connected to mqtts://127.0.0.1:{port}"
        said.clear()
        stranger = MqttSink(mqtt_options(f"mqtts://127.0.0.1:{port}/t"), said.append)
        until(lambda: said)
        stranger.close()
        assert "certificate verify failed" in said[0].lower()


@needs_mosquitto
def test_run_publishes(tmp_path: Path) -> None:
    import cv2

    port = free_port()
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((48, 64, 3), 128, np.uint8))
    with broker(tmp_path, port), Hears(port) as hears:
        folder = tiny_folder(tmp_path / "m")
        run = ["run", str(folder.onnx), "--source", str(tmp_path / "photo.png"), "--sink", f"mqtt=mqtt://127.0.0.1:{port}/p", "--quiet"]
        assert main(run) == 0
        until(lambda: hears.on("p/people"))
    assert hears.on("p/people")[0]["source"] == "photo"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("", "mqtt://"),
        ("broker/topic", "write mqtt=mqtt://"),
        ("http://broker/topic", "write mqtt=mqtt://"),
        ("mqtt://broker", "write mqtt=mqtt://"),
        ("mqtt://broker:99999/t", "no address"),
        ("mqtt://broker/a/#", "no [+] and no #|write"),
        ("mqtt://broker/a+b", "no [+] and no #"),
        ("mqtt://broker/t?speed=9", "the options.*people.*not speed"),
        ("mqtt://broker/t?qos=3", "qos is a whole number, 0 to 2"),
        ("mqtt://broker/t?people=maybe", "people is yes or no"),
        ("mqtt://broker/t?ca=x.pem", "mqtts://"),
        ("mqtts://broker/t?ca=none.pem", "there is no file none.pem"),
        ("mqtts://broker/t?key=x", "give that too"),
    ],
)
def test_an_address_that_is_none_is_told(argument: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        mqtt_options(argument)


def test_events_alone_where_people_are_not_wanted() -> None:
    options = mqtt_options("mqtt://me:p%40ss@broker/robot/one?people=no&qos=2")
    assert options == replace(options, host="broker", port=1883, topic="robot/one", user="me", password="p@ss", people=False, qos=2)
    assert mqtt_options("mqtts://broker/t").port == 8883


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "paho.mqtt", None)
    with pytest.raises(PosetrtError, match=r"posetrt\[mqtt\]"):
        open_sink("mqtt=mqtt://127.0.0.1/t", print)
