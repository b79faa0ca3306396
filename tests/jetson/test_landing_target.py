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
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from posetrt import load_skeleton

pytest.importorskip("pymavlink", reason="pip install pymavlink")

EXAMPLE = Path(__file__).resolve().parents[2] / "jetson" / "examples" / "landing_target.py"
_SPEC = importlib.util.spec_from_file_location("landing_target", EXAMPLE)
assert _SPEC is not None
assert _SPEC.loader is not None
example = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)


COCO18 = example.part_places({"skeleton": {"parts": load_skeleton("coco18").parts}})


def person(identity: int, score: float, **points: tuple[float, float]) -> dict[str, Any]:
    keypoints = np.zeros((18, 3))
    for part, (x, y) in points.items():
        keypoints[{"rhip": 8, "lhip": 11, "neck": 1, "nose": 0}[part]] = (x, y, 0.9)
    return {"person_id": identity, "score": score, "keypoints": keypoints.tolist()}


def line(*people: dict[str, Any], age_s: float | None = None) -> str:
    aged = {} if age_s is None else {"age_s": age_s}
    return json.dumps({"frame": 0, "time_s": 0.0, "source": "", "name": "x", **aged, "people": people}) + "\n"


def test_the_middle_of_the_frame_is_straight_ahead_and_its_edge_half_the_field_of_view() -> None:
    focal = example.focal_pixels(1280, 60)
    assert example.angles((639.5, 359.5), (1280, 720), focal) == pytest.approx((0, 0))
    assert example.angles((1279.5, 359.5), (1280, 720), focal)[0] == pytest.approx(math.radians(30))
    # The pinhole camera with square pixels, as OpenCV's camera matrix has it.
    down = math.atan(360 / (640 / math.tan(math.radians(30))))
    assert example.angles((639.5, 719.5), (1280, 720), focal)[1] == pytest.approx(down)


def test_a_mode_that_reads_the_middle_of_the_sensor_sees_less() -> None:
    # Half the sensor's width: the edge lies where a quarter of the whole width lay.
    whole, middle = example.focal_pixels(1280, 60), example.focal_pixels(1280, 60, crop=0.5)
    at_edge = example.angles((1279.5, 359.5), (1280, 720), middle)[0]
    assert at_edge == pytest.approx(example.angles((959.5, 359.5), (1280, 720), whole)[0])


def test_parts_are_found_by_name_in_every_skeleton() -> None:
    for name in ("coco17", "coco18", "body25", "halpe26"):
        skeleton = load_skeleton(name)
        keypoints = np.zeros((len(skeleton.parts), 3))
        for part, x in (("RHip", 100), ("LHip", 200)):
            keypoints[skeleton.parts.index(part)] = (x, 50, 0.9)
        assert example.aim(keypoints.tolist(), example.part_places({"skeleton": {"parts": skeleton.parts}})) == (150, 50), name
    with pytest.raises(ValueError, match="neither hips nor a neck"):
        example.part_places({"skeleton": {"parts": ["Wheel"]}})


def test_a_target_is_stamped_with_the_time_of_its_picture() -> None:
    stamps: list[int] = []
    mav = SimpleNamespace(heartbeat_send=lambda *_: None, landing_target_send=lambda stamp, *_: stamps.append(stamp))
    lines = [line(person(3, 0.8, neck=(1, 1)), age_s=0.12), line(person(3, 0.8, neck=(1, 1)))]
    example.follow(lines, SimpleNamespace(mav=mav), COCO18, (1280, 720), 1000.0, clock=lambda: 50.0)
    assert stamps == [49_880_000, 50_000_000]


def test_hips_are_aimed_at_then_the_neck_and_a_nose_alone_is_nobody() -> None:
    assert example.aim(person(1, 1, rhip=(10, 20), lhip=(30, 40), neck=(0, 0))["keypoints"], COCO18) == (20, 30)
    assert example.aim(person(1, 1, neck=(5, 6))["keypoints"], COCO18) == (5, 6)
    assert example.aim(person(1, 1, nose=(5, 6))["keypoints"], COCO18) is None


def test_whoever_was_followed_stays_the_target_while_in_view() -> None:
    first, second = person(4, 0.9, neck=(1, 1)), person(7, 0.5, neck=(2, 2))
    assert example.choose([first, second], None, COCO18) == first
    assert example.choose([first, second], 7, COCO18) == second
    assert example.choose([first], 7, COCO18) == first
    assert example.choose([], 7, COCO18) is None


def test_an_autopilot_hears_heartbeats_and_targets_and_silence_when_nobody_is_there(tmp_path: Path) -> None:
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
        (tmp_path / "manifest.json").write_text(json.dumps({"skeleton": {"parts": load_skeleton("coco18").parts}}))
        camera = ["--size", "1280x720", "--fov", "60"]
        lines = [line(person(3, 0.8, rhip=(900, 359.5), lhip=(900, 359.5))), line(), line(person(3, 0.8, neck=(639.5, 359.5)))]
        process = subprocess.run(
            [sys.executable, str(EXAMPLE), "--model", str(tmp_path), "--connect", f"udpout:127.0.0.1:{port}", *camera],
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
