"""People and events to an MQTT broker. A broker that goes away holds nothing up: what it misses is dropped and counted."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.packages import install_hint
from posetrt.runtime.sinks.address import split_options, whole_number, yes_or_no
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.rows import event_lines, json_line

FORM = "mqtt=mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC, or mqtts:// for TLS"
OPTIONS = {
    "people": "yes or no: publish everybody in each frame; default yes",
    "qos": "of events, 0 to 2; default 1. Frames go with 0",
    "ca": "a file with the certificates to trust; default: the system's",
    "cert": "the client's certificate file",
    "key": "its key file",
    "client": "the client's id; default: a random one",
}
USER_VARIABLE, PASSWORD_VARIABLE = "POSETRT_MQTT_USER", "POSETRT_MQTT_PASSWORD"
"""The environment has them where the address does not: whoever lists processes sees addresses."""

MOST_FRAMES, MOST_EVENTS = 100, 1000
"""What waits for the broker."""
MOST_FRAMES_AWAY = 1
"""While it is away: when it is back, the newest frame alone is worth something; events matter later too."""
KEEPALIVE_S = 15
"""How often the connection is asked for when nothing is sent: a broker that vanished is noticed in one and a half times that."""
RETRY_S = (1, 30)
"""Least and most time between two tries to connect."""
GOODBYE_S = 2.0
"""For what waits when the run ends."""


@dataclass(frozen=True)
class MqttOptions:
    """Where and how to publish.

    Attributes:
        host, port: of the broker.
        topic: people go to TOPIC/people, events to TOPIC/events, and whether the run is there to TOPIC/status, retained.
        user, password: None connects without.
        tls: whether to encrypt; `ca`, `cert` and `key` are files for that, or None.
        people: publish each frame's people.
        qos: of events.
        client: id of the client; empty takes a random one.
    """

    host: str
    port: int
    topic: str
    user: str | None = None
    password: str | None = None
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    people: bool = True
    qos: int = 1
    client: str = ""


def mqtt_options(argument: str) -> MqttOptions:
    """Read `mqtt://HOST/TOPIC?option=value`.

    Raises:
        UsageError: another form, or options that do not exist.
    """
    place, options = split_options(argument, OPTIONS, FORM)
    try:
        parts = urlsplit(place)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{place} is no address ({error}); write {FORM}") from error
    topic = unquote(parts.path).strip("/")
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or not topic or "#" in place:
        raise UsageError(f"{place}: write {FORM}; for people on the topic robot/pose/people: mqtt://broker/robot/pose")
    if set(topic) & set("+#\0"):
        raise UsageError(f"a topic to publish to has no + and no #; got {topic}")
    tls = parts.scheme == "mqtts"
    files = {name: options.get(name) for name in ("ca", "cert", "key")}
    if not tls and any(files.values()):
        raise UsageError("ca, cert and key are of TLS: write mqtts://")
    if bool(files["key"]) > bool(files["cert"]):
        raise UsageError("key is of the certificate in cert: give that too")
    for name, path in files.items():
        if path is not None and not Path(path).is_file():
            raise UsageError(f"{name}: there is no file {path}")
    return MqttOptions(
        parts.hostname,
        port or (8883 if tls else 1883),
        topic,
        unquote(parts.username) if parts.username else os.environ.get(USER_VARIABLE),
        unquote(parts.password) if parts.password else os.environ.get(PASSWORD_VARIABLE),
        tls,
        people=yes_or_no(options, "people", True),
        qos=whole_number(options, "qos", 1, 0, 2),
        client=options.get("client", ""),
        **files,
    )


def open_mqtt(argument: str, say: Callable[[str], None]) -> Sink:
    """The sink `mqtt=ADDRESS`. It opens at once, also where no broker is there yet.

    Raises:
        UsageError: no such address or options.
        PosetrtError: paho-mqtt is missing, or a certificate cannot be read.
    """
    return MqttSink(mqtt_options(argument), say)


class MqttSink(Sink):
    """Publishes from a thread of its own, one message at a time, so that nothing piles up behind a slow broker.

    Args:
        options: where and how.
        say: takes a line when the broker goes away or comes back.

    Attributes:
        dropped: frames and events that the broker did not get: "people", "events".

    Raises:
        PosetrtError: paho-mqtt is missing, or a certificate cannot be read.
    """

    def __init__(self, options: MqttOptions, say: Callable[[str], None] = lambda _: None) -> None:
        try:
            from paho.mqtt import client as paho
        except ModuleNotFoundError as error:
            raise PosetrtError(f"publishing to an MQTT broker needs the package paho-mqtt: {install_hint('paho')}") from error
        self._options, self._say = options, say
        self.dropped = {"people": 0, "events": 0}
        self._frames: deque[bytes] = deque()
        self._events: deque[bytes] = deque()
        self._done: set[int] = set()
        self._changed = threading.Condition()
        self._connected = self._told = self._closing = False
        client = self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=options.client)
        if options.user is not None:
            client.username_pw_set(options.user, options.password)
        if options.tls:
            try:
                client.tls_set(options.ca, options.cert, options.key)
            except (OSError, ValueError) as error:
                raise PosetrtError(f"cannot use the certificates for {self._where}: {error}") from error
        client.will_set(f"{options.topic}/status", self._status("lost"), qos=1, retain=True)
        client.reconnect_delay_set(*RETRY_S)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_publish = self._on_connect_fail, self._on_publish
        client.connect_async(options.host, options.port, KEEPALIVE_S)
        client.loop_start()
        self._thread = threading.Thread(target=self._publish_all, name="posetrt-mqtt", daemon=True)
        self._thread.start()

    @property
    def _where(self) -> str:
        return f"{'mqtts' if self._options.tls else 'mqtt'}://{self._options.host}:{self._options.port}"

    def _status(self, state: str) -> bytes:
        return json.dumps({"state": state, "time": round(time.time(), 3), "dropped": self.dropped}).encode()

    def write(self, result: Result) -> None:
        """Put a frame and its events in the queue; never waits."""
        events = event_lines(result).splitlines()
        frame = json_line(result).rstrip() if self._options.people else None
        with self._changed:
            if frame is not None:
                self._frames.append(frame)
            self._events.extend(events)
            frames = MOST_FRAMES_AWAY if self._told else MOST_FRAMES
            for kind, queue, most in (("people", self._frames, frames), ("events", self._events, MOST_EVENTS)):
                while len(queue) > most:
                    queue.popleft()
                    self.dropped[kind] += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Publish what waits, say goodbye, and disconnect; takes two seconds at most. Closing twice is harmless."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._thread.join(GOODBYE_S + 1)
        self.dropped["people"] += len(self._frames)
        self.dropped["events"] += len(self._events)
        if self._connected:
            self._wait(self._client.publish(f"{self._options.topic}/status", self._status("offline"), 1, retain=True), time.monotonic() + 1)
        self._client.disconnect()
        self._client.loop_stop()
        if any(self.dropped.values()):
            self._say(f"{self._where} did not get {self.dropped['people']} frames and {self.dropped['events']} events")

    def _publish_all(self) -> None:
        """The thread: events before frames, each when the one before is out."""
        until = float("inf")
        while True:
            with self._changed:
                while not (self._connected and (self._events or self._frames)):
                    if self._closing:
                        until = min(until, time.monotonic() + GOODBYE_S)
                        empty = not (self._events or self._frames)
                        if empty or self._told or time.monotonic() > until:
                            return
                    self._changed.wait(0.1)
                event = bool(self._events)
                payload = (self._events if event else self._frames).popleft()
            if self._closing:
                until = min(until, time.monotonic() + GOODBYE_S)
            kind = "events" if event else "people"
            if not self._wait(self._client.publish(f"{self._options.topic}/{kind}", payload, self._options.qos if event else 0), until):
                self.dropped[kind] += 1

    def _wait(self, sent: Any, until: float) -> bool:
        """Until a message is out; of one that is sent once at most, only while the connection lasts. Paho sends the others again."""
        once = sent.rc != 0 or self._options.qos == 0
        with self._changed:
            while sent.mid not in self._done:
                if time.monotonic() > until or (self._closing and not self._connected) or (once and not self._connected):
                    return False
                if self._closing:
                    until = min(until, time.monotonic() + GOODBYE_S)
                self._changed.wait(0.2)
            self._done.clear()
        return True

    def _on_connect(self, client: Any, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            self._tell(f"{self._where} refuses the connection: {reason}; trying again")
            return
        client.publish(f"{self._options.topic}/status", self._status("online"), qos=1, retain=True)
        with self._changed:
            self._connected, self._told = True, False
            self._changed.notify_all()
        self._say(f"connected to {self._where}")

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        with self._changed:
            was, self._connected = self._connected, False
            self._changed.notify_all()
        if was and not self._closing:
            self._tell(f"{self._where} went away ({reason}); frames are dropped and {MOST_EVENTS} events kept until it is back")

    def _on_connect_fail(self, _: Any, __: Any) -> None:
        # Called while the error is handled.
        self._tell(f"no connection to {self._where}: {sys.exc_info()[1]}; trying again")

    def _on_publish(self, _: Any, __: Any, mid: int, ___: Any, ____: Any) -> None:
        with self._changed:
            self._done.add(mid)
            self._changed.notify_all()

    def _tell(self, line: str) -> None:
        """Once until it is connected again."""
        if not self._told:
            self._told = True
            self._say(line)
