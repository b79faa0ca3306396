"""A flight controller hears heartbeats and where the person is; played by an endpoint of pymavlink on loopback."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymavlink", reason="pip install pymavlink")

EXAMPLE = Path(__file__).resolve().parents[2] / "jetson" / "examples" / "landing_target.py"
_SPEC = importlib.util.spec_from_file_location("landing_target", EXAMPLE)
assert _SPEC is not None
assert _SPEC.loader is not None
example = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)


def person(identity: int, score: float, **points: tuple[float, float]) -> dict[str, Any]:
    keypoints = np.zeros((18, 3))
    for part, (x, y) in points.items():
        keypoints[{"rhip": 8, "lhip": 11, "neck": 1, "nose": 0}[part]] = (x, y, 0.9)
    return {"person_id": identity, "score": score, "keypoints": keypoints.tolist()}


def line(*people: dict[str, Any]) -> str:
    return json.dumps({"frame": 0, "time_s": 0.0, "source": "", "name": "x", "people": people}) + "\n"


def test_the_middle_of_the_frame_is_straight_ahead_and_its_edge_half_the_field_of_view() -> None:
    assert example.angles((639.5, 359.5), (1280, 720), (60, 40)) == pytest.approx((0, 0))
    right, down = example.angles((1279.5, 719.5), (1280, 720), (60, 40))
    assert (right, down) == pytest.approx((math.radians(30), math.radians(20)))
    # OpenCV's own model of the pinhole camera agrees off the axis.
    focal = 640 / math.tan(math.radians(30))
    assert example.angles((900, 359.5), (1280, 720), (60, 40))[0] == pytest.approx(math.atan((900 - 639.5) / focal))


def test_hips_are_aimed_at_then_the_neck_and_a_nose_alone_is_nobody() -> None:
    assert example.aim(person(1, 1, rhip=(10, 20), lhip=(30, 40), neck=(0, 0))["keypoints"]) == (20, 30)
    assert example.aim(person(1, 1, neck=(5, 6))["keypoints"]) == (5, 6)
    assert example.aim(person(1, 1, nose=(5, 6))["keypoints"]) is None


def test_whoever_was_followed_stays_the_target_while_in_view() -> None:
    first, second = person(4, 0.9, neck=(1, 1)), person(7, 0.5, neck=(2, 2))
    assert example.choose([first, second], None) == first
    assert example.choose([first, second], 7) == second
    assert example.choose([first], 7) == first
    assert example.choose([], 7) is None


def test_an_autopilot_hears_heartbeats_and_targets_and_silence_when_nobody_is_there() -> None:
    from pymavlink import mavutil

    autopilot = mavutil.mavlink_connection("udpin:127.0.0.1:0", source_system=1)
    port = autopilot.port.getsockname()[1]
    heard: list[Any] = []
    done = threading.Event()

    def listen() -> None:
        while not done.is_set():
            message = autopilot.recv_match(blocking=True, timeout=0.1)
            if message is not None:
                heard.append(message)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        lines = [line(person(3, 0.8, rhip=(900, 359.5), lhip=(900, 359.5))), line(), line(person(3, 0.8, neck=(639.5, 359.5)))]
        process = subprocess.run(
            [sys.executable, str(EXAMPLE), "--connect", f"udpout:127.0.0.1:{port}", "--size", "1280x720", "--fov", "60x40"],
            input="".join(lines),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        assert "2 targets sent" in process.stderr
        until = time.monotonic() + 10
        while len(heard) < 3 and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        done.set()
        listener.join()
        autopilot.close()
    assert [message.get_type() for message in heard] == ["HEARTBEAT", "LANDING_TARGET", "LANDING_TARGET"]
    assert (heard[0].type, heard[0].autopilot) == (mavutil.mavlink.MAV_TYPE_ONBOARD_CONTROLLER, mavutil.mavlink.MAV_AUTOPILOT_INVALID)
    assert heard[1].angle_x == pytest.approx(math.atan((900 - 639.5) / (640 / math.tan(math.radians(30)))), abs=1e-6)
    assert (heard[2].angle_x, heard[2].angle_y) == pytest.approx((0, 0), abs=1e-6)
    assert heard[1].frame == mavutil.mavlink.MAV_FRAME_BODY_FRD
    assert heard[1].get_srcComponent() == 191
